//! What a person at a terminal sees of a run: lines, lanes below them, and what `--progress json` leaves of both.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scene::{Scene, root};
use crate::screen::Screen;

/// Two agents are at something at the same time, until there is a file.
fn plan(scene: &Scene) -> PathBuf {
    let wait = "shell: \"until [ -e ${{ plan.dir }}/go ]; do sleep 0.05; done\"";
    let text = format!(
        "meshproof: 1\nplan: lanes\nservices:\n  shop: {{ exec: {{ argv: [sleep, \"600\"] }} }}\n  \
         ledger: {{ exec: {{ argv: [sleep, \"600\"] }} }}\ntests:\n  - id: side-by-side\n    steps:\n      - say: both wait\n      \
         - parallel:\n          - [{{ id: shops, at: shop, exec: {{ {wait} }} }}]\n          \
         - [{{ id: ledgers, at: ledger, exec: {{ {wait} }} }}]\n"
    );
    let path = scene.path().join("plan.yaml");
    std::fs::write(&path, text).expect("a writable folder");
    path
}

fn go(scene: &Scene) {
    std::fs::write(scene.path().join("go"), "").expect("a writable folder");
}

/// The run on a terminal whose lanes are both busy.
fn waiting(scene: &Scene) -> Screen {
    let mut screen = Screen::of(&scene.run_command(&plan(scene), "tty"));
    screen.until("two lanes", |rows| {
        let busy =
            |lane: &str, step: &str| rows.iter().any(|row| row.trim_start().starts_with(lane) && row.contains(step));
        busy("ledger", "ledgers") && busy("shop", "shops")
    });
    screen
}

/// Without what is different each time.
fn drawn(rows: &[String], scene: &Scene) -> String {
    let mut text = rows.join("\n").replace(&scene.path().display().to_string(), "DIR") + "\n";
    for (pattern, same) in [
        ("r-[0-9a-f]{8,}", "r-…"),
        ("seed [0-9]+", "seed …"),
        (r"rtt [0-9.]+ ms", "rtt … ms"),
        (r"in [0-9]+ ms", "in … ms"),
        (r"\[ *[0-9.]+s\]", "[…]"),
        ("[⠁-⣿] \\[", "* ["),
    ] {
        text = regex::Regex::new(pattern).expect("a pattern").replace_all(&text, same).into_owned();
    }
    // who is there first differs, and when the two have found each other
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("linked ")).collect();
    for word in ["joined", "ready"] {
        let is_it = |line: &&str| line.trim_start().starts_with(word);
        let first = lines.iter().position(is_it).unwrap_or_default();
        let count = lines.iter().filter(|line| is_it(line)).count();
        lines[first..first + count].sort_unstable();
    }
    lines.join("\n") + "\n"
}

#[test]
fn a_screen_of_a_run_with_its_lanes_is_as_in_the_golden_file_and_they_are_gone_at_its_end() {
    let scene = Scene::new();
    let mut screen = waiting(&scene);
    let golden = root().join("orchestrator/tests/e2e/golden/lanes-screen.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, drawn(&screen.rows(), &scene)).expect("a writable folder");
    }
    let golden = std::fs::read_to_string(&golden).expect("UPDATE_GOLDEN=1 writes it");
    // Not at once: a terminal is also seen in the middle of a line.
    screen.until("what is in the golden file", |rows| drawn(rows, &scene) == golden);
    go(&scene);
    screen.shows("Summary");
    assert_eq!(screen.code(), Some(0));
    screen.drain();
    let rows = screen.rows();
    assert!(rows.iter().any(|row| row.contains("pass: 1 test, 1 passed")), "{rows:#?}");
    let lane = |row: &&String| row.starts_with("   ledger ") || row.starts_with("     shop ");
    assert_eq!(rows.iter().filter(lane).count(), 0, "{rows:#?}");
    scene.assert_nothing_left();
}

