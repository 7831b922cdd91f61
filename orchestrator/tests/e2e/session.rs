//! One `meshproof` process: what it says, how it is disturbed, how it ends.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Far above what any run here takes, services built from nothing included: a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// Lines that nobody has looked at yet. The process waits when there are more.
const LINES: usize = 4096;

/// How the process was told to show what happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Records,
    Text,
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Stdout,
    Stderr,
}

/// A process that runs.
pub struct Session {
    child: Child,
    lines: Receiver<(From, String)>,
    seen: Vec<(From, String)>,
    shown: Shown,
}

/// What a process came to.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub lines: Vec<(From, String)>,
}

impl Session {
    pub fn start(mut command: Command, shown: Shown) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary was built with this test");
        let (told, lines) = sync_channel(LINES);
        read(From::Stdout, child.stdout.take().expect("it is a pipe"), told.clone());
        read(From::Stderr, child.stderr.take().expect("it is a pipe"), told);
        Self { child, lines, seen: Vec::new(), shown }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are small")
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid()).expect("a process id is not 0");
        kill_process(pid, signal).expect("it was not waited for, so its number is its own");
    }

    /// Waits for a record that `is_it`, and gives it. `what` is waited for, for the message when it does not come.
    pub fn record(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        assert!(self.shown == Shown::Records, "only JSON lines hold records");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.next(what, deadline);
            let Some((_, line)) = line else { panic!("the run ended before {what}:\n{}", self.all()) };
            if let Ok(record) = serde_json::from_str::<Value>(&line)
                && is_it(&record)
            {
                return record;
            }
        }
    }

    /// Waits for a line that `is_it`.
    pub fn line(&mut self, what: &str, is_it: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.next(what, deadline);
            let Some((_, line)) = line else { panic!("the process ended before {what}:\n{}", self.all()) };
            if is_it(&line) {
                return;
            }
        }
    }

    /// Waits for a line that has this text, and gives it.
    pub fn line_with(&mut self, text: &str) -> String {
        self.said(text);
        self.seen.last().map(|(_, line)| line.clone()).unwrap_or_default()
    }

    /// Waits for the record of the orchestrator's own that says this of that: `("fault-began", "fault", "ledger-cut")`.
    pub fn happening(&mut self, (what, key, value): (&str, &str, &str)) -> Value {
        self.record(&format!("{what} with {key} {value}"), |record| record["what"][what][key] == value)
    }

    /// Waits for a line that has this text.
    pub fn said(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.last().is_some_and(|(_, line)| line.contains(text)) {
            let line = self.next(text, deadline);
            assert!(line.is_some(), "it ended before it said {text:?}:\n{}", self.all());
        }
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        while self.next("the end of the run", deadline).is_some() {}
        // Its pipes are closed, so it is at its end.
        let status = self.child.wait().expect("it is our child");
        Ended { status, lines: std::mem::take(&mut self.seen) }
    }

    fn next(&mut self, what: &str, deadline: Instant) -> Option<(From, String)> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.seen.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("waited {PATIENCE:?} for {what}, in vain:\n{}", self.all()),
        }
    }

    fn all(&self) -> String {
        text(&self.seen)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // An error means that it has ended. Else a test failed half way: the keeper cleans up after it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The exit code; 128 + the signal's number when a signal ended it, as shells say it.
    pub fn code(&self) -> i32 {
        let signal = self.status.signal().map(|number| 128 + number);
        self.status.code().or(signal).expect("it has ended")
    }

    #[track_caller]
    pub fn assert_code(&self, code: i32) {
        assert_eq!(self.code(), code, "exit code; the process said:\n{}", self.all());
    }

    pub fn stdout(&self) -> String {
        self.of(From::Stdout)
    }

    pub fn stderr(&self) -> String {
        self.of(From::Stderr)
    }

    pub fn all(&self) -> String {
        text(&self.lines)
    }

    fn of(&self, wanted: From) -> String {
        let lines = self.lines.iter().filter(|(from, _)| *from == wanted);
        lines.flat_map(|(_, line)| [line.as_str(), "\n"]).collect()
    }
}

fn text(lines: &[(From, String)]) -> String {
    lines.iter().flat_map(|(_, line)| [line.as_str(), "\n"]).collect()
}

fn read(from: From, pipe: impl Read + Send + 'static, told: SyncSender<(From, String)>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            if told.send((from, String::from_utf8_lossy(&line).into_owned())).is_err() {
                return;
            }
        }
    });
}
