//! What an agent remembers for orchestrators, and whom it obeys.

use meshproof_proto::event::{Event, Fact};
use meshproof_proto::id::Term;
use meshproof_proto::memory::{Extent, Piece, Promise, Promised, Recall, Recollection, Remember};
use meshproof_proto::order::Authority;
use meshproof_proto::rpc::{AgentClient, Refusal};
use rustix::process::Signal;
use tarpc::context::current as now;

use crate::process::{next_instance, signal, silent, spawn};
use crate::world::{Orchestrator, World, authority, key, name};
use crate::{step, tcp};

fn at(term: u64) -> Authority {
    Authority { term: Term(term), ..authority() }
}

fn piece(term: u64, text: &str) -> Piece {
    Piece { term: Term(term), bytes: text.as_bytes().to_vec() }
}

async fn promise(shop: &AgentClient, term: u64) -> Result<Promised, Refusal> {
    shop.promise(now(), Promise { run: authority().run, term: Term(term) }).await.expect("answered")
}

async fn remember(shop: &AgentClient, (term, from): (u64, u64), pieces: &[Piece]) -> Result<u64, Refusal> {
    let order = Remember { authority: at(term), from, pieces: pieces.to_vec() };
    shop.remember(now(), Box::new(order)).await.expect("answered")
}

async fn pieces(shop: &AgentClient, (term, from): (u64, u64)) -> Result<Vec<Piece>, Refusal> {
    let recall = Recall { run: authority().run, term: Term(term), what: Recollection::Pieces(from) };
    shop.recall(now(), recall).await.expect("answered").map(|recalled| recalled.pieces)
}

async fn events(shop: &AgentClient, term: u64) -> Vec<Event> {
    let recall = Recall { run: authority().run, term: Term(term), what: Recollection::Events(1) };
    shop.recall(now(), recall).await.expect("answered").expect("it may").events
}

async fn other(world: &World) -> Orchestrator {
    world.orchestrator(&["shop"]).await
}

#[tokio::test]
async fn whom_a_run_was_promised_to_commands_it_and_gets_all_that_was_remembered_and_seen() {
    let (world, directory) = (World::new().await, tempfile::tempdir().expect("a temporary directory"));
    let _agent = spawn(&world, directory.path());
    let mut first = world.orchestrator(&["shop"]).await;
    first.initialize("shop", None, &[]).await;
    let address = silent().await;
    let shop = first.client("shop");
    shop.start(now(), step(key("1"), tcp(&address, "hello\n"), Vec::new())).await.expect("answered").expect("taken");
    let begun = Fact::StepStarted { key: key("1") };
    first.until(|first| first.facts("shop").contains(&begun)).await;
    let written = [piece(1, "a"), piece(1, "b"), piece(1, "c")];
    assert_eq!(remember(&shop, (1, 1), &written).await, Ok(3));
    assert!(matches!(remember(&shop, (1, 5), &written).await, Err(Refusal::Failed(_))), "there is a gap before it");

    let mut second = other(&world).await;
    let next = second.client("shop");
    assert_eq!(
        next.begin_test(now(), at(2), "t".to_owned()).await.expect("answered"),
        Err(Refusal::NotPromised { offered: 2 })
    );
    assert_eq!(promise(&next, 1).await, Err(Refusal::OldTerm { offered: 1, current: 1 }));
    let old = Err(Refusal::OldTerm { offered: 2, current: 1 });
    assert_eq!(pieces(&next, (2, 1)).await, old, "nothing is given to whom nothing was promised");
    let promised = promise(&next, 2).await.expect("nobody else asked");
    let memory = Extent { term: Term(1), pieces: 3 };
    assert_eq!((promised.memory, promised.origin), (memory, first.roster()[&name("shop")]));
    assert_eq!(promised.holding.as_ref().map(|holding| holding.plan), Some(authority().plan));

    // The one before is refused from then on, though nobody has commanded yet.
    let old = Refusal::OldTerm { offered: 1, current: 2 };
    let order = step(key("2"), tcp(&address, "hello\n"), Vec::new());
    assert_eq!(shop.start(now(), order).await.expect("answered"), Err(old.clone()));
    assert_eq!(remember(&shop, (1, 4), &written).await, Err(old.clone()));
    assert_eq!(promise(&shop, 2).await, Err(Refusal::OldTerm { offered: 2, current: 2 }), "a term is promised once");
    assert_eq!(promise(&next, 2).await.as_ref(), Ok(&promised), "the answer was lost, not the promise");

    assert_eq!(pieces(&next, (2, 1)).await, Ok(written.to_vec()));
    assert_eq!(pieces(&next, (2, 3)).await, Ok(vec![piece(1, "c")]));
    let seen = events(&next, 2).await;
    assert_eq!(seen.iter().map(|event| event.fact.clone()).collect::<Vec<_>>(), first.facts("shop"));
    second.recalls("shop", promised.origin, seen);
    // What it writes stands in the place of what nobody else has.
    assert_eq!(remember(&next, (2, 3), &[piece(2, "d")]).await, Ok(3));
    assert_eq!(pieces(&next, (2, 1)).await, Ok(vec![piece(1, "a"), piece(1, "b"), piece(2, "d")]));
    // The step goes on, and its end is told to whoever commands now.
    next.cancel(now(), at(2), key("1")).await.expect("answered").expect("it runs");
    second.ended("shop", &key("1")).await;
}

