//! A chat with the mesh of a run that goes on: what each line does, what it exits with, and what the run's journal has of it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::journal::Journal;
use crate::looking::{Waiting, is_waiting, waiting_plan};
use crate::scene::Scene;
use crate::screen::Screen;
use crate::session::{Ended, Session, Shown};

/// These lines, one after the other, as one person's chat.
fn chat(scene: &Scene, lines: &[&str]) -> Ended {
    let mut command = chatting(scene, "anna");
    for line in lines {
        command.args(["-c", line]);
    }
    Session::start(command, Shown::Text).end()
}

fn chatting(scene: &Scene, person: &str) -> Command {
    let mut command = scene.meshproof();
    command.args(["chat", "--as", person]);
    command
}

/// The run ends well; its journal.
fn end(run: Waiting) -> Journal {
    let out = run.scene.out();
    let Waiting { scene, session } = run;
    std::fs::write(scene.path().join("go"), "").expect("a new file");
    session.end().assert_code(0);
    let journal = Journal::read(&out);
    scene.assert_nothing_left();
    journal
}

fn facts(journal: &Journal, fact: &str) -> Vec<Value> {
    journal.facts(fact).map(|found| found.fact.clone()).collect()
}

#[test]
fn agents_answer_a_chat_and_every_line_has_a_true_exit_code() {
    let run = Waiting::start();
    for (line, code, said) in [
        ("@all ping", 0, "ledger: pong in "),
        ("@sh* ping", 0, "shop: pong in "),
        ("/who", 0, "orchestrator"),
        ("/links", 0, "ledger"),
        ("@shop http get /healthz", 0, "shop: 200 in "),
        ("@shop http get /healthz --expect status=404", 1, "status: expected 404, came 200"),
        ("@shop http get /nowhere", 1, "404"),
        ("@shop exec --expect stdout=hi echo hi", 0, "  | hi"),
        ("@ledger logs stdout --since 10m", 0, "ledger: "),
        ("@ledger logs nothing", 5, "there is no log `nothing` here; there are: audit, stderr, stdout"),
        ("/state @shop", 0, "  | stub payments answers: charge 0, unmatched 0"),
        ("@shop state", 0, "shop: run r-"),
        ("/help", 0, "links"),
        ("/woh", 2, "Did you mean 'who'?"),
        ("@shp ping", 2, "no agent is named `shp` here; did you mean `@shop`?"),
        ("@shop htp get /", 2, "'http'"),
        ("@shop http get healthz", 2, "a path begins with `/`"),
        ("@shop http get '/${{ self.dir }}'", 2, ""),
        ("@shop", 2, "what is `@shop` to do?"),
        ("/heal nothing", 2, "no fault `nothing` is active"),
        ("/heal all", 0, "no fault is active"),
        ("/show t1", 2, "there is no t1"),
        ("/show f1", 2, "the run has 0 failures so far"),
        ("/agent", 2, ""),
        ("# a comment", 0, ""),
    ] {
        let ended = chat(&run.scene, &[line]);
        assert!(ended.all().contains(said), "{line}: {}", ended.all());
        assert_eq!(ended.code(), code, "{line}: {}", ended.all());
    }
    run.end();
}

#[test]
fn a_line_that_its_token_does_not_cover_is_refused_with_the_reason_and_nothing_is_done() {
    let run = Waiting::start();
    let refused = chat(&run.scene, &["@ledger tcp \"STATUS 1\\n\""]);
    refused.assert_code(5);
    assert!(
        refused.all().contains("doing a step beside a run takes `tcp`, which the caller's token does not allow"),
        "{}",
        refused.all()
    );
    let journal = end(run);
    assert_eq!(facts(&journal, "asked"), [] as [Value; 0]);
}

