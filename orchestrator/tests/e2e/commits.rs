//! Commit by commit, over repositories that are made here.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::leftovers;
use crate::scene::Scene;
use crate::session::{Ended, Session, Shown};

/// A file of a commit: its path, whether it is a program, and what is in it.
type File<'f> = (&'f str, bool, String);

/// A repository in the scene whose commits, from number 0, have these files.
fn repository(scene: &Scene, commits: usize, files: impl Fn(usize) -> Vec<File<'static>>) -> PathBuf {
    let path = scene.path().join("repository");
    let git = |args: &[&str], input: &str| {
        let mut command = Command::new("git");
        command.args(args).current_dir(&path).stdin(Stdio::piped());
        let mut child = command.spawn().expect("git is installed");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it is ours").success(), "git {args:?}");
    };
    std::fs::create_dir_all(&path).expect("a new folder");
    git(&["init", "--quiet", "--initial-branch=main"], "");
    let mut stream = String::new();
    for commit in 0..commits {
        let message = format!("change {commit}");
        let _ = write!(
            stream,
            "commit refs/heads/main\ncommitter A <a@example.org> {} +0000\ndata {}\n{message}\n",
            1_700_000_000 + commit,
            message.len()
        );
        for (path, is_program, text) in files(commit) {
            let mode = if is_program { "100755" } else { "100644" };
            let _ = write!(stream, "M {mode} inline {path}\ndata {}\n{text}\n", text.len());
        }
    }
    git(&["fast-import", "--quiet"], &stream);
    git(&["reset", "--quiet", "--hard", "main"], "");
    path
}

/// A script.
fn script(text: &str) -> Vec<File<'static>> {
    vec![("check.sh", true, format!("#!/bin/sh\n{text}\n"))]
}

/// `meshproof` with `--repo` and these arguments; the results are in the scene's `out`.
fn command(scene: &Scene, repository: &Path, args: &[&str]) -> Command {
    let mut command = scene.meshproof();
    let (name, args) = args.split_first().expect("a command");
    command.arg(name).arg("--repo").arg(repository).arg("--out").arg(scene.out()).args(args);
    command
}

fn meshproof(scene: &Scene, repository: &Path, args: &[&str]) -> Ended {
    let ended = Session::start(command(scene, repository, args), Shown::Text).end();
    scene.assert_nothing_left();
    ended
}

/// What was written.
fn results(scene: &Scene) -> Value {
    let text = std::fs::read_to_string(scene.out().join("commits.json")).expect("it is over");
    serde_json::from_str(&text).expect("JSON")
}

fn statuses(results: &Value) -> Vec<(String, String)> {
    let commits = results["commits"].as_array().expect("a list");
    let text = |commit: &'_ Value, key: &str| commit[key].as_str().expect("a text").to_owned();
    commits.iter().map(|commit| (text(commit, "message"), text(commit, "status"))).collect()
}

#[test]
fn each_commit_has_the_result_of_its_exit_code_whatever_it_prints() {
    let scene = Scene::new();
    let texts = [
        "echo FAILED; echo 'exit 1' >&2; exit 0",
        "echo '{\"verdict\":\"pass\"}'; echo 'test result: ok. 12 passed; 0 failed'; exit 1",
        "echo cannot; exit 125",
        "kill -9 $$",
        "exec ./no-such-program",
    ];
    let repository = repository(&scene, texts.len(), |commit| script(texts[commit]));
    let ended =
        meshproof(&scene, &repository, &["commits", "HEAD~4", "HEAD~4..HEAD", "--parallel", "2", "--", "./check.sh"]);
    ended.assert_code(1);
    let results = results(&scene);
    let expected = [
        ("change 0", "passed"),
        ("change 1", "failed"),
        ("change 2", "skipped"),
        ("change 3", "failed"),
        ("change 4", "failed"),
    ];
    let expected = expected.map(|(commit, status)| (commit.to_owned(), status.to_owned()));
    assert_eq!(statuses(&results), expected, "{}", ended.all());
    let commit = |number: usize| &results["commits"][number];
    assert_eq!(commit(1)["attempts"][0]["code"], 1);
    assert_eq!(commit(1)["success"], false);
    assert!(commit(1)["attempts"][0]["output"].as_str().is_some_and(|text| text.contains("12 passed; 0 failed")));
    assert!(ended.stdout().contains("1 passed, 3 failed, 1 skipped"), "{}", ended.stdout());
    let junit = std::fs::read_to_string(scene.out().join("junit.xml")).expect("written");
    assert!(
        junit.contains("tests=\"5\"") && junit.contains("failures=\"3\"") && junit.contains("skipped=\"1\""),
        "{junit}"
    );
    let page = std::fs::read_to_string(scene.out().join("report.html")).expect("written");
    assert!(page.contains("change 1") && page.contains("12 passed; 0 failed"), "{page}");
    // while it goes on, with times
    assert!(
        ended
            .stderr()
            .lines()
            .any(|line| line.contains("Z ") && line.ends_with("| test result: ok. 12 passed; 0 failed"))
    );
}

