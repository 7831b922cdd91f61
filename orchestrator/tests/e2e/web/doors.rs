//! Who is let in, and as what.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::{LINKED, Served, WIDE, says, shows, writes};
use crate::browser::Browser;
use crate::looking::Waiting;

#[test]
fn an_observers_page_looks_and_is_refused_whatever_does_more() {
    let Some(mut browser) = Browser::start() else { return };
    let run = Waiting::start();
    let served = Served::beside(&run);
    browser.go(&served.observers, WIDE);
    browser.until_it_holds(LINKED);
    shows(&mut browser, "about", "observer");
    for (line, said) in [
        ("@all ping", "2 of 2 well"),
        (
            "@shop http get /healthz",
            "doing a step beside a run is for an orchestrator or an operator console, not for an observer",
        ),
        (
            "/fault traffic shop -> ledger latency 1s for 5s",
            "beginning a fault is for an orchestrator or an operator console",
        ),
        ("/pause", "holding a run, or letting it go on, is for an orchestrator or an operator console"),
        ("/run plan.yaml", "this console only looks"),
        ("/stubs payments --purge", "this console only looks"),
        ("/save here.yaml", "it writes no files"),
        ("/links", "orchestrator"),
    ] {
        writes(&mut browser, line);
        says(&mut browser, said);
    }
    served.stop();
    run.end();
}

#[test]
fn a_token_of_another_process_opens_nothing_and_says_what_would() {
    let Some(mut browser) = Browser::start() else { return };
    let run = Waiting::start();
    let served = Served::beside(&run);
    browser.go(&format!("{}/#nonsense", served.origin()), WIDE);
    shows(&mut browser, "notice", "open the URL that `meshproof web` prints now");
    for (id, said) in [("state", "NOT LET IN"), ("way", "no link"), ("topology", "a token that is good here")] {
        shows(&mut browser, id, said);
    }
    assert_eq!(browser.evaluate("/joining|waiting/i.test(document.body.innerText)"), false, "nothing is on its way");
    served.stop();
    run.end();
}

/// The status line and the headers.
fn asked(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers and closes");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn who_asks_by_another_name_or_for_another_site_is_refused() {
    let run = Waiting::start();
    let served = Served::beside(&run);
    let address = served.origin().strip_prefix("http://").expect("a URL").to_owned();
    let get = |path: &str, host: &str, more: &str| {
        asked(&address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n"))
    };
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let page = get("/", &address, "");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{page}");
    // as at the near end of `ssh -L 9000:…`
    assert!(get("/", "localhost:9000", "Origin: http://localhost:9000\r\n").starts_with("HTTP/1.1 200 "));
    for (path, host, more) in [
        ("/", "evil.example", ""),
        ("/metrics", "evil.example", ""),
        ("/", "localhost:9000", "Origin: http://localhost:9001\r\n"),
        ("/main.js", "evil.example", ""),
        ("/socket", address.as_str(), "Origin: http://evil.example\r\n"),
        ("/socket", address.as_str(), "Origin: null\r\n"),
        ("/socket", "evil.example", "Origin: http://evil.example\r\n"),
    ] {
        let answer = get(path, host, &format!("{more}{upgrade}").replace("Connection: close\r\n", ""));
        assert!(
            answer.starts_with("HTTP/1.1 403 ") && answer.contains("open the URL that `meshproof web` printed"),
            "{path} {host}: {answer}"
        );
    }
    assert!(get("/../Cargo.toml", &address, "").starts_with("HTTP/1.1 404 "));
    served.stop();
    run.end();
}

#[test]
fn machines_ask_how_it_is_where_the_page_is_and_where_they_are_told_to() {
    let run = Waiting::start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let elsewhere = free.to_string();
    let mut command = run.scene.meshproof();
    command.args(["web", "--health", &elsewhere]);
    let served = Served::start(command);
    let page = served.origin().strip_prefix("http://").expect("a URL").to_owned();
    for address in [page, elsewhere] {
        let get = |path: &str| {
            asked(&address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
        };
        for path in ["/healthz", "/readyz"] {
            let answer = get(path);
            assert!(
                answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"),
                "{address}{path}: {answer}"
            );
        }
        let figures = get("/metrics");
        assert!(figures.contains("content-type: application/openmetrics-text; version=1.0.0"), "{figures}");
        assert!(figures.contains("\nmeshproof_web_tabs 0\n") && figures.ends_with("# EOF\n"), "{figures}");
    }
    served.stop();
    run.end();
}

#[test]
fn only_this_machine_is_served() {
    let run = Waiting::start();
    let refused = run.ask(&["web", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("can be reached from other machines") && said.contains("ssh -L"), "{said}");
    run.end();
}