#[test]
fn what_people_do_and_say_beside_a_run_is_in_its_journal_with_who_did_it() {
    let run = Waiting::start();
    let lines = ["@shop http get /healthz", "@shop http get /nowhere", "look at this"];
    chat(&run.scene, &lines).assert_code(1);
    let journal = end(run);
    let (asked, answered) = (facts(&journal, "asked"), facts(&journal, "answered"));
    let said: Vec<&str> = asked.iter().filter_map(|asked| asked["line"].as_str()).collect();
    assert_eq!(said, &lines[..2]);
    for asked in asked.iter().chain(&facts(&journal, "told")) {
        assert!(asked["by"].as_str().is_some_and(|by| by.starts_with("console-anna-")), "{asked}");
    }
    let ends: Vec<bool> = answered.iter().map(|answered| answered["outcome"] == "ok").collect();
    assert_eq!(ends, [true, false], "{answered:?}");
    assert_eq!(facts(&journal, "told")[0]["text"], "look at this");
}

#[test]
fn a_fault_of_a_chat_is_active_measured_and_healed_and_not_the_runs() {
    let run = Waiting::start();
    let ended = chat(
        &run.scene,
        &["/fault traffic shop -> ledger latency 300ms for 60s", "/state shop", "/heal all", "/state shop"],
    );
    ended.assert_code(0);
    let text = ended.stdout();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].contains("latency 300ms is active as `console-anna-") && lines[0].contains("for 60 s at most"),
        "{text}"
    );
    let state = lines.iter().filter(|line| line.starts_with("shop: run ")).collect::<Vec<_>>();
    assert!(state[0].contains("faults: console-anna-") && state[1].contains("no fault"), "{text}");
    let healed = lines.iter().find(|line| line.contains("ended: asked latency 300ms, measured latency 3"));
    assert!(healed.is_some(), "{text}");
    for (line, said) in [
        ("/fault traffic shop -> ledger latncy 3s", "did you mean `latency`"),
        ("/fault traffic shop -> nobody latency 3s", "nobody"),
        ("/fault traffic shop ledger", "`traffic shop -> ledger`"),
    ] {
        let refused = chat(&run.scene, &[line]);
        refused.assert_code(2);
        assert!(refused.all().contains(said), "{}", refused.all());
    }
    let report = run.scene.meshproof().args(["report", "--format", "json"]).arg(run.scene.out()).output();
    let report: Value = serde_json::from_slice(&report.expect("it was built").stdout).expect("a report is JSON");
    let journal = end(run);
    let fault = &report["faults"][0];
    assert!(fault["by"].as_str().is_some_and(|by| by.starts_with("console-anna-")), "{fault}");
    assert_eq!(fault["target"], "traffic shop -> ledger latency 300ms for 60s");
    assert!(fault["measured"].as_str().is_some_and(|measured| measured.starts_with("latency 3")), "{fault}");
    let began = facts(&journal, "fault-began");
    assert_eq!(began.len(), 1);
    let asked: Vec<Value> = facts(&journal, "asked").iter().map(|asked| asked["line"].clone()).collect();
    assert_eq!(asked, ["/fault traffic shop -> ledger latency 300ms for 60s", "/heal all"]);
}

#[test]
fn a_chat_is_saved_as_a_plan_that_does_it_again() {
    let (run, scene) = (Waiting::start(), Scene::new());
    let saved = scene.path().join("saved.yaml");
    let save = format!("/save {}", saved.display());
    let ended = chat(
        &run.scene,
        &[
            "@shop http get /healthz",
            "/fault traffic shop -> ledger latency 50ms for 10s",
            "@shop exec --expect stdout=hi echo hi",
            "@shop http get /nowhere",
            "/heal all",
            &save,
            &save,
        ],
    );
    ended.assert_code(1);
    assert!(ended.all().contains("4 steps, without 1 that did not come out well"), "{}", ended.all());
    assert!(ended.all().contains("cannot write"), "no file is written twice: {}", ended.all());
    end(run);
    let again = scene.run_plain(&saved).end();
    let text = std::fs::read_to_string(&saved).expect("it was written");
    assert_eq!(again.code(), 0, "{text}\n{}", again.all());
    scene.assert_nothing_left();
}

