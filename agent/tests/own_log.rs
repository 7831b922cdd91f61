//! A process of its own, for there is one log a process: what it is told to log, and what comes out.

use std::process::{Command, Stdio};
use std::sync::Arc;

use meshproof_agent::own_log;
use meshproof_proto::mask::Masker;
use tracing_subscriber::EnvFilter;

const SECRET: &str = "c4n4ry \"\\+/=%&<~ é";

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[ignore = "started by what_a_process_logs_has_no_secret_of_its_run"]
fn this_logs() {
    own_log::to_stderr(EnvFilter::new("trace"));
    tracing::info!(SECRET, "before anybody said that it is one");
    own_log::mask_with(Arc::new(Masker::new([("token", SECRET)]).expect("long enough")));
    tracing::error!(error = %format!("it says {SECRET}!"), "displayed");
    tracing::warn!(order = ?vec![Some(SECRET)], "debugged");
    tracing::info!("{SECRET} in the message\nand in its second line: {SECRET}");
    tracing::debug!(hex = hex(SECRET), "encoded");
    let span = tracing::info_span!("call", argument = SECRET);
    span.in_scope(|| tracing::trace!("in a span"));
}

#[test]
#[ignore = "started by what_a_panic_says_has_no_secret_of_its_run"]
fn this_panics() {
    own_log::mask_panics();
    own_log::mask_with(Arc::new(Masker::new([("token", SECRET)]).expect("long enough")));
    let panics: [fn(); 3] = [
        || panic!("an answer that says {SECRET} and {}", hex(SECRET)),
        || SECRET.parse().map(|_: u8| ()).map_err(|_| format!("it was {SECRET}")).expect("an answer"),
        || std::panic::panic_any(SECRET.to_owned()),
    ];
    for panics in panics {
        let thread = std::thread::Builder::new().name(format!("of {SECRET}")).spawn(panics).expect("a thread");
        assert!(thread.join().is_err(), "it panicked");
    }
}

#[test]
fn what_a_panic_says_has_no_secret_of_its_run() {
    for backtrace in ["0", "full"] {
        let mut this = Command::new(std::env::current_exe().expect("we run"));
        this.args(["--exact", "this_panics", "--ignored", "--nocapture"]).env("RUST_BACKTRACE", backtrace);
        let ran = this.stdin(Stdio::null()).output().expect("it was there");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{said}");
        assert_eq!(
            said.matches("a bug of meshproof: thread 'of ***token***' panicked at agent/tests/own_log.rs:").count(),
            3,
            "{said}"
        );
        assert!(said.contains("an answer that says ***token*** and ***token***"), "{said}");
        assert!(said.contains("it was ***token***"), "{said}");
        assert_eq!(said.contains("RUST_BACKTRACE=1 shows"), backtrace == "0", "{said}");
        let pieces = ["c4n4ry", "+/=%", "633463346e347279"].map(|piece| said.contains(piece));
        assert_eq!(pieces, [false; 3], "{said}");
    }
}

#[test]
fn what_a_process_logs_has_no_secret_of_its_run() {
    let mut this = Command::new(std::env::current_exe().expect("we run"));
    this.args(["--exact", "this_logs", "--ignored", "--nocapture"]).stdin(Stdio::null()).stdout(Stdio::null());
    let ran = this.output().expect("it was there");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let (before, after) = said.split_once('\n').expect("it logs");
    assert!(before.contains("before anybody") && before.contains("c4n4ry"), "without a masker it stands there: {said}");
    for event in ["displayed", "debugged", "in the message", "encoded", "in a span"] {
        assert!(after.contains(event), "{event} is missing: {said}");
    }
    assert_eq!(after.matches("***token***").count(), 6, "{said}");
    let pieces = ["c4n4ry", "+/=%", "633463346e347279"].map(|piece| after.contains(piece));
    assert_eq!(pieces, [false; 3], "{said}");
}
