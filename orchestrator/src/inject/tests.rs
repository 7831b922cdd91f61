//! What is put where, and what is refused.

use serde_json::{Value, json};

use super::*;

const SHOP: &str = "\
# the shop
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop   # of every zone
  annotations: { legacy: yes }
spec:
  replicas: 2
  template:
    spec:
      serviceAccountName: shop

      # it needs the ledger
      containers:
      - name: shop
        image: shop:1
---
apiVersion: v1
kind: Service
metadata: { name: shop }
spec: { ports: [{ port: 80 }] }
";

fn wishes() -> Wishes {
    Wishes {
        name: None,
        image: "meshproof-agent:test".to_owned(),
        secret: None,
        settings: vec![("MESHPROOF_SERVICE", "http=127.0.0.1:8080".to_owned())],
        of_one_service: false,
    }
}

fn agents(injected: &Injected) -> Vec<(&str, &str)> {
    injected.agents.iter().map(|(agent, secret)| (agent.as_str(), secret.as_str())).collect()
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).expect("documents")
}

/// What is left when the agent's part is taken out.
fn without_agent(mut document: Value) -> Value {
    let pods = &mut document["spec"]["template"]["spec"];
    for list in ["initContainers", "volumes"] {
        let members = pods[list].as_array_mut().expect("a list");
        members.retain(|member| !sidecar::NAMES.contains(&member["name"].as_str().expect("a name")));
        if members.is_empty() {
            pods.as_object_mut().expect("a map").remove(list);
        }
    }
    document
}

/// Every line that was there is still there, in its order.
fn keeps_lines(before: &str, after: &str) -> bool {
    let mut lines = after.lines();
    before.lines().all(|line| lines.any(|other| other == line))
}

#[test]
fn a_workload_gets_a_native_sidecar_and_no_line_of_it_changes() {
    let injected = inject(SHOP, None, &wishes()).expect("a workload");
    assert_eq!(agents(&injected), [("shop", "meshproof-shop")]);
    assert!(keeps_lines(SHOP, &injected.text), "{}", injected.text);
    assert!(injected.text.contains("      # it needs the ledger\n      containers:\n"), "{}", injected.text);
    let (before, after) = (documents(SHOP), documents(&injected.text));
    assert_eq!(after[1], before[1]);
    assert_eq!(without_agent(after[0].clone()), before[0]);
    let pods = &after[0]["spec"]["template"]["spec"];
    let agent = &pods["initContainers"][0];
    assert_eq!((&agent["restartPolicy"], &agent["image"]), (&json!("Always"), &json!("meshproof-agent:test")));
    assert_eq!(agent["env"][0], json!({ "name": "MESHPROOF_NAME", "value": "shop" }));
    assert_eq!(agent["env"][1], json!({ "name": "MESHPROOF_SERVICE", "value": "http=127.0.0.1:8080" }));
    let security = &agent["securityContext"];
    assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
    assert_eq!((&security["runAsNonRoot"], &security["readOnlyRootFilesystem"]), (&json!(true), &json!(true)));
    assert!(agent.get("readinessProbe").is_none(), "a service does not wait for the mesh");
    assert_eq!(pods["volumes"][0]["secret"]["secretName"], "meshproof-shop");
}

#[test]
fn lists_that_are_there_keep_what_they_have() {
    let lists = "      volumes:\n      - name: data\n        emptyDir: {}\n      initContainers:\n        - name: migrate\n          image: m\n      containers:";
    let before = SHOP.replace("      containers:", lists);
    let injected = inject(&before, None, &wishes()).expect("a workload");
    assert!(keeps_lines(&before, &injected.text), "{}", injected.text);
    let after = &documents(&injected.text)[0];
    assert_eq!(without_agent(after.clone()), documents(&before)[0]);
    let pods = &after["spec"]["template"]["spec"];
    assert_eq!(pods["initContainers"][1]["name"], "migrate", "the agent begins first");
    assert_eq!(pods["volumes"].as_array().map(Vec::len), Some(3));
}

#[test]
fn each_of_several_workloads_gets_an_agent_or_the_one_that_is_named() {
    let ledger = SHOP.replace("name: shop ", "name: ledger ");
    let both = format!("{SHOP}---\n{ledger}");
    let all = inject(&both, None, &wishes()).expect("two workloads");
    assert_eq!(agents(&all), [("shop", "meshproof-shop"), ("ledger", "meshproof-ledger")]);
    let own = Wishes { of_one_service: true, ..wishes() };
    assert_eq!(inject(&both, None, &own), Err(NotInjected::Several("shop, ledger".to_owned())));
    let one = inject(&both, Some("ledger"), &own).expect("it is there");
    assert_eq!(agents(&one), [("ledger", "meshproof-ledger")]);
    let named = Wishes { name: Some("till".parse().expect("a name")), secret: Some("t".to_owned()), ..wishes() };
    assert_eq!(agents(&inject(&both, Some("shop"), &named).expect("it is there")), [("till", "t")]);
}

#[test]
fn every_kind_that_has_pods_is_known() {
    for (kind, path) in WORKLOADS {
        let mut text = format!("kind: {kind}\nmetadata:\n  name: a\n");
        let mut column = 0;
        for key in path {
            text += &format!("{}{key}:\n", " ".repeat(column));
            column += 2;
        }
        text += &format!("{0}containers:\n{0}  - name: a\n", " ".repeat(column));
        let injected = inject(&text, None, &wishes()).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let document = &documents(&injected.text)[0];
        let pods = path.iter().fold(document, |node, key| &node[*key]);
        assert_eq!(pods["initContainers"][0]["name"], "meshproof-agent", "{kind}");
    }
}

#[test]
fn what_cannot_be_done_is_said_with_its_line() {
    let refused = |text: &str| inject(text, None, &wishes()).expect_err("nothing can be put there").to_string();
    let injected = inject(SHOP, None, &wishes()).expect("a workload").text;
    assert_eq!(refused(&injected), "line 14: Deployment `shop` has an agent already");
    assert!(
        refused("kind: Service\nmetadata: { name: a }\n").starts_with("there is no workload in it (Pod, Deployment,")
    );
    assert!(refused("").starts_with("there is no workload in it"));
    assert!(refused("a: [").starts_with("line 1: this is not YAML: "));
    let braces = "kind: Pod\nmetadata: { name: a }\nspec: { containers: [{ name: a }] }\n";
    assert!(refused(braces).contains("line 3: Pod `a` is written in braces"));
    let brackets = "kind: Pod\nmetadata: { name: a }\nspec:\n  volumes: []\n  containers:\n  - name: a\n";
    assert!(refused(brackets).contains("line 4: Pod `a` has `volumes` in brackets"));
    assert!(refused("kind: Pod\nmetadata: { name: a }\n").contains("has no specification of its pods"));
    assert!(refused("kind: Pod\nmetadata: { name: a }\nspec:\n  x: 1\n").contains("has no containers"));
    assert!(refused(&SHOP.replace("name: shop ", "name: a/b ")).contains("cannot lend its name to an agent"));
    let none = inject(SHOP, Some("till"), &wishes()).expect_err("there is none").to_string();
    assert!(none.ends_with("none called `till`"), "{none}");
}