#[test]
fn an_agent_asked_in_a_chat_calls_over_tls_with_what_the_runs_authority_has_made() {
    let scene = Scene::new();
    let plan = std::fs::read_to_string(crate::scene::root().join("testdata/verbs/tls/pass.yaml")).expect("it is there");
    let (head, _) = plan.split_once("tests:\n").expect("it has tests");
    let path = scene.path().join("plan.yaml");
    let go = scene.path().join("go");
    let tests = format!(
        "tests:\n  - id: waits\n    timeout: 200s\n    steps:\n      - {{ to: vault, http: {{ get: /, tls: {{ as: clerk }} }} }}\n      \
        - {{ at: phone, exec: {{ shell: \"until [ -e {} ]; do sleep 0.05; done\" }}, within: 200s, expect: {{ code: 0 }} }}\n",
        go.display()
    );
    std::fs::write(&path, head.to_owned() + &tests).expect("a new file");
    std::fs::copy(crate::scene::root().join("testdata/verbs/tls/wss.py"), scene.path().join("wss.py")).expect("a copy");
    let mut run = scene.run(&path);
    run.record("its last step", |record| record["what"]["step-began"]["key"]["step"] == "1");
    let asked = chat(
        &scene,
        &[
            "@vault http get / --as clerk --expect status=200",
            "@vault http get / --tls --expect error=tls",
            "@phone ws hello --path /any --as probe --expect line=hello",
        ],
    );
    asked.assert_code(0);
    let stranger = chat(&scene, &["@phone ws hello --as clerk"]);
    stranger.assert_code(5);
    assert!(stranger.all().contains("`tls.clerk.key` is not at this agent"), "{}", stranger.all());
    let nobody = chat(&scene, &["@vault http get / --as nobody"]);
    assert!(nobody.all().contains("`tls.nobody.cert` is not at this agent"), "{}", nobody.all());
    std::fs::write(&go, "").expect("a new file");
    run.end().assert_code(0);
    scene.assert_nothing_left();
}

#[test]
fn lines_come_through_a_pipe_and_a_run_is_begun_from_a_chat_with_its_exit_code() {
    let scene = Scene::new();
    let plan = crate::attached::plan(&scene);
    let said =
        format!("/run {} --out {} --progress plain\n/show f1\n#last show\n", plan.display(), scene.out().display());
    crate::attached::go(&scene, "badly");
    let mut command = chatting(&scene, "anna");
    command.env("MESHPROOF_RUNS", scene.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary was built with this test");
    child.stdin.take().expect("a pipe").write_all(said.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("expect: { stdout: well }") && text.contains("fail (exit code 1)"), "{text}");
    scene.assert_nothing_left();
}

#[test]
fn people_in_one_mesh_hear_what_the_others_say_and_do() {
    let run = Waiting::start();
    let mut command = chatting(&run.scene, "bea");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut bea = command.spawn().expect("the binary was built with this test");
    let mut write = bea.stdin.take().expect("a pipe");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(bea.stdout.take().expect("a pipe")));
    writeln!(write, "@shop ping").expect("it reads");
    let pong = lines.next().expect("a line").expect("text");
    assert!(pong.starts_with("shop: pong"), "{pong}");
    let ended = chat(&run.scene, &["the ledger\u{1b}[2J is slow", "@shop http get /healthz", "@shop ping"]);
    ended.assert_code(0);
    assert!(ended.all().contains("1 person heard it, and the run's journal has it"), "{}", ended.all());
    let heard: Vec<String> = lines.by_ref().take(2).map(|line| line.expect("text")).collect();
    assert!(
        heard[0].starts_with("<console-anna-") && heard[0].ends_with("> the ledger\\u{1b}[2J is slow"),
        "{heard:?}"
    );
    assert!(heard[1].contains("> @shop http get /healthz: shop: 200 in "), "{heard:?}");
    writeln!(write, "/quit").expect("it reads");
    assert_eq!(bea.wait().expect("our child").code(), Some(0));
    run.end();
}

#[test]
fn a_chat_without_a_run_says_so_and_still_does_what_needs_none() {
    let scene = Scene::new();
    let alone = chat(&scene, &["@shop ping"]);
    alone.assert_code(2);
    assert!(alone.all().contains("no run goes on here; start one with `meshproof run PLAN`"), "{}", alone.all());
    let explained = chat(&scene, &["/explain MP0107"]);
    explained.assert_code(0);
    assert!(explained.stdout().starts_with("MP0107"), "{}", explained.all());
}