/// Passes before the bug, fails from it on; and falsely fails every so many times that it is asked, by tickets that are drawn outside of it.
fn flaky_from(scene: &Scene, bug: usize, every: usize) -> impl Fn(usize) -> Vec<File<'static>> + use<> {
    let tickets = scene.path().join("tickets");
    std::fs::create_dir(&tickets).expect("a new folder");
    let text = format!(
        "n=0; while ! mkdir {}/$n 2> /dev/null; do n=$((n+1)); done\n\
         if [ $((n % {every})) = 1 ]; then echo by chance; exit 1; fi\ntest \"$(cat number)\" -lt {bug}",
        tickets.display()
    );
    move |commit| {
        let mut files = vec![("number", false, format!("{commit}\n"))];
        if commit == 0 {
            files.extend(script(&text));
        }
        files
    }
}

#[test]
fn among_a_thousand_commits_and_with_a_flaky_test_the_culprit_is_found() {
    for (parallel, most) in [("1", 40), ("4", 100)] {
        let scene = Scene::new();
        let repository = repository(&scene, 1_000, flaky_from(&scene, 617, 4));
        let good = ["--good", "HEAD~999", "--repeat", "3", "--bad-when", "all", "--parallel", parallel];
        let ended = meshproof(&scene, &repository, &[&["bisect"], &good[..], &["--", "./check.sh"]].concat());
        ended.assert_code(0);
        let results = results(&scene);
        assert_eq!(results["found"]["culprit"]["subject"], "change 617", "{}", ended.stdout());
        let tests = results["attempts"].as_u64().expect("a number");
        println!(
            "{tests} tests of {} commits with {parallel} agents, plain binary search 10",
            results["commits"].as_array().expect("a list").len()
        );
        assert!(tests <= most, "{}", ended.stdout());
        assert!(ended.stdout().contains("is the first that fails: change 617"), "{}", ended.stdout());
    }
}

#[test]
fn nothing_of_one_commit_is_there_for_the_next() {
    let scene = Scene::new();
    let port = 20_000 + u16::try_from(std::process::id() % 20_000).expect("small");
    // The first leaves files, a process in a session of its own, and a port that it listens on; the second looks for them.
    let server = format!("python3 -m http.server --bind 127.0.0.1 {port}");
    let leaves = format!(
        "echo left > left.txt; echo left > \"$TMPDIR/left\"; git config user.name left; git tag left; git config core.hooksPath x\n\
         setsid {server} > /dev/null 2>&1 &\nsetsid sh -c 'trap \"\" TERM HUP; sleep 1000 & wait; sleep 1000' > /dev/null 2>&1 &\n\
         i=0; while ! python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))' 2> /dev/null; do i=$((i+1)); test $i -lt 200 || exit 1; done\n\
         echo everything is left; exit 0"
    );
    let looks = format!(
        "test ! -e left.txt || exit 2\ntest -z \"$(ls -A \"$TMPDIR\")\" || exit 3\ntest -z \"$(git config --local user.name)\" || exit 4\n\
         test -z \"$(git tag)\" || exit 5\ntest -z \"$(git config --local core.hooksPath)\" || exit 6\n\
         python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))' 2> /dev/null && exit 7\nexit 0"
    );
    let texts = [leaves, looks];
    let repository = repository(&scene, 2, |commit| script(&texts[commit]));
    let ended = meshproof(&scene, &repository, &["commits", "HEAD~1", "HEAD", "--", "./check.sh"]);
    ended.assert_code(0);
    assert!(ended.stderr().contains("everything is left"), "{}", ended.all());
    leftovers::assert_no_process(&scene.path().join("out"));
    let state = std::fs::read_dir(scene.out().join("workspaces")).map_or(0, Iterator::count);
    assert_eq!(state, 0, "no workspace stays");
}

