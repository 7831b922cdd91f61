//! Runs on a terminal: keys, detaching, and what the terminal's end means.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::attached::{SOON, attach, go, is_step, plan};
use crate::journal::Journal;
use crate::processes::{self, Watch};
use crate::scene::Scene;
use crate::session::{PATIENCE, Session};

/// A process in the foreground of a terminal of its own.
pub struct OnTerminal {
    keyboard: File,
    /// Kept open, so that its modes can be asked for when nobody else has it.
    far: File,
    shown: Receiver<Vec<u8>>,
    seen: String,
    child: Child,
}

impl OnTerminal {
    fn run(scene: &Scene, plan: &std::path::Path) -> Self {
        Self::of(&scene.run_command(plan, "tty"))
    }

    pub fn of(run: &std::process::Command) -> Self {
        let near: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&near).and_then(|()| unlockpt(&near)).expect("our own");
        let path = ptsname(&near, Vec::new()).expect("it has a name").into_string().expect("plain");
        let no_control = i32::try_from(OFlags::NOCTTY.bits()).expect("a flag");
        let open = || File::options().read(true).write(true).custom_flags(no_control).open(&path).expect("our own");
        let mut command = std::process::Command::new("setsid");
        command.arg("--ctty").arg(run.get_program()).args(run.get_args()).env("TERM", "xterm");
        command.current_dir(run.get_current_dir().expect("it was set"));
        for (name, value) in run.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::from(open())).stdout(Stdio::from(open())).stderr(Stdio::from(open()));
        let child = command.spawn().expect("setsid is everywhere");
        let (told, shown) = channel();
        let mut screen = File::from(near.try_clone().expect("our own"));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(1..) = screen.read(&mut piece).inspect(|bytes| drop(told.send(piece[..*bytes].to_vec()))) {}
        });
        Self { keyboard: File::from(near), far: open(), shown, seen: String::new(), child }
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("a terminal takes keys");
    }

    /// The next that is shown.
    pub fn piece(&mut self, deadline: Instant) -> Option<Vec<u8>> {
        self.shown.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }

    /// The next that is shown, if the program does not end before it.
    pub fn piece_or_end(&mut self) -> Option<Vec<u8>> {
        const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);
        let deadline = Instant::now() + PATIENCE;
        loop {
            // it has ended first, and then nothing more is there
            let has_ended = self.child.try_wait().expect("our child").is_some();
            match self.shown.recv_timeout(LOOK_EVERY) {
                Ok(piece) => return Some(piece),
                Err(_) if has_ended => return None,
                Err(_) => assert!(Instant::now() < deadline, "waited for the end, in vain:\n{}", self.seen),
            }
        }
    }

    /// Its size, as a window's.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.far, size).expect("a terminal has a size");
    }

    /// Waits until this is on the screen.
    pub fn shows(&mut self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.contains(what) {
            let piece = self.shown.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let Ok(piece) = piece else { panic!("waited for `{what}`, in vain:\n{}", self.seen) };
            self.seen += &String::from_utf8_lossy(&piece);
        }
    }

    /// Whether it shows what is typed, a line at a time, as shells leave it.
    pub fn is_as_before(&self) -> bool {
        let modes = tcgetattr(&self.far).expect("a terminal").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    pub fn code(&mut self) -> Option<i32> {
        self.child.wait().expect("our child").code()
    }
}

/// A run on a terminal whose only step has begun, and somebody who follows it.
fn begun(scene: &Scene) -> (OnTerminal, Session) {
    let mut run = OnTerminal::run(scene, &plan(scene));
    run.shows("of 2 peers formed");
    let mut attached = attach(scene, &["--progress", "json"]);
    attached.record("its step", is_step);
    (run, attached)
}

/// The run is nobody's child here: that it has told its end is seen a moment before its process is gone.
fn assert_all_ended(scene: &Scene) {
    Watch::on(processes::mentioning(scene.path())).wait(SOON);
    scene.assert_nothing_left();
}

#[test]
fn a_run_that_was_detached_goes_on_when_its_terminal_is_gone_and_its_result_is_there_later() {
    let scene = Scene::new();
    let (mut run, attached) = begun(&scene);
    assert!(!run.is_as_before(), "keys are read one by one");
    run.press("d");
    run.shows("meshproof attach r-");
    assert_eq!(run.code(), Some(0), "{}", run.seen);
    assert!(run.is_as_before());
    drop(run);
    go(&scene, "well");
    attached.end().assert_code(0);
    let out = scene.out().to_string_lossy().into_owned();
    attach(&scene, &[&out]).end().assert_code(0);
    assert_all_ended(&scene);
}

#[test]
fn a_run_is_detached_from_the_beginning_without_any_terminal_and_its_name_is_printed_for_scripts() {
    let scene = Scene::new();
    let mut command = scene.run_command(&plan(&scene), "plain");
    command.arg("--detach");
    let begun = command.output().expect("it starts");
    assert_eq!(begun.status.code(), Some(0), "{begun:?}");
    let name = String::from_utf8(begun.stdout).expect("text");
    assert!(name.starts_with("r-") && name.ends_with('\n') && name.lines().count() == 1, "{name}");
    let mut attached = attach(&scene, &[name.trim_end(), "--progress", "json"]);
    attached.record("its step", is_step);
    go(&scene, "well");
    attached.end().assert_code(0);
    assert_all_ended(&scene);
}

#[test]
fn what_keeps_a_run_from_beginning_is_told_before_it_is_detached() {
    let scene = Scene::new();
    for (more, exit, said) in
        [(["--test", "nothing"], 4, "no test or step"), (["--mesh", "nowhere.toml"], 2, "nowhere.toml")]
    {
        let mut command = scene.run_command(&plan(&scene), "plain");
        command.arg("--detach").args(more);
        let refused = command.output().expect("it starts");
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(exit), "{text}");
        assert!(refused.stdout.is_empty() && text.contains(said), "{text}");
    }
    scene.assert_nothing_left();
}

#[test]
fn ctrl_c_ends_a_run_on_a_terminal_and_the_terminal_is_as_it_was() {
    let scene = Scene::new();
    let (mut run, attached) = begun(&scene);
    run.press("\x03");
    assert_eq!(run.code(), Some(130));
    assert!(run.is_as_before());
    attached.end().assert_code(130);
    scene.assert_nothing_left();
}

#[test]
fn a_run_whose_terminal_process_is_killed_ends_as_terminated() {
    let scene = Scene::new();
    let (mut run, attached) = begun(&scene);
    let pid = Pid::from_raw(i32::try_from(run.child.id()).expect("small")).expect("not 0");
    kill_process(pid, Signal::KILL).expect("it runs");
    assert_eq!(run.code(), None);
    attached.end().assert_code(143);
    assert_all_ended(&scene);
}

#[test]
fn a_person_at_the_terminal_says_that_a_pause_is_over_and_other_keys_do_not() {
    let scene = Scene::new();
    let path: PathBuf = scene.path().join("pause.yaml");
    let text = "meshproof: 1\nplan: p\nservices: { shop: { exec: { argv: [sleep, \"600\"] } } }\ntests: [{ id: t, steps: [{ pause: look }] }]\n";
    std::fs::write(&path, text).expect("a writable folder");
    let mut run = OnTerminal::run(&scene, &path);
    run.shows("press Enter");
    run.press("x");
    run.press("\n");
    assert_eq!(run.code(), Some(0), "{}", run.seen);
    assert_eq!(Journal::read(&scene.out()).only("run-ended")["verdict"], "pass");
    scene.assert_nothing_left();
}