#[test]
fn a_window_that_is_made_narrower_and_wider_has_each_lane_once() {
    let scene = Scene::new();
    let mut screen = waiting(&scene);
    for columns in [40, 90, 25, 100] {
        screen.reflow(std::num::NonZero::new(columns).expect("some"));
        let is_drawn_anew = |rows: &[String]| {
            let lanes =
                |name: &str| rows.iter().filter(|row| row.trim_start().starts_with(&format!("{name} "))).count();
            let last = rows
                .last()
                .is_some_and(|row| row.trim_start().starts_with("shop ") && row.chars().count() < columns.into());
            (lanes("ledger"), lanes("shop"), last) == (1, 1, true)
                // a piece of a lane that was broken into rows
                && rows.iter().filter(|row| row.contains("do sleep") || row.contains("done")).all(|row| row.contains("s]"))
        };
        screen.until(&format!("each lane once in {columns} columns"), is_drawn_anew);
    }
    go(&scene);
    screen.shows("Summary");
    assert_eq!(screen.code(), Some(0));
    screen.drain();
    let is_lane = |row: &&String| ["ledger ", "shop "].iter().any(|name| row.trim_start().starts_with(name));
    assert_eq!(screen.rows().iter().filter(is_lane).count(), 0, "{:#?}", screen.rows());
}

#[test]
fn what_the_run_itself_waits_for_has_a_lane() {
    let scene = Scene::new();
    let path = scene.path().join("plan.yaml");
    let text = "meshproof: 1\nplan: lanes\nservices:\n  shop: { exec: { argv: [sleep, \"600\"] } }\ntests:\n  - id: held\n    steps:\n      \
        - pause: look around\n";
    std::fs::write(&path, text).expect("a writable folder");
    let mut screen = Screen::of(&scene.run_command(&path, "tty"));
    screen
        .until("a lane", |rows| rows.iter().any(|row| row.trim_start().starts_with("(run) ") && row.contains("pause")));
    screen.press("\r");
    screen.shows("Summary");
    assert_eq!(screen.code(), Some(0));
    screen.drain();
    assert!(!screen.rows().iter().any(|row| row.contains("(run)")), "{:#?}", screen.rows());
}

#[test]
fn records_go_to_standard_output_while_a_person_reads_lines_and_lanes_on_the_terminal() {
    let scene = Scene::new();
    let run = scene.run_command(&plan(&scene), "json");
    let records = scene.path().join("records");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$0\" \"$@\" > {}", records.display())]).arg(run.get_program());
    command.args(run.get_args()).current_dir(root());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut screen = Screen::of(&command);
    screen.until("two lanes", |rows| ["shops", "ledgers"].iter().all(|step| rows.iter().any(|row| row.contains(step))));
    assert!(screen.rows().iter().any(|row| row.contains("mesh of 3 peers formed")), "{:#?}", screen.rows());
    go(&scene);
    screen.shows("Summary");
    assert_eq!(screen.code(), Some(0));
    let told = std::fs::read_to_string(records).expect("records");
    assert_eq!(told, std::fs::read_to_string(scene.out().join("events.jsonl")).expect("the journal"));
}

#[test]
fn records_on_the_terminal_itself_are_drawn_over_by_nothing() {
    let scene = Scene::new();
    go(&scene);
    let mut screen = Screen::of(&scene.run_command(&plan(&scene), "json"));
    let told = screen.watch_to_its_end();
    let journal = std::fs::read_to_string(scene.out().join("events.jsonl")).expect("the journal");
    assert_eq!(told.replace("\r\n", "\n"), journal);
    assert_eq!(screen.code(), Some(0));
}

/// `.ci/pictures` makes it.
#[test]
#[ignore = "makes a picture of the docs: .ci/pictures"]
fn picture() {
    let folder = PathBuf::from(std::env::var_os("PICTURES").expect("PICTURES names a folder"));
    let scene = Scene::new();
    let mut screen = Screen::of(&scene.run_command(Path::new(crate::scene::CHECKOUT), "tty"));
    screen.shows("expect log ledger.audit");
    std::fs::write(folder.join("run.svg"), screen.picture()).expect("room for it");
    screen.watch_to_its_end();
    assert_eq!(screen.code(), Some(0));
}
