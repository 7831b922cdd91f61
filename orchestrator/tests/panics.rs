//! What the command itself says when it panics. It does where it may open no files, without which there are no timers; that is the
//! one way to have it do so from outside.

use std::fs;
use std::process::{Command, Stdio};

const PLAN: &str = "meshproof: 1\nplan: p\nsecrets: { word: {} }\nservices:\n  a: { exec: { argv: [a, \"${{ secrets.word }}\"] } }\ntests:\n  - id: t\n    steps: [{ say: hello }]\n";

#[test]
fn a_panic_of_the_command_tells_no_secret_that_it_was_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plan, secret) = (folder.path().join("plan.yaml"), folder.path().join("word"));
    fs::write(&plan, PLAN).expect("a new file");
    // a word of what is said then
    fs::write(&secret, "threads").expect("a new file");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 4; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_meshproof"), "run"]).arg(&plan);
    command.arg("--out").arg(folder.path().join("out"));
    command.arg("--secret").arg(format!("word@{}", secret.display()));
    let ran = command.stdin(Stdio::null()).env("RUST_BACKTRACE", "0").output().expect("it was built");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(70), "a bug's exit code: {said}");
    assert!(said.starts_with("a bug of meshproof: thread 'main' panicked at "), "{said}");
    assert!(said.contains("gives ***word*** and timers"), "{said}");
    assert!(!said.contains("threads"), "{said}");
}
