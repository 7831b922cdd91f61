//! What the command itself says when it panics. It does where its output cannot be written, which is the one way to have it do so from
//! outside.

use std::fs::{self, File};
use std::process::{Command, Stdio};

const PLAN: &str = "meshproof: 1\nplan: p\nsecrets: { word: {} }\nservices:\n  a: { exec: { argv: [a, \"${{ secrets.word }}\"] } }\ntests:\n  - id: t\n    steps: [{ say: hello }]\n";

#[test]
fn a_panic_of_the_command_tells_no_secret_that_it_was_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plan, secret) = (folder.path().join("plan.yaml"), folder.path().join("word"));
    fs::write(&plan, PLAN).expect("a new file");
    // a word of what the standard library says then
    fs::write(&secret, "printing").expect("a new file");
    let full = File::options().write(true).open("/dev/full").expect("every Linux has it");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
    command.arg("check").arg(&plan).arg("--secret").arg(format!("word@{}", secret.display()));
    let ran = command.stdin(Stdio::null()).stdout(full).env("RUST_BACKTRACE", "0").output().expect("it was built");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(70), "a bug's exit code: {said}");
    assert!(said.starts_with("a bug of meshproof: thread 'main' panicked at "), "{said}");
    assert!(said.contains("failed ***word*** to stdout"), "{said}");
    assert!(!said.contains("printing"), "{said}");
}
