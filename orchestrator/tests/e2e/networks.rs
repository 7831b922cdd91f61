//! The data network of a run: services live apart from this machine's network and from each other, agents' own sockets do not,
//! and whoever is killed, nothing of it is left.

mod accuracy;
mod egress;
mod ending;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::crashes;
use crate::journal::Journal;
use crate::leftovers;
use crate::processes::{self, Process, Watch};
use crate::scene::{Scene, root};
use crate::session::{Session, Shown};
use crate::sockets::{self, Kind};

/// Goes on until it is ended, with a fault that is active.
const PLAN: &str = "\
meshproof: 1
plan: apart
build: { argv: [touch, built] }
network: { egress: none, default: { latency: 5ms } }
services:
  left: &idle { exec: { argv: [tail, -f, /dev/null] } }
  right: *idle
faults:
  slow: { traffic: left <-> right, latency: 50ms }
tests:
  - id: waits
    steps:
      - fault: slow
      - { at: left, exec: { shell: \"echo here; exec tail -f /dev/null\" }, within: 60s }
";

const SOON: Duration = Duration::from_secs(15);

/// Whether this machine has data networks to give. Where it is root's, everything else can be installed.
pub fn are_possible() -> bool {
    let possible = rustix::process::geteuid().is_root() && Path::new("/dev/net/tun").exists();
    if !possible {
        println!("skipped: a data network takes root and /dev/net/tun");
    }
    possible
}

fn plan(scene: &Scene) -> PathBuf {
    let plan = scene.path().join("plan.yaml");
    std::fs::write(&plan, PLAN).expect("a new file");
    plan
}

/// What the machine's own network has: devices, tables of filters, namespaces with names.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    devices: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    tables: String,
}

impl Machine {
    fn look() -> Self {
        let names = |folder: &str| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        let tables = Command::new("nft").args(["list", "tables"]).output().expect(".ci/setup installs nft");
        let tables = String::from_utf8_lossy(&tables.stdout).into_owned();
        Self { devices: names("/sys/class/net"), namespaces: names("/run/netns"), tables }
    }
}

/// Every network namespace that some process is in.
fn namespaces() -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir("/proc").expect("this is Linux").flatten();
    entries.filter_map(|entry| std::fs::read_link(entry.path().join("ns/net")).ok()).collect()
}

/// The network namespace of a process, as the kernel names it.
fn namespace(pid: i32) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/ns/net")).expect("it runs")
}

fn services(processes: &[Process]) -> Vec<&Process> {
    processes.iter().filter(|process| process.arguments.first().is_some_and(|program| program == "tail")).collect()
}

fn kill(process: &Process) {
    let pid = Pid::from_raw(process.pid).expect("a process id is not 0");
    // one that was killed before may have taken it along
    let _ = kill_process(pid, Signal::KILL);
}

fn in_the_middle(scene: &Scene) -> (Session, Vec<Process>) {
    let mut command = scene.run_command(&plan(scene), "json");
    command.env("MESHPROOF_ORPHAN_GRACE", "1s");
    let mut session = Session::start(command, Shown::Records);
    session.record("a line of the step", |record| record["what"]["fact"]["printed"].is_object());
    (session, processes::mentioning(scene.path()))
}

#[test]
fn services_live_apart_and_the_mesh_does_not() {
    if !are_possible() {
        return;
    }
    let scene = Scene::new();
    let (session, processes) = in_the_middle(&scene);
    let own = namespace(rustix::process::getpid().as_raw_nonzero().get());
    let apart: BTreeSet<PathBuf> = services(&processes).into_iter().map(|service| namespace(service.pid)).collect();
    assert_eq!(apart.len(), 2, "{processes:#?}");
    assert!(!apart.contains(&own));
    for name in ["left", "right"] {
        let agent = processes::agent(&processes, name);
        assert_eq!(namespace(agent.pid), own);
        assert!(
            sockets::of(agent.pid).iter().any(|socket| socket.kind == Kind::Udp),
            "the mesh of {name} is not outside"
        );
    }
    session.signal(Signal::INT);
    session.end().assert_code(130);
    scene.assert_nothing_left();
}

