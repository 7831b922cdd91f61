//! The page of `meshproof web` reading a journal: of very much, of the worst, and of a run that is over; and what a person with a keyboard,
//! a narrow screen or a reader of screens has of it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use meshproof::journal::{self, Journal};
use meshproof::mesh_file::MeshFile;
use meshproof::record::{Happening, Record};
use meshproof_proto::id::{Name, RunId};
use meshproof_proto::identity::{Grant, Key, Role, Token, UnixSeconds};
use serde_json::Value;

use crate::browser::{Browser, View};
use crate::hostile::{self, WORST};
use crate::{busy, records};

const WIDE: View = View { scheme: "light", width: 1280 };
const VIEWS: [View; 4] = [
    WIDE,
    View { scheme: "dark", width: 1280 },
    View { scheme: "light", width: 320 },
    View { scheme: "dark", width: 320 },
];

/// Elements of the page, however much has happened.
const MOST_ELEMENTS: u64 = 1_500;

/// `meshproof web` of a run of which there is a journal, and no mesh any more.
struct Served {
    child: Child,
    url: String,
    place: tempfile::TempDir,
    journal: Option<Journal>,
    /// Records that were there from the beginning.
    count: usize,
}

impl Served {
    fn of(records: Vec<Record>) -> Self {
        Self::beside(Some(RunId("r-told".to_owned())), records)
    }

    /// Of a run, or of a mesh that is no run's.
    fn beside(run: Option<RunId>, records: Vec<Record>) -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        let name = run.as_ref().map_or("none", |run| run.0.as_str());
        let folder = place.path().join(if run.is_some() { "runs" } else { "elsewhere" }).join(name);
        std::fs::create_dir_all(&folder).expect("a new folder");
        let mut journal = Journal::create(&folder.join(journal::FILE_NAME)).expect("a new file");
        // one that an agent told twice is written once
        let written = records.into_iter().filter_map(|record| journal.append(record.entry).expect("written"));
        let count = written.count();
        let file = place.path().join("mesh.toml");
        std::fs::write(&file, mesh_file(run).text()).expect("a new file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
        command.args(["web", "--as", "anna", "--mesh"]).arg(&file).env("MESHPROOF_RUNS", place.path().join("runs"));
        command.env("XDG_RUNTIME_DIR", place.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the binary was built with this test");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it says where");
        let url = line.split_whitespace().next().expect("a URL").to_owned();
        Self { child, url, place, journal: Some(journal), count }
    }

    /// Opens the page, and waits until it has read everything.
    fn open(&self, browser: &mut Browser, view: View) {
        browser.go(&self.url, view);
        browser.until_it_holds(&format!("globalThis.meshproof && meshproof.run.n === {}", self.count));
        // what was read is drawn with the next frame
        let drawn = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))";
        browser.awaited(drawn);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mesh_file(run: Option<RunId>) -> MeshFile {
    let root = Key::from_seed([1; 32]);
    let mesh: Name = "local".parse().expect("a name");
    let token = Token::issue(&root, [2; 32], |token| Grant {
        mesh: mesh.clone(),
        names: "console-*".to_owned(),
        role: Role::OperatorConsole,
        capabilities: BTreeSet::new(),
        not_after: UnixSeconds(u64::MAX / 2),
        token,
    });
    // nobody listens at that port
    let signaling = vec!["ws://127.0.0.1:1/mesh".to_owned()];
    MeshFile { run, mesh, root: root.public(), signaling, agents: Vec::new(), token, ca: None }
}

#[track_caller]
fn assert_narrow(browser: &mut Browser, view: View) {
    let wide = browser.evaluate("document.documentElement.scrollWidth").as_u64();
    let widest = "[...document.querySelectorAll('header *, main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, #lanes, .hidden')) \
        .slice(0, 5).map(e => e.tagName + '#' + e.id + '.' + e.className).join(', ')";
    let widest = browser.evaluate(widest);
    assert!(wide <= Some(u64::from(view.width)), "{view:?} scrolls sideways: {wide:?}, {widest}");
}

#[test]
fn faults_bars_and_gaps_are_in_the_lanes_where_the_journal_has_them() {
    let Some(mut browser) = Browser::start() else { return };
    let served = Served::of(records());
    served.open(&mut browser, WIDE);
    let of = |browser: &mut Browser, lane: &str, what: &str| {
        browser.evaluate(&format!("meshproof.run.lanes.get('{lane}').{what}"))
    };
    let faults = "bands.map(({ fault, ended, began }) => `${fault} ${ended > began}`).sort().join()";
    assert_eq!(of(&mut browser, "shop", faults), "ledger-cut true,slow-payments true");
    assert_eq!(of(&mut browser, "ledger", "gone.map(({ ended, began }) => ended > began).join()"), "true");
    assert_eq!(of(&mut browser, "shop", "bars.filter(({ ending }) => ending === 'fail').length"), 1);
    assert_eq!(browser.evaluate("meshproof.run.people.size"), 0, "the run's faults are nobody's");
    assert_eq!(browser.evaluate("meshproof.run.verdict"), "fail");
    browser.until_it_holds("document.getElementById('failures').innerText.includes('/show f1')");
}