/// The lines of docs/chat.md, and those it exits with.
const TRANSCRIPT: &[&str] = &[
    "@all ping",
    "@shop http get /healthz",
    "@shop http get /healthz --expect status=404",
    "@shp ping",
    "/woh",
    "@ledger tcp \"STATUS 7\\n\"",
    "/fault traffic shop -> ledger latency 300ms for 30s",
    "/heal all",
    "the ledger was slow just now",
];

#[test]
fn the_transcript_in_the_docs_is_what_a_chat_says() {
    let run = Waiting::start();
    let mut shown = String::new();
    for line in TRANSCRIPT {
        let ended = chat(&run.scene, &[line]);
        shown += &format!("$ meshproof chat -c {}\n{}", quoted(line), settled(&ended.all()));
        if ended.code() != 0 {
            shown += &format!("(exit code {})\n", ended.code());
        }
    }
    run.end();
    let page = crate::scene::root().join("docs/chat.md");
    let text = std::fs::read_to_string(&page).expect("the page is there");
    let (head, rest) = text.split_once("```console\n").expect("it has a transcript");
    let (_, tail) = rest.split_once("```\n<!-- end -->").expect("it has an end");
    let new = format!("{head}```console\n{shown}```\n<!-- end -->{tail}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&page, &new).expect("a writable page");
    }
    assert_eq!(std::fs::read_to_string(&page).expect("the page is there"), new, "UPDATE_GOLDEN=1 writes it");
}

fn quoted(line: &str) -> String {
    if line.starts_with('/') && !line.contains(' ') { line.to_owned() } else { format!("'{line}'") }
}

/// Without what differs from run to run: figures of time, the end of a console's name, how often a probe was sent.
fn settled(text: &str) -> String {
    let words = |line: &str| -> String {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for at in 1..words.len() {
            if words[at].starts_with("ms") && words[at - 1].parse::<f64>().is_ok() {
                words[at - 1] = "…".to_owned();
            }
        }
        if let Some(at) = words.windows(2).position(|pair| pair == ["measured", "latency"]) {
            words[at + 2] = "…ms".to_owned();
        }
        for word in &mut words {
            if let Some((before, after)) = word.split_once("console-anna-") {
                *word = format!("{before}console-anna-4e1c{}", after.get(4..).unwrap_or_default());
            }
        }
        let line = words.join(" ");
        line.split_once(" (probes only").map_or(line.clone(), |(line, _)| line.to_owned()) + "\n"
    };
    text.lines().map(words).collect()
}

#[test]
fn at_a_terminal_lines_are_threads_with_an_id_a_status_and_the_command_that_does_the_same() {
    let run = Waiting::start();
    let mut terminal = Screen::of(&chatting(&run.scene, "anna"));
    terminal.shows("with ledger, shop; /help lists commands, /quit leaves");
    terminal.press("@shop http get /healthz\r");
    terminal.shows("  = meshproof chat -c '@shop http get /healthz'");
    terminal.shows("t1 shop: 200 in ");
    terminal.press("/who\r");
    terminal.shows("  = meshproof who");
    terminal.shows("t2 orchestrator");
    terminal.shows("t2 done");
    terminal.press("/attach\r");
    terminal.shows("t3 ");
    // Something goes on, and other lines are answered meanwhile.
    terminal.press("/threads\r");
    terminal.shows("t3  /attach  … goes on");
    terminal.press("/stop t3\r");
    terminal.shows("t3 exit code 130");
    terminal.press("/show t1\r");
    terminal.shows("content-type: application/json");
    chat(&run.scene, &["are you there?"]).assert_code(0);
    terminal.shows("> are you there?");
    // of what goes on only what is asked for is shown, and how much that leaves out is told
    terminal.press("/filter joined !ledger\r");
    terminal.shows("of what goes on, lines with `joined` and without `ledger` are shown");
    terminal.press("/attach\r");
    terminal.shows("joined shop");
    terminal.press("/stop t4\r");
    terminal.shows("lines were not shown, as `/filter` says");
    let shown: Vec<String> = terminal.rows().into_iter().filter(|row| row.starts_with("t4")).collect();
    assert!(shown.iter().all(|row| !row.contains("joined ledger") && !row.contains("ready")), "{shown:?}");
    terminal.press("/filter\r");
    terminal.shows("every line is shown");
    terminal.press("/quit\r");
    assert_eq!(terminal.code(), Some(0));
    run.end();
}

