//! One pool in a small world without an API server: what is decided in each state, by name.

mod world;

pub(crate) use world::{World, pool};

use std::time::Duration;

use super::*;
use crate::kinds::{Failback, MeshPool, Zone, ZoneLease, ZoneRole};
use crate::objects::{ACTIVATE, Kind};

fn two_zones() -> MeshPool {
    pool(vec![Zone::new("a", ZoneRole::Active, 3), Zone::new("b", ZoneRole::Standby, 1)])
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A world in which that pool is complete.
fn settled(pool: MeshPool) -> World {
    let mut world = World::new(pool);
    world.run(seconds(20));
    assert_eq!(world.actions(), Vec::new());
    world
}

fn condition_of(world: &World, type_: &str) -> (bool, String) {
    let found = world.status.conditions.iter().find(|condition| condition.type_ == type_).expect("it is told");
    (found.status == "True", found.reason.clone())
}

#[test]
fn a_new_pool_has_its_active_zone_in_epoch_one_and_everything_else_at_its_warm_size() {
    let world = settled(two_zones());
    assert_eq!(world.active(), ("a".to_owned(), 1));
    assert_eq!([world.replicas("a"), world.replicas("b")], [3, 1]);
    assert_eq!(condition_of(&world, "Ready"), (true, "AgentsReady".to_owned()));
    assert_eq!(condition_of(&world, "StandbyReady"), (true, "CanTakeOver".to_owned()));
    assert_eq!(condition_of(&world, "FailoverInProgress"), (false, "Settled".to_owned()));
    assert_eq!(condition_of(&world, "Degraded"), (false, "AsExpected".to_owned()));
}

#[test]
fn a_zone_whose_lease_is_not_renewed_is_lost_at_its_end_and_not_before() {
    let mut world = settled(two_zones());
    world.cut("a");
    world.run(seconds(7));
    assert_eq!(world.active(), ("a".to_owned(), 1), "it renewed its lease nine seconds ago");
    world.run(seconds(1));
    assert_eq!(world.active(), ("b".to_owned(), 2));
    assert!(world.log.iter().any(|(reason, _)| *reason == "FailedOver"), "{:?}", world.log);
}

#[test]
fn a_zone_that_is_cut_off_while_its_pods_look_well_is_lost_too_and_shrinks_once_the_other_is_complete() {
    let mut world = settled(two_zones());
    world.cut("a");
    world.hold("b");
    world.run(seconds(12));
    assert_eq!([world.replicas("a"), world.replicas("b")], [3, 3], "b has one agent of three");
    assert_eq!(condition_of(&world, "FailoverInProgress"), (true, "TakingOver".to_owned()));
    world.release("b");
    world.run(seconds(5));
    assert_eq!([world.replicas("a"), world.replicas("b")], [1, 3]);
    assert_eq!(condition_of(&world, "Ready"), (true, "AgentsReady".to_owned()));
}

#[test]
fn a_cold_standby_takes_over_and_is_cold_again_after_the_failback() {
    let mut pool = pool(vec![Zone::new("a", ZoneRole::Active, 2), Zone::new("b", ZoneRole::Standby, 0)]);
    pool.spec.failover.failback = Failback::Automatic;
    let mut world = settled(pool);
    assert_eq!(world.replicas("b"), 0);
    world.lose("a");
    world.run(seconds(20));
    assert_eq!((world.active(), world.replicas("b")), (("b".to_owned(), 2), 2));
    world.bring_back("a");
    world.run(seconds(60));
    assert_eq!((world.active(), world.replicas("a"), world.replicas("b")), (("a".to_owned(), 3), 2, 0));
    assert_eq!(world.lease("b"), ZoneLease::Never, "what it said when it was active says nothing of the next time");
    world.lose("a");
    world.run(seconds(20));
    assert_eq!(world.active(), ("b".to_owned(), 4));
}

#[test]
fn a_cold_zone_that_is_asked_for_again_is_not_judged_by_what_was_said_of_its_earlier_agents() {
    let mut world = settled(pool(vec![Zone::new("a", ZoneRole::Active, 1), Zone::new("b", ZoneRole::Standby, 0)]));
    world.annotate(ACTIVATE, "b");
    world.hold("b");
    world.run(seconds(3));
    world.annotate(ACTIVATE, "a");
    world.run(seconds(20));
    assert_eq!(world.replicas("b"), 0);
    world.annotate(ACTIVATE, "b");
    world.release("b");
    world.run(seconds(20));
    assert_eq!((world.active(), world.replicas("b")), (("b".to_owned(), 2), 1));
}

#[test]
fn a_zone_without_a_ready_agent_is_lost_after_the_hold_down_but_not_while_it_starts() {
    let mut pool = two_zones();
    pool.spec.failover.zone_lease_seconds = 600;
    let mut world = World::new(pool);
    world.hold("a");
    world.run(seconds(55));
    assert_eq!(world.active(), ("a".to_owned(), 1), "it is still starting");
    world.release("a");
    world.run(seconds(10));
    world.hold("a");
    world.kill_pods("a");
    world.run(seconds(25));
    assert_eq!(world.active(), ("a".to_owned(), 1), "held down");
    world.run(seconds(10));
    assert_eq!(world.active(), ("b".to_owned(), 2));
}

#[test]
fn with_no_zone_that_is_well_nothing_moves_and_it_is_said() {
    let mut world = settled(two_zones());
    world.cut("a");
    world.cut("b");
    world.run(seconds(30));
    assert_eq!(world.active(), ("a".to_owned(), 1));
    assert_eq!(condition_of(&world, "Degraded"), (true, "NoZoneLeft".to_owned()));
    assert_eq!(condition_of(&world, "Ready"), (false, "ZoneLost".to_owned()));
    world.bring_back("b");
    world.run(seconds(10));
    assert_eq!(world.active(), ("b".to_owned(), 2));
}

#[test]
fn a_zone_that_is_back_waits_at_its_warm_size_until_a_person_asks_for_it() {
    let mut world = settled(two_zones());
    world.lose("a");
    world.run(seconds(20));
    world.bring_back("a");
    world.run(seconds(300));
    assert_eq!((world.active(), world.replicas("a")), (("b".to_owned(), 2), 1));
    world.annotate(ACTIVATE, "a");
    world.hold("a");
    world.run(seconds(10));
    assert_eq!((world.active(), world.replicas("a")), (("b".to_owned(), 2), 3), "b stays until a is complete");
    assert_eq!(condition_of(&world, "FailoverInProgress"), (true, "Preparing".to_owned()));
    world.release("a");
    world.run(seconds(20));
    assert_eq!((world.active(), world.replicas("b")), (("a".to_owned(), 3), 1));
    assert!(world.pool.metadata.annotations.clone().unwrap_or_default().is_empty(), "what was asked is done");
}

#[test]
fn a_lease_that_somebody_deleted_goes_on_counting() {
    let mut world = settled(two_zones());
    world.lose("a");
    world.run(seconds(20));
    assert_eq!(world.active().1, 2);
    world.delete(Kind::Lease, "shop-active");
    world.run(seconds(2));
    assert_eq!(world.active(), ("b".to_owned(), 3), "peers have seen epoch 2 and would refuse 1");
}

#[test]
fn an_operator_that_has_just_started_gives_every_zone_its_full_time() {
    let mut world = settled(two_zones());
    world.cut("a");
    world.run(seconds(6));
    world.restart_operator();
    world.run(seconds(8));
    assert_eq!(world.active(), ("a".to_owned(), 1), "it has not watched the lease for ten seconds");
    world.run(seconds(3));
    assert_eq!(world.active(), ("b".to_owned(), 2));
}

#[test]
fn pods_that_do_not_stay_up_are_replaced_within_a_budget() {
    let mut world = settled(two_zones());
    world.loop_pods("a", 2);
    world.run(seconds(2));
    assert_eq!(world.deleted_pods, 0, "two restarts are for the kubelet");
    for round in 1..=3 {
        world.loop_pods("a", 3);
        world.run(seconds(2));
        assert_eq!(world.deleted_pods, (3 * round).min(6));
    }
    assert_eq!(condition_of(&world, "Degraded"), (true, "RespawnsUsedUp".to_owned()));
    world.run(seconds(600));
    assert_eq!(world.deleted_pods, 9, "the next window has a budget of its own");
}

#[test]
fn a_pod_that_was_restarted_and_is_ready_is_left_alone() {
    let mut world = settled(two_zones());
    world.loop_pods("a", 9);
    world.all_pods_are_ready();
    world.run(seconds(5));
    assert_eq!(world.deleted_pods, 0);
}

#[test]
fn a_zone_that_is_taken_out_of_the_pool_goes_when_another_is_complete() {
    let mut world = settled(two_zones());
    world.pool.spec.zones = vec![Zone::new("c", ZoneRole::Active, 3), Zone::new("b", ZoneRole::Standby, 1)];
    world.hold("b");
    world.run(seconds(5));
    assert_eq!((world.active().0, world.replicas("a")), ("b".to_owned(), 3), "a's agents stay until b has its own");
    world.release("b");
    world.run(seconds(20));
    assert!(!world.has(Kind::Deployment, "shop-a") && !world.has(Kind::Lease, "shop-zone-a"));
    assert!(world.has(Kind::Deployment, "shop-c"));
}

#[test]
fn the_epoch_is_told_once_per_change_and_only_with_a_token_that_may() {
    let mut world = settled(two_zones());
    assert_eq!(world.told, Vec::new(), "there is no zone operator's token");
    world.pool.spec.mesh.zone_token_secret_ref = Some(world.pool.spec.mesh.token_secret_ref.clone());
    world.run(seconds(5));
    world.lose("a");
    world.run(seconds(30));
    assert_eq!(world.told, [(1, "a".to_owned()), (2, "b".to_owned())]);
}

#[test]
fn what_somebody_changed_or_deleted_is_put_right() {
    let mut world = settled(two_zones());
    world.scale("a", 0);
    world.delete(Kind::NetworkPolicy, "shop-agents");
    world.run(seconds(1));
    assert_eq!(world.replicas("a"), 3);
    assert!(world.has(Kind::NetworkPolicy, "shop-agents"));
}

#[test]
fn a_name_that_fits_nowhere_is_refused_and_makes_nothing() {
    let mut pool = two_zones();
    pool.metadata.name = Some("a-name-that-is-longer-than-fits".to_owned());
    let mut world = World::new(pool);
    world.run(seconds(5));
    assert_eq!(world.objects().count(), 0);
    assert_eq!(condition_of(&world, "Ready"), (false, "Invalid".to_owned()));
}

#[test]
fn restricted_pod_security_and_no_token_of_a_service_account_in_both_modes() {
    let mut beside = two_zones();
    beside.spec.template.mode = crate::kinds::Mode::Sidecar;
    beside.spec.template.containers = vec![serde_json::json!({ "name": "shop", "image": "shop:1" })];
    for pool in [two_zones(), beside] {
        let template = pods::template(&pool, "a");
        let pod = &template["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let list = |name: &str| pod[name].as_array().cloned().expect("a list");
        for container in [list("initContainers"), list("containers")].concat() {
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{container}");
            assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL", "{container}");
        }
    }
}

#[test]
fn beside_a_service_the_agent_is_a_native_sidecar_that_starts_no_programs_unless_asked_to() {
    let mut pool = two_zones();
    pool.spec.template.mode = crate::kinds::Mode::Sidecar;
    pool.spec.template.containers = vec![serde_json::json!({ "name": "shop", "image": "shop:1" })];
    let agent = |pool: &MeshPool| pods::template(pool, "a")["spec"]["initContainers"][0].clone();
    let allowed = |agent: &serde_json::Value| {
        let env = agent["env"].as_array().cloned().expect("a list");
        let mut of_it = env.iter().filter(|variable| variable["name"] == "MESHPROOF_ALLOW");
        let value = of_it.next().expect("it is said")["value"].as_str().expect("text").to_owned();
        assert!(of_it.next().is_none(), "said once");
        value
    };
    assert_eq!(agent(&pool)["restartPolicy"], "Always");
    assert!(!allowed(&agent(&pool)).contains("exec") && !allowed(&agent(&pool)).contains("netem"));
    let exec = k8s_openapi::api::core::v1::EnvVar {
        name: "MESHPROOF_ALLOW".into(),
        value: Some("exec".into()),
        ..Default::default()
    };
    pool.spec.template.env.push(exec);
    assert_eq!(allowed(&agent(&pool)), "exec");
}

#[test]
fn every_object_of_a_pool_is_of_the_apis_types() {
    let mut full = two_zones();
    let key = |name: &str| crate::kinds::KeyOf { name: name.to_owned(), key: "key".to_owned() };
    full.spec.mesh.signaling = vec!["ws://signaling:7070/mesh".to_owned()];
    full.spec.ice.turn_secret_ref = Some(key("turn"));
    full.spec.ice.port_range = Some(crate::kinds::PortRange { first: 40_000, last: 40_999 });
    full.spec.template.image_pull_secrets = vec!["registry".to_owned()];
    let mut beside = full.clone();
    beside.spec.template.mode = crate::kinds::Mode::Sidecar;
    beside.spec.template.containers = vec![serde_json::json!({ "name": "shop", "image": "shop:1" })];
    for pool in [two_zones(), full, beside] {
        let sizes = [("a".to_owned(), 3), ("b".to_owned(), 1)].into();
        for object in desired(&pool, &sizes, &world::settings()) {
            crate::objects::typed::check(&object);
        }
        let now = k8s_openapi::jiff::Timestamp::now();
        crate::objects::typed::check(&active_lease(&pool, ("a", 3), Some("7"), now));
    }
}