#[test]
fn a_page_asks_the_turn_servers_that_signaling_tells_it_of() {
    let Some(mut browser) = Browser::start() else { return };
    let served = Served::of(records());
    served.open(&mut browser, WIDE);
    browser.until_it_holds("meshproof.mesh");
    let told = r#"{ "ice": [{ "urls": ["turn:127.0.0.1:9"], "username": "9:me", "credential": "c" }] }"#;
    let asked = "import(new URL('mesh/connection.js', document.querySelector('script[type=module]').src)).then(({ Connection }) => \
                 new Connection(meshproof.mesh, 'peer', 1, {}).rtc.getConfiguration().iceServers)";
    assert_eq!(browser.awaited(asked), serde_json::json!([]));
    browser.awaited(&format!("meshproof.mesh.hearSignaling({{ heard: {} }})", Value::from(told)));
    let servers = browser.awaited(asked);
    assert_eq!(servers[0]["urls"], serde_json::json!(["turn:127.0.0.1:9"]));
    assert_eq!((&servers[0]["username"], &servers[0]["credential"]), (&Value::from("9:me"), &Value::from("c")));
}

#[test]
fn a_run_that_nobody_goes_on_with_has_broken_off_and_its_clock_stands() {
    let Some(mut browser) = Browser::start() else { return };
    let mut all = records();
    let end = all.iter().position(|record| matches!(record.entry.what, Happening::RunEnded { .. })).expect("it ends");
    all.truncate(end);
    let mut served = Served::of(all);
    served.open(&mut browser, WIDE);
    browser.until_it_holds("document.getElementById('state').innerText === 'RUNNING'");
    served.journal = None;
    browser.until_it_holds("document.getElementById('state').innerText === 'BROKE OFF'");
    browser.until_it_holds("document.getElementById('notice').innerText.includes('nobody went on with it')");
    assert_eq!(browser.evaluate("meshproof.run.endedAt === meshproof.run.at"), true);
    browser.until_it_holds("document.getElementById('topology').innerText.includes('The run is over')");
}

#[test]
fn a_page_of_a_mesh_of_ones_own_shows_each_run_that_comes() {
    let Some(mut browser) = Browser::start() else { return };
    let mut served = Served::beside(None, Vec::new());
    browser.go(&served.url, WIDE);
    browser.until_it_holds(
        "document.getElementById('notice').innerText.includes('No run of this machine uses this mesh so far')",
    );
    let file = served.place.path().join("mesh.toml").to_string_lossy().into_owned();
    for (run, arguments) in
        [("r-one", ["--mesh".to_owned(), file.clone()]), ("r-two", [format!("--mesh={file}"), String::new()])]
    {
        let folder = served.place.path().join("runs").join(run);
        std::fs::create_dir_all(&folder).expect("a new folder");
        let mut journal = Journal::create(&folder.join(journal::FILE_NAME)).expect("a new file");
        for mut entry in records().into_iter().take(3).map(|record| record.entry) {
            match &mut entry.what {
                Happening::RunBegan { run: name, .. } => *name = RunId(run.to_owned()),
                Happening::Invoked(how) => how.arguments = arguments.to_vec(),
                _ => {}
            }
            journal.append(entry).expect("written");
        }
        // the one before is not written any more
        served.journal = Some(journal);
        browser.until_it_holds(&format!("meshproof.run.id === '{run}' && meshproof.run.state === 'runs'"));
    }
}

#[test]
fn the_tab_key_completes_however_fast_it_comes_and_leads_on_where_nothing_is_proposed() {
    let Some(mut browser) = Browser::start() else { return };
    let served = Served::of(records());
    served.open(&mut browser, WIDE);
    browser.evaluate("document.getElementById('line').focus()");
    browser.types("/schem");
    browser.presses("Tab");
    browser.until_it_holds("document.getElementById('line').value === '/schema '");
    browser.evaluate("document.getElementById('line').value = ''");
    // several: the key goes through them, and Enter takes one
    browser.types("/s");
    browser.presses("Tab");
    browser.until_it_holds("document.querySelector('#words [aria-selected=true]')?.id === 'word-0'");
    browser.presses("Tab");
    browser.until_it_holds("document.querySelector('#words [aria-selected=true]')?.id === 'word-1'");
    browser.presses("Enter");
    browser.until_it_holds("/^\\/s[a-z]+ $/.test(document.getElementById('line').value)");
    assert_eq!(browser.evaluate("document.activeElement.id"), "line");
    browser.presses("Escape");
    browser.presses("Tab");
    browser.until_it_holds("document.activeElement.type === 'submit'");
}