#[test]
fn a_room_is_told_by_itself_what_its_run_comes_to_but_steps_and_what_is_filtered() {
    let scene = Scene::new();
    let plan = scene.path().join("plan.yaml");
    let text = "meshproof: 1\nplan: told\nservices:\n  shop: { exec: { argv: [sleep, \"600\"] } }\ntests:\n  - id: waits\n    steps:\n      \
        - at: shop\n        exec: { shell: \"until [ -e ${{ plan.dir }}/go ]; do sleep 0.05; done\" }\n      - say: half way\n      \
        - pause: look around\n      - { at: shop, exec: { argv: [\"false\"] } }\n  - id: unheard\n    steps: [{ say: unheard of }]\n";
    std::fs::write(&plan, text).expect("a writable folder");
    let mut session = scene.run(&plan);
    session.record("the step that waits", crate::looking::is_waiting);
    let mut terminal = Screen::of(&chatting(&scene, "anna"));
    terminal.shows("with shop; /help lists commands");
    terminal.press("/filter !unheard\r");
    terminal.shows("of what goes on, lines without `unheard` are shown");
    std::fs::write(scene.path().join("go"), "").expect("a writable folder");
    terminal.shows("      say half way");
    terminal.shows("  failure ");
    terminal.shows("     FAIL [");
    terminal.shows("      end fail: 2 tests, 1 passed, 1 failed");
    let rows = terminal.rows();
    assert!(
        !rows.iter().any(|row| row.contains("joined") || row.contains("unheard of") || row.contains("1/3")),
        "{rows:#?}"
    );
    terminal.press("/quit\r");
    assert_eq!(terminal.code(), Some(0));
    session.end().assert_code(1);
}

#[test]
fn a_chat_leaves_the_mouse_and_scrolling_back_to_the_terminal() {
    let scene = Scene::new();
    let mut terminal = Screen::of(&chatting(&scene, "anna"));
    terminal.press("/quit\r");
    let told = terminal.watch_to_its_end();
    assert_eq!(terminal.code(), Some(0));
    assert!(told.contains("nobody is here"), "{told}");
    // another screen, and what has a terminal tell of its mouse
    for mode in [47, 1047, 1049, 9, 1000, 1001, 1002, 1003, 1005, 1006, 1015] {
        assert!(!told.contains(&format!("\x1b[?{mode}h")), "{mode}: {told:?}");
    }
}

#[test]
fn at_a_terminal_lines_are_taken_however_much_is_told_meanwhile() {
    let scene = Scene::new();
    let path = scene.path().join("flood.yaml");
    let steps: String = (0..4_000).map(|at| format!("      - say: line {at}\n")).collect();
    let head = "meshproof: 1\nplan: flood\nservices: { shop: { exec: { argv: [sleep, \"600\"] } } }\ntests:\n  - id: t\n    steps:\n";
    std::fs::write(&path, head.to_owned() + &steps).expect("a new file");
    let mut terminal = Screen::of(&chatting(&scene, "anna"));
    terminal.shows("nobody is here");
    terminal.press(&format!("/run {} --out {}\r", path.display(), scene.out().display()));
    for at in [100, 1_000, 2_000] {
        terminal.until("many lines", |rows| rows.iter().any(|row| number(row).is_some_and(|number| number > at)));
        terminal.press("/threads\r");
    }
    terminal.shows("t1 done");
    terminal.press("/quit\r");
    assert_eq!(terminal.code(), Some(0));
    scene.assert_nothing_left();
}

