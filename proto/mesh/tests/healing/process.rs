//! A process of a scenario, as the scenario sees it: it is told things, and what it says is kept and waited for.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::sync::watch;

use crate::parts;
use crate::wire::{Command, Event, Line, Moment, Part};

/// Whoever waits longer waits for something that will not come: the slowest is a relayed link, which tries the direct way every
/// 20 s and may do so in vain once.
const PATIENCE: Duration = Duration::from_secs(50);

/// Lines on standard error that are shown when something is missed.
const LAST_WORDS: usize = 40;

/// A running process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    /// Its name on the scenario's network.
    pub name: String,
    pub started: Moment,
    child: Child,
    input: ChildStdin,
    said: Arc<Said>,
}

#[derive(Debug)]
struct Said {
    lines: Mutex<Vec<Line>>,
    count: watch::Sender<usize>,
    errors: Mutex<VecDeque<String>>,
}

impl Process {
    /// Starts this program again, as `part`, in a namespace.
    pub fn start(name: &str, namespace: &str, part: &Part) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let part = serde_json::to_string(part).expect("a part is plain data");
        let started = Moment::now();
        // `ip netns exec` becomes the program, so the child's id is the peer's
        let mut child = std::process::Command::new("ip")
            .args(["netns", "exec", namespace])
            .arg(program)
            .env(parts::VARIABLE, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        let said = Arc::new(Said { lines: Mutex::default(), count: watch::Sender::new(0), errors: Mutex::default() });
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (note, note_errors) = (Arc::clone(&said), Arc::clone(&said));
        std::thread::spawn(move || note.keep(output.expect("it is piped")));
        std::thread::spawn(move || note_errors.keep_errors(errors.expect("it is piped")));
        Ok(Self { name: name.to_owned(), started, child, input: input.expect("it is piped"), said })
    }

    pub fn tell(&mut self, command: &Command) -> Result<(), String> {
        let text = serde_json::to_string(command).expect("commands are plain data");
        writeln!(self.input, "{text}").map_err(|error| format!("{} does not listen: {error}", self.name))
    }

    /// Waits for something that happens at `since` or later, or did already.
    pub async fn when<T>(
        &self,
        since: Moment,
        what: &str,
        pick: impl Fn(&Event) -> Option<T>,
    ) -> Result<(Moment, T), String> {
        let mut count = self.said.count.subscribe();
        let mut from = 0;
        let found = async {
            loop {
                let until = *count.borrow_and_update();
                if let Some(found) = self.find(from..until, since, &pick) {
                    return Some(found);
                }
                from = until;
                count.changed().await.ok()?;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.ok().flatten().ok_or_else(|| format!("{} never said: {what}\n{}", self.name, self.last_words(since)))
    }

    fn find<T>(&self, lines: Range<usize>, since: Moment, pick: impl Fn(&Event) -> Option<T>) -> Option<(Moment, T)> {
        let fits = |line: &Line| (line.at >= since).then(|| pick(&line.event)).flatten();
        self.lines()[lines].iter().find_map(|line| Some((line.at, fits(line)?)))
    }

    /// What happened at `since` or later, until now.
    pub fn all<T>(&self, since: Moment, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
        self.lines().iter().filter(|line| line.at >= since).filter_map(|line| pick(&line.event)).collect()
    }

    pub fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).map_err(|error| format!("cannot signal {}: {error}", self.name))
    }

    /// How nice all its threads are from now on, and those that they make.
    pub fn set_niceness(&self, nice: i32) -> Result<(), String> {
        let cannot = |error: &dyn std::fmt::Display| format!("cannot set the niceness of {}: {error}", self.name);
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).map_err(|error| cannot(&error))?;
        for task in tasks {
            let task = task.map_err(|error| cannot(&error))?.file_name();
            let thread = task.to_str().and_then(|task| Pid::from_raw(task.parse().ok()?));
            match rustix::process::setpriority_process(thread, nice) {
                // it ended meanwhile
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(cannot(&error)),
            }
        }
        Ok(())
    }

    /// Ends it without a word of goodbye, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.said.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it told since then, and the last it had to say on standard error.
    pub fn last_words(&self, since: Moment) -> String {
        let lines = self.lines();
        let events = lines
            .iter()
            .filter(|line| line.at >= since)
            .map(|line| format!("  after {:>9.3?} {:?}", line.at.since(since), line.event));
        let errors = self.said.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let errors = errors.iter().map(|line| format!("  {line}"));
        [format!("  {}:", self.name)].into_iter().chain(events).chain(errors).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Said {
    fn keep(&self, output: impl Read) {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let line = serde_json::from_str(&line).expect("the process is this very program");
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(line);
            self.count.send_replace(lines.len());
        }
    }

    fn keep_errors(&self, errors: impl Read) {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            let mut last = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
            last.push_back(line);
            if last.len() > LAST_WORDS {
                last.pop_front();
            }
        }
    }
}
