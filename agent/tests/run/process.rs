//! The agent as a process.

use std::process::Stdio;

use meshproof_agent::outbox::Store;
use meshproof_mesh::MeshEvent;
use meshproof_proto::event::Fact;
use meshproof_proto::id::PeerId;
use meshproof_proto::order::{Adopt, FaultOrder, FaultTarget, Initialize, Initialized, NameTerm, StepKey, StubOrder};
use meshproof_proto::rpc::Refusal;
use meshproof_proto::shaper::Shape;
use tokio::process::{Child, Command};

use crate::ahead::{order, waiting};
use crate::world::{World, authority, key, name};
use crate::{step, tcp};

pub(crate) fn spawn(world: &World, directory: &std::path::Path) -> Child {
    let token = directory.join("token");
    std::fs::write(&token, world.token("shop").to_text()).expect("a writable directory");
    Command::new(env!("CARGO_BIN_EXE_meshproof-agent"))
        .env_clear()
        .env("MESHPROOF_SIGNALING", world.url())
        .env("MESHPROOF_NAME", "shop")
        .env("MESHPROOF_TOKEN_FILE", token)
        .env("MESHPROOF_STATE", directory.join("state"))
        .env("MESHPROOF_DIE_WITH_PARENT", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary was built")
}

fn terminate(agent: &Child) {
    signal(agent, rustix::process::Signal::TERM);
}

pub(crate) fn signal(agent: &Child, signal: rustix::process::Signal) {
    let id = agent.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?)).expect("it runs");
    rustix::process::kill_process(id, signal).expect("it is ours");
}

// One thread: the kernel ends the agent with the thread that made it.
#[tokio::test]
async fn a_process_is_configured_by_its_environment_and_leaves_the_mesh_at_sigterm() {
    let (world, directory) = (World::new().await, tempfile::tempdir().expect("a temporary directory"));
    let mut agent = spawn(&world, directory.path());
    let mut mesh = world.orchestrator(&["shop"]).await;
    mesh.initialize("shop", None, &[]).await;
    terminate(&agent);
    let left = |event: &MeshEvent| matches!(event, MeshEvent::PeerLeft(peer) if peer.name.as_str() == "shop");
    mesh.sees(left).await;
    let status = mesh.during(agent.wait()).await.expect("it ends");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn what_an_agent_has_told_is_on_its_disk_when_it_is_killed() {
    let (world, directory) = (World::new().await, tempfile::tempdir().expect("a temporary directory"));
    let mut agent = spawn(&world, directory.path());
    let mut mesh = world.orchestrator(&["shop"]).await;
    mesh.initialize("shop", None, &[]).await;
    let address = silent().await;
    let order = step(key("1"), tcp(&address, "hello\n"), Vec::new());
    mesh.client("shop").start(tarpc::context::current(), order).await.expect("answered").expect("taken");
    let begun = Fact::StepStarted { key: key("1") };
    mesh.until(|mesh| mesh.facts("shop").contains(&begun)).await;
    signal(&agent, rustix::process::Signal::KILL);
    mesh.during(agent.wait()).await.expect("it ends");
    let store = Store::in_directory(&directory.path().join("state"));
    let (_, left) = store.open(&authority().run).expect("it can be read").expect("it is there");
    assert!(!left.damaged && left.last() >= mesh.facts("shop").len() as u64, "{left:?}");
    let told = mesh.facts("shop").len() as u64;
    assert!(left.unacked.iter().all(|event| event.seq > left.acked) && left.acked <= told);
}

/// A service that takes connections and says nothing.
pub(crate) async fn silent() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address
}

/// Waits for another instance of the agent.
pub(crate) async fn next_instance(mesh: &mut crate::world::Orchestrator, before: PeerId) -> PeerId {
    mesh.until(|mesh| mesh.roster().values().any(|peer| *peer != before)).await;
    mesh.roster().into_values().next().expect("it is linked")
}

