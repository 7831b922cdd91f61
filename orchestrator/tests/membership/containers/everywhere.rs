//! One plan, unchanged, wherever it can run.

use std::path::Path;

use serde_json::Value;

use super::cluster::{self, Cluster};
use super::stands::Stands;
use super::{images, is_possible, podman, root, sample};

/// Every step in its order, as `test section number title: ending`.
fn steps(out: &Path) -> Vec<String> {
    let journal = std::fs::read_to_string(out.join("events.jsonl")).expect("the run wrote it");
    let records = journal.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record"));
    let ended = records.filter_map(|record| record["what"].get("step-ended").cloned());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut steps: Vec<String> = ended
        .map(|ended| {
            let step = &ended["step"];
            let parts = [&step["key"]["test"], &step["section"], &step["number"], &step["title"], &ended["ending"]];
            parts.map(text).join(" ")
        })
        .collect();
    // services become ready in any order
    steps.sort();
    steps
}

#[test]
fn one_plan_comes_to_the_same_step_by_step_on_this_machine_in_containers_in_a_cluster_and_in_a_mesh_that_stands() {
    if !is_possible() {
        return;
    }
    images();
    let stands = Stands::new("e", 93);
    let (town, plan) = (&stands.town, sample());
    town.done(&stands.run(&plan, "mesh"));
    town.done(&["run", &plan, "--out", "here"]);
    let mut contained = town.command(&["run", &plan, "--on", "podman", "--out", "podman"]);
    let output = contained.env("CONTAINERS_CONF", podman::settings()).output().expect("the binary was built");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let here = steps(&town.path().join("here"));
    assert!(here.len() == 10 && here.iter().all(|step| step.ends_with(" pass")), "{here:#?}");
    assert_eq!(steps(&town.path().join("podman")), here);
    assert_eq!(steps(&town.path().join("mesh")), here);
    if cluster::missing().is_none() {
        in_a_cluster(&stands);
        assert_eq!(steps(&town.path().join("cluster-out")), here);
    }
    let audit = std::fs::read_to_string(town.path().join("podman/logs/ledger/audit.log")).expect("it was taken");
    assert!(audit.contains("posted"), "{audit}");
}

/// From the images that are here, as the sample's templates say.
fn in_a_cluster(stands: &Stands) {
    let (town, plan) = (&stands.town, sample());
    let cluster = Cluster::start(town, "e");
    let templates = town.path().join("templates");
    std::fs::create_dir_all(&templates).expect("a new folder");
    for service in ["ledger.yaml", "shop.yaml"] {
        let text = std::fs::read_to_string(root().join("testdata/checkout/deploy/templates").join(service));
        let text = text.expect("the sample has it").replace("meshproof-sample:latest", &cluster.image("sample"));
        std::fs::write(templates.join(service), text).expect("a new file");
    }
    let run = town.command(&["run", &plan, "--on", "kubernetes", "--templates", "templates", "--out", "cluster-out"]);
    let output = cluster.reached_by(run, town).output().expect("the binary was built");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    cluster.is_empty(town, "checkout");
}
