//! The rights that the chart gives, and no others, are what the operator and the zone reporters work with.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use meshproof_operator::kinds::{MeshPool, MeshRun, Zone, ZoneRole};
use serde_json::{Value, json};

use crate::fake::{Id, Right, given};
use crate::stage::{POOLS, RUNS, Stage, pool, run};

/// Roles and bindings of the chart with those values.
fn of_the_chart(values: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../chart/rendered/{values}.yaml"));
    let text = std::fs::read_to_string(path).expect("it is there");
    let documents = text.split("\n---\n").filter_map(|document| serde_saphyr::from_str::<Value>(document).ok());
    let found: Vec<Value> = documents
        .filter(|object| object["apiVersion"].as_str().is_some_and(|version| version.starts_with("rbac")))
        .collect();
    assert!(found.len() > 5, "{found:?}");
    found
}

/// Two operators one after the other, a zone that is lost and one that is no more, a pod that is replaced, a run from its beginning to its end.
async fn everything(stage: &mut Stage) {
    let operator = stage.operator("operator-0");
    let second = stage.operator("operator-1");
    stage.reporter("a");
    stage.reporter("b");
    stage.create_pool(&pool()).await;
    stage.until("the pool is complete", |stage| stage.holds("Ready") && stage.holds("StandbyReady")).await;
    let (broken, _) = stage.cluster.ready_pods("b", "agent").remove(0);
    stage.cluster.breaks(&broken);
    stage.until("it was replaced", |stage| stage.fake.get(&broken).is_none()).await;
    operator.stop().await.expect("it ends well");
    stage.cluster.lose("a");
    stage.until("zone b took over", |stage| stage.active().0 == "b" && stage.ready("b") == 3).await;
    let api: Api<MeshPool> = Api::namespaced(stage.fake.client("person"), "team");
    let asked = json!({ "metadata": { "annotations": { "meshproof.dev/activate": "b" } }, "spec": { "zones": [
        serde_json::to_value(Zone::new("b", ZoneRole::Active, 3)).expect("a zone"),
    ] } });
    api.patch("shop", &PatchParams::default(), &Patch::Merge(asked)).await.expect("it is written");
    let reporter = Id::new(("", "serviceaccounts"), "team", "shop-a-reporter");
    stage.until("nothing is left of zone a", |stage| stage.fake.get(&reporter).is_none()).await;
    stage.cluster.bring_back("a");
    stage.create_run(&run()).await;
    stage.until("the run goes on", |stage| stage.run()["status"]["phase"] == "Running").await;
    stage.cluster.orchestrators_end(0, Duration::from_secs(5));
    stage.until("it has passed", |stage| stage.run()["status"]["verdict"] == "pass").await;
    let run = Id::new(RUNS, "team", "checkout");
    stage.until("it is gone", |stage| stage.fake.get(&run).is_none()).await;
    abort(stage).await;
    assert!(stage.fake.get(&Id::new(POOLS, "team", "shop")).is_some());
    second.stop().await.expect("it ends well");
}

/// A run that is kept after its end, until the sweep has asked for it.
async fn abort(stage: &Stage) {
    stage.cluster.orchestrators_end(0, Duration::from_secs(3_600));
    let mut kept = run();
    kept.spec.ttl_seconds_after_finished = None;
    stage.create_run(&kept).await;
    stage.until("the next run goes on", |stage| stage.run()["status"]["phase"] == "Running").await;
    let api: Api<MeshRun> = Api::namespaced(stage.fake.client("person"), "team");
    let aborted = json!({ "spec": { "abort": true } });
    api.patch("checkout", &PatchParams::default(), &Patch::Merge(aborted)).await.expect("it is written");
    stage.until("it is aborted", |stage| stage.run()["status"]["phase"] == "Aborted").await;
    let since = stage.fake.calls("operator-1");
    stage
        .until("the sweep has been", |stage| {
            stage.fake.calls("operator-1").get("get meshruns") > since.get("get meshruns")
        })
        .await;
}

/// `first-try` gives those over pools everywhere, `everything` in the pools' namespaces.
#[tokio::test(start_paused = true)]
async fn the_rights_of_the_chart_are_enough_and_none_is_too_many() {
    for values in ["first-try", "everything"] {
        let chart = of_the_chart(values);
        let mut stage = Stage::new().with_rights(&chart);
        everything(&mut stage).await;
        let used = ["operator-0", "operator-1"].into_iter().flat_map(|who| stage.fake.used(who));
        let used: BTreeSet<Right> = used.collect();
        let given = chart.iter().flat_map(given).map(|right| Right { name: String::new(), ..right });
        let unused = given.collect::<BTreeSet<Right>>().difference(&used).map(Right::to_string).collect::<Vec<_>>();
        // of an event that is told again soon, which happened to none of these
        assert_eq!(unused, ["patch events.events.k8s.io"], "{values}");
        assert!(!stage.fake.used("reporter-b").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn without_one_of_them_it_does_not_work() {
    let mut less = of_the_chart("first-try");
    let pools = less.iter_mut().find(|object| object["metadata"]["name"] == "meshproof-operator-pools");
    let rules = pools.expect("the role")["rules"].as_array_mut().expect("rules");
    rules.retain(|rule| rule["resources"] != json!(["leases"]));
    let mut stage = Stage::new().with_rights(&less);
    let _operator = stage.operator("operator-0");
    stage.reporter("a");
    stage.create_pool(&pool()).await;
    stage.stays("it has no agents", Duration::from_secs(60), |stage| stage.ready("a") == 0).await;
}