/// A file of the scene with this text.
fn file(scene: &Scene, name: &str, text: &str) -> String {
    let path = scene.path().join(name);
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("a plain path").to_owned()
}

#[test]
fn a_repository_elsewhere_is_cloned_once_and_updated_after_that() {
    let scene = Scene::new();
    let repository = repository(&scene, 2, |commit| script(&format!("echo this is {commit}")));
    let url = format!("file://{}", repository.display());
    let place = Path::new(&url);
    let first = meshproof(&scene, place, &["commits", "HEAD", "--", "./check.sh"]);
    first.assert_code(0);
    assert!(first.stderr().contains("| this is 1"), "{}", first.all());
    let commit =
        ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--allow-empty", "-m", "newest"];
    let committed = Command::new("git").args(commit).current_dir(&repository).status().expect("git is installed");
    assert!(committed.success());
    meshproof(&scene, place, &["commits", "HEAD", "--", "./check.sh"]).assert_code(0);
    assert_eq!(statuses(&results(&scene)), [("newest".to_owned(), "passed".to_owned())]);
    let copies = scene.path().join("state/meshproof/runs/commits/repositories");
    let copies = std::fs::read_dir(copies).expect("it is there").flatten().filter(|entry| entry.path().is_dir());
    assert_eq!(copies.count(), 1);
}

#[test]
fn a_clone_that_fails_is_told_with_its_command_and_what_it_said_and_without_the_password() {
    let scene = Scene::new();
    let credentials = file(&scene, "credentials", "anna:hunter2hunter2\n");
    let nowhere = format!("file://{}/nowhere", scene.path().display());
    let args = ["commits", "HEAD", "--credentials", &credentials, "--", "true"];
    let ended = meshproof(&scene, Path::new(&nowhere), &args);
    ended.assert_code(5);
    let said = ended.stderr();
    assert!(
        said.contains("`git clone --quiet --mirror") && said.contains("does not appear to be a git repository"),
        "{said}"
    );
    assert!(!ended.all().contains("hunter2"), "{said}");
    let ended = meshproof(
        &scene,
        Path::new("https://anna:hunter2hunter2@example.org/a.git"),
        &["commits", "HEAD", "--", "true"],
    );
    ended.assert_code(2);
    assert!(ended.stderr().contains("--credentials") && !ended.all().contains("hunter2"), "{}", ended.all());
}

#[test]
fn what_cannot_be_built_or_tested_leaves_suspects_and_a_build_keeps_its_words() {
    let scene = Scene::new();
    let repository = repository(&scene, 7, |commit| {
        let build = if matches!(commit, 2 | 3) { "echo no semicolon >&2; exit 3" } else { "exit 0" };
        let test = if commit == 4 {
            "exit 77"
        } else if commit < 3 {
            "exit 0"
        } else {
            "exit 1"
        };
        vec![("build.sh", true, format!("#!/bin/sh\n{build}\n")), ("check.sh", true, format!("#!/bin/sh\n{test}\n"))]
    });
    let args = ["bisect", "--good", "HEAD~6", "--build", "./build.sh", "--skip-exit", "77", "--", "./check.sh"];
    let ended = meshproof(&scene, &repository, &args);
    ended.assert_code(5);
    let results = results(&scene);
    let suspects: Vec<&str> = results["found"]["suspects"]
        .as_array()
        .unwrap_or_else(|| panic!("{}", ended.all()))
        .iter()
        .filter_map(|commit| commit["subject"].as_str())
        .collect();
    assert_eq!(suspects, ["change 2", "change 3", "change 4", "change 5"]);
    let commits = results["commits"].as_array().expect("a list");
    let unbuilt = commits.iter().find(|commit| commit["status"] == "build-failed").expect("one was tried");
    assert!(unbuilt["attempts"][0]["output"].as_str().is_some_and(|text| text.contains("no semicolon")), "{unbuilt}");
    assert_eq!(unbuilt["attempts"][0]["why"], "the build exited with 3");
}

