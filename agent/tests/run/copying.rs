//! What an agent saw is copied to another one.

use meshproof_proto::event::Event;
use meshproof_proto::memory::{Copies, Recall, Recollection};
use meshproof_proto::rpc::Refusal;
use tarpc::context::current as now;

use crate::world::{Orchestrator, PATIENCE, World, authority, key, name};
use crate::{service, step, tcp};

/// What that agent has of the shop's events.
async fn copies(mesh: &mut Orchestrator, at: &str) -> Result<Vec<Event>, Refusal> {
    let what = Recollection::Copies { of: name("shop"), from: 1 };
    let recall = Recall { run: authority().run, term: authority().term, what };
    let client = mesh.client(at);
    mesh.during(client.recall(now(), recall)).await.expect("answered").map(|recalled| recalled.events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_saw_is_copied_to_another_one_which_gives_it_to_whoever_commands() {
    let (world, folder) = (World::new().await, tempfile::tempdir().expect("a temporary folder"));
    for who in ["ledger", "shop", "store"] {
        world.keeping_agent(who, &folder.path().join(who));
    }
    let mut mesh = world.orchestrator(&["ledger", "shop", "store"]).await;
    for who in ["ledger", "shop", "store"] {
        mesh.initialize(who, None, &[]).await;
    }
    let (shop, address) = (mesh.client("shop"), service().await);
    for number in ["1", "2", "3"] {
        shop.start(now(), step(key(number), tcp(&address, "hello\n"), Vec::new()))
            .await
            .expect("answered")
            .expect("taken");
        mesh.ended("shop", &key(number)).await;
    }
    let copied = async {
        while copies(&mut mesh, "store").await.expect("it may").len() < 6 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, copied).await.expect("they come in time");
    let (there, told) = (copies(&mut mesh, "store").await.expect("it may"), mesh.facts("shop"));
    assert!(there.len() <= told.len(), "{there:?}, {told:?}");
    assert!(there.iter().map(|event| &event.fact).eq(told.iter().take(there.len())), "{there:?}, {told:?}");
    assert_eq!(copies(&mut mesh, "ledger").await, Ok(Vec::new()), "one other agent has them");
    // Only agents are asked to.
    let origin = mesh.roster()[&name("shop")];
    let forged = Copies { run: authority().run, name: name("shop"), origin, events: Vec::new() };
    let refused = mesh.client("store").copy(now(), Box::new(forged)).await.expect("answered");
    assert!(matches!(refused, Err(Refusal::NeedsRole { .. })), "{refused:?}");
}
