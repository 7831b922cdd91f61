//! The definitions of the kinds, as an API server would read them: their shape, their rules, and that the documentation's examples pass both.

use kube::CustomResourceExt as _;
use kube_cel::{Validator, compile_schema};
use meshproof_operator::kinds::{MeshPool, MeshRun};
use serde_json::{Value, json};

fn schema(of: &str) -> Value {
    let definition = if of == "MeshRun" { MeshRun::crd() } else { MeshPool::crd() };
    let definition = serde_json::to_value(definition).expect("plain data");
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// What the rules say against an object, or against its change.
fn refused(object: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = schema(object["kind"].as_str().expect("a kind"));
    match Validator::new().validate_with_defaults(&schema, object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_vec().into_iter().map(|error| error.message).collect(),
    }
}

/// The YAML of a page that is of our kinds.
fn examples(page: &str) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = std::fs::read_to_string(path).expect("the page");
    let blocks = text.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next());
    let read = |block| serde_saphyr::from_str::<Value>(block).expect("an example is YAML");
    blocks.map(read).filter(|object| object["kind"].as_str().is_some_and(|kind| kind.starts_with("Mesh"))).collect()
}

fn pool() -> Value {
    examples("kubernetes.md").remove(0)
}

fn run() -> Value {
    examples("kubernetes.md").remove(1)
}

fn with(object: Value, field: &str, value: Value) -> Value {
    let mut object = object;
    *object.pointer_mut(field).unwrap_or_else(|| panic!("no {field}")) = value;
    object
}

#[test]
fn the_examples_of_the_documentation_are_taken() {
    let examples = examples("kubernetes.md");
    assert_eq!(examples.iter().map(|example| &example["kind"]).collect::<Vec<_>>(), ["MeshPool", "MeshRun"]);
    for example in examples {
        assert_eq!(refused(&example, None), Vec::<String>::new());
        match example["kind"].as_str() {
            Some("MeshPool") => drop(serde_json::from_value::<MeshPool>(example).expect("a pool")),
            _ => drop(serde_json::from_value::<MeshRun>(example).expect("a run")),
        }
    }
}

#[test]
fn a_pool_with_two_active_zones_or_none_is_refused() {
    let said = ["one zone has the role Active, all others Standby"];
    assert_eq!(refused(&with(pool(), "/spec/zones/1/role", json!("Active")), None), said);
    assert_eq!(refused(&with(pool(), "/spec/zones/0/role", json!("Standby")), None), said);
}

#[test]
fn what_a_pool_cannot_be_is_refused() {
    let empty = with(pool(), "/spec/zones/0/replicas", json!(0));
    assert_eq!(refused(&empty, None), ["the zone with the role Active has at least one replica"]);
    let sidecar = with(pool(), "/spec/template", json!({ "image": "x", "mode": "Sidecar" }));
    assert_eq!(refused(&sidecar, None), ["mode Sidecar has the containers of the service, mode Pod has none"]);
    let beside = json!({ "image": "x", "mode": "Sidecar", "containers": [{ "name": "shop", "image": "y" }] });
    assert_eq!(refused(&with(pool(), "/spec/template", beside), None), Vec::<String>::new());
    let mut ports = pool();
    ports["spec"]["ice"] = json!({ "portRange": { "first": 40_000, "last": 40_050 } });
    assert!(refused(&ports, None)[0].starts_with("a range has at least 100 ports"));
}

#[test]
fn a_pool_changes_but_for_its_mesh() {
    assert_eq!(refused(&with(pool(), "/spec/zones/0/replicas", json!(5)), Some(&pool())), Vec::<String>::new());
    let other = with(pool(), "/spec/mesh/tokenSecretRef/name", json!("others"));
    assert_eq!(refused(&other, Some(&pool())), ["a pool stays in its mesh; make another pool"]);
}

#[test]
fn a_run_does_not_change_but_for_its_abortion_which_stays() {
    let mut aborted = run();
    aborted["spec"]["abort"] = json!(true);
    assert_eq!(refused(&run(), Some(&run())), Vec::<String>::new());
    assert_eq!(refused(&aborted, Some(&run())), Vec::<String>::new());
    let mut again = run();
    again["spec"]["abort"] = json!(false);
    assert_eq!(refused(&again, Some(&aborted)), ["what was aborted stays so"]);
    for (field, value) in [
        ("/spec/plan/key", json!("other.yaml")),
        ("/spec/orchestrator/image", json!("other")),
        ("/spec/poolTemplate/zones/0/replicas", json!(9)),
    ] {
        let said = refused(&with(run(), field, value), Some(&run()));
        assert_eq!(said, ["a run does not change, but that it may be aborted; make another run"], "{field}");
    }
    for (field, value, said) in [
        ("quota", json!({ "pods": "5" }), "a run's quota does not change"),
        ("activeDeadlineSeconds", json!(9), "a run's deadline does not change"),
        ("ttlSecondsAfterFinished", json!(9), "a run's time to live does not change"),
    ] {
        let mut changed = run();
        changed["spec"][field] = value;
        assert_eq!(refused(&changed, Some(&run())), [said]);
        if let Some(spec) = changed["spec"].as_object_mut() {
            spec.remove(field);
        }
        let was_there = !run()["spec"][field].is_null();
        assert_eq!(refused(&changed, Some(&run())).is_empty(), !was_there, "{field} taken away");
    }
}

/// <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>
#[test]
fn the_schemas_are_structural_their_rules_compile_and_keys_of_lists_are_required() {
    for kind in ["MeshPool", "MeshRun"] {
        let schema = schema(kind);
        let mut rules = 0;
        walk(&schema, kind, &mut rules);
        assert!(rules >= 5, "{kind} has {rules} rules");
    }
}

fn walk(node: &Value, at: &str, rules: &mut usize) {
    let is_any = node["x-kubernetes-int-or-string"] == true || node["x-kubernetes-preserve-unknown-fields"] == true;
    assert!(node["type"].is_string() || is_any, "{at} has no type");
    for word in ["$ref", "oneOf", "patternProperties", "definitions", "$defs"] {
        assert!(node[word].is_null(), "{at} has {word}");
    }
    let both = !node["properties"].is_null() && node["additionalProperties"].is_object();
    assert!(!both, "{at} has properties of both sorts");
    if node["x-kubernetes-validations"].is_array() {
        *rules += node["x-kubernetes-validations"].as_array().map_or(0, Vec::len);
        let compiled = compile_schema(node);
        let errors: Vec<String> = compiled.compilation_errors().iter().map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{at}");
    }
    for key in node["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
        let required = node["items"]["required"].as_array().cloned().unwrap_or_default();
        assert!(required.contains(key), "{at}: {key} names items and is not required");
    }
    for (name, property) in node["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{at}.{name}"), rules);
    }
    for inner in ["items", "additionalProperties"] {
        if node[inner].is_object() {
            walk(&node[inner], &format!("{at}.{inner}"), rules);
        }
    }
}
