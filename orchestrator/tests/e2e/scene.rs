//! A place for one run that no other run sees.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::leftovers;
use crate::session::{Session, Shown};

/// Folders of one run: reports, runtime files, state. Everything the run starts mentions them, so it can be found.
pub struct Scene {
    place: TempDir,
}

impl Scene {
    pub fn new() -> Self {
        // Short: the keeper's socket is in here, and the path of a socket has 108 bytes.
        let place = TempDir::with_prefix("mp-").expect("a temporary folder");
        for folder in ["run", "state"] {
            std::fs::create_dir(place.path().join(folder)).expect("a new folder");
        }
        Self { place }
    }

    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Where the reports go.
    pub fn out(&self) -> PathBuf {
        self.place.path().join("out")
    }

    /// The bare binary, for this scene.
    pub fn meshproof(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
        command.current_dir(root());
        command.env("XDG_RUNTIME_DIR", self.place.path().join("run"));
        command.env("XDG_STATE_HOME", self.place.path().join("state"));
        // Should a test fail half way, what it started does not stay for long.
        command.env("MESHPROOF_ORPHAN_GRACE", "10s");
        // Plans name `target/release`, where cargo puts things unless it is told otherwise.
        command.env_remove("CARGO_TARGET_DIR");
        for name in ["MESHPROOF_LOG", "MESHPROOF_RUNS", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"] {
            command.env_remove(name);
        }
        command
    }

    /// `meshproof run`, with what happens as lines of JSON: the same records as in the journal.
    pub fn run(&self, plan: impl AsRef<Path>) -> Session {
        Session::start(self.run_command(plan.as_ref(), "json"), Shown::Records)
    }

    /// `meshproof run`, as people see it where there is no terminal.
    pub fn run_plain(&self, plan: impl AsRef<Path>) -> Session {
        Session::start(self.run_command(plan.as_ref(), "plain"), Shown::Text)
    }

    pub fn run_command(&self, plan: &Path, progress: &str) -> Command {
        let mut command = self.meshproof();
        command.arg("run").arg(plan).arg("--out").arg(self.out()).args(["--progress", progress]);
        command
    }

    /// The folder of the only run.
    pub fn run_folder(&self) -> PathBuf {
        let first = |at: &Path| std::fs::read_dir(at).expect("it is there").flatten().next().expect("one").path();
        first(&first(&self.path().join("run")))
    }

    /// What was written into that file of the scene, and how often.
    pub fn written(&self, file: &str) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        let text = std::fs::read_to_string(self.path().join(file)).unwrap_or_default();
        text.lines().for_each(|line| *count.entry(line.to_owned()).or_default() += 1);
        count
    }

    /// Fails if any process or runtime file of this scene is left.
    pub fn assert_nothing_left(&self) {
        leftovers::assert_no_process(self.path());
        leftovers::assert_no_run_folder(&self.place.path().join("run"));
    }
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the package is a folder of the workspace").to_owned()
}

/// The sample plan, as the README names it.
pub const CHECKOUT: &str = "testdata/checkout/plan.yaml";

/// Whether the programs of some samples can run here.
pub fn has_python() -> bool {
    let here = Command::new("python3").arg("--version").output().is_ok();
    assert!(here || std::env::var("CI").as_deref() != Ok("true"), "python3 is not installed; .ci/setup does it");
    if !here {
        println!("skipped: python3 is not installed");
    }
    here
}
