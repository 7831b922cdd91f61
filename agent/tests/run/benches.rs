//! Benches that a console asks for.

use meshproof_proto::bench::{BenchOrder, BenchStage};
use meshproof_proto::identity::{Capability, Role};
use meshproof_proto::rpc::Refusal;
use tarpc::context;

use crate::world::{Orchestrator, PATIENCE, World};

/// Longer than any test waits: such a bench ends only when it is ended.
const LONG_MS: u64 = 60_000;

async fn begin(caller: &Orchestrator, duration_ms: u64) -> Result<(), Refusal> {
    let to = caller.roster()[&crate::name("ledger")];
    let order = BenchOrder { to, pings: 10, duration_ms };
    caller.client("shop").begin_bench(context::current(), order).await.expect("answered")
}

async fn two_agents() -> World {
    let world = World::new().await;
    world.agent("shop", &Capability::ALL);
    world.agent("ledger", &Capability::ALL);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bench_at_a_time_and_it_ends_when_its_caller_leaves() {
    let world = two_agents().await;
    let agents = ["ledger", "shop"];
    let first = world.caller("console-1", Role::OperatorConsole, &agents).await;
    let second = world.caller("console-2", Role::OperatorConsole, &agents).await;
    assert_eq!(begin(&first, LONG_MS).await, Ok(()));
    let busy = begin(&second, LONG_MS).await.expect_err("one at a time").to_string();
    assert!(busy.contains("`shop` has a bench with `ledger` already"), "{busy}");
    let theirs = second.client("shop").bench(context::current()).await.expect("answered");
    assert!(theirs.is_err_and(|refusal| refusal.to_string().contains("no bench of yours")));
    first.leave().await;
    // The first console's leaving arrives when it does; nothing here is told of it but the room that it makes.
    let free = async { while begin(&second, 200).await.is_err() {} };
    tokio::time::timeout(PATIENCE, free).await.expect("the bench ends with its caller");
    let done = async {
        loop {
            let report = second.client("shop").bench(context::current()).await.expect("answered").expect("ours");
            match report.stage {
                BenchStage::Done => return report,
                BenchStage::Failed { reason } if reason.contains("has a bench with") => {
                    // the other end may hear of the first one's end a moment later
                    let _ = begin(&second, 200).await;
                }
                BenchStage::Failed { reason } => panic!("{reason}"),
                _ => {}
            }
        }
    };
    let report = tokio::time::timeout(PATIENCE, done).await.expect("it is short");
    assert!(report.sent.bytes > 0 && report.received.bytes > 0 && report.pings.is_some(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_sees_links_and_may_not_measure_them() {
    let world = two_agents().await;
    let observer = world.caller("observer", Role::Observer, &["ledger", "shop"]).await;
    let links = observer.client("shop").links(context::current()).await.expect("answered").expect("it may look");
    assert!(links.iter().any(|link| link.name.as_str() == "observer" && link.state == "up"), "{links:?}");
    let refused = begin(&observer, 200).await.expect_err("it may not");
    let said = "measuring a link is for an orchestrator or an operator console, not for an observer; ";
    assert!(refused.to_string().starts_with(said), "{refused}");
}