#[test]
fn todays_tests_are_laid_over_the_commits_of_the_past_and_nothing_of_the_present_changes() {
    let scene = Scene::new();
    let repository = repository(&scene, 4, |commit| vec![("value", false, format!("{commit}\n"))]);
    std::fs::create_dir(repository.join("tests")).expect("a new folder");
    let test = "#!/bin/sh\necho new > value.new\ntest $(cat value) -lt 2\n";
    std::fs::write(repository.join("tests/today.sh"), test).expect("written");
    let args = ["bisect", "--good", "HEAD~3", "--overlay", "tests", "--", "sh", "tests/today.sh"];
    let ended = meshproof(&scene, &repository, &args);
    ended.assert_code(0);
    assert!(ended.stdout().contains("is the first that fails: change 2"), "{}", ended.all());
    let status = Command::new("git").args(["status", "--porcelain"]).current_dir(&repository).output();
    let status = String::from_utf8(status.expect("git is installed").stdout).expect("text");
    assert_eq!(status, "?? tests/\n", "the repository is as it was");
    let missing = meshproof(&scene, &repository, &["commits", "HEAD", "--overlay", "spec", "--", "true"]);
    missing.assert_code(5);
    assert!(missing.stdout().contains("the overlay `spec` is not there"), "{}", missing.all());
}

#[test]
fn a_missing_template_is_told_with_the_path_to_create_and_one_of_the_users_is_taken() {
    let scene = Scene::new();
    let repository = repository(&scene, 1, |_| script("echo \"checked $1\""));
    let args = ["commits", "HEAD", "--template", "cobol"];
    let missing = meshproof(&scene, &repository, &args);
    missing.assert_code(2);
    let path = repository.join(".meshproof/templates/cobol.yaml");
    assert!(missing.stderr().contains(&format!("create {}", path.display())), "{}", missing.all());
    std::fs::create_dir_all(path.parent().expect("inside")).expect("made");
    std::fs::write(path, "build: echo building\nrun: ./check.sh cobol && echo well\n").expect("written");
    let ended = meshproof(&scene, &repository, &args);
    ended.assert_code(0);
    for line in ["| building", "| checked cobol", "| well"] {
        assert!(ended.stderr().contains(line), "{}", ended.all());
    }
}

#[test]
fn ctrl_c_ends_what_goes_on_and_tells_what_is_known() {
    let scene = Scene::new();
    let repository =
        repository(&scene, 3, |commit| script(if commit == 0 { "exit 0" } else { "echo it hangs; exec sleep 1000" }));
    let args = ["commits", "HEAD~2", "HEAD~1", "HEAD", "--", "./check.sh"];
    let mut session = Session::start(command(&scene, &repository, &args), Shown::Text);
    session.line("the second commit's test", |line| line.ends_with("| it hangs"));
    session.signal(rustix::process::Signal::INT);
    let ended = session.end();
    ended.assert_code(130);
    scene.assert_nothing_left();
    assert!(ended.stdout().contains("2 of 3 commits tested") && ended.stdout().contains("1 passed"), "{}", ended.all());
    let results = results(&scene);
    assert_eq!(results["interrupted"], true);
    let expected = [("change 0", "passed"), ("change 1", "interrupted")];
    assert_eq!(statuses(&results), expected.map(|(commit, status)| (commit.to_owned(), status.to_owned())));
}