#[test]
fn a_feed_follows_whatever_becomes_of_the_window() {
    let Some(mut browser) = Browser::start() else { return };
    let all = busy::records(2_000, 3);
    let (before, later) = all.split_at(1_000);
    let mut served = Served::of(before.to_vec());
    let newest = "document.getElementById('newest').hidden";
    served.open(&mut browser, WIDE);
    for width in [320, 1920, 700, 1280, 360, 1280] {
        browser.resizes(View { width, ..WIDE });
        browser.awaited("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
    }
    let journal = served.journal.as_mut().expect("somebody writes it");
    for record in later {
        drop(journal.append(record.entry.clone()).expect("written"));
    }
    browser.until_it_holds(&format!("meshproof.run.n === {}", all.len()));
    browser.until_it_holds(newest);
    let last = "document.querySelector('#lines .line:last-of-type') && [...document.querySelectorAll('#lines .line')].some((line) => Number(line.dataset.at) === meshproof.run.lines.length - 1)";
    browser.until_it_holds(last);
}

#[test]
fn a_page_of_a_hundred_thousand_events_has_few_elements_and_every_line_is_found() {
    let Some(mut browser) = Browser::start() else { return };
    let served = Served::of(busy::records(100_000, 30));
    for view in VIEWS {
        served.open(&mut browser, view);
        let elements = browser.evaluate("document.querySelectorAll('*').length").as_u64().expect("a number");
        assert!(elements < MOST_ELEMENTS, "{elements} elements: {view:?}");
        assert_narrow(&mut browser, view);
    }
    let lines = browser.evaluate("meshproof.run.lines.length").as_u64().expect("a number");
    assert!(lines > 50_000, "{lines} lines");
    // the first line is as far as the last, and a filter looks at all of them
    browser.evaluate("document.getElementById('lines').scrollTop = 0");
    browser.until_it_holds("document.getElementById('lines').innerText.includes('busy.yaml')");
    browser.evaluate("document.getElementById('filter').focus()");
    browser.types("busy.yaml");
    browser.until_it_holds("document.querySelectorAll('#lines .line').length === 1");
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[test]
fn a_page_of_hostile_records_runs_nothing_and_shows_what_was_written() {
    let Some(mut browser) = Browser::start() else { return };
    let served = Served::of(hostile::worst_records());
    for view in VIEWS {
        served.open(&mut browser, view);
        browser.until_it_holds("document.getElementById('lines').innerText.includes('<script>')");
        assert!(browser.evaluate("document.title").as_str().is_some_and(|title| title != "owned"), "it ran");
        assert_eq!(browser.evaluate("document.querySelectorAll('img, iframe, object, embed').length"), 0);
        assert_eq!(browser.evaluate("document.scripts.length"), 1);
        let hidden =
            browser.evaluate("/[\\u202e\\u200b\\u0007\\u001b\\u009b]/.test(document.body.innerText + document.title)");
        assert_eq!(hidden, false, "what hides or turns text is in the page");
        assert_narrow(&mut browser, view);
        let foreign: Vec<String> =
            browser.asked().into_iter().filter(|url| !url.contains("127.0.0.1") || url.contains(":9/")).collect();
        assert_eq!(foreign, Vec::<String>::new());
        assert_eq!(browser.errors(), Vec::<String>::new());
    }
    // and what is typed into the chat stays text, too
    browser.evaluate("document.getElementById('line').focus()");
    browser.types(&format!("# {}", WORST.replace(['\r', '\n'], " ")));
    browser.presses("Enter");
    browser.until_it_holds("document.getElementById('said').innerText.includes('<script>')");
    assert_eq!(browser.evaluate("document.scripts.length"), 1);
}

#[test]
fn a_page_follows_a_thousand_records_a_second_at_nearly_every_frame() {
    let Some(mut browser) = Browser::start() else { return };
    let all = busy::records(12_000, 10);
    let (before, later) = all.split_at(2_000);
    let mut served = Served::of(before.to_vec());
    served.open(&mut browser, WIDE);
    browser.evaluate(
        "globalThis.frames_ = []; (function look(at) { frames_.push(at); requestAnimationFrame(look); })(performance.now())",
    );
    let mut due = std::time::Instant::now();
    for (at, record) in later.iter().enumerate() {
        let journal = served.journal.as_mut().expect("somebody writes it");
        drop(journal.append(record.entry.clone()).expect("written"));
        if at % 50 == 49 {
            due += std::time::Duration::from_millis(50);
            // the pace of whoever writes, and no wait for anything
            let (_never, paced) = std::sync::mpsc::channel::<()>();
            let _ = paced.recv_timeout(due.saturating_duration_since(std::time::Instant::now()));
        }
    }
    browser.until_it_holds(&format!("meshproof.run.n === {}", all.len()));
    let rate = browser.evaluate("frames_.length / ((frames_.at(-1) - frames_[0]) / 1000)").as_f64().expect("a number");
    let longest = "Math.max(...frames_.slice(1).map((at, number) => at - frames_[number]))";
    let longest = browser.evaluate(longest).as_f64().expect("a number");
    println!("{rate:.1} frames a second at 1,000 records a second, the longest {longest:.0} ms");
    assert!(rate > 10.0, "{rate:.1} frames a second");
}

#[test]
fn a_person_with_a_keyboard_alone_reaches_everything_and_sees_where_they_are() {
    let Some(mut browser) = Browser::start() else { return };
    let served = Served::of(records());
    served.open(&mut browser, WIDE);
    let mut reached = Vec::new();
    for _ in 0..24 {
        browser.presses("Tab");
        let focus =
            "(() => { const e = document.activeElement; return e.id || e.className || e.type || e.tagName; })()";
        let at = browser.evaluate(focus).as_str().unwrap_or_default().to_owned();
        let seen = browser
            .evaluate("getComputedStyle(document.activeElement).outlineStyle")
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if at == "BODY" || reached.first() == Some(&at) {
            break;
        }
        assert_ne!(seen, "none", "nothing shows that {at} has the focus");
        reached.push(at);
    }
    for wanted in ["skip", "way", "theme", "filter", "lines", "said", "line", "submit"] {
        assert!(reached.iter().any(|at| at == wanted), "{wanted} is not reached: {reached:?}");
    }
    // the way's button opens what stands behind it
    browser.evaluate("document.getElementById('way').focus()");
    browser.presses("Enter");
    browser.until_it_holds("!document.getElementById('way-about').hidden");
    // completion: a beginning, the list, a choice, the line
    browser.evaluate("document.getElementById('line').focus()");
    browser.types("/sch");
    browser.until_it_holds("!document.getElementById('words').hidden");
    browser.presses("ArrowDown");
    assert_eq!(browser.evaluate("document.getElementById('line').getAttribute('aria-activedescendant')"), "word-0");
    browser.presses("Enter");
    browser.until_it_holds("document.getElementById('line').value === '/schema '");
    browser.presses("Escape");
    browser.presses("Enter");
    browser.until_it_holds("document.getElementById('said').innerText.includes('/schema')");
    browser.presses("ArrowUp");
    assert_eq!(browser.evaluate("document.getElementById('line').value"), "/schema ");
}

/// `.ci/pictures` makes it.
#[test]
#[ignore = "makes a picture of the docs: .ci/pictures"]
fn picture() {
    let folder = std::path::PathBuf::from(std::env::var_os("PICTURES").expect("PICTURES names a folder"));
    let mut browser = Browser::start().expect("chromium draws it");
    let served = Served::of(records());
    served.open(&mut browser, WIDE);
    browser.evaluate("document.getElementById('line').focus()");
    browser.types("/show f1");
    browser.presses("Enter");
    browser.until_it_holds("document.getElementById('said').innerText.length > 200");
    std::fs::write(folder.join("web-failing.png"), browser.sight()).expect("room for it");
}

#[test]
fn a_reader_of_screens_finds_nothing_amiss_in_either_colour() {
    let Some(mut browser) = Browser::start() else { return };
    let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/axe_playwright_python/axe.min.js");
    let Ok(axe) = std::fs::read_to_string(axe) else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "axe-core is not here; .ci/setup brings it");
        println!("skipped: axe-core is not here; .ci/setup brings it");
        return;
    };
    let served = Served::of(records());
    for view in VIEWS {
        served.open(&mut browser, view);
        browser.evaluate("document.getElementById('way').click()");
        browser.evaluate(&axe);
        let found = browser.awaited(
            "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html.slice(0, 120)).join(' | ')))",
        );
        assert_eq!(found, Value::Array(Vec::new()), "{view:?}: {found:#}");
    }
}
