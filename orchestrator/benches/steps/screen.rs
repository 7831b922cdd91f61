//! From something that happens beside a service to the line that a person reads of it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::measure::Spread;
use crate::table::{Goal, Table};

/// So often something happens.
const STEPS: usize = 500;

/// Milliseconds, of 99 in a hundred: nobody waits for what is shown within the aim, and everybody for what takes longer than the must.
const MUST: f64 = 1_000.0;
const AIM: f64 = 100.0;

pub fn run() -> Table {
    let place = TempDir::with_prefix("mp-").expect("a temporary folder");
    let file = place.path().join("screen.yaml");
    std::fs::write(&file, plan(place.path())).expect("a new file");
    let shown = shown(place.path(), &file);
    let happened = std::fs::read_to_string(place.path().join("happened")).expect("what happened");
    let happened: Vec<Duration> =
        happened.lines().map(|line| Duration::from_nanos(line.parse().expect("a time"))).collect();
    assert_eq!((happened.len(), shown.len()), (STEPS, STEPS), "everything has happened and was shown");
    let pairs = happened.iter().zip(&shown);
    let mut took: Vec<f64> = pairs.map(|(then, now)| now.saturating_sub(*then).as_secs_f64() * 1e3).collect();
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    let mut table = Table::default();
    let spread = Spread { median: at(50), min: took[0], max: took[STEPS - 1] };
    table.plain(format!("ms from an effect to the line about it, {STEPS} times"), spread);
    table.judged("ms of those, p99", Spread::of(&[at(99)]), Goal::at_most(at(99), MUST, AIM));
    table
}

/// Steps of two agents in turns; the last that each does is to write down when.
fn plan(place: &Path) -> String {
    let happened = place.join("happened").display().to_string();
    let mut plan = "meshproof: 1\nplan: screen\nservices:\n  one: { ports: { none: 9 } }\n  two: { ports: { none: 9 } }\ntests:\n  - id: all\n    timeout: 10m\n    steps:\n".to_owned();
    for number in 0..STEPS {
        let at = if number % 2 == 0 { "one" } else { "two" };
        plan += &format!(
            "      - {{ id: n{number}, at: {at}, exec: {{ shell: \"sleep 0.02; date +%s%N >> {happened}\" }} }}\n"
        );
    }
    plan
}

/// When each step's line was there to read, by the same clock.
fn shown(place: &Path, file: &Path) -> Vec<Duration> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
    for (variable, folder) in [("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state")] {
        std::fs::create_dir_all(place.join(folder)).expect("a new folder");
        command.env(variable, place.join(folder));
    }
    command.arg("run").arg(file).arg("--out").arg(place.join("out")).args(["--progress", "plain"]);
    let mut run = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary was built with this");
    let mut shown = Vec::with_capacity(STEPS);
    let mut all = String::new();
    for line in BufReader::new(run.stderr.take().expect("a pipe")).lines() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let line = line.expect("text");
        if line.contains("PASS") && line.contains(&format!(" n{} ", shown.len())) {
            shown.push(now);
        }
        all += &line;
        all.push('\n');
    }
    assert!(run.wait().expect("our child").success(), "the run passes:\n{all}");
    shown
}