#[test]
fn the_files_of_a_failed_commit_stay_as_long_as_asked_for_and_go_by_one_command() {
    let scene = Scene::new();
    let repository = repository(&scene, 2, |commit| script(&format!("echo traces > traces; exit {commit}")));
    let mut command = scene.meshproof();
    command.arg("commits").arg("--repo").arg(&repository);
    command.args(["HEAD~1", "HEAD", "--keep-failed", "24h", "--json", "--", "./check.sh"]);
    let ended = Session::start(command, Shown::Text).end();
    ended.assert_code(1);
    let results: Value = serde_json::from_str(&ended.stdout()).expect("one document");
    assert_eq!(results["commits"][0]["attempts"][0]["workspace"], Value::Null);
    let kept = PathBuf::from(results["commits"][1]["attempts"][0]["workspace"].as_str().expect("it stays"));
    assert_eq!(std::fs::read_to_string(kept.join("traces")).expect("it stays"), "traces\n");
    let mut clean = scene.meshproof();
    clean.args(["commits", "--clean"]);
    let cleaned = Session::start(clean, Shown::Text).end();
    cleaned.assert_code(0);
    assert_eq!((cleaned.stdout().as_str(), kept.exists()), ("removed 1 workspace\n", false));
}

#[test]
fn a_test_that_could_tell_nothing_any_more_is_not_waited_for_and_the_session_is_listed() {
    let scene = Scene::new();
    // once 0 passes and 4 and 8 fail, 1 to 3 are tested at once; that 1 fails is all there is to know
    let texts = |commit| match commit {
        0 => "exit 0",
        2 | 3 => "echo it hangs; exec sleep 1000",
        _ => "exit 1",
    };
    let repository = repository(&scene, 9, |commit| script(texts(commit)));
    let meshproof = |args: &[&str]| {
        let mut command = scene.meshproof();
        command.args(args).env("MESHPROOF_RUNS", scene.path().join("runs"));
        Session::start(command, Shown::Text).end()
    };
    let of = repository.to_str().expect("a plain path");
    let ended = meshproof(&["bisect", "--repo", of, "--good", "HEAD~8", "--parallel", "3", "--", "./check.sh"]);
    ended.assert_code(0);
    scene.assert_nothing_left();
    assert!(ended.stdout().contains("is the first that fails: change 1"), "{}", ended.all());
    let dropped = ended.stderr().lines().filter(|line| line.contains(" dropped the other results")).count();
    assert_eq!(dropped, 2, "{}", ended.all());
    assert!(ended.stdout().contains("4 of 9 commits tested, 4 tests"), "{}", ended.stdout());

    let listed = meshproof(&["runs"]);
    listed.assert_code(0);
    assert!(listed.stdout().contains("4 of 9 commits") && listed.stdout().contains("found "), "{}", listed.all());
    let listed = meshproof(&["runs", "--json"]);
    let document: Value = serde_json::from_str(&listed.stdout()).expect("a document");
    let session = &document["sessions"][0];
    assert_eq!(session["state"]["ended"]["found"]["culprit"]["subject"], "change 1", "{session}");
    let name = session["session"].as_str().expect("a name");
    let shown = meshproof(&["report", name]);
    shown.assert_code(2);
    assert!(shown.stderr().contains("is no run but a session of commits; its report is "), "{}", shown.all());
}

#[test]
fn a_check_of_a_plan_of_commits_reads_the_plan_that_runs_for_each() {
    let scene = Scene::new();
    let plan = "meshproof: 1\nplan: p\nrepo: { path: . }\ncommits: { list: [HEAD] }\ncheck: { run: 'true' }\nthen: { plan: then.yaml }\n";
    let plan = file(&scene, "plan.yaml", plan);
    let check = || {
        let mut command = scene.meshproof();
        command.args(["check", &plan]);
        Session::start(command, Shown::Text).end()
    };
    let missing = check();
    missing.assert_code(2);
    assert!(
        missing.stderr().contains("cannot read the plan") && missing.stderr().contains("then.yaml"),
        "{}",
        missing.all()
    );
    file(&scene, "then.yaml", "meshproof: 1\nplan: after\ntests:\n  - id: t\n    steps: [{ sya: hello }]\n");
    let wrong = check();
    wrong.assert_code(3);
    assert!(wrong.stderr().contains("then.yaml:5") && wrong.stderr().contains("did you mean `say`"), "{}", wrong.all());
    let image =
        "meshproof: 1\nplan: after\nservices: { a: { image: shop } }\ntests:\n  - id: t\n    steps: [{ say: hello }]\n";
    file(&scene, "then.yaml", image);
    let elsewhere = check();
    elsewhere.assert_code(3);
    assert!(
        elsewhere.stderr().contains("the image `shop` needs --on podman, docker or kubernetes"),
        "{}",
        elsewhere.all()
    );
    file(&scene, "then.yaml", "meshproof: 1\nplan: after\ntests:\n  - id: t\n    steps: [{ say: hello }]\n");
    let sound = check();
    sound.assert_code(0);
    assert!(sound.stdout().ends_with("then.yaml: 1 test, 1 step, nothing wrong\n"), "{}", sound.all());
}

