//! `meshproof run --on podman`: what it makes, and that nothing of it stays.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::{images, is_possible, podman};
use crate::process::{PATIENCE, Process};
use crate::town::Town;

/// Goes on until the log has a line.
const WAITING: &str = "meshproof: 1\nplan: waiting\nservices:\n  sleeper: { exec: { argv: [sleep, infinity] }, logs: { a: { file: a.log } } }\ntests:\n  \
    - id: t\n    steps:\n      - { say: waiting }\n      - { expect: { log: sleeper.a, contains: go }, eventually: 50s }\n";

struct Scene {
    town: Town,
}

impl Scene {
    fn new(plan: &str) -> Self {
        let (town, _) = Town::without_signaling("ws");
        std::fs::write(town.path().join("plan.yaml"), plan).expect("a new file");
        Self { town }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.town.command(arguments);
        command.env("CONTAINERS_CONF", podman::settings()).stdin(Stdio::null());
        command
    }

    fn ran(&self) -> Output {
        self.command(&["run", "plan.yaml", "--on", "podman", "--out", "out"]).output().expect("the binary was built")
    }

    /// A run that has said that it waits, its process, and the folder that it has while it goes on.
    fn waiting(&self) -> (Process, Pid, PathBuf) {
        let command = self.command(&["run", "plan.yaml", "--on", "podman", "--out", "out", "--progress", "json"]);
        let mut run = Process::start(command);
        run.says("\"said\"");
        let base = std::fs::read_dir(self.town.path()).expect("ours").flatten().map(|entry| entry.path());
        let base =
            base.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("meshproof-")));
        let mut runs = base.flat_map(|base| std::fs::read_dir(base).expect("ours").flatten().map(|entry| entry.path()));
        let folder = runs.find(|path| path.join("setup.json").exists()).expect("the run has a folder");
        let pid = run.pid();
        (run, pid, folder)
    }
}

/// Everything that bears the run's label: containers, then networks.
fn labelled(folder: &Path) -> [String; 2] {
    let run = folder.file_name().expect("it is the run's id").to_string_lossy();
    let filter = format!("label=dev.meshproof.run={run}");
    let containers = podman::done(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]);
    [containers, podman::done(&["network", "ls", "--quiet", "--filter", &filter])]
}

/// The keeper of a run and its guard, as processes.
fn keepers(folder: &Path) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").expect("it is Linux").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let keeps = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("\0keep\0") && line.contains(&folder.display().to_string())
    };
    pids.filter(keeps).filter_map(Pid::from_raw).collect()
}

/// Waits for the end of what is not our child.
fn gone(pids: &[Pid]) {
    for pid in pids {
        let Ok(handle) = pidfd_open(*pid, PidfdFlags::empty()) else { continue };
        let patience = Timespec::try_from(PATIENCE).expect("it is short");
        let ended = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&patience)).expect("it can be waited for");
        assert_eq!(ended, 1, "{pid:?} does not end");
    }
}

#[test]
fn what_a_run_makes_of_containers_has_its_label_and_is_gone_however_it_ends() {
    if !is_possible() {
        return;
    }
    let scene = Scene::new(WAITING);
    let none = [String::new(), String::new()];

    let (mut run, pid, folder) = scene.waiting();
    let [containers, networks] = labelled(&folder);
    let run_id = folder.file_name().expect("its id").to_string_lossy().into_owned();
    let mut names: Vec<&str> = containers.lines().collect();
    names.sort_unstable();
    let wanted = ["", ".1", ".agent"].map(|part| format!("meshproof.{run_id}.sleeper{part}"));
    assert_eq!((names, networks.lines().count()), (wanted.iter().map(String::as_str).collect(), 1));
    kill_process(pid, Signal::INT).expect("it goes on");
    run.says("\"run-ended\"");
    assert_eq!(run.exit(), Some(130));
    assert_eq!(labelled(&folder), none, "after Ctrl-C");

    // the keeper is what ends it then
    let (run, pid, folder) = scene.waiting();
    let keepers = keepers(&folder);
    assert_eq!(keepers.len(), 2);
    run.kill();
    gone(&[&keepers[..], &[pid]].concat());
    assert_eq!(labelled(&folder), none, "after the orchestrator was killed");
}

