//! Runs that were: they are listed, looked into, run again, and removed when there are too many.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::journal::Journal;
use crate::scene::Scene;
use crate::session::{Ended, Session, Shown};

/// Two tests, of which one passes once there is a file.
const PLAN: &str = r#"meshproof: 1
plan: two-tests
services: { shop: { exec: { argv: [sh, -c, "printf 'hello\\033[31m\\n'; exec sleep 600"] } } }
tests:
  - id: good
    steps: [{ at: shop, exec: { argv: ["true"] } }]
  - id: bad
    steps: [{ at: shop, exec: { argv: [test, -e, "${{ plan.dir }}/mended"] } }]
"#;

/// Ended, and its runs are kept in the scene.
fn meshproof(scene: &Scene, arguments: &[&str]) -> Ended {
    Session::start(command(scene, arguments), Shown::Text).end()
}

fn command(scene: &Scene, arguments: &[&str]) -> Command {
    let mut command = scene.meshproof();
    command.current_dir(scene.path()).args(arguments);
    command.env("MESHPROOF_KEEP_RUNS", "2");
    command
}

fn runs(scene: &Scene) -> Value {
    let listed = meshproof(scene, &["runs", "--json"]);
    listed.assert_code(0);
    serde_json::from_str(&listed.stdout()).expect("one document")
}

/// What bash offers in the place of the last of these words.
fn offered(scene: &Scene, words: &[&str]) -> Vec<String> {
    let script = "source <(\"$0\" completions bash) && COMP_WORDS=(\"$@\") && COMP_CWORD=$(($# - 1)) && COMP_TYPE=9 \
        && _clap_complete_meshproof meshproof \"${COMP_WORDS[COMP_CWORD]}\" && printf '%s\\n' \"${COMPREPLY[@]}\"";
    let meshproof = command(scene, &[]);
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).arg(meshproof.get_program()).arg("meshproof").args(words).current_dir(scene.path());
    for (name, value) in meshproof.get_envs() {
        match value {
            Some(value) => bash.env(name, value),
            None => bash.env_remove(name),
        };
    }
    let told = bash.output().expect("bash is everywhere");
    assert!(told.status.success(), "{told:?}");
    String::from_utf8_lossy(&told.stdout).lines().map(|word| word.trim().to_owned()).collect()
}