#[test]
fn a_plan_that_is_run_for_each_commit_decides_too() {
    let scene = Scene::new();
    let repository = repository(&scene, 2, |commit| vec![("answer", false, format!("{commit}\n"))]);
    let plan = "meshproof: 1\nplan: after\nservices: { app: { exec: { argv: [sleep, \"1000\"] } } }\ntests:\n  - id: t\n    steps:\n\
        \x20     - at: app\n        exec: { shell: \"cat \\\"${{ plan.dir }}/answer\\\"\" }\n        expect: { stdout: \"0\" }\n";
    let then = file(&scene, "then.yaml", plan);
    let ended = meshproof(&scene, &repository, &["commits", "HEAD~1", "HEAD", "--then", &then, "--", "true"]);
    ended.assert_code(1);
    let expected = [("change 0", "passed"), ("change 1", "failed")];
    assert_eq!(
        statuses(&results(&scene)),
        expected.map(|(commit, status)| (commit.to_owned(), status.to_owned())),
        "{}",
        ended.all()
    );
}

#[test]
fn a_plan_of_commits_is_run_as_the_command_line_would_and_its_template_and_secret_are_found() {
    let scene = Scene::new();
    repository(&scene, 6, |commit| {
        let templates = ".meshproof/templates/ours.yaml";
        vec![
            ("value", false, format!("{commit}\n")),
            (templates, false, "build: cp value built\nrun: 'false'\n".to_owned()),
        ]
    });
    let plan = "meshproof: 1\nplan: who-broke-it\nparams: { limit: { type: int, default: 3 } }\nrepo: { path: repository }\n\
        commits: { good: HEAD~5, bad: HEAD, mode: bisect }\nworkspace: { template: ours, per: commit, keep: { on-failure: 24h } }\n\
        check: { run: 'test $(cat built) -lt ${{ params.limit }}' }\nverdict: { repeat: 2, bad-when: all, skip-exit: 125, flaky: warn }\nparallel: 3\n";
    let plan = file(&scene, "plan.yaml", plan);
    let checked = Session::start(
        {
            let mut c = scene.meshproof();
            c.args(["check", &plan]);
            c
        },
        Shown::Text,
    )
    .end();
    checked.assert_code(0);
    assert!(checked.stdout().contains("commits of repository, nothing wrong"), "{}", checked.all());
    let mut command = scene.run_command(Path::new(&plan), "plain");
    let ended = Session::start(command, Shown::Text).end();
    ended.assert_code(0);
    scene.assert_nothing_left();
    assert!(ended.stderr().contains("who-broke-it: 6 commits of "), "{}", ended.all());
    let found = results(&scene);
    assert_eq!((&found["found"]["culprit"]["subject"], &found["name"]), (&"change 3".into(), &"who-broke-it".into()));
    command = scene.run_command(Path::new(&plan), "quiet");
    command.args(["--param", "limit=2"]);
    let quiet = Session::start(command, Shown::Text).end();
    quiet.assert_code(0);
    assert!(!quiet.stderr().contains(" testing "), "{}", quiet.stderr());
    assert_eq!(results(&scene)["found"]["culprit"]["subject"], "change 2");
    command = scene.run_command(Path::new(&plan), "plain");
    command.args(["--dry-run"]);
    let dry = Session::start(command, Shown::Text).end();
    let lines = "plan who-broke-it\ncommits of repository: search what broke it after HEAD~5 up to HEAD, 3 at once\n\
        build as the template ours says\ntest test $(cat built) -lt 3\n";
    assert_eq!(dry.stdout(), lines);
    command = scene.run_command(Path::new(&plan), "plain");
    command.args(["--test", "x"]);
    let refused = Session::start(command, Shown::Text).end();
    refused.assert_code(2);
    assert!(refused.stderr().contains("unsupported: --test with a plan of commits"), "{}", refused.all());
}

