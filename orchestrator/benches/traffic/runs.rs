//! A run of a plan by the binary, and what its steps saved.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use meshproof::journal;
use meshproof::record::Happening;
use meshproof_proto::event::{Fact, Usage};
use tempfile::TempDir;

/// Stands in plans for the folder in which their run is found.
pub const RUNTIME_DIR: &str = "@RUNTIME@";

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    /// By step: `test/place`.
    saved: BTreeMap<String, f64>,
    /// What each agent used itself.
    used: BTreeMap<String, Usage>,
}

impl Ran {
    /// A number that a step saved under this name.
    pub fn number(&self, name: &str) -> f64 {
        *self.saved.get(name).unwrap_or_else(|| panic!("no step saved {name}: {:?}", self.saved))
    }

    pub fn used(&self, agent: &str) -> Usage {
        self.used[agent]
    }
}

/// Runs the plan with these words before the command line, and fails with what it said if it does not pass.
pub fn run(before: &[&str], plan: &str) -> Ran {
    let place = TempDir::with_prefix("mp-").expect("a temporary folder");
    let (file, out) = (place.path().join("plan.yaml"), place.path().join("out"));
    let plan = plan.replace(RUNTIME_DIR, &place.path().join("run").display().to_string());
    std::fs::write(&file, plan).expect("a new file");
    let binary = env!("CARGO_BIN_EXE_meshproof");
    let words = [before, &[binary]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    for (variable, folder) in [("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state")] {
        let folder = place.path().join(folder);
        std::fs::create_dir_all(&folder).expect("a temporary folder takes folders");
        command.env(variable, folder);
    }
    command.arg("run").arg(&file).arg("--out").arg(&out).args(["--progress", "plain", "--seed", "7"]);
    let ended = command.stdin(Stdio::null()).output().expect("the binary was built with this bench");
    let said = || format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{}", said());
    let (mut saved, mut used) = (BTreeMap::new(), BTreeMap::new());
    for record in journal::read(&out.join(journal::FILE_NAME)).expect("the run left its journal") {
        match record.entry.what {
            Happening::Fact(Fact::StepEnded { result, .. }) => {
                let numbers = result.saved.into_iter().filter_map(|(name, text)| Some((name, text.parse().ok()?)));
                saved.extend(numbers);
            }
            Happening::Fact(Fact::AgentUsed(usage)) => {
                used.insert(record.entry.from, usage);
            }
            _ => {}
        }
    }
    Ran { saved, used }
}

/// This program, which is also what stands at both ends.
pub fn this_program() -> String {
    std::env::current_exe().expect("this program has a path").display().to_string()
}
