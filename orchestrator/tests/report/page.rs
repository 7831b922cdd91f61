//! The page in a real browser, opened from disk.

use std::path::PathBuf;

use meshproof::report::{self, Story};

use crate::browser::{Browser, View};
use crate::{busy, hostile, story};

const VIEWS: [View; 4] = [
    View { scheme: "light", width: 1280 },
    View { scheme: "dark", width: 1280 },
    View { scheme: "light", width: 320 },
    View { scheme: "dark", width: 320 },
];

/// Bytes of a page about a hundred thousand events, and milliseconds until it is open.
const MOST_BYTES: usize = 3_000_000;
const MOST_MS: f64 = 2_000.0;

fn written(story: &Story) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a temporary folder");
    let file = place.path().join("report.html");
    std::fs::write(&file, report::html(story)).expect("room for it");
    (place, file)
}

#[track_caller]
fn assert_good(browser: &mut Browser, view: View) {
    assert_eq!(browser.complaints(), Vec::<String>::new(), "{view:?}");
    let wide = browser.evaluate("document.documentElement.scrollWidth").as_u64();
    let widest = "[...document.querySelectorAll('main *, header *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll')) \
        .slice(0, 5).map(e => e.tagName + '.' + e.className + ' in ' + e.parentElement.className).join(', ')";
    let widest = browser.evaluate(widest);
    assert!(wide <= Some(u64::from(view.width)), "{view:?} scrolls sideways: {wide:?}, {widest}");
}

#[test]
fn a_page_asks_nobody_for_anything_complains_of_nothing_and_never_scrolls_sideways() {
    let Some(mut browser) = Browser::start() else { return };
    let (_place, file) = written(&story());
    let mut papers = Vec::new();
    for view in VIEWS {
        browser.open(&file, view);
        assert_good(&mut browser, view);
        papers.push(browser.evaluate("getComputedStyle(document.body).backgroundColor").to_string());
        assert_eq!(browser.evaluate("document.scripts.length"), 0);
    }
    assert_ne!(papers[0], papers[1], "dark is not light");
    assert_eq!(browser.evaluate("document.querySelectorAll('#failures article').length"), 1);
    // every address in the page is one of its own places, and leads somewhere
    let lost = "[...document.querySelectorAll('a')].filter(a => !document.getElementById(a.getAttribute('href').slice(1))).length";
    assert_eq!(browser.evaluate(lost), 0);
}

#[test]
fn a_page_of_hostile_texts_runs_nothing_asks_nobody_and_stays_in_its_width() {
    let Some(mut browser) = Browser::start() else { return };
    let (_place, file) = written(&hostile::story());
    for view in VIEWS {
        browser.open(&file, view);
        assert_good(&mut browser, view);
        assert_ne!(browser.evaluate("document.title"), "owned");
        assert_eq!(browser.evaluate("document.querySelectorAll('script, img, iframe, object, embed').length"), 0);
    }
}

#[test]
fn a_page_of_a_hundred_thousand_events_is_small_and_says_what_it_leaves_out() {
    for agents in [3, 60] {
        let story = Story::of(busy::records(100_000, agents));
        let page = report::html(&story);
        assert!(page.len() < MOST_BYTES, "{} bytes for {agents} agents", page.len());
        for left_out in [
            "more steps are not shown",
            "lines of the middle are not shown",
            "more, by name",
            "more characters are in the journal",
            "The page is full",
        ] {
            assert!(page.contains(left_out), "`{left_out}` is not said");
        }
        let Some(mut browser) = Browser::start() else { return };
        let (_place, file) = written(&story);
        for view in VIEWS {
            // the page is measured, not what else the machine does
            let took = (0..3).map(|_| browser.open(&file, view)).fold(f64::MAX, f64::min);
            println!("{} bytes, {agents} agents, {view:?}: open after {took:.0} ms", page.len());
            assert!(took < MOST_MS, "open after {took:.0} ms: {view:?}");
            assert_good(&mut browser, view);
        }
    }
}

/// `.ci/pictures` makes them.
#[test]
#[ignore = "makes the pictures of the docs: .ci/pictures"]
fn pictures() {
    let folder = PathBuf::from(std::env::var_os("PICTURES").expect("PICTURES names a folder"));
    let mut browser = Browser::start().expect("chromium draws them");
    let (_place, file) = written(&story());
    for (name, view, from, to) in [
        ("report", VIEWS[0], "header", ".evidence:nth-of-type(2)"),
        ("report-timeline", VIEWS[1], "#timeline", "#failovers"),
        ("report-latency", VIEWS[0], "#latency", "#links"),
        ("report-narrow", VIEWS[3], "header", ".compared"),
    ] {
        browser.open(&file, view);
        std::fs::write(folder.join(format!("{name}.png")), browser.picture(from, to, 24.0)).expect("room for it");
    }
}
