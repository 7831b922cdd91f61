//! The page is a peer of the mesh, with a key of its own.

use serde_json::Value;

use super::{LINKED, Served, WIDE, linked_page, says, shows, writes};
use crate::browser::Browser;
use crate::journal::Journal;
use crate::looking::Waiting;
use crate::session::{Session, Shown};

#[test]
fn a_page_links_to_the_agents_over_webrtc_and_what_is_asked_in_it_goes_that_way() {
    let Some((mut browser, run, served)) = linked_page() else { return };
    shows(&mut browser, "way", "WebRTC, 2 of 2");
    assert_eq!(browser.evaluate("location.hash"), "", "the token is out of sight");
    // each has a pair of candidates that was chosen and carries bytes
    let paths = browser.awaited(
        "(async () => { const until = Date.now() + 60000; for (;;) { const paths = await Promise.all(meshproof.mesh.agents.map(({ live }) => live.path())); \
         if (paths.every((path) => path?.bytesReceived > 100) || Date.now() > until) return paths; await new Promise((done) => setTimeout(done, 50)); } })()",
    );
    for path in paths.as_array().expect("a list") {
        let bytes = |way: &str| path[way].as_u64().expect("a nominated pair");
        assert!(bytes("bytesSent") > 100 && bytes("bytesReceived") > 100, "{path}");
    }
    writes(&mut browser, "@all ping");
    says(&mut browser, "2 of 2 well");
    says(&mut browser, "ledger: pong in ");
    writes(&mut browser, "@shop http get /healthz");
    says(&mut browser, "shop: 200 in ");
    writes(&mut browser, "/woh");
    says(&mut browser, "Did you mean 'who'?");
    writes(&mut browser, "/who");
    says(&mut browser, "operator console");
    // the agents see the page itself
    let name = browser.evaluate("meshproof.me.name").as_str().expect("a name").to_owned();
    let who: Value = serde_json::from_slice(&run.ask(&["who", "--json"]).stdout).expect("one document");
    let page = who["peers"].as_array().expect("a list").iter().find(|peer| peer["name"] == name.as_str());
    let page = page.unwrap_or_else(|| panic!("no {name} in {who:#}"));
    assert_eq!(page["instance"], browser.evaluate("meshproof.key.peer"));
    assert_eq!(page["links"], 2, "{who:#}");
    let origin = served.origin().to_owned();
    let socket = origin.replace("http", "ws");
    let others: Vec<String> =
        browser.asked().into_iter().filter(|url| !url.starts_with(&origin) && !url.starts_with(&socket)).collect();
    assert_eq!(others, Vec::<String>::new(), "nobody else is asked");
    assert_eq!(browser.errors(), Vec::<String>::new());
    // a tab that is open keeps no run from ending, and sees the end
    let Waiting { scene, session } = run;
    std::fs::write(scene.path().join("go"), "").expect("a new file");
    session.end().assert_code(0);
    shows(&mut browser, "state", "PASSED");
    served.stop();
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    let asked: Vec<String> = journal
        .facts("asked")
        .map(|found| {
            format!(
                "{}: {}",
                found.fact["by"].as_str().unwrap_or_default(),
                found.fact["line"].as_str().unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(asked, [format!("{name}: @shop http get /healthz")]);
}

/// Somebody at a terminal, who stays for a while.
fn listening(run: &Waiting) -> Session {
    let mut listens = run.scene.meshproof();
    listens.args(["chat", "--as", "bob", "-c", "@shop exec sleep 20"]);
    Session::start(listens, Shown::Text)
}

#[test]
fn people_at_pages_and_at_terminals_hear_each_other() {
    let Some((mut browser, run, served)) = linked_page() else { return };
    let said = run.ask(&["chat", "--as", "bob", "-c", "is anybody at a page?"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("1 person heard it"), "{said:?}");
    says(&mut browser, "is anybody at a page?");
    says(&mut browser, "<console-bob-");
    let mut bob = listening(&run);
    browser.until_it_holds("meshproof.mesh.people.some(({ isUp }) => isUp)");
    writes(&mut browser, "anna is here");
    says(&mut browser, "1 person heard it, and the run's journal has it");
    bob.said("anna is here");
    bob.signal(rustix::process::Signal::INT);
    bob.end().assert_code(130);
    served.stop();
    run.end();
}

#[test]
fn what_disturbs_an_agent_is_seen_in_the_mesh_and_the_lanes_until_it_is_healed() {
    let Some((mut browser, run, served)) = linked_page() else { return };
    // as agents tell it: links with round trip and throughput, and the state of each service
    browser.until_it_holds(r"/ up, [\d.]+ ms, .+B\/s$/.test(document.querySelector('#topology .edge.up title')?.textContent.replace(':', ''))");
    browser.until_it_holds("document.querySelectorAll('#topology .spoke.direct').length === 2");
    browser.until_it_holds(
        r"[...document.querySelectorAll('#topology .trip')].every(({ textContent }) => / ms$/.test(textContent))",
    );
    for agent in ["ledger", "shop"] {
        let row = format!(
            r"new RegExp('^{agent}\\s+WebRTC [\\d.]+ ms\\s+ready\\s+\\d').test(document.querySelector('#health tbody:nth-of-type({}) tr').innerText)",
            if agent == "ledger" { 1 } else { 2 }
        );
        browser.until_it_holds(&row);
    }
    assert_eq!(browser.evaluate("document.querySelectorAll('#topology .disturbed').length"), 0);
    writes(&mut browser, "/fault traffic shop -> ledger latency 300ms for 60s");
    says(&mut browser, "latency 300ms is active as `");
    browser.until_it_holds("document.querySelectorAll('#topology .disturbed').length === 1");
    shows(&mut browser, "health", ".t1: by a person");
    shows(&mut browser, "figures", "1 active");
    assert_eq!(browser.evaluate("meshproof.run.lanes.get('shop').bands.map(({ ended }) => ended).join()"), "");
    writes(&mut browser, "/heal all");
    says(&mut browser, "measured latency");
    browser.until_it_holds("document.querySelectorAll('#topology .disturbed').length === 0");
    browser.until_it_holds("!document.getElementById('health').innerText.includes('by a person')");
    browser.until_it_holds("meshproof.run.lanes.get('shop').bands.every(({ ended }) => ended > 0)");
    served.stop();
    run.end();
}

#[test]
fn a_whole_session_is_done_by_keyboard() {
    let Some((mut browser, run, served)) = linked_page() else { return };
    // from the top to the chat at one stroke, a word completed, the line sent
    browser.presses("Tab");
    browser.presses("Enter");
    browser.until_it_holds("document.activeElement.id === 'line'");
    browser.types("@all pi");
    browser.until_it_holds("document.querySelectorAll('#words li').length === 1");
    browser.presses("Tab");
    browser.until_it_holds("document.activeElement.value === '@all ping '");
    browser.presses("Enter");
    says(&mut browser, "2 of 2 well");
    // back to the lanes, where a step is told
    let back_to = |browser: &mut Browser, id: &str| {
        while browser.evaluate("document.activeElement.id") != id {
            browser.presses_with("Tab", 8);
        }
    };
    back_to(&mut browser, "lines");
    browser.presses("ArrowUp");
    browser.until_it_holds("document.getElementById('whole').innerText.length > 10");
    browser.presses("Escape");
    back_to(&mut browser, "lanes");
    browser.until_it_holds("meshproof.run.lanes.get('shop').bars.length > 0");
    browser.presses("ArrowDown");
    browser.presses("ArrowRight");
    shows(&mut browser, "lanes-hint", "waits: ");
    // and the way's button says how frames travel
    back_to(&mut browser, "way");
    browser.presses("Enter");
    shows(&mut browser, "way-about", "Its links have carried");
    served.stop();
    run.end();
}

#[test]
fn a_page_is_connected_soon_after_it_was_opened() {
    /// Milliseconds from the page's navigation to a heartbeat that every agent has answered.
    const MOST_MS: f64 = 5_000.0;
    let Some(mut browser) = Browser::start() else { return };
    let run = Waiting::start();
    let served = Served::beside(&run);
    let mut took: Vec<f64> = (0..5)
        .map(|_| {
            browser.go(&served.operators, WIDE);
            browser.until_it_holds(LINKED);
            let began = "Math.max(...meshproof.mesh.agents.map(({ live }) => live.openedAt))";
            browser.evaluate(began).as_f64().expect("a number")
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!("connected after {:.0} ms, {:.0} to {:.0} ms, of five", took[2], took[0], took[4]);
    assert!(took[2] < MOST_MS, "{took:?}");
    served.stop();
    run.end();
}

#[test]
fn without_udp_somebody_stands_in_for_the_page_and_it_says_so() {
    let Some(mut browser) = Browser::start_with(&["--webrtc-ip-handling-policy=disable_non_proxied_udp"]) else {
        return;
    };
    let run = Waiting::start();
    let served = Served::beside(&run);
    browser.go(&served.operators, WIDE);
    browser.until_it_holds("meshproof.mesh.agents.filter(({ way }) => way === 'stand-in').length === 2");
    shows(&mut browser, "way", "fallback, 2 of 2");
    writes(&mut browser, "@all ping");
    says(&mut browser, "2 of 2 well");
    writes(&mut browser, "@shop http get /healthz");
    says(&mut browser, "shop: 200 in ");
    browser.until_it_holds("meshproof.watch.seen.size === 2 && [...meshproof.watch.seen.values()].every(({ status, failed }) => status && !failed)");
    assert_eq!(browser.evaluate("meshproof.mesh.agents.some(({ isUp }) => isUp)"), false, "no link is up that is none");
    // direct links are tried beside it, and break no call: more attempts than one lie between these
    let attempts = "Math.max(...meshproof.mesh.agents.map(({ highest }) => highest))";
    let before = browser.evaluate(attempts).as_u64().expect("a number");
    let mut calls = 0;
    while browser.evaluate(attempts).as_u64() < Some(before + 2) {
        calls += 1;
        writes(&mut browser, "@all ping");
        let answers =
            format!("document.getElementById('said').innerText.split('2 of 2 well').length - 1 === {}", calls + 1);
        browser.until_it_holds(&answers);
    }
    let said = browser.evaluate("document.getElementById('said').innerText");
    assert!(!said.as_str().is_some_and(|said| said.contains("0 of 2") || said.contains("1 of 2")), "{said}");
    // people are heard through it, too, and hear what is said here
    let said = run.ask(&["chat", "--as", "bob", "-c", "is anybody at a page?"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("1 person heard it"), "{said:?}");
    says(&mut browser, "is anybody at a page?");
    let mut bob = listening(&run);
    browser.until_it_holds(
        "meshproof.mesh.people.some(({ name, way }) => name.startsWith('console-bob') && way === 'stand-in')",
    );
    writes(&mut browser, "anna is here");
    says(&mut browser, "1 person heard it, and the run's journal has it");
    bob.said("anna is here");
    bob.signal(rustix::process::Signal::INT);
    bob.end().assert_code(130);
    served.stop();
    run.end();
}