#[tokio::test]
async fn a_name_is_taken_at_a_higher_term_only_and_by_who_finds_what_the_one_before_left() {
    let (world, directory) = (World::new().await, tempfile::tempdir().expect("a temporary directory"));
    let now = tarpc::context::current;
    let mut agent = spawn(&world, directory.path());
    let mut mesh = world.orchestrator(&["shop"]).await;
    mesh.initialize("shop", None, &[]).await;
    let address = silent().await;
    let order = step(key("1"), tcp(&address, "hello\n"), Vec::new());
    mesh.client("shop").start(now(), order.clone()).await.expect("answered").expect("taken");
    let begun = Fact::StepStarted { key: key("1") };
    mesh.until(|mesh| mesh.facts("shop").contains(&begun)).await;
    let mut instance = mesh.roster()[&name("shop")];
    for number in 2..4 {
        signal(&agent, rustix::process::Signal::KILL);
        mesh.during(agent.wait()).await.expect("it ends");
        agent = spawn(&world, directory.path());
        instance = next_instance(&mut mesh, instance).await;
        let client = mesh.client("shop");
        let adopt = |order: Adopt| client.adopt(now(), Box::new(order));
        let good = mesh.adoption("shop", number, Initialized::default());
        let stranger = Adopt { origin: PeerId([9; 32]), ..good.clone() };
        let old = mesh.adoption("shop", number - 1, Initialized::default());
        let refused = adopt(stranger).await.expect("answered");
        assert!(matches!(refused, Err(Refusal::NothingLeft(_))), "{refused:?}");
        if number > 2 {
            let (offered, current) = (old.term, NameTerm { number: number - 1, ..old.term });
            assert_eq!(adopt(old).await.expect("answered"), Err(Refusal::OldNameTerm { offered, current }));
        }
        let adopted = adopt(good.clone()).await.expect("answered").expect("taken");
        assert_eq!((adopted.damage.as_ref(), adopt(good).await.expect("answered")), (None, Ok(adopted.clone())));
        // it was begun, so it is not begun again unless that is said
        client.start(now(), order.clone()).await.expect("answered").expect("taken");
        let status = client.status(now()).await.expect("answered").expect("told");
        assert_eq!(status.steps_running, 0);
    }
    mesh.client("shop").start_again(now(), order).await.expect("answered").expect("taken");
    let begun_twice = |facts: Vec<Fact>| facts.into_iter().filter(|fact| *fact == begun).count() == 2;
    mesh.until(|mesh| begun_twice(mesh.facts("shop"))).await;
}

fn slow(stub: &str, lease_ms: u64) -> Box<FaultOrder> {
    let (target, fault) = (FaultTarget::Stub { stub: stub.to_owned() }, stub.to_owned());
    let shape = Shape { latency_us: 5_000, ..Shape::default() };
    Box::new(FaultOrder { authority: authority(), fault, target, shape, lease_ms })
}

#[tokio::test]
async fn the_lease_of_a_fault_goes_on_while_its_agent_is_gone_and_the_next_instance_begins_what_is_left_of_it() {
    const LONG: u64 = 3_600_000;
    let (world, directory) = (World::new().await, tempfile::tempdir().expect("a temporary directory"));
    let now = tarpc::context::current;
    let mut agent = spawn(&world, directory.path());
    let mut mesh = world.orchestrator(&["shop"]).await;
    let stubs: Vec<StubOrder> = ["short", "long"].map(|stub| StubOrder::http(stub, Vec::new())).into();
    let ports = mesh.set_up("shop", Initialize { stubs: stubs.clone(), ..mesh.setting() }).await;
    for order in [slow("short", 3_000), slow("long", LONG)] {
        mesh.client("shop").begin_fault(now(), order).await.expect("answered").expect("taken");
    }
    let began = |facts: &[Fact], fault: &str| {
        facts.iter().filter(|fact| matches!(fact, Fact::FaultBegan { fault: began } if began == fault)).count()
    };
    mesh.until(|mesh| began(&mesh.facts("shop"), "long") == 1).await;
    let before = mesh.roster()[&name("shop")];
    signal(&agent, rustix::process::Signal::KILL);
    mesh.during(agent.wait()).await.expect("it ends");
    agent = spawn(&world, directory.path());
    next_instance(&mut mesh, before).await;
    let client = mesh.client("shop");
    let mut adoption = mesh.adoption("shop", 2, ports);
    adoption.setting.stubs = stubs;
    client.adopt(now(), Box::new(adoption)).await.expect("answered").expect("taken");
    for order in [slow("short", LONG), slow("long", LONG), slow("long", LONG)] {
        client.begin_fault_again(now(), order).await.expect("answered").expect("taken");
    }
    let short = |fact: &Fact| matches!(fact, Fact::FaultEnded(report) if report.fault == "short" && report.healed);
    mesh.until(|mesh| mesh.facts("shop").iter().any(short)).await;
    let status = client.status(now()).await.expect("answered").expect("told");
    assert_eq!(status.faults_active, ["long"]);
    assert_eq!(began(&mesh.facts("shop"), "long"), 2, "an order that is repeated");
    drop(agent);
}

