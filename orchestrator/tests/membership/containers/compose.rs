//! The compose file of `deploy/`, as somebody starts it who has nothing but the images.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{images, is_possible, podman, root};

/// The folder with the compose file, of one test, and what was started by it.
struct Yard {
    place: TempDir,
    project: String,
    port: u16,
}

impl Yard {
    fn new() -> Self {
        let place = TempDir::with_prefix("mp-").expect("a temporary folder");
        for file in ["compose.yaml", "up"] {
            std::fs::copy(root().join("deploy/compose").join(file), place.path().join(file)).expect("it is there");
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        Self { place, project: format!("mp{}", std::process::id()), port: free.port() }
    }

    fn command(&self, program: &Path) -> Command {
        let tools = root().join("target/tools");
        let path = format!("{}:{}", tools.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(program);
        command.current_dir(self.place.path()).env("PATH", path).env("PYTHONPATH", tools).stdin(Stdio::null());
        command.env("ENGINE", "podman").env("CONTAINERS_CONF", podman::settings()).env("MESHPROOF_TAG", "test");
        command.env("COMPOSE_PROJECT_NAME", &self.project).env("MESHPROOF_PORT", self.port.to_string());
        command.env("MESHPROOF", env!("CARGO_BIN_EXE_meshproof")).env_remove("MESHPROOF_SIGNALING");
        command
    }

    fn done(&self, program: &Path, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().expect("it can be started");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, errors) = (said(&output.stdout), said(&output.stderr));
        assert!(output.status.success(), "{} {arguments:?}: {out}{errors}", program.display());
        out
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        let compose = root().join("target/tools/bin/podman-compose");
        let _ = self.command(&compose).args(["-f", "compose.yaml", "down", "--volumes", "--timeout", "0"]).output();
    }
}

#[test]
fn the_compose_file_starts_the_sample_with_an_agent_beside_each_service_and_a_plan_passes_there() {
    if !is_possible() {
        return;
    }
    if !root().join("target/tools/podman_compose.py").exists() {
        println!("skipped: the compose file, because podman-compose is not in target/tools; .ci/setup brings it");
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "CI has podman-compose");
        return;
    }
    images();
    let yard = Yard::new();
    let up = yard.place.path().join("up");
    assert!(yard.done(&up, &[]).contains("run a plan with: meshproof run PLAN --mesh"));
    // what is there stays as it is
    yard.done(&up, &[]);
    let sample = root().join("testdata/checkout/plan.yaml").display().to_string();
    let ran = yard.done(
        Path::new(env!("CARGO_BIN_EXE_meshproof")),
        &["run", &sample, "--mesh", "mesh/run.toml", "--out", "out", "--progress", "json"],
    );
    assert!(ran.lines().last().is_some_and(|end| end.contains("\"verdict\":\"pass\"")), "{ran}");
}