#[test]
fn what_is_left_of_containers_when_everybody_was_killed_is_found_and_removed() {
    if !is_possible() {
        return;
    }
    let scene = Scene::new(WAITING);
    for lost in [false, true] {
        let (run, _, folder) = scene.waiting();
        let keepers = keepers(&folder);
        assert_eq!(keepers.len(), 2);
        for keeper in &keepers {
            kill_process(*keeper, Signal::KILL).expect("it keeps the run");
        }
        run.kill();
        gone(&keepers);
        assert_eq!(labelled(&folder)[0].lines().count(), 3);
        if lost {
            std::fs::remove_dir_all(&folder).expect("ours");
        }
        let cleaned = scene.command(&["clean"]).output().expect("the binary was built");
        let said = String::from_utf8_lossy(&cleaned.stdout).into_owned();
        let id = folder.file_name().expect("its id").to_string_lossy().into_owned();
        assert!(cleaned.status.success() && said.contains(&id), "{cleaned:?}");
        assert_eq!(labelled(&folder), [String::new(), String::new()], "{said}");
        assert!(!folder.exists());
    }
}

#[test]
fn images_start_what_is_in_them_and_their_users_find_files_and_write_logs() {
    if !is_possible() {
        return;
    }
    images();
    let (town, line) = Town::without_signaling("ws");
    let meshes = line.split_whitespace().skip_while(|word| *word != "--mesh").nth(1).expect(&line);
    let plan = format!(
        "meshproof: 1\nplan: images\nservices:\n  ledger:\n    image: meshproof-sample:test\n    exec: {{ argv: [/ledger] }}\n    \
         ports: {{ tcp: dynamic }}\n    env: {{ PORT: \"${{{{ self.tcp.port }}}}\", AUDIT: \"${{{{ self.dir }}}}/audit.log\" }}\n    \
         logs: {{ audit: {{ file: audit.log }} }}\n  meet:\n    image: meshproof-signaling:test\n    ports: {{ web: 9464 }}\n    \
         env: {{ MESHPROOF_MESHES: \"{meshes}\" }}\ntests:\n  - id: t\n    steps:\n      \
         - {{ to: ledger, tcp: {{ send: \"POST o1\\n\" }}, eventually: 10s, idempotent: true, expect: {{ line: /^OK/ }} }}\n      \
         - {{ expect: {{ log: ledger.audit, contains: posted o1 }}, eventually: 10s }}\n      \
         - {{ to: meet, http: {{ get: /healthz }}, eventually: 10s, expect: {{ status: 200 }} }}\n"
    );
    let scene = Scene { town };
    std::fs::write(scene.town.path().join("plan.yaml"), plan).expect("a new file");
    let passed = scene.ran();
    assert_eq!(passed.status.code(), Some(0), "{passed:?}");
    let alone = scene.town.refused(&["run", "plan.yaml"]);
    assert!(alone.0 == 3 && alone.1.contains("needs --on podman, docker or kubernetes"), "{alone:?}");

    let missing = "meshproof: 1\nplan: none\nservices: { a: { image: localhost/there-is-none:1 } }\ntests: [{ id: t, steps: [{ say: hello }] }]\n";
    std::fs::write(scene.town.path().join("plan.yaml"), missing).expect("ours");
    let refused = scene.ran();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(refused.status.code() == Some(5) && said.contains("there-is-none"), "{refused:?}");
}

#[test]
fn an_engine_that_is_not_there_is_said() {
    let scene = Scene::new(WAITING);
    let nothing = scene.town.path().join("nothing");
    std::fs::create_dir(&nothing).and_then(|()| File::create(nothing.join("podman"))).expect("ours");
    for engine in ["docker", "podman"] {
        let mut run = scene.command(&["run", "plan.yaml", "--on", engine, "--out", "out"]);
        let output = run.env("PATH", &nothing).output().expect("the binary was built");
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code() == Some(5) && said.contains(&format!("`{engine}` cannot be run")), "{output:?}");
    }
}
