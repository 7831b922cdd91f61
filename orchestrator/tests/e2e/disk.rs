//! A disk that is full while a run goes on.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::attached::SOON;
use crate::journal::Journal;
use crate::processes::{self, Watch};
use crate::scene::Scene;
use crate::session::{Session, Shown};

/// The first step ends when there is the file `gate`. What the others leave in an outbox is more than a page.
fn plan(scene: &Scene) -> PathBuf {
    let gate = scene.path().join("gate").display().to_string();
    let mut plan = format!(
        "\
meshproof: 1
plan: full
services:
  shop: {{ exec: {{ argv: [tail, -f, /dev/null] }} }}
tests:
  - id: waits
    timeout: 120s
    steps:
      - {{ at: shop, exec: {{ shell: \"echo here; until [ -e {gate} ]; do sleep 0.05; done\" }}, within: 60s }}
"
    );
    for _ in 0..60 {
        plan.push_str("      - { at: shop, exec: { argv: [\"true\"] } }\n");
    }
    write!(plan, "  - id: after\n    steps: [{{ at: shop, exec: {{ argv: [\"true\"] }} }}]\n").expect("into memory");
    let path = scene.path().join("plan.yaml");
    std::fs::write(&path, plan).expect("a new file");
    path
}

/// A file system of its own for what agents keep.
struct Small(PathBuf);

impl Small {
    /// `None`, aloud: only root may make one.
    fn at(place: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(place).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(place.to_owned()));
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "a tmpfs cannot be made");
        println!("skipped: a tmpfs cannot be made");
        None
    }

    /// Leaves no whole page free.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filling");
        let mut file = std::fs::File::create(&path).expect("there is room for a name");
        while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|count| count > 0) {}
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// A run whose reports are to go to a small disk, at its first step.
fn on_a_small_disk(scene: &Scene) -> Option<(Small, Session)> {
    let out = scene.out();
    std::fs::create_dir(&out).expect("a new folder");
    let small = Small::at(&out)?;
    let mut session = Session::start(scene.run_command(&plan(scene), "json"), Shown::Records);
    session.record("the first step's word", |record| record["what"]["fact"]["printed"].is_object());
    Some((small, session))
}

#[test]
fn a_run_whose_journal_has_no_space_stands_still_says_so_and_goes_on_when_there_is_some() {
    let scene = Scene::new();
    let Some((small, mut session)) = on_a_small_disk(&scene) else { return };
    let filling = small.fill();
    std::fs::write(scene.path().join("gate"), "").expect("on another disk");
    session.said("the run stands still: cannot write the journal");
    std::fs::remove_file(filling).expect("it is there");
    let ended = session.end();
    ended.assert_code(0);
    let journal = Journal::read(&scene.out());
    let steps = journal.all("step-ended").count();
    assert_eq!((steps, journal.all("run-ended").count()), (62, 1), "each step ends once");
    assert_eq!(ended.stdout().lines().count(), journal.records().len(), "what was shown is what is written");
    let noted = journal.only("noted")["text"].as_str().expect("a text");
    assert!(noted.starts_with("the run stood still for "), "{noted}");
    for numbers in journal.numbers().values() {
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
    }
    scene.assert_nothing_left();
}

#[test]
fn a_run_that_stands_still_ends_with_ctrl_c_and_leaves_half_a_line_to_nobody() {
    let scene = Scene::new();
    let Some((small, mut session)) = on_a_small_disk(&scene) else { return };
    let filling = small.fill();
    std::fs::write(scene.path().join("gate"), "").expect("on another disk");
    session.said("the run stands still: cannot write the journal");
    let processes = processes::mentioning(scene.path());
    session.signal(Signal::INT);
    session.end().assert_code(130);
    Watch::on(processes).wait(SOON);
    scene.assert_nothing_left();
    std::fs::remove_file(filling).expect("it is there");
    assert!(Journal::read(&scene.out()).records().len() > 3, "every line of it is whole");
}

#[test]
fn a_run_whose_agents_have_no_space_stands_still_says_so_and_passes_when_there_is_some() {
    let scene = Scene::new();
    let place = scene.path().join("run");
    let Some(small) = Small::at(&place) else { return };
    let mut session = Session::start(scene.run_command(&plan(&scene), "json"), Shown::Records);
    session.record("the first step's word", |record| record["what"]["fact"]["printed"].is_object());
    let filling = small.fill();
    std::fs::write(scene.path().join("gate"), "").expect("on another disk");
    let stalled = session.record("the stall", |record| record["what"]["fact"]["stalled"].is_object());
    let why = stalled["what"]["fact"]["stalled"]["why"].as_str().expect("a reason");
    assert!(why.contains("No space left on device"), "{why}");
    std::fs::remove_file(filling).expect("it is there");
    session.end().assert_code(0);
    let journal = Journal::read(&scene.out());
    assert_eq!((journal.facts("stalled").count(), journal.facts("goes-on").count()), (1, 1));
    let ended: Vec<_> = journal.all("step-ended").collect();
    assert_eq!(ended.len(), 62, "each step ends once");
    scene.assert_nothing_left();
}
