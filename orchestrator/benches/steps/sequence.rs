//! A thousand HTTP steps, one after the other.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use meshproof::journal;
use meshproof::record::Happening;
use tempfile::TempDir;

use crate::measure::{ROUNDS, Spread};
use crate::plans::{self, Agents};
use crate::server::Server;
use crate::table::{Goal, Table};
use crate::{bare, hurl};

/// Requests of one run.
const STEPS: usize = 1000;

/// Microseconds of a step beyond its call.
const OVERHEAD_MUST: f64 = 1000.0;
const OVERHEAD_AIM: f64 = 500.0;

/// Of hurl's time.
const HURL_MUST: f64 = 2.0;
const HURL_AIM: f64 = 1.0;

/// What the rounds brought, in milliseconds.
#[derive(Debug, Default)]
struct Rounds {
    bare: Vec<f64>,
    hurl: Vec<f64>,
    one: Vec<f64>,
    in_turns: Vec<f64>,
    whole: Vec<f64>,
}

pub fn run() -> Table {
    let server = Server::start();
    let place = TempDir::with_prefix("mp-").expect("a temporary folder");
    let write = |name: &str, text: String| {
        let path = place.path().join(name);
        std::fs::write(&path, text).expect("a new file");
        path
    };
    let one = write("one.yaml", plans::requests(server.port, STEPS, Agents::One));
    let in_turns = write("in-turns.yaml", plans::requests(server.port, STEPS, Agents::InTurns));
    let file = write("requests.hurl", plans::hurl(server.port, STEPS));
    let version = hurl::version();
    if version.is_none() {
        eprintln!("skipped: hurl is not in the PATH; `cargo install hurl` builds it");
    }
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        rounds.bare.push(bare::run(server.port, STEPS));
        if version.is_some() {
            rounds.hurl.push(hurl::run(&file));
        }
        let (steps, whole) = meshproof(place.path(), &one);
        rounds.one.push(steps);
        rounds.whole.push(whole);
        rounds.in_turns.push(meshproof(place.path(), &in_turns).0);
    }
    rounds.table(version)
}

impl Rounds {
    fn table(&self, version: Option<String>) -> Table {
        let mut table = Table::default();
        let over = |all: &[f64]| -> Vec<f64> {
            all.iter().zip(&self.bare).map(|(ours, bare)| (ours - bare) * 1e3 / STEPS as f64).collect()
        };
        let overhead = |all: &[f64]| Spread::of(&over(all));
        for (what, all) in [("one agent", &self.one), ("two agents in turns", &self.in_turns)] {
            let spread = overhead(all);
            table.judged(
                format!("us a step beyond its call, {what}"),
                spread,
                Goal::at_most(spread.median, OVERHEAD_MUST, OVERHEAD_AIM),
            );
        }
        let ours = Spread::of(&self.one);
        let what = format!("ms, {STEPS} HTTP steps");
        match version {
            None => table.plain(what, ours),
            Some(version) => {
                let ratio = Spread::of_ratios(&self.one, &self.hurl);
                table.compared(what, ours, (ratio, "hurl"));
                table.goal(Goal::ratio_at_most(ratio.median, HURL_MUST, HURL_AIM));
                table.plain(
                    format!("ms, the same requests, {version}: `{}`", hurl::COMMAND_LINE),
                    Spread::of(&self.hurl),
                );
            }
        }
        table.plain("ms, the same requests, a bare hyper client", Spread::of(&self.bare));
        table.plain("ms, the whole run, its agents and their links made and ended", Spread::of(&self.whole));
        table
    }
}

/// Runs a plan; milliseconds of its test, and of the whole process.
pub fn meshproof(place: &Path, plan: &Path) -> (f64, f64) {
    let out = place.join("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
    for (variable, folder) in [("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state")] {
        let folder = place.join(folder);
        std::fs::create_dir_all(&folder).expect("a temporary folder takes folders");
        command.env(variable, folder);
    }
    command.arg("run").arg(plan).arg("--out").arg(&out).args(["--progress", "plain"]);
    let began = Instant::now();
    let ended = command.stdin(Stdio::null()).output().expect("the binary was built with this bench");
    let whole = began.elapsed().as_secs_f64() * 1e3;
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let records = journal::read(&out.join(journal::FILE_NAME)).expect("the run left its journal");
    let steps = records.iter().find_map(|record| match &record.entry.what {
        Happening::TestEnded { duration_ms, .. } => Some(*duration_ms),
        _ => None,
    });
    (steps.expect("its one test ended"), whole)
}
