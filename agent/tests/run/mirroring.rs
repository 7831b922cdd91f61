//! What stands on the disk of an agent that acts is on that of one that stands by, before anything follows from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use meshproof_mesh::{Mesh, MeshEvent};
use meshproof_proto::event::Fact;
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::Role;
use meshproof_proto::memory::Standbys;
use meshproof_proto::order::{Adopt, Initialized, NameTerm};
use meshproof_proto::rpc::{AgentClient, AgentRequest, AgentResponse, Refusal};
use tarpc::context::current as now;
use tarpc::server::{BaseChannel, Channel as _, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::world::{Orchestrator, World, authority, key, name};
use crate::{service, step, tcp};

/// So many answers of an agent are awaited while one that stands by does not answer: time enough for whatever must not happen.
const ROUNDS: u64 = 20;

/// One that stands by and answers only while it may.
struct Standby {
    peer: PeerId,
    answers: watch::Sender<bool>,
    /// A word for each part that has come.
    parts: mpsc::UnboundedReceiver<()>,
    _mesh: Mesh,
}

impl Standby {
    fn join(world: &World) -> Self {
        let (mesh, mut events) = world.join("shop", Role::Agent);
        let (answers, may_answer) = watch::channel(true);
        let (came, parts) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let MeshEvent::LinkUp(up) = event else { continue };
                let (_, server) = up.rpc.split::<AgentRequest, AgentResponse, AgentRequest, AgentResponse>();
                let (came, may_answer) = (came.clone(), may_answer.clone());
                let answer = serve(move |_, request: AgentRequest| {
                    let (came, mut may_answer) = (came.clone(), may_answer.clone());
                    async move {
                        let AgentRequest::Mirror { part } = request else { panic!("{request:?}") };
                        let _ = came.send(());
                        may_answer.wait_for(|may| *may).await.expect("the test goes on");
                        Ok(AgentResponse::Mirror(Ok(part.from + part.bytes.len() as u64)))
                    }
                });
                let calls = BaseChannel::with_defaults(server).execute(answer);
                tokio::spawn(calls.for_each_concurrent(None, |call| call));
            }
        });
        Self { peer: mesh.me(), answers, parts, _mesh: mesh }
    }

    /// Answers no more; from then on it is looked whether what happens waits for it.
    fn falls_silent(&mut self) {
        self.answers.send_replace(false);
        while self.parts.try_recv().is_ok() {}
    }

    fn is_silent(&self) -> bool {
        !*self.answers.borrow()
    }
}

fn stand_by(number: u64, peers: &[PeerId]) -> Standbys {
    Standbys { authority: authority(), number, peers: peers.to_vec() }
}

fn mirrored(by: &[PeerId]) -> Fact {
    Fact::Mirrored { term: NameTerm { run: authority().term, number: 1 }, by: by.to_vec() }
}

/// A service that notes of whoever connects whether that flag is set.
async fn noting(flag: impl Fn() -> bool + Send + 'static) -> (String, mpsc::UnboundedReceiver<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    let (notes, noted) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = notes.send(flag());
            tokio::spawn(crate::converse(stream));
        }
    });
    (address, noted)
}

/// The acting agent, and whoever commands it.
async fn acting(world: &World, folder: &std::path::Path) -> (Orchestrator, AgentClient, CancellationToken) {
    let acting = world.keeping_agent("shop", folder);
    let mesh = world.orchestrator(&["shop"]).await;
    let shop = mesh.client("shop");
    (mesh, shop, acting)
}