#[tokio::test]
async fn what_is_ordered_behind_a_step_just_before_that_is_begun_again_has_its_turn_after_it() {
    let (world, directory) = (World::new().await, tempfile::tempdir().expect("a temporary directory"));
    let now = tarpc::context::current;
    let mut agent = spawn(&world, directory.path());
    let mut mesh = world.orchestrator(&["shop"]).await;
    mesh.initialize("shop", None, &[]).await;
    let address = crate::service().await;
    let first = waiting(*order(&address, 1, None));
    mesh.client("shop").start(now(), first).await.expect("answered").expect("taken");
    mesh.until(|mesh| mesh.facts("shop").contains(&Fact::StepStarted { key: key("1") })).await;
    let instance = mesh.roster()[&name("shop")];
    signal(&agent, rustix::process::Signal::KILL);
    mesh.during(agent.wait()).await.expect("it ends");
    let _next = spawn(&world, directory.path());
    next_instance(&mut mesh, instance).await;
    let client = mesh.client("shop");
    let adoption = mesh.adoption("shop", 2, Initialized::default());
    client.adopt(now(), Box::new(adoption)).await.expect("answered").expect("taken");
    client.start(now(), order(&address, 2, Some(1))).await.expect("answered").expect("taken");
    client.start_again(now(), order(&address, 1, None)).await.expect("answered").expect("taken");
    let ended = |facts: Vec<Fact>| -> Vec<String> {
        let keys = facts.into_iter().filter_map(|fact| match fact {
            Fact::StepEnded { key, .. } => Some(key.step),
            _ => None,
        });
        keys.collect()
    };
    mesh.until(|mesh| ended(mesh.facts("shop")) == ["1", "2"]).await;
}

/// A small file system at this place, as long as this is kept.
struct Small<'p>(&'p std::path::Path);

impl<'p> Small<'p> {
    /// `None`, aloud: only root may make one.
    async fn at(place: &'p std::path::Path) -> Option<Self> {
        std::fs::create_dir(place).expect("a temporary directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(place).stderr(Stdio::null());
        if mount.status().await.is_ok_and(|status| status.success()) {
            return Some(Self(place));
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "a tmpfs cannot be made");
        println!("skipped: a tmpfs cannot be made");
        None
    }

    /// Leaves no whole page free.
    fn fill(&self) -> std::path::PathBuf {
        let path = self.0.join("filling");
        let mut file = std::fs::File::create(&path).expect("there is room for a name");
        while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|count| count > 0) {}
        path
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("-l").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// A service that answers when it is told to.
async fn late() -> (String, tokio::sync::oneshot::Sender<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    let (answer, told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.expect("somebody connects");
        told.await.expect("told");
        tokio::io::AsyncWriteExt::write_all(&mut connection, b"here\n").await.expect("read");
    });
    (address, answer)
}

#[tokio::test]
async fn on_a_full_disk_no_step_begins_what_runs_is_told_and_when_there_is_space_it_goes_on() {
    let (world, directory) = (World::new().await, tempfile::tempdir().expect("a temporary directory"));
    let state = directory.path().join("state");
    let Some(small) = Small::at(&state).await else { return };
    let _agent = spawn(&world, directory.path());
    let mut mesh = world.orchestrator(&["shop"]).await;
    mesh.initialize("shop", None, &[]).await;
    let now = tarpc::context::current;
    let (address, answer) = late().await;
    let running = step(key("0"), tcp(&address, "hello\n"), Vec::new());
    mesh.client("shop").start(now(), running).await.expect("answered").expect("taken");
    mesh.until(|mesh| mesh.facts("shop").contains(&Fact::StepStarted { key: key("0") })).await;
    let filling = small.fill();
    // their records do not fit what is left of a page
    let long = |step: &str| StepKey { test: "t".repeat(5_000), ..key(step) };
    let begun = mesh.client("shop").begin_test(now(), authority(), long("1").test).await.expect("answered");
    begun.expect("a test begins, for its steps wait");
    let address = silent().await;
    for name in ["1", "2"] {
        let order = step(long(name), tcp(&address, "hello\n"), Vec::new());
        mesh.client("shop").start(now(), order).await.expect("answered").expect("it waits");
    }
    let stalls = |fact: &Fact| matches!(fact, Fact::Stalled { why } if why.contains("No space left"));
    mesh.until(|mesh| mesh.facts("shop").iter().any(stalls)).await;
    answer.send(()).expect("it waits");
    let ended = |fact: &Fact| matches!(fact, Fact::StepEnded { key: ended, .. } if *ended == key("0"));
    mesh.until(|mesh| mesh.facts("shop").iter().any(ended)).await;
    let has_begun = |mesh: &crate::world::Orchestrator, name: &str| {
        mesh.facts("shop").contains(&Fact::StepStarted { key: long(name) })
    };
    let status = mesh.client("shop").status(now()).await.expect("answered").expect("told");
    assert_eq!((status.steps_running, has_begun(&mesh, "1"), has_begun(&mesh, "2")), (0, false, false));
    std::fs::remove_file(filling).expect("it is there");
    mesh.until(|mesh| has_begun(mesh, "1") && has_begun(mesh, "2")).await;
    let status = mesh.client("shop").status(now()).await.expect("answered").expect("told");
    assert_eq!(status.steps_running, 2);
    let facts = mesh.facts("shop");
    assert_eq!(facts.iter().filter(|fact| stalls(fact)).count(), 1, "it stalls once");
    assert_eq!(facts.iter().filter(|fact| matches!(fact, Fact::GoesOn { .. })).count(), 1);
}