#[test]
fn whoever_is_killed_nothing_of_the_network_is_left() {
    if !are_possible() {
        return;
    }
    let before = Machine::look();
    type Pick = fn(&[Process]) -> Vec<&Process>;
    let picks: [(&str, Pick); 4] = [
        ("keeper", |all| vec![processes::keepers(all).1]),
        ("guard", |all| vec![processes::keepers(all).0]),
        ("agent", |all| vec![processes::agent(all, "left")]),
        ("everybody", |all| all.iter().collect()),
    ];
    for (who, pick) in picks {
        let scene = Scene::new();
        let (session, processes) = in_the_middle(&scene);
        assert_eq!(services(&processes).len(), 3, "two services and a step: {processes:#?}");
        pick(&processes).into_iter().for_each(kill);
        session.end();
        Watch::on(processes).wait(SOON);
        leftovers::assert_no_process(scene.path());
        assert_eq!(Machine::look(), before, "{who} was killed");
    }
}

#[test]
fn networks_that_are_left_when_everything_was_killed_at_once_go_with_what_is_cleaned_up() {
    if !are_possible() {
        return;
    }
    let before = Machine::look();
    let scene = Scene::new();
    let (session, processes) = in_the_middle(&scene);
    let apart: BTreeSet<PathBuf> = services(&processes).into_iter().map(|service| namespace(service.pid)).collect();
    // As long as these are open, no other run's network is named like them.
    let held =
        services(&processes).into_iter().map(|service| std::fs::File::open(format!("/proc/{}/ns/net", service.pid)));
    let held: Vec<_> = held.collect::<Result<_, _>>().expect("they run");
    crashes::kill_all(session, processes);
    assert_eq!(namespaces().intersection(&apart).count(), 2, "the services hold them");
    let said = crashes::clean(&scene);
    assert!(said.contains("tail ("), "{said}");
    assert_eq!(namespaces().intersection(&apart).count(), 0, "nobody is in them any more");
    drop(held);
    scene.assert_nothing_left();
    assert_eq!(Machine::look(), before);
}

#[test]
fn when_the_orchestrator_is_killed_the_network_goes_after_the_grace() {
    if !are_possible() {
        return;
    }
    let before = Machine::look();
    let scene = Scene::new();
    let (session, mut processes) = in_the_middle(&scene);
    processes.retain(|process| process.pid != session.pid());
    session.signal(Signal::KILL);
    session.end().assert_code(137);
    Watch::on(processes).wait(SOON);
    scene.assert_nothing_left();
    assert_eq!(Machine::look(), before);
}

#[test]
fn two_networks_at_the_same_time_have_the_same_addresses_and_do_not_meet() {
    if !are_possible() {
        return;
    }
    let scenes = [Scene::new(), Scene::new()];
    let plan = root().join("testdata/verbs/network/pass.yaml");
    let sessions: Vec<Session> = scenes.iter().map(|scene| scene.run_plain(&plan)).collect();
    sessions.into_iter().for_each(|session| {
        session.end().assert_code(0);
    });
    scenes.iter().for_each(Scene::assert_nothing_left);
}

#[test]
fn without_the_privilege_one_message_says_what_it_takes_before_anything_starts() {
    if !are_possible() {
        return;
    }
    let scene = Scene::new();
    let run = scene.run_command(&plan(&scene), "plain");
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-sys_admin,-net_admin", "--inh-caps", "-sys_admin,-net_admin"]);
    command.arg(run.get_program()).args(run.get_args()).current_dir(root());
    command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = Session::start(command, Shown::Text).end();
    ended.assert_code(5);
    for said in ["does not allow a data network", "SYS_ADMIN and NET_ADMIN", "/dev/net/tun", "plan.yaml:4"] {
        assert!(ended.all().contains(said), "{said}:\n{}", ended.all());
    }
    assert!(!scene.path().join("built").exists(), "the build began");
    assert_eq!(Journal::read(&scene.out()).all("agent-joined").count(), 0);
    scene.assert_nothing_left();
}

#[test]
fn an_etcd_cluster_elects_another_leader_and_loses_nothing() {
    let here = |program: &str| Command::new(program).arg("--help").output().is_ok();
    if !are_possible() {
        return;
    }
    if !["etcd", "etcdctl"].into_iter().all(here) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "etcd is not installed; .ci/setup does it");
        return println!("skipped: etcd and etcdctl are not installed");
    }
    let scene = Scene::new();
    scene.run_plain("testdata/etcd/plan.yaml").end().assert_code(0);
    scene.assert_nothing_left();
}