/// Answers of an agent, none of which hangs on anybody else.
async fn rounds(shop: &AgentClient) {
    for number in 0..ROUNDS {
        shop.ping(now(), number).await.expect("answered");
        shop.status(now()).await.expect("answered").expect("it may");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_begun_or_answered_before_it_is_on_the_disk_of_who_stands_by() {
    let (world, folder) = (World::new().await, tempfile::tempdir().expect("a temporary folder"));
    let (mut mesh, shop, _acting) = acting(&world, folder.path()).await;
    let stub = mesh.initialize_with_stub("shop", "till").await;
    let mut standby = Standby::join(&world);
    mesh.during(shop.stand_by(now(), stand_by(1, &[standby.peer]))).await.expect("answered").expect("taken");
    mesh.until(|mesh| mesh.facts("shop").contains(&mirrored(&[standby.peer]))).await;

    standby.falls_silent();
    let answers = standby.answers.subscribe();
    let (address, mut noted) = noting(move || *answers.borrow()).await;
    let told = mesh.facts("shop").len();
    mesh.during(shop.start(now(), step(key("1"), tcp(&address, "hello\n"), Vec::new())))
        .await
        .expect("answered")
        .expect("taken");
    mesh.during(standby.parts.recv()).await.expect("it is asked to keep that the step begins");
    mesh.during(rounds(&shop)).await;
    assert_eq!(mesh.facts("shop").len(), told, "nothing is told that it has not got");
    standby.answers.send_replace(true);
    mesh.ended("shop", &key("1")).await;
    assert_eq!(noted.recv().await, Some(true), "the step began before");

    // what is still on its way of the step is through once this is there, too
    mesh.during(shop.begin_test(now(), authority(), "t".to_owned())).await.expect("answered").expect("taken");
    standby.falls_silent();
    let answers = standby.answers.subscribe();
    let called = tokio::spawn(async move {
        let mut stub = TcpStream::connect(stub.trim_start_matches("http://")).await.expect("it listens");
        stub.write_all(b"GET / HTTP/1.1\r\nhost: till\r\nconnection: close\r\n\r\n").await.expect("taken");
        let mut first = [0];
        stub.read_exact(&mut first).await.expect("it answers");
        *answers.borrow()
    });
    mesh.during(standby.parts.recv()).await.expect("it is asked to keep that the stub was called");
    mesh.during(rounds(&shop)).await;
    assert!(!called.is_finished() && standby.is_silent());
    standby.answers.send_replace(true);
    assert!(mesh.during(called).await.expect("it ends well"), "the stub answered before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_is_left_behind_and_nothing_is_done_before_the_journal_has_that() {
    let (world, folder) = (World::new().await, tempfile::tempdir().expect("a temporary folder"));
    let (mut mesh, shop, _acting) = acting(&world, folder.path()).await;
    mesh.initialize("shop", None, &[]).await;
    let mut standby = Standby::join(&world);
    mesh.during(shop.stand_by(now(), stand_by(1, &[standby.peer]))).await.expect("answered").expect("taken");
    mesh.until(|mesh| mesh.facts("shop").contains(&mirrored(&[standby.peer]))).await;

    standby.falls_silent();
    let is_journaled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_journaled);
    let (address, mut noted) = noting(move || flag.load(Ordering::SeqCst)).await;
    // from here on nobody takes what the agent tells, so the journal has nothing of it
    shop.start(now(), step(key("1"), tcp(&address, "hello\n"), Vec::new())).await.expect("answered").expect("taken");
    let unacked = async || shop.status(now()).await.expect("answered").expect("it may").events_unacked;
    // that the step begins, and that the other one is left behind
    while unacked().await < 2 {
        tokio::task::yield_now().await;
    }
    rounds(&shop).await;
    is_journaled.store(true, Ordering::SeqCst);
    mesh.until(|mesh| mesh.facts("shop").contains(&mirrored(&[]))).await;
    mesh.ended("shop", &key("1")).await;
    assert_eq!(noted.recv().await, Some(true), "the step began before");
}

async fn adopts(mesh: &mut Orchestrator, shop: &AgentClient, order: Adopt) -> Result<u64, Refusal> {
    let adopted = mesh.during(shop.adopt(now(), Box::new(order))).await.expect("answered")?;
    assert_eq!(adopted.damage, None);
    Ok(adopted.last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stood_by_goes_on_with_a_disk_of_its_own_and_who_came_too_late_does_not() {
    let (world, folder) = (World::new().await, tempfile::tempdir().expect("a temporary folder"));
    let (mut mesh, shop, acting) = acting(&world, &folder.path().join("one")).await;
    mesh.initialize("shop", None, &[]).await;
    let first = mesh.roster()[&name("shop")];
    let done = mesh.during(async { service().await }).await;
    mesh.during(shop.start(now(), step(key("1"), tcp(&done, "hello\n"), Vec::new())))
        .await
        .expect("answered")
        .expect("taken");
    mesh.ended("shop", &key("1")).await;

    let _other = world.keeping_agent("shop", &folder.path().join("other"));
    mesh.until(|mesh| mesh.roster()[&name("shop")] != first).await;
    let (second, other) = (mesh.roster()[&name("shop")], mesh.client("shop"));
    mesh.during(shop.stand_by(now(), stand_by(1, &[second]))).await.expect("answered").expect("taken");
    mesh.until(|mesh| mesh.facts("shop").contains(&mirrored(&[second]))).await;
    let (address, mut noted) = noting(|| true).await;
    let again = step(key("2"), tcp(&address, "hello\n"), Vec::new());
    mesh.during(shop.start(now(), again.clone())).await.expect("answered").expect("taken");
    mesh.ended("shop", &key("2")).await;
    acting.cancel();
    mesh.sees(|event| matches!(event, MeshEvent::PeerLeft(peer) if peer.peer == first)).await;

    // one whose disk has nothing
    let _late = world.keeping_agent("shop", &folder.path().join("late"));
    mesh.until(|mesh| mesh.roster()[&name("shop")] != second).await;
    let (late, order) = (mesh.client("shop"), mesh.adoption("shop", 2, Initialized::default()));
    let refused = adopts(&mut mesh, &late, order.clone()).await;
    assert!(matches!(refused, Err(Refusal::NothingLeft(_))), "{refused:?}");

    let told = order.journaled;
    assert!(adopts(&mut mesh, &other, order).await.expect("it has everything") >= told);
    let acts = Fact::Mirrored { term: NameTerm { run: authority().term, number: 2 }, by: Vec::new() };
    mesh.until(|mesh| mesh.facts("shop").contains(&acts)).await;
    // what was done is known, and what was not is done
    for key in [key("2"), key("3")] {
        let order = step(key, tcp(&address, "hello\n"), Vec::new());
        mesh.during(other.start(now(), order)).await.expect("answered").expect("taken");
    }
    mesh.ended("shop", &key("3")).await;
    assert_eq!((noted.recv().await, noted.recv().await), (Some(true), Some(true)));
    assert!(noted.try_recv().is_err(), "a step was done twice");
}