#[test]
fn runs_are_listed_looked_into_run_again_and_removed_when_there_are_too_many() {
    let scene = Scene::new();
    std::fs::write(scene.path().join("plan.yaml"), PLAN).expect("a new file");
    meshproof(&scene, &["logs", "last"]).assert_code(2);
    meshproof(&scene, &["run", "plan.yaml", "--progress", "plain", "--test", "*", "--seed=11"]).assert_code(1);
    let first = runs(&scene)["runs"][0].clone();
    assert_eq!(
        (&first["plan"], &first["tests"]["bad"], &first["seed"]),
        (&"two-tests".into(), &"fail".into(), &11.into())
    );
    assert_eq!(first["state"]["ended"]["exit"], 1);

    let said = meshproof(&scene, &["logs", "last", "shop", "--log", "stdout"]);
    said.assert_code(0);
    assert_eq!(said.stdout(), "hello\\u{1b}[31m\n", "what a service prints moves no terminal");
    assert_eq!(meshproof(&scene, &["logs", "last", "shop", "--log", "stdout", "--raw"]).stdout(), "hello\u{1b}[31m\n");
    meshproof(&scene, &["logs", "last", "shop", "--log", "nothing"]).assert_code(2);

    std::fs::write(scene.path().join("mended"), "").expect("a new file");
    let quick =
        meshproof(&scene, &["rerun", "last", "--failed", "--", "--progress", "plain", "--status-level", "skip"]);
    quick.assert_code(0);
    assert!(quick.stderr().contains("Summary") && !quick.stderr().contains("PASS"), "{}", quick.stderr());
    let second = runs(&scene)["runs"][0].clone();
    assert_eq!((&second["tests"], &second["seed"]), (&serde_json::json!({ "bad": "pass" }), &11.into()));
    meshproof(&scene, &["rerun", "last", "--failed"]).assert_code(4);

    let third = meshproof(&scene, &["run", "plan.yaml", "--progress", "plain"]);
    third.assert_code(0);
    let gone = first["run"].as_str().expect("an id");
    assert!(third.stderr().contains(&format!("removed {gone}")), "{}", third.stderr());
    assert!(!Path::new(first["folder"].as_str().expect("a path")).exists());
    assert_eq!(runs(&scene)["runs"].as_array().map(Vec::len), Some(2));

    // a shell offers them where one is expected, the newest first
    let kept = runs(&scene)["runs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|run| run["run"].as_str().expect("an id").to_owned())
        .collect::<Vec<_>>();
    for command in ["show", "attach", "logs", "rerun", "report", "diff"] {
        assert_eq!(offered(&scene, &[command, "r-"]), kept, "{command}");
        assert!(offered(&scene, &[command, "la"]).contains(&"last".to_owned()), "{command}");
    }
    assert!(offered(&scene, &["rep"]).contains(&"report".to_owned()));

    meshproof(&scene, &["run", "plan.yaml", "--out", "mine", "--keep-runs", "0"]).assert_code(0);
    assert_eq!(runs(&scene)["runs"].as_array().map(Vec::len), Some(2), "a folder of one's own is no kept run");
    let how = Journal::read(&scene.path().join("mine"));
    assert_eq!(how.only("invoked")["arguments"][0], "plan.yaml");
    scene.assert_nothing_left();
}

#[test]
fn tests_are_counted_as_they_end_and_failures_are_told_when_they_are_asked_for() {
    let scene = Scene::new();
    std::fs::write(scene.path().join("plan.yaml"), PLAN).expect("a new file");
    let run = meshproof(&scene, &["run", "plan.yaml", "--progress", "plain", "--failure-output", "final"]);
    run.assert_code(1);
    let said = run.stderr();
    let at = |what: &str| said.find(what).unwrap_or_else(|| panic!("{what} is not in:\n{said}"));
    assert!(at("] good (1/2)") < at("] bad (2/2)"), "{said}");
    assert!(at("] bad (2/2)") < at("  x bad / ") && at("  x bad / ") < at("Summary"), "{said}");
    let (_, end) = said.split_once("Summary").expect("it was looked for");
    assert!(end.contains("] bad\n") && !end.contains("good"), "what did not pass is listed below: {said}");
}

#[test]
fn reports_are_made_later_and_two_runs_are_held_against_each_other() {
    let scene = Scene::new();
    std::fs::write(scene.path().join("plan.yaml"), PLAN).expect("a new file");
    meshproof(&scene, &["report"]).assert_code(2);
    let summary = scene.path().join("summary.md");
    let mut first = command(&scene, &["run", "plan.yaml", "--progress", "quiet"]);
    first.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary);
    let first = Session::start(first, Shown::Text).end();
    first.assert_code(1);
    assert!(first.stderr().contains("::error file=plan.yaml,line=8,col="), "{}", first.stderr());
    assert!(std::fs::read_to_string(&summary).expect("written").starts_with("## ❌ two-tests: fail\n"));

    let made = meshproof(&scene, &["report"]);
    made.assert_code(0);
    let page = std::path::PathBuf::from(made.stdout().trim_end());
    assert!(
        page.ends_with("report.html") && std::fs::read_to_string(&page).expect("there").contains("<h1>two-tests</h1>")
    );
    assert_eq!(page.metadata().expect("there").permissions().mode() & 0o777, 0o600, "requests stand in it");
    for (format, begins) in
        [("md", "## ❌ two-tests"), ("json", "{\n"), ("junit", "<?xml"), ("trace", "{\"displayTimeUnit\"")]
    {
        let made = meshproof(&scene, &["report", "last", "--format", format]);
        made.assert_code(0);
        assert!(made.stdout().starts_with(begins), "{}", made.stdout());
    }
    let nowhere = meshproof(&scene, &["report", "last", "--out", "no/such/folder/x.html"]);
    nowhere.assert_code(2);
    // what a link leads to is written, and what is no file stays what it is
    let [there, link] = ["there.md", "link.md"].map(|name| scene.path().join(name));
    std::fs::write(&there, "before").expect("a new file");
    std::os::unix::fs::symlink(&there, &link).expect("a new link");
    meshproof(&scene, &["report", "last", "--format", "md", "--out", "link.md"]).assert_code(0);
    assert!(link.is_symlink() && std::fs::read_to_string(&there).expect("there").starts_with("## ❌ two-tests"));
    let pipe = scene.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("a new pipe");
    let reader = pipe.clone();
    let read = std::thread::spawn(move || std::fs::read_to_string(reader).expect("somebody writes"));
    meshproof(&scene, &["report", "last", "--format", "md", "--out", "pipe"]).assert_code(0);
    assert!(read.join().expect("it ends").starts_with("## ❌ two-tests"));

    let before = runs(&scene)["runs"][0]["run"].as_str().expect("an id").to_owned();
    std::fs::write(scene.path().join("mended"), "").expect("a new file");
    meshproof(&scene, &["run", "plan.yaml", "--progress", "quiet"]).assert_code(0);
    let better = meshproof(&scene, &["diff", &before]);
    better.assert_code(0);
    assert!(better.stdout().contains("  bad: fail -> pass\n"), "{}", better.stdout());
    meshproof(&scene, &["diff", "last", &before]).assert_code(1);
}

