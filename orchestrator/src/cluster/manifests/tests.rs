//! What the sample comes to in a cluster, as it is written beside this; `UPDATE_GOLDEN=1` writes it anew. `.ci/chart` holds it against the API's schemas.

use std::path::Path;

use meshproof_proto::identity::Key;

use super::*;
use crate::cluster::template::templates;
use crate::plan::{Inputs, check};

fn pod(service: &str, template: Template) -> Pod {
    Pod {
        service: service.parse().expect("a name"),
        name: service.to_owned(),
        template,
        image: None,
        processes: Vec::new(),
        variables: vec![("PORT".to_owned(), "20000".to_owned())],
        files: Vec::new(),
        token: "mpt1-token".to_owned(),
        agent: vec![("MESHPROOF_SERVICE", "http=127.0.0.1:20000".to_owned())],
    }
}

fn described(pods: Vec<Pod>) -> Described {
    Described {
        namespace: "mesh-run-checkout-01234567".to_owned(),
        run: "r-0123456789ab".to_owned(),
        plan: "checkout".parse().expect("a name"),
        mesh: "run".parse().expect("a name"),
        root: Key::from_seed([1; 32]).public(),
        agent_image: "meshproof-agent:0.1.0".to_owned(),
        signaling_image: "meshproof-signaling:0.1.0".to_owned(),
        annotations: BTreeMap::from([(STATE, "running".to_owned()), (EXPIRES, "2026-03-01T00:00:00Z".to_owned())]),
        pods,
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

fn sample() -> BTreeMap<Name, Template> {
    let path = root().join("testdata/checkout/plan.yaml");
    let text = std::fs::read(&path).expect("the sample");
    let plan = check("plan.yaml", &text, &Inputs::default()).plan.expect("a good plan");
    templates(&plan, path.parent().expect("a folder"), None).expect("it has its templates")
}

fn image(text: &str) -> Template {
    serde_json::from_value(serde_saphyr::from_str(text).expect("YAML")).expect("a template")
}

#[test]
fn the_sample_in_a_cluster_is_as_in_the_golden_file() {
    let mut pods: Vec<Pod> = sample().into_iter().map(|(name, template)| pod(name.as_str(), template)).collect();
    pods[0].files = vec![("config/ledger.toml".to_owned(), b"a = 1\n".to_vec())];
    let all = manifests(&described(pods));
    let text: String =
        all.iter().map(|object| format!("---\n{}\n", serde_json::to_string_pretty(object).expect("JSON"))).collect();
    let path = root().join("orchestrator/src/cluster/manifests/checkout.yaml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).expect("the folder of the test");
    }
    assert_eq!(std::fs::read_to_string(&path).expect("UPDATE_GOLDEN=1 makes it"), text);
}

#[test]
fn everything_is_in_the_namespace_of_the_run_and_found_by_its_labels() {
    let all =
        manifests(&described(sample().into_iter().map(|(name, template)| pod(name.as_str(), template)).collect()));
    assert_eq!((all[0]["kind"].as_str(), all.len()), (Some("Namespace"), 13));
    for object in &all {
        let (metadata, labels) = (&object["metadata"], &object["metadata"]["labels"]);
        assert_eq!(labels[RUN], "r-0123456789ab", "{metadata}");
        assert_eq!(labels[MANAGED_BY], "meshproof", "it is not the operator's: {metadata}");
        assert!(object["kind"] == "Namespace" || metadata["namespace"] == "mesh-run-checkout-01234567", "{metadata}");
    }
    assert!(!all.iter().any(|object| object["kind"] == "Pod" && object.to_string().contains("mpt1-token")));
}

#[test]
fn what_the_plan_starts_is_a_container_each_and_what_a_template_says_stays() {
    let text = "spec:\n  hostname: x\n  securityContext: { runAsUser: 7 }\n  containers:\n    - name: service\n      args: [a]\n    - name: \
                beside\n      image: b\n";
    let started = Pod {
        image: Some("shop:1".to_owned()),
        processes: vec![vec!["/shop".to_owned(), "$(x)".to_owned()], vec!["/worker".to_owned()]],
        files: vec![("a/b".to_owned(), Vec::new())],
        ..pod("shop", image(text))
    };
    let spec = described(Vec::new()).pod(&started)["spec"].clone();
    let names: Vec<&str> =
        spec["containers"].as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["service", "service-2", "beside"]);
    let first = &spec["containers"][0];
    assert_eq!((&first["image"], &first["command"]), (&json!("shop:1"), &json!(["/shop", "$$(x)"])));
    assert_eq!((&first["args"], &first["workingDir"]), (&Value::Null, &json!(DIR)));
    assert_eq!(first["volumeMounts"][1]["mountPath"], "/meshproof/service/a/b");
    assert_eq!((&spec["hostname"], &spec["securityContext"]), (&json!("x"), &json!({ "runAsUser": 7 })));
    assert_eq!(spec["containers"][2]["volumeMounts"], Value::Null, "what stands beside it is its own");
    let agent = &spec["initContainers"][0];
    assert_eq!((&agent["restartPolicy"], &agent["image"]), (&json!("Always"), &json!("meshproof-agent:0.1.0")));
    assert_eq!(agent["env"][1]["value"], "ws://signaling:7070/mesh");
}