/// A server of the files of a repository, for whoever is `anna` with the right password. Gives its URL.
fn server(repository: PathBuf) -> String {
    const RIGHT: &str = "authorization: basic yw5uytpodw50zxiyahvudgvymg==";
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("it listens"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut lines = BufReader::new(stream.try_clone().expect("a socket"));
            while !head.ends_with(b"\r\n\r\n") && lines.read_until(b'\n', &mut head).is_ok_and(|read| read > 0) {}
            let head = String::from_utf8_lossy(&head);
            let path = head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
            let (status, body) = match std::fs::read(repository.join(path.trim_start_matches('/'))) {
                _ if !head.to_lowercase().contains(RIGHT) => {
                    ("401 Unauthorized\r\nwww-authenticate: Basic realm=\"a\"", Vec::new())
                }
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            // Who has seen enough closes.
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    url
}

#[test]
fn credentials_of_a_plan_are_a_secret_that_opens_the_repository_and_that_nobody_sees() {
    let scene = Scene::new();
    let repository = repository(&scene, 1, |_| script("env; tr '\\0' '\\n' < /proc/$PPID/environ; git config --list"));
    let told = Command::new("git").arg("update-server-info").current_dir(&repository).status();
    assert!(told.expect("git is installed").success());
    let url = server(repository.join(".git"));
    let plan = format!(
        "meshproof: 1\nplan: private\nrepo: {{ url: \"{url}\", credentials: \"${{{{ secrets.git }}}}\" }}\n\
         commits: {{ list: [HEAD] }}\ncheck: {{ run: ./check.sh }}\n"
    );
    let plan = file(&scene, "plan.yaml", &plan);
    let run = |secret: Option<&str>| {
        let mut command = scene.run_command(Path::new(&plan), "plain");
        if let Some(secret) = secret {
            command.args(["--secret", &format!("git@{}", file(&scene, "secret", secret))]);
        }
        Session::start(command, Shown::Text).end()
    };
    let missing = run(None);
    missing.assert_code(3);
    assert!(missing.stderr().contains("the secret `git` has no value"), "{}", missing.all());
    let wrong = run(Some("anna:hunter3hunter3\n"));
    wrong.assert_code(5);
    assert!(wrong.stderr().contains("`git clone"), "{}", wrong.all());
    let right = run(Some("anna:hunter2hunter2\n"));
    right.assert_code(0);
    assert!(![wrong, right].iter().any(|ended| ended.all().contains("hunter")));
    let grep = Command::new("grep").args(["-r", "hunter"]).arg(scene.out()).arg(scene.path().join("state")).output();
    assert_eq!(String::from_utf8_lossy(&grep.expect("grep").stdout), "");
}

#[test]
fn the_config_of_the_older_tool_becomes_a_plan_that_runs() {
    let scene = Scene::new();
    let repository = repository(&scene, 3, |commit| script(&format!("exit {}", commit / 2)));
    let config = serde_json::json!({
        "ws_url": "ws://localhost:8080/ws", "repo_url": repository, "user_id": "anna", "chat_id": "42", "project_type": "",
        "test_command": "./check.sh", "commits": ["HEAD~2", "HEAD~1", "HEAD"],
    });
    let config = file(&scene, "config.json", &config.to_string());
    let plan = scene.path().join("plan.yaml");
    let mut command = scene.meshproof();
    command.arg("import").arg(&config).arg(&plan);
    let imported = Session::start(command, Shown::Text).end();
    imported.assert_code(0);
    for said in
        ["ws_url is left out: the mesh is the transport", "user_id names the plan, and with it the runs: `anna-42`"]
    {
        assert!(imported.stderr().contains(said), "{}", imported.all());
    }
    let ended = Session::start(scene.run_command(&plan, "plain"), Shown::Text).end();
    ended.assert_code(1);
    let expected = [("change 0", "passed"), ("change 1", "passed"), ("change 2", "failed")];
    assert_eq!(statuses(&results(&scene)), expected.map(|(commit, status)| (commit.to_owned(), status.to_owned())));
    let mut command = scene.meshproof();
    command.arg("import").arg(&config).arg(&plan);
    Session::start(command, Shown::Text).end().assert_code(2);
}
