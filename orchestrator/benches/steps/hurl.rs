//! hurl, where it is: one process, one file, connections kept open.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The command line that is measured, but for the file's name.
pub const COMMAND_LINE: &str = "hurl --test --jobs 1 FILE";

/// The program and what it says of its version; none: it is not in the `PATH`.
pub fn version() -> Option<String> {
    let said = Command::new("hurl").arg("--version").output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.lines().next().map(|line| line.split(" (").next().unwrap_or(line).to_owned())
}

/// Milliseconds of the whole process.
pub fn run(file: &Path) -> f64 {
    let began = Instant::now();
    let ended = Command::new("hurl").args(["--test", "--jobs", "1"]).arg(file).output().expect("hurl can be started");
    let took = began.elapsed().as_secs_f64() * 1e3;
    assert!(ended.status.success(), "hurl: {}", String::from_utf8_lossy(&ended.stderr));
    took
}
