//! What a test does to the networks of this machine, by the commands that do it.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs a command whose arguments have no spaces.
pub fn run(line: &str) -> Result<(), String> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    let output = command.args(words).stdin(Stdio::null()).output().map_err(|error| format!("{line}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Tells nft rules.
pub fn nft(rules: &str) {
    let mut nft = Command::new("nft");
    let mut nft = nft.args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft is there");
    nft.stdin.take().expect("it is a pipe").write_all(rules.as_bytes()).expect("it reads");
    assert!(nft.wait().expect("it is our child").success(), "{rules}");
}
