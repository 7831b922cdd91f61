//! Steps that are ordered before their turn.

use meshproof_proto::event::{Fact, Outcome};
use meshproof_proto::identity::Capability;
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{Check, StepOrder};
use tarpc::context;

use crate::world::{Orchestrator, World, authority, key};
use crate::{service, step, tcp};

/// A mesh whose agent `ledger` has a service that answers each line with `OK` and the line.
async fn scene() -> (World, Orchestrator, String) {
    let world = World::new().await;
    world.agent("ledger", &Capability::ALL);
    let mesh = world.orchestrator(&["ledger"]).await;
    let address = service().await;
    mesh.initialize("ledger", Some(&address), &[]).await;
    (world, mesh, address)
}

/// Says its own number to the service.
pub(crate) fn order(address: &str, number: u32, after: Option<u32>) -> Box<StepOrder> {
    let order = step(key(&number.to_string()), tcp(address, &format!("{number}\n")), Vec::new());
    Box::new(StepOrder { after: after.map(|before| key(&before.to_string())), ..*order })
}

/// The service's answer is not what it expects.
pub(crate) fn failing(order: StepOrder) -> Box<StepOrder> {
    let checks = vec![Check { field: "line".to_owned(), matcher: Matcher::Regex("^never".to_owned()) }];
    Box::new(StepOrder { checks, ..order })
}

/// It holds its breath until it is given up.
pub(crate) fn waiting(order: StepOrder) -> Box<StepOrder> {
    Box::new(StepOrder { eventually_ms: Some(60_000), ..*failing(order) })
}

async fn start(mesh: &Orchestrator, order: Box<StepOrder>) {
    mesh.client("ledger").start(context::current(), order).await.expect("answered").expect("taken");
}

/// What was told of steps, by their numbers.
fn told(mesh: &Orchestrator) -> Vec<String> {
    let told = mesh.facts("ledger").into_iter().filter_map(|fact| match fact {
        Fact::StepStarted { key } => Some(format!("{} began", key.step)),
        Fact::StepEnded { key, result } => {
            let how = match result.outcome {
                Outcome::Ok => "well",
                Outcome::Failed(_) => "failed",
                _ => "otherwise",
            };
            Some(format!("{} ended {how}", key.step))
        }
        _ => None,
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_begins_when_the_one_before_has_ended_well_in_whatever_order_the_orders_came() {
    let (_world, mut mesh, address) = scene().await;
    start(&mesh, order(&address, 3, Some(2))).await;
    start(&mesh, order(&address, 2, Some(1))).await;
    start(&mesh, order(&address, 2, Some(1))).await;
    start(&mesh, order(&address, 1, None)).await;
    mesh.ended("ledger", &key("3")).await;
    start(&mesh, order(&address, 4, Some(3))).await;
    mesh.ended("ledger", &key("4")).await;
    let wanted: Vec<_> = (1..=4).flat_map(|step| [format!("{step} began"), format!("{step} ended well")]).collect();
    assert_eq!(told(&mesh), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_one_that_fails_nothing_begins_until_it_is_ordered_again() {
    let (_world, mut mesh, address) = scene().await;
    start(&mesh, order(&address, 3, Some(2))).await;
    start(&mesh, order(&address, 2, Some(1))).await;
    start(&mesh, failing(*order(&address, 1, None))).await;
    mesh.ended("ledger", &key("1")).await;
    start(&mesh, order(&address, 4, Some(1))).await;
    start(&mesh, order(&address, 3, None)).await;
    mesh.ended("ledger", &key("3")).await;
    assert_eq!(told(&mesh), ["1 began", "1 ended failed", "3 began", "3 ended well"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_given_up_before_its_turn_takes_those_behind_it_along() {
    let (_world, mut mesh, address) = scene().await;
    start(&mesh, waiting(*order(&address, 1, None))).await;
    start(&mesh, order(&address, 2, Some(1))).await;
    start(&mesh, order(&address, 3, Some(2))).await;
    let client = mesh.client("ledger");
    let cancel = |step: &str| client.cancel(context::current(), authority(), key(step));
    cancel("2").await.expect("answered").expect("it waits");
    assert!(cancel("3").await.expect("answered").is_err(), "it is not there any more");
    cancel("1").await.expect("answered").expect("it runs");
    // an order that comes after its end is known does not begin either
    start(&mesh, order(&address, 3, None)).await;
    start(&mesh, order(&address, 5, None)).await;
    mesh.ended("ledger", &key("5")).await;
    mesh.ended("ledger", &key("1")).await;
    let mut told = told(&mesh);
    told.sort();
    assert_eq!(told, ["1 began", "1 ended otherwise", "2 ended otherwise", "5 began", "5 ended well"]);
}
