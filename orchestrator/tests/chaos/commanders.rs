//! The orchestrators of a round: one that commands, one that stands by, and those that were replaced and follow.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStderr, ChildStdout, Command};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::place::Place;

/// One orchestrator, and what it has told.
pub struct Commander {
    child: Child,
    told: Arc<Told>,
}

/// What it has told, and who waits for more.
#[derive(Default)]
struct Told {
    seen: Mutex<Seen>,
    changed: Condvar,
}

/// What one orchestrator has told.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// The step that an agent has begun and whose end is not known.
    pub in_flight: Option<String>,
    pub tests_ended: usize,
    /// How often an agent was replaced.
    pub failovers: usize,
    pub commands: bool,
    pub stands_by: bool,
    /// It has told the run's end.
    pub run_ended: bool,
    /// Nothing follows.
    pub is_over: bool,
    /// What it said on standard error, the last lines.
    pub said: Vec<String>,
}

/// Lines of standard error that are kept.
const SAID: usize = 40;

impl Commander {
    /// Begins the run.
    pub fn first(place: &Place, plan: &std::path::Path) -> Self {
        let mut command = place.meshproof();
        command.arg("run").arg(plan).arg("--out").arg(place.out()).args(["--progress", "json"]);
        let commander = Self::start(place, command);
        commander.told.lock().commands = true;
        commander
    }

    /// Stands by for whoever commands.
    pub fn standby(place: &Place) -> Self {
        let mut command = place.meshproof();
        command.args(["attach", "--standby", "--progress", "json"]);
        Self::start(place, command)
    }

    fn start(place: &Place, mut command: Command) -> Self {
        let mut child = place.spawn(&mut command).expect("the binary was built with this test");
        let told = Arc::new(Told::default());
        let (out, err) = (child.stdout.take().expect("it is a pipe"), child.stderr.take().expect("it is a pipe"));
        let (records, words) = (Arc::clone(&told), Arc::clone(&told));
        std::thread::spawn(move || records.read(out));
        std::thread::spawn(move || words.listen(err));
        Self { child, told }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id is positive");
        kill_process(pid, signal).expect("it was not waited for, so its number is its own");
    }

    pub fn seen(&self) -> Seen {
        self.told.lock().clone()
    }

    /// Waits until it has told that, or for so long.
    pub fn until(&self, patience: Duration, is_it: impl Fn(&Seen) -> bool) -> Result<Seen, Seen> {
        let deadline = Instant::now() + patience;
        let mut seen = self.told.lock();
        while !is_it(&seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(seen.clone());
            }
            seen = self.told.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(seen.clone())
    }

    /// Its exit code; 128 + the signal's number when a signal ended it.
    pub fn exit(&mut self, patience: Duration) -> Result<i32, String> {
        let ended = self.until(patience, |seen| seen.is_over);
        let ended = ended.map_err(|seen| format!("it has not ended within {patience:?}; it said {:#?}", seen.said))?;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        drop(ended);
        Ok(status.code().or(status.signal().map(|number| 128 + number)).unwrap_or(-1))
    }
}

impl Drop for Commander {
    fn drop(&mut self) {
        // One that has ended is waited for all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn read(&self, from: ChildStdout) {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if let Ok(record) = serde_json::from_str::<Value>(&line) {
                self.change(|seen| seen.learn(&record["what"]));
            }
        }
        self.change(|seen| seen.is_over = true);
    }

    fn listen(&self, from: ChildStderr) {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            self.change(|seen| {
                seen.stands_by |= line.contains("standing by");
                seen.said.push(line);
                let more = seen.said.len().saturating_sub(SAID);
                seen.said.drain(..more);
            });
        }
    }
}

impl Seen {
    fn learn(&mut self, what: &Value) {
        let test = |key: &Value| key["test"].as_str().filter(|test| !test.is_empty()).map(str::to_owned);
        if what["taken-over"].is_object() {
            self.commands = true;
        }
        if let Some(test) = test(&what["fact"]["step-started"]["key"]) {
            self.in_flight = Some(test);
        }
        if test(&what["step-ended"]["step"]["key"]).is_some() {
            self.in_flight = None;
        }
        self.tests_ended += usize::from(what["test-ended"].is_object());
        self.failovers += usize::from(what["failover-complete"].is_object());
        self.run_ended |= what["run-ended"].is_object();
    }
}
