//! Steps in turns of two agents, each of which tells the other that its turn has come.

use meshproof_proto::event::{Fact, Outcome};
use meshproof_proto::identity::Capability;
use meshproof_proto::order::{StepOrder, Turn};
use meshproof_proto::rpc::Refusal;
use tarpc::context;

use crate::ahead::{failing, order, waiting};
use crate::service;
use crate::world::{Orchestrator, World, authority, key, name};

/// Agents `shop` and `ledger` in a run, with nothing between them yet; and a service.
async fn scene() -> (World, Orchestrator, String) {
    let world = World::new().await;
    world.agent("ledger", &Capability::ALL);
    world.agent("shop", &Capability::ALL);
    let mesh = world.orchestrator(&["ledger", "shop"]).await;
    for agent in ["ledger", "shop"] {
        mesh.initialize(agent, None, &[]).await;
    }
    (world, mesh, service().await)
}

/// Odd steps are the shop's, even ones the ledger's.
fn agent_of(step: u32) -> &'static str {
    if step % 2 == 1 { "shop" } else { "ledger" }
}

async fn start(mesh: &Orchestrator, number: u32, order: &StepOrder) -> Result<(), Refusal> {
    let turn = Turn {
        before: order.after.as_ref().map(|_| name(agent_of(number - 1))),
        next: Some(name(agent_of(number + 1))),
    };
    let order = Box::new(order.clone());
    mesh.client(agent_of(number)).start_in_turn(context::current(), order, turn).await.expect("answered")
}

/// Orders a step behind the one before it, as often as it takes for its agent to be linked to the other.
async fn start_behind(mesh: &mut Orchestrator, number: u32, order: &StepOrder) {
    while let Err(refusal) = start(mesh, number, order).await {
        assert!(refusal.to_string().contains("is not linked yet"), "{refusal}");
        mesh.during(tokio::task::yield_now()).await;
    }
}

fn has_ended(mesh: &Orchestrator, number: u32) -> bool {
    let ended = |fact: &Fact| matches!(fact, Fact::StepEnded { key: ended, .. } if *ended == key(&number.to_string()));
    mesh.facts(agent_of(number)).iter().any(ended)
}

fn behind(address: &str, number: u32) -> Box<StepOrder> {
    order(address, number, Some(number - 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_begins_when_the_other_agent_says_that_the_one_before_has_ended_well() {
    let (_world, mut mesh, address) = scene().await;
    let refusal = start(&mesh, 2, &behind(&address, 2)).await.expect_err("they are not linked");
    assert!(refusal.to_string().contains("agent `shop`"), "{refusal}");
    for number in (2..=9).rev() {
        start_behind(&mut mesh, number, &behind(&address, number)).await;
    }
    start(&mesh, 1, &order(&address, 1, None)).await.expect("taken");
    mesh.until(|mesh| (1..=9).all(|number| has_ended(mesh, number))).await;
    let began: Vec<_> = (1..=9).map(|number| mesh.when(agent_of(number), &key(&number.to_string()))).collect();
    assert!(began.is_sorted(), "{began:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_agent_heard_of_its_turn_before_its_order_came_begins_at_once() {
    let (_world, mut mesh, address) = scene().await;
    start_behind(&mut mesh, 3, &behind(&address, 3)).await;
    start(&mesh, 1, &order(&address, 1, None)).await.expect("taken");
    mesh.ended("shop", &key("1")).await;
    start_behind(&mut mesh, 2, &behind(&address, 2)).await;
    mesh.ended("ledger", &key("2")).await;
    mesh.ended("shop", &key("3")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_one_that_fails_nothing_begins_at_either_agent_until_it_is_ordered_again() {
    let (_world, mut mesh, address) = scene().await;
    for number in [4, 3, 2] {
        start_behind(&mut mesh, number, &behind(&address, number)).await;
    }
    start(&mesh, 1, &failing(*order(&address, 1, None))).await.expect("taken");
    mesh.ended("shop", &key("1")).await;
    // in its turn; nobody has to do with it but its agent
    for number in [3, 4] {
        start(&mesh, number, &order(&address, number, None)).await.expect("taken");
        assert_eq!(mesh.ended(agent_of(number), &key(&number.to_string())).await.outcome, Outcome::Ok);
    }
    assert!(!has_ended(&mesh, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_given_up_before_its_turn_takes_those_of_the_other_agent_along() {
    let (_world, mut mesh, address) = scene().await;
    for number in [4, 3, 2] {
        start_behind(&mut mesh, number, &behind(&address, number)).await;
    }
    start(&mesh, 1, &waiting(*order(&address, 1, None))).await.expect("taken");
    for (agent, step) in [("ledger", "2"), ("shop", "1")] {
        let cancelled = mesh.client(agent).cancel(context::current(), authority(), key(step)).await;
        cancelled.expect("answered").expect("it is there");
    }
    assert!(matches!(mesh.ended("ledger", &key("2")).await.outcome, Outcome::Unknown { .. }));
    mesh.ended("shop", &key("1")).await;
    start(&mesh, 5, &order(&address, 5, None)).await.expect("taken");
    mesh.ended("shop", &key("5")).await;
    assert!(!has_ended(&mesh, 3) && !has_ended(&mesh, 4));
}