#[tokio::test]
async fn what_ends_before_the_next_one_commands_is_told_it_whatever_the_one_before_acknowledges() {
    let (world, directory) = (World::new().await, tempfile::tempdir().expect("a temporary directory"));
    let _agent = spawn(&world, directory.path());
    let mut first = world.orchestrator(&["shop"]).await;
    first.initialize("shop", None, &[]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let shop = first.client("shop");
    shop.start(now(), step(key("1"), tcp(&address, "hello\n"), Vec::new())).await.expect("answered").expect("taken");
    let (mut service, _) = first.during(listener.accept()).await.expect("it calls");
    let begun = Fact::StepStarted { key: key("1") };
    first.until(|first| first.facts("shop").contains(&begun)).await;
    let mut second = other(&world).await;
    let next = second.client("shop");
    let promised = promise(&next, 2).await.expect("nobody else asked");
    second.recalls("shop", promised.origin, events(&next, 2).await);
    tokio::io::AsyncWriteExt::write_all(&mut service, b"OK\n").await.expect("it reads");
    // It hears of the end, and acknowledges it.
    first.ended("shop", &key("1")).await;
    for _ in 0..3 {
        first.during(shop.status(now())).await.expect("answered").expect("told");
    }
    next.begin_test(now(), at(2), "t".to_owned()).await.expect("answered").expect("it commands");
    second.ended("shop", &key("1")).await;
}

#[tokio::test]
async fn an_instance_that_has_not_taken_the_name_over_has_what_the_one_before_remembered() {
    let (world, directory) = (World::new().await, tempfile::tempdir().expect("a temporary directory"));
    let mut agent = spawn(&world, directory.path());
    let mut mesh = world.orchestrator(&["shop"]).await;
    mesh.initialize("shop", None, &[]).await;
    let origin = mesh.roster()[&name("shop")];
    let written = [piece(1, "a"), piece(1, "b")];
    assert_eq!(remember(&mesh.client("shop"), (1, 1), &written).await, Ok(2));
    signal(&agent, Signal::KILL);
    mesh.during(agent.wait()).await.expect("it ends");
    agent = spawn(&world, directory.path());
    let instance = next_instance(&mut mesh, origin).await;
    assert_ne!(instance, origin);
    let shop = mesh.client("shop");
    let promised = promise(&shop, 2).await.expect("nobody else asked");
    let memory = Extent { term: Term(1), pieces: 2 };
    assert_eq!(promised, Promised { memory, origin, holding: None });
    assert_eq!(pieces(&shop, (2, 1)).await, Ok(written.to_vec()));
    // Who was promised less than somebody else does not give the name either.
    let second = other(&world).await;
    let next = second.client("shop");
    promise(&next, 3).await.expect("a higher term");
    mesh.recalls("shop", origin, Vec::new());
    let adoption = mesh.adoption("shop", 2, Default::default());
    let refused = shop.adopt(now(), Box::new(adoption)).await.expect("answered");
    assert_eq!(refused, Err(Refusal::OldTerm { offered: 1, current: 3 }));
    assert_eq!(pieces(&shop, (2, 1)).await, Err(Refusal::OldTerm { offered: 2, current: 3 }));
    assert_eq!(pieces(&next, (3, 2)).await, Ok(vec![piece(1, "b")]));
    drop(agent);
}