#[test]
fn every_command_about_a_run_says_the_same_of_one_that_is_not_there_and_exits_alike() {
    let scene = Scene::new();
    let place = scene.path().join("state/meshproof/runs");
    let same = format!(
        "meshproof: there is no run `r-none`; `meshproof runs` lists those that were, in {}\n",
        place.display()
    );
    for arguments in [
        &["show", "r-none"][..],
        &["attach", "r-none"],
        &["logs", "r-none", "shop"],
        &["rerun", "r-none"],
        &["report", "r-none"],
        &["diff", "r-none"],
        &["doctor", "--bundle", "x.md", "--run", "r-none"],
    ] {
        let missing = meshproof(&scene, arguments);
        missing.assert_code(2);
        assert_eq!(missing.stderr(), same, "{arguments:?}");
    }
    for arguments in [&["attach"][..], &["show"], &["who"], &["links"], &["stubs"], &["web"], &["chat", "-c", "/who"]] {
        let missing = meshproof(&scene, arguments);
        missing.assert_code(2);
        assert!(missing.stderr().contains("no run goes on here; start one with"), "{arguments:?}: {}", missing.all());
    }
    for how in ["--standby", "--take-over"] {
        let missing = meshproof(&scene, &["attach", "r-none", how]);
        missing.assert_code(2);
        assert!(missing.stderr().contains("no run `r-none` goes on here"), "{}", missing.all());
    }
    let none = meshproof(&scene, &["runs", "--plan", "nothing"]);
    none.assert_code(0);
    assert!(none.stdout().starts_with("no run of the plan nothing is kept in "), "{}", none.all());
}

/// Whether a program of the system does that in a network namespace of its own.
fn tried(program: &str, arguments: &str) -> bool {
    let mut command = std::process::Command::new("unshare");
    command.arg("-n").arg(program).args(arguments.split(' '));
    command.output().is_ok_and(|ended| ended.status.success())
}

#[test]
fn the_doctor_says_what_this_machine_can_do() {
    let scene = Scene::new();
    let told = meshproof(&scene, &["doctor", "--json"]);
    told.assert_code(0);
    let told: Value = serde_json::from_str(&told.stdout()).expect("one document");
    let findings = told["findings"].as_array().expect("a list");
    assert!(
        findings.iter().filter(|finding| finding["need"] == "every").all(|finding| finding["found"]["Ok"].is_string()),
        "{told}"
    );
    for (what, works) in
        [("netem", tried("tc", "qdisc add dev lo root netem delay 1ms")), ("nft", tried("nft", "add table inet t"))]
    {
        let finding = findings.iter().find(|finding| finding["what"] == what).expect("it is tried");
        assert_eq!(finding["found"]["Ok"].is_string(), works, "as one who tries it by hand finds: {finding}");
        let missing = finding["found"]["Err"].as_str();
        assert!(missing.is_none_or(|missing| missing.contains("modprobe")), "{finding}");
    }
    let unable = meshproof(&scene, &["doctor", "--runs", "/proc/nowhere"]);
    unable.assert_code(5);
    assert!(unable.stdout().contains("MISSING  kept runs"), "{}", unable.stdout());
}

#[test]
fn a_bug_report_holds_the_machine_and_the_last_run_and_no_secret() {
    let scene = Scene::new();
    let plan = "meshproof: 1\nplan: leaky\nsecrets: { word: {} }\nservices: { shop: { exec: { argv: [sleep, \"600\"] } } }\n\
        tests: [{ id: t, steps: [{ at: shop, exec: { argv: [sh, -c, \"echo ${{ secrets.word }}; exit 3\"] } }] }]\n";
    std::fs::write(scene.path().join("plan.yaml"), plan).expect("a new file");
    std::fs::write(scene.path().join("word"), "xyzzy-7431").expect("a new file");
    let nothing = meshproof(&scene, &["doctor", "--bundle", "none.md"]);
    nothing.assert_code(0);
    meshproof(&scene, &["run", "plan.yaml", "--secret", "word@word", "--progress", "quiet"]).assert_code(1);
    meshproof(&scene, &["doctor", "--bundle", "report.md"]).assert_code(0);
    let text = std::fs::read_to_string(scene.path().join("report.md")).expect("it was written");
    for part in ["# meshproof bug report", "- loopback: ok: ", "plan: leaky", "\"run-ended\"", "logs/shop/agent.log"] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
    assert!(!text.contains("xyzzy-7431"), "{text}");
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&scene.path().join("report.md")), 0o600);
    meshproof(&scene, &["doctor", "--bundle", "x.md", "--run", "r-none"]).assert_code(2);
    assert!(!scene.path().join("x.md").exists());
    // and so are the files of a run
    let kept = scene.path().join("state/meshproof/runs");
    let run = std::fs::read_dir(kept).expect("runs").next().expect("one").expect("readable").path();
    for file in ["events.jsonl", "junit.xml", "report.html", "logs/shop/agent.log", "logs/shop/stdout.log"] {
        assert_eq!(mode(&run.join(file)), 0o600, "{file}");
    }
}