/// Of `t1     said line 17`.
fn number(row: &str) -> Option<u32> {
    row.split_once("line ")?.1.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_run_that_was_begun_in_a_chat_ends_with_it_as_by_ctrl_c() {
    let scene = Scene::new();
    let plan = scene.path().join("plan.yaml");
    std::fs::write(&plan, waiting_plan(scene.path())).expect("a new file");
    let mut command = chatting(&scene, "anna");
    command.arg("-c").arg(format!("/run {} --out {} --progress json", plan.display(), scene.out().display()));
    let mut session = Session::start(command, Shown::Records);
    session.record("the step that waits", is_waiting);
    session.signal(rustix::process::Signal::INT);
    session.end().assert_code(130);
    let journal = Journal::read(&scene.out());
    assert_eq!(journal.only("run-ended")["exit"], 130);
    scene.assert_nothing_left();
}

/// What is different each time.
fn drawn(rows: &[String]) -> String {
    let name = regex::Regex::new("console-anna-[0-9a-f]+").expect("a pattern");
    let run = regex::Regex::new("r-[0-9a-f]{8,}").expect("a pattern");
    let took = regex::Regex::new(r"in [0-9.]+ ms").expect("a pattern");
    let text = rows.join("\n") + "\n";
    let text = name.replace_all(&text, "console-anna-…");
    let text = run.replace_all(&text, "r-…");
    took.replace_all(&text, "in … ms").into_owned()
}

#[test]
fn a_screen_of_a_chat_is_as_in_the_golden_file_with_completion_history_and_what_is_said_meanwhile() {
    let run = Waiting::start();
    let mut screen = Screen::of(&chatting(&run.scene, "anna"));
    screen.shows("/quit leaves");
    screen.press("@sh\t");
    screen.shows("> @shop");
    screen.press("http get /healthz\r");
    screen.shows("t1 shop: 200");
    screen.press("/fau\t");
    screen.shows("> /fault");
    screen.press("l\t");
    screen.shows("> /fault ledger-cut");
    // what others say comes above the line that is not ended yet
    chat(&run.scene, &["are you there?"]).assert_code(0);
    screen.shows("> are you there?");
    screen.until("the line below it", |rows| rows.last().is_some_and(|row| row.starts_with("> /fault ledger-cut")));
    screen.press("\x15/thr\t\r");
    screen.shows("  t1  @shop http get /healthz");
    screen.until("the next line", |rows| rows.last().is_some_and(|row| row == ">"));
    let golden = crate::scene::root().join("orchestrator/tests/e2e/golden/chat-screen.txt");
    let shown = drawn(&screen.rows());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &shown).expect("a writable folder");
    }
    assert_eq!(shown, std::fs::read_to_string(&golden).expect("UPDATE_GOLDEN=1 writes it"));
    // the line before the last, from the history
    screen.press("\x1b[A\x1b[A");
    screen.until("the line from the history", |rows| {
        rows.last().is_some_and(|row| row.starts_with("> @shop http get /healthz"))
    });
    screen.press("\x15/quit\r");
    assert_eq!(screen.code(), Some(0));
    // and in the next chat
    let mut screen = Screen::of(&chatting(&run.scene, "anna"));
    screen.shows("/quit leaves");
    screen.press("\x1b[A\x1b[A");
    screen.until("the line from the chat before", |rows| rows.last().is_some_and(|row| row.starts_with("> /thr")));
    screen.press("\x15/quit\r");
    assert_eq!(screen.code(), Some(0));
    run.end();
}

/// `.ci/pictures` makes it.
#[test]
#[ignore = "makes a picture of the docs: .ci/pictures"]
fn picture() {
    let folder = std::path::PathBuf::from(std::env::var_os("PICTURES").expect("PICTURES names a folder"));
    let run = Waiting::start();
    let mut screen = Screen::of(&chatting(&run.scene, "anna"));
    screen.shows("/quit leaves");
    for (line, answer) in [
        ("@all ping", "shop: pong"),
        ("@shop http get /healthz", "{\"status\":\"ok\"}"),
        ("/fault traffic shop -> ledger latency 300ms for 30s", "is active as"),
        ("/pause", "no step begins now"),
        ("/state", "shop: run"),
        ("/heal all", "ended: asked latency 300ms"),
    ] {
        screen.press(&format!("{line}\r"));
        screen.shows(answer);
    }
    chat(&run.scene, &["I see it too: the ledger was slow"]).assert_code(0);
    screen.shows("I see it too");
    screen.press("/resume\r");
    screen.shows("the run goes on");
    screen.until("the next line", |rows| rows.last().is_some_and(|row| row == ">"));
    std::fs::write(folder.join("chat.svg"), screen.picture()).expect("room for it");
    screen.press("/quit\r");
    assert_eq!(screen.code(), Some(0));
    run.end();
}
