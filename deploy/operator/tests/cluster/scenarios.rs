//! What happens to pools and runs, and what becomes of it.

use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use meshproof_operator::kinds::{MeshPool, MeshRun};
use meshproof_proto::epoch::EpochNotice;
use meshproof_proto::identity::UnixSeconds;
use meshproof_proto::trust::Trust;
use serde_json::json;

use crate::cluster::{DEPLOYMENTS, NAMESPACES};
use crate::fake::Id;
use crate::stage::{LEASES, POOLS, RUNS, Stage, pool, root, run};

/// One operator, reporters in both zones, and a pool that is complete.
pub async fn settled() -> (Stage, crate::stage::Operator) {
    let mut stage = Stage::new();
    let operator = stage.operator("operator-0");
    stage.reporter("a");
    stage.reporter("b");
    stage.create_pool(&pool()).await;
    stage.until("the pool is complete", |stage| stage.holds("Ready") && stage.holds("StandbyReady")).await;
    (stage, operator)
}

#[tokio::test(start_paused = true)]
async fn a_pool_comes_to_have_its_agents_and_the_epoch_is_signed() {
    let (stage, _operator) = settled().await;
    assert_eq!((stage.ready("a"), stage.ready("b"), stage.active()), (3, 1, ("a".to_owned(), 1)));
    let map = stage.fake.get(&Id::new(("", "configmaps"), "team", "shop-epoch")).expect("the epoch");
    let notice: EpochNotice =
        serde_json::from_str(map["data"]["epoch.json"].as_str().expect("text")).expect("a notice");
    let trust = Trust::new("dev".parse().expect("a name"), root().public());
    let epoch = notice.verify(&trust, UnixSeconds(1)).expect("it holds");
    assert_eq!((epoch.number, epoch.zone.as_str(), epoch.pool.as_str()), (1, "a", "shop"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_deleted_is_replaced_also_while_no_operator_runs() {
    let (stage, operator) = settled().await;
    operator.kill().await;
    let (id, _) = stage.cluster.ready_pods("a", "agent").remove(0);
    stage.delete_pod(&id);
    stage.until("one is gone", |stage| stage.ready("a") == 2).await;
    let took = stage.until("three are ready again", |stage| stage.ready("a") == 3).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_crashes_in_a_circle_is_started_anew_in_another_pod_and_no_sooner_than_three_restarts() {
    let (stage, _operator) = settled().await;
    let (broken, _) = stage.cluster.ready_pods("a", "agent").remove(0);
    stage.cluster.breaks(&broken);
    stage.until("it was replaced", |stage| stage.fake.get(&broken).is_none()).await;
    assert_eq!(stage.cluster.restarts(), 3);
    stage.until("it is complete again", |stage| stage.ready("a") == 3 && stage.holds("Ready")).await;
    assert_eq!(stage.active(), ("a".to_owned(), 1), "no zone was lost");
}

#[tokio::test(start_paused = true)]
async fn what_crashes_whatever_is_done_uses_its_budget_up_and_is_left_to_the_kubelet() {
    let (stage, _operator) = settled().await;
    stage.cluster.crash("b");
    stage.until("the budget is used up", |stage| stage.pool()["status"]["respawns"]["count"] == 6).await;
    stage.until("it is said", |stage| stage.holds("Degraded")).await;
    let pods = stage.pods();
    stage.stays("no pod is replaced", Duration::from_secs(60), |stage| stage.pods() == pods).await;
    assert_eq!(stage.active().0, "a");
}

#[tokio::test(start_paused = true)]
async fn another_operator_takes_over_from_one_that_was_killed_and_at_once_from_one_that_was_stopped() {
    let (stage, first) = settled().await;
    let second = stage.operator("operator-1");
    let holder = |stage: &Stage| {
        let lease = stage.fake.get(&Id::new(LEASES, "meshproof", "meshproof-operator")).unwrap_or_default();
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    };
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(holder(&stage), "operator-0");
    first.kill().await;
    let took = stage.until("the second one leads", |stage| holder(stage) == "operator-1").await;
    assert!((Duration::from_secs(13)..Duration::from_secs(19)).contains(&took), "{took:?}");
    stage.fake.edit(&Id::new(DEPLOYMENTS, "team", "shop-a"), |slice| slice["spec"]["replicas"] = json!(1));
    stage.until("it puts right what was changed", |stage| stage.ready("a") == 3).await;
    let third = stage.operator("operator-2");
    tokio::time::sleep(Duration::from_secs(4)).await;
    second.stop().await.expect("it ends well");
    assert_eq!(holder(&stage), "");
    let took = stage.until("the third one leads", |stage| holder(stage) == "operator-2").await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    drop(third);
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_does_not_reach_the_api_server_ends_before_another_one_leads() {
    let (stage, first) = settled().await;
    let _second = stage.operator("operator-1");
    tokio::time::sleep(Duration::from_secs(5)).await;
    stage.fake.unreached("operator-0");
    let error = first.ended().await.expect_err("it lost its lease");
    assert!(error.to_string().contains("lease is lost"), "{error}");
    let lease = stage.fake.get(&Id::new(LEASES, "meshproof", "meshproof-operator")).expect("a lease");
    assert_eq!(lease["spec"]["holderIdentity"], "operator-0", "nobody else has it yet");
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_is_lost_is_taken_over_from_and_comes_back_warm() {
    let (stage, _operator) = settled().await;
    stage.cluster.lose("a");
    let noticed = stage.until("zone b is active", |stage| stage.active() == ("b".to_owned(), 2)).await;
    assert!(noticed < Duration::from_secs(13), "{noticed:?}");
    let ready = stage.until("its agents are ready", |stage| stage.ready("b") == 3 && stage.holds("Ready")).await;
    assert!(ready < Duration::from_secs(5), "{ready:?}");
    let map = stage.fake.get(&Id::new(("", "configmaps"), "team", "shop-epoch")).expect("the epoch");
    assert_eq!((&map["data"]["number"], &map["data"]["zone"]), (&json!("2"), &json!("b")));
    stage.cluster.bring_back("a");
    stage.until("a is back at its warm size", |stage| stage.ready("a") == 1 && stage.holds("StandbyReady")).await;
    stage.stays("nothing fails back by itself", Duration::from_secs(120), |stage| stage.active().0 == "b").await;
    let pools: Api<MeshPool> = Api::namespaced(stage.fake.client("person"), "team");
    let asked = json!({ "metadata": { "annotations": { "meshproof.dev/activate": "a" } } });
    pools.patch("shop", &PatchParams::default(), &Patch::Merge(asked)).await.expect("it is there");
    stage.until("a is active again", |stage| stage.active() == ("a".to_owned(), 3)).await;
    stage.until("what was asked is done", |stage| stage.pool()["metadata"]["annotations"].is_null()).await;
    stage.until("b is warm again", |stage| stage.ready("b") == 1 && stage.ready("a") == 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_zone_whose_network_is_cut_is_taken_over_from_though_its_nodes_and_pods_look_well() {
    let (stage, _operator) = settled().await;
    stage.fake.unreached("reporter-a");
    let noticed = stage.until("zone b is active", |stage| stage.active() == ("b".to_owned(), 2)).await;
    assert!(noticed < Duration::from_secs(13), "{noticed:?}");
    assert_eq!(stage.ready("a"), 3, "Kubernetes sees nothing wrong");
    stage.until("b is complete, a shrinks", |stage| stage.ready("b") == 3 && stage.ready("a") == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_zone_whose_agents_have_lost_each_other_is_taken_over_from_though_its_reporter_reaches_the_api_server() {
    let (stage, _operator) = settled().await;
    stage.cluster.parts("a");
    let noticed = stage.until("zone b is active", |stage| stage.active() == ("b".to_owned(), 2)).await;
    assert!(noticed < Duration::from_secs(13), "{noticed:?}");
    assert_eq!(stage.ready("a"), 3, "Kubernetes sees nothing wrong");
}

#[tokio::test(start_paused = true)]
async fn while_the_api_server_is_away_for_a_minute_nothing_is_lost_and_no_zone_is_given_up() {
    let mut stage = Stage::new();
    let operators = [stage.operator("operator-0"), stage.operator("operator-1")];
    stage.reporter("a");
    stage.reporter("b");
    stage.create_pool(&pool()).await;
    stage.until("the pool is complete", |stage| stage.holds("Ready") && stage.holds("StandbyReady")).await;
    stage.fake.goes_away();
    tokio::time::sleep(Duration::from_secs(60)).await;
    stage.fake.comes_back();
    let [first, second] = operators;
    // who led has ended, as Kubernetes' own controllers do, and is started again by its Deployment
    assert!(first.ended().await.is_err());
    let _again = stage.operator("operator-0");
    stage.fake.edit(&Id::new(DEPLOYMENTS, "team", "shop-a"), |slice| slice["spec"]["replicas"] = json!(2));
    let took = stage.until("somebody acts again", |stage| {
        let slice = stage.fake.get(&Id::new(DEPLOYMENTS, "team", "shop-a")).expect("it is there");
        slice["spec"]["replicas"] == 3
    });
    let took = took.await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    stage.stays("no zone is given up", Duration::from_secs(60), |stage| stage.active() == ("a".to_owned(), 1)).await;
    drop(second);
}

/// Shorter than a leader's deadline, longer than a zone's lease: reporters could not renew, which says nothing of their zones.
#[tokio::test(start_paused = true)]
async fn a_short_absence_of_the_api_server_is_no_loss_of_a_zone() {
    for offset in 0..6 {
        let mut stage = Stage::new();
        let _operator = stage.operator("operator-0");
        stage.reporter("a");
        tokio::time::sleep(Duration::from_millis(2_000)).await;
        stage.reporter("b");
        stage.create_pool(&pool()).await;
        stage.until("the pool is complete", |stage| stage.holds("Ready") && stage.holds("StandbyReady")).await;
        tokio::time::sleep(Duration::from_millis(10_000 + 500 * offset)).await;
        stage.fake.goes_away();
        tokio::time::sleep(Duration::from_millis(5_800)).await;
        stage.fake.comes_back();
        stage.stays("a is active", Duration::from_secs(60), |stage| stage.active() == ("a".to_owned(), 1)).await;
        stage.cluster.lose("a");
        let took = stage.until("a loss is noticed again", |stage| stage.active().0 == "b").await;
        assert!(took < Duration::from_secs(12), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_whose_watches_are_behind_lists_anew() {
    let (stage, _operator) = settled().await;
    stage.fake.goes_away();
    tokio::time::sleep(Duration::from_secs(3)).await;
    stage.fake.edit(&Id::new(DEPLOYMENTS, "team", "shop-b"), |slice| slice["spec"]["replicas"] = json!(0));
    stage.fake.forgets();
    stage.fake.comes_back();
    stage.until("it is put right", |stage| stage.ready("b") == 1).await;
    assert_eq!(stage.active(), ("a".to_owned(), 1));
}

/// An agent that is not in the caches yet is no agent that is missing.
#[tokio::test(start_paused = true)]
async fn an_operator_that_has_just_started_decides_nothing_before_it_has_seen_everything() {
    let (stage, operator) = settled().await;
    stage.fake.unreached("reporter-a");
    stage.until("zone b is active", |stage| stage.active().0 == "b").await;
    stage.cluster.crash("b");
    operator.stop().await.expect("it ends well");
    stage.fake.slow("deployments", Duration::from_secs(5));
    let _operator = stage.operator("operator-1");
    let size = |stage: &Stage| {
        stage.fake.get(&Id::new(DEPLOYMENTS, "team", "shop-a")).unwrap_or_default()["spec"]["replicas"].clone()
    };
    stage.stays("a does not shrink before b is complete", Duration::from_secs(20), |stage| size(stage) == 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_deleted_takes_everything_with_it() {
    let (stage, _operator) = settled().await;
    let now = stage.fake.now();
    stage.fake.with(|store| store.delete(&Id::new(POOLS, "team", "shop"), now).map(drop)).expect("it is there");
    let ours = |stage: &Stage| {
        stage.fake.with(|store| {
            store.all().filter(|(_, it)| !it["metadata"]["labels"]["meshproof.dev/pool"].is_null()).count()
        })
    };
    stage.until("nothing is left", |stage| ours(stage) == 0).await;
    stage.stays("nothing comes back", Duration::from_secs(30), |stage| ours(stage) == 0).await;
}

/// A run whose orchestrator is at work.
async fn running() -> (Stage, crate::stage::Operator, String) {
    let stage = Stage::new();
    let operator = stage.operator("operator-0");
    stage.create_run(&run()).await;
    stage.until("it runs", |stage| stage.run()["status"]["phase"] == "Running").await;
    let namespace = stage.run()["status"]["namespace"].as_str().expect("a namespace").to_owned();
    (stage, operator, namespace)
}

fn is_there(stage: &Stage, namespace: &str) -> bool {
    stage.fake.get(&Id::new(NAMESPACES, "", namespace)).is_some()
}

#[tokio::test(start_paused = true)]
async fn a_run_passes_and_is_gone_with_its_namespace_when_its_time_to_live_is_over() {
    let (stage, _operator, namespace) = running().await;
    assert!(stage.fake.get(&Id::new(("", "secrets"), &namespace, "agents")).is_some(), "its token was copied");
    stage.cluster.orchestrators_end(0, Duration::from_secs(30));
    stage.until("it passed", |stage| stage.run()["status"]["verdict"] == "pass").await;
    assert_eq!(stage.run()["status"]["phase"], "Finished");
    let near = Duration::from_secs(55);
    stage.stays("its namespace is kept", near, |stage| is_there(stage, &namespace)).await;
    stage.until("the run is gone", |stage| stage.run().is_null()).await;
    assert!(!is_there(&stage, &namespace), "its finalizer waited for the namespace");
}

#[tokio::test(start_paused = true)]
async fn an_aborted_run_ends_at_once_and_its_namespace_stays() {
    let (stage, _operator, namespace) = running().await;
    let runs: Api<MeshRun> = Api::namespaced(stage.fake.client("person"), "team");
    let abort = json!({ "spec": { "abort": true } });
    runs.patch("checkout", &PatchParams::default(), &Patch::Merge(abort)).await.expect("it is there");
    stage.until("it is aborted", |stage| stage.run()["status"]["phase"] == "Aborted").await;
    stage.until("no pod of it is left", |stage| stage.pods().iter().all(|id| id.namespace != namespace)).await;
    assert!(is_there(&stage, &namespace));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_deleted_while_it_goes_on_takes_its_namespace_with_it() {
    let (stage, _operator, namespace) = running().await;
    let now = stage.fake.now();
    stage.fake.with(|store| store.delete(&Id::new(RUNS, "team", "checkout"), now).map(drop)).expect("it is there");
    stage.until("both are gone", |stage| stage.run().is_null() && !is_there(stage, &namespace)).await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_whose_run_escaped_its_finalizer_is_swept_up() {
    let (stage, operator, namespace) = running().await;
    operator.kill().await;
    stage.fake.with(|store| store.remove(&Id::new(RUNS, "team", "checkout")));
    let _operator = stage.operator("operator-1");
    stage.until("it is gone", |stage| !is_there(stage, &namespace)).await;
}
