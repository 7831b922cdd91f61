//! An orchestrator that is killed or hangs while another one stands by, until that one has brought a step to its end.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::measure::Spread;
use crate::table::{Goal, Table};

/// How often one is killed, and how often one hangs.
const KILLS: usize = 20;
const HANGS: usize = 5;

/// Milliseconds.
const MUST: f64 = 20_000.0;
const AIM: f64 = 10_000.0;

pub fn run() -> Table {
    let place = TempDir::with_prefix("mp-").expect("a temporary folder");
    let file = place.path().join("takeover.yaml");
    std::fs::write(&file, plan(place.path())).expect("a new file");
    let out = place.path().join("out");
    let mut first = meshproof(place.path());
    first.arg("run").arg(&file).arg("--out").arg(&out).args(["--progress", "json"]);
    let mut commands = Process::start(first);
    commands.until(|what| what["step-ended"].is_object());
    let mut hung = Vec::new();
    let killed: Vec<f64> =
        (0..KILLS).map(|_| replaced(place.path(), &mut commands, (Signal::KILL, &mut hung))).collect();
    let stopped: Vec<f64> =
        (0..HANGS).map(|_| replaced(place.path(), &mut commands, (Signal::STOP, &mut hung))).collect();
    std::fs::write(place.path().join("enough"), "").expect("a new file");
    commands.passes();
    for mut follows in hung {
        follows.signal(Signal::CONT);
        follows.passes();
    }
    let mut table = Table::default();
    judged(&mut table, (killed, "killed"));
    judged(&mut table, (stopped, "stopped (SIGSTOP)"));
    table
}

fn judged(table: &mut Table, (mut took, how): (Vec<f64>, &str)) {
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    let spread = Spread { median: at(50), min: took[0], max: took[took.len() - 1] };
    let what = format!("ms until a standby commands, {how}, {} times", took.len());
    table.judged(what, spread, Goal::at_most(spread.max, MUST, AIM));
    table.plain(format!("ms of those, p99, {how}"), Spread::of(&[at(99)]));
}

/// Ends the one that commands; milliseconds until the one that stands by has told the end of a step of its own.
fn replaced(place: &Path, commands: &mut Process, (signal, hung): (Signal, &mut Vec<Process>)) -> f64 {
    let mut standby = meshproof(place);
    standby.args(["attach", "--standby", "--progress", "json"]);
    let mut standby = Process::start(standby);
    standby.stands_by();
    let began = Instant::now();
    commands.signal(signal);
    standby.until(|what| what["taken-over"].is_object());
    standby.until(|what| what["step-ended"].is_object());
    let took = began.elapsed().as_secs_f64() * 1e3;
    let before = std::mem::replace(commands, standby);
    if signal == Signal::STOP {
        hung.push(before);
    }
    took
}

/// Steps of two agents in turns, until somebody has seen enough.
fn plan(place: &Path) -> String {
    let enough = place.join("enough").display().to_string();
    let mut plan = "meshproof: 1\nplan: takeover\nservices:\n  one: { ports: { none: 9 } }\n  two: { ports: { none: 9 } }\ntests:\n  - id: all\n    timeout: 30m\n    steps:\n".to_owned();
    for number in 0..2_000 {
        let at = if number % 2 == 0 { "one" } else { "two" };
        plan += &format!("      - {{ at: {at}, exec: {{ shell: \"test -e {enough} || sleep 0.1\" }} }}\n");
    }
    plan
}

fn meshproof(place: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
    for (variable, folder) in [("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state")] {
        let folder = place.join(folder);
        std::fs::create_dir_all(&folder).expect("a temporary folder takes folders");
        command.env(variable, folder);
    }
    command
}

/// One that is read as it goes on.
struct Process {
    child: Child,
    records: BufReader<ChildStdout>,
    said: BufReader<ChildStderr>,
}

impl Process {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary was built with this bench");
        let records = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let said = BufReader::new(child.stderr.take().expect("it is a pipe"));
        Self { child, records, said }
    }

    fn until(&mut self, is_it: impl Fn(&Value) -> bool) {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.records.read_line(&mut line).expect("text") > 0, "it ended early");
            let record: Value = serde_json::from_str(&line).expect("a record a line");
            if is_it(&record["what"]) {
                return;
            }
        }
    }

    fn stands_by(&mut self) {
        let mut line = String::new();
        while !line.contains("standing by") {
            line.clear();
            assert!(self.said.read_line(&mut line).expect("text") > 0, "it ended early");
        }
    }

    /// Reads what it has to say until it ends.
    fn passes(&mut self) {
        std::io::copy(&mut self.records, &mut std::io::sink()).expect("it is read");
        assert!(self.child.wait().expect("it is our child").success(), "the run passes");
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id is positive");
        kill_process(pid, signal).expect("it was not waited for");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended is waited for all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
