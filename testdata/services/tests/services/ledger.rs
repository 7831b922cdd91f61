use std::io::Write;
use std::time::{Instant, UNIX_EPOCH};

use crate::support::{LEDGER, Lines, PATIENCE, Scratch, Service, stamp_ms};

fn start(audit: &Scratch) -> Service {
    Service::start(LEDGER, &[("AUDIT", audit.path())])
}

/// Asks until the order is settled, which nothing announces on the wire.
fn wait_until_settled(lines: &mut Lines, id: &str) {
    let start = Instant::now();
    loop {
        match lines.ask(&format!("STATUS {id}")).as_str() {
            answer if answer == format!("OK settled {id}") => return,
            answer if answer == format!("OK pending {id}") => {}
            answer => panic!("{answer}"),
        }
        assert!(start.elapsed() < PATIENCE, "{id} stays pending");
    }
}

#[test]
fn a_post_is_pending_until_the_audit_file_has_it_and_settled_from_then_on() {
    let audit = Scratch::new("late-audit");
    let ledger = start(&audit);
    let mut lines = Lines::connect(&ledger.address);

    lines.send("POST o-1\nSTATUS o-1\n");
    assert_eq!(lines.receive(), "OK posted o-1");
    assert_eq!(lines.receive(), "OK pending o-1");
    wait_until_settled(&mut lines, "o-1");

    let written = audit.lines();
    assert_eq!(written.len(), 1);
    assert!(written[0].ends_with(" posted o-1"), "{written:?}");
    let modified = audit.0.metadata().and_then(|file| file.modified()).expect("the file is there");
    let modified_ms = modified.duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    // The kernel stamps files with the time of its last tick, some milliseconds old.
    assert!(modified_ms >= stamp_ms(&written[0]) + 130, "written without delay");
}

#[test]
fn an_order_posted_twice_on_two_connections_is_in_the_audit_file_once() {
    let audit = Scratch::new("idempotent");
    let ledger = start(&audit);
    let mut first = Lines::connect(&ledger.address);
    let mut second = Lines::connect(&ledger.address);

    assert_eq!(first.ask("POST o-7"), "OK posted o-7");
    assert_eq!(second.ask("POST o-7"), "OK posted o-7");
    wait_until_settled(&mut first, "o-7");
    assert_eq!(second.ask("POST o-7"), "OK posted o-7");
    assert_eq!(second.ask("POST o-8"), "OK posted o-8");
    wait_until_settled(&mut first, "o-8");

    let posts = audit.lines().iter().filter(|line| line.ends_with(" posted o-7")).count();
    assert_eq!(posts, 1);
}

#[test]
fn lines_that_are_no_request_are_answered_with_err_and_the_connection_lives() {
    let audit = Scratch::new("bad-lines");
    let ledger = start(&audit);
    let mut lines = Lines::connect(&ledger.address);

    assert_eq!(lines.ask("STATUS nobody"), "ERR unknown nobody");
    assert_eq!(lines.ask(""), "ERR empty line");
    assert_eq!(lines.ask("POST"), "ERR an id is missing");
    assert_eq!(lines.ask("POST a b"), "ERR more than one id");
    assert_eq!(lines.ask("DELETE a"), "ERR no such verb DELETE");
    assert_eq!(lines.ask("POST 17\r"), "OK posted 17");
    lines.send(&"x".repeat(5000));
    assert_eq!(lines.receive(), "ERR a line without an end");
}

#[test]
fn ten_thousand_posts_on_one_connection_all_reach_the_audit_file() {
    let audit = Scratch::new("many");
    let ledger = start(&audit);
    let mut lines = Lines::connect(&ledger.address);
    let mut sender = lines.sender();

    let sending = std::thread::spawn(move || {
        let posts: String = (0..10_000).map(|id| format!("POST {id}\n")).collect();
        sender.write_all(posts.as_bytes()).expect("the ledger reads");
    });
    for id in 0..10_000 {
        assert_eq!(lines.receive(), format!("OK posted {id}"));
    }
    sending.join().expect("all was sent");
    wait_until_settled(&mut lines, "9999");

    let ids: Vec<String> = audit.lines().iter().filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())).collect();
    assert!(ids.into_iter().eq((0..10_000).map(|id| id.to_string())));
    let told = ledger.facts();
    assert!(told.len() < 10, "stdout has {} lines", told.len());
}

#[test]
fn stdout_tells_when_a_connection_opens_first_posts_and_closes() {
    let audit = Scratch::new("facts");
    let ledger = start(&audit);
    let mut lines = Lines::connect(&ledger.address);
    let open = ledger.fact("connection=1 open");
    lines.ask("POST o-3");
    lines.ask("POST o-4");
    let first = ledger.fact("connection=1 first-post order=o-3");
    drop(lines);
    let closed = ledger.fact("connection=1 closed posts=2");
    assert!(stamp_ms(&open) <= stamp_ms(&first) && stamp_ms(&first) <= stamp_ms(&closed));
}
