use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use meshproof_proto::expr::Template;
use meshproof_proto::order::{Bounds, Listen, TcpAction};
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;
use crate::action::{Answer, Came, ErrorKind, perform};
use crate::endpoints::Endpoints;

const LONG: Duration = Duration::from_secs(20);

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn judged(settings: Settings, line: &str) -> Result<(), String> {
    Permits::of(settings).program(&words(line), None, std::iter::empty())
}

fn listed(programs: &[&Path]) -> Settings {
    Settings { programs: programs.iter().map(|path| path.to_path_buf()).collect(), ..Settings::default() }
}

#[test]
fn a_shell_line_is_refused_unless_the_agent_allows_it() {
    for line in [
        "/bin/sh -c date",
        "bash -ec date",
        "dash",
        "sh -s",
        "zsh -x -c date",
        "busybox sh -c date",
        "fish --command=a",
    ] {
        let reason = judged(Settings::default(), line).expect_err(line);
        assert!(reason.contains("--shell"), "{line}: {reason}");
        judged(Settings { shell: true, ..Settings::default() }, line).expect(line);
    }
    for line in ["psql -c select", "sh deploy.sh -c", "busybox wc -c", "/opt/sh/check -c", "date"] {
        judged(Settings::default(), line).expect(line);
    }
}

#[test]
fn only_listed_programs_start_wherever_a_link_or_a_variable_leads() {
    let folder = tempfile::tempdir().expect("a folder");
    let (inside, outside) = (folder.path().join("inside"), folder.path().join("outside"));
    fs::create_dir(&inside).expect("a folder");
    for path in [inside.join("tool"), outside.clone()] {
        fs::write(&path, "").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    }
    symlink(&outside, inside.join("link")).expect("a link");
    let permits = Permits::of(listed(&[&inside]));
    let judge = |program: &str, cwd: Option<&Path>, env: &[&str]| {
        let cwd = cwd.map(|cwd| cwd.display().to_string());
        permits.program(&[program.to_owned()], cwd.as_deref(), env.iter().copied())
    };
    let path = |path: &Path| path.display().to_string();
    judge(&path(&inside.join("tool")), None, &["PGPASSWORD"]).expect("it is listed");
    judge("./tool", Some(&inside), &[]).expect("it is listed");
    for (program, cwd, env, why) in [
        (path(&outside), None, &[][..], "not among the programs"),
        (path(&inside.join("link")), None, &[], "outside` is not among"),
        (path(&inside.join("../outside")), None, &[], "not among the programs"),
        ("./outside".to_owned(), Some(folder.path()), &[], "not among the programs"),
        ("true".to_owned(), None, &[], "not among the programs"),
        ("no-such-program".to_owned(), None, &[], "there is no program"),
        (path(&inside.join("tool")), None, &["LD_PRELOAD"], "would have a listed program load another"),
    ] {
        let reason = judge(&program, cwd, env).expect_err(&program);
        assert!(reason.contains(why), "{program}: {reason}");
    }
}

#[tokio::test]
async fn link_local_and_metadata_addresses_are_not_dialled_unless_they_are_named() {
    for refused in [
        "169.254.169.254:80",
        "169.254.0.1:1",
        "[fe80::1]:80",
        "[febf::1]:80",
        "[fd00:ec2::254]:80",
        "[fd20:ce::254]:80",
        "100.100.100.200:80",
        "168.63.129.16:80",
        "192.0.0.192:80",
        "[::ffff:169.254.169.254]:80",
        "[::169.254.169.254]:80",
    ] {
        let address: std::net::SocketAddr = refused.parse().expect("an address");
        let strict = Permits::default();
        let reason = strict.reach.written(refused).expect_err(refused);
        assert!(reason.contains("--reach"), "{reason}");
        assert_eq!(strict.addresses(vec![address]).await, Err(reason), "{refused}");
        // a name may lead to more than one
        let usual = "127.0.0.1:80".parse().expect("an address");
        assert_eq!(strict.addresses(vec![address, usual]).await, Ok(vec![usual]), "{refused}");
        let named = Permits::of(Settings { reach: vec![address.ip()], ..Settings::default() });
        named.reach.written(refused).expect(refused);
        assert_eq!(named.addresses(vec![address]).await, Ok(vec![address]));
    }
    for usual in ["127.0.0.1:80", "[::1]:80", "0.0.0.0:80", "10.0.0.1:80", "169.253.0.1:80", "[fd00::1]:80", "shop:80"]
    {
        Permits::default().reach.written(usual).expect(usual);
    }
}

#[tokio::test]
async fn the_signaling_server_is_no_target_under_any_of_its_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = server.local_addr().expect("bound").port();
    let audit = Arc::new(Audit::in_directory(folder.path()).expect("a folder"));
    let permits = Permits::new(Settings::default(), &[format!("ws://localhost:{port}/mesh")], audit);
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "127.9.9.9", "[::ffff:127.0.0.1]"] {
        let answer = dial(&format!("{host}:{port}"), &permits).await;
        let error = answer.error.expect(host);
        assert_eq!(error.kind, ErrorKind::Order, "{host}: {error}");
        assert!(error.message.contains("a signaling server of this mesh"), "{host}: {error}");
    }
    let lines = fs::read_to_string(folder.path().join("audit.jsonl")).expect("an audit log");
    assert_eq!(lines.matches(r#""call":"connect""#).count(), 5, "{lines}");
    // its neighbour is as good a target as any
    let other = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = other.local_addr().expect("bound").to_string();
    let (answer, _) = tokio::join!(dial(&address, &permits), async { drop(other.accept().await) });
    assert_ne!(answer.error.map(|error| error.kind), Some(ErrorKind::Order));
}

#[tokio::test]
async fn a_log_is_in_a_listed_folder_wherever_a_link_leads() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    for name in ["inside", "outside"] {
        fs::create_dir(place(name)).expect("a folder");
    }
    for name in ["inside/audit.log", "outside/token"] {
        fs::write(place(name), "").expect("a file");
    }
    for (to, link) in [("outside/token", "inside/link"), ("outside", "inside/away"), ("outside/none", "inside/none")] {
        symlink(place(to), place(link)).expect("a link");
    }
    let permits = Permits::of(Settings { paths: vec![place("inside")], ..Settings::default() });
    let text = |name: &str| place(name).display().to_string();
    for good in ["inside/audit.log", "inside/later.log", "inside/later/audit.log", "outside/../inside/audit.log"] {
        permits.logs.path(&text(good)).expect(good);
    }
    for (bad, why) in [
        ("outside/token", "--paths"),
        ("outside/later.log", "--paths"),
        ("inside/../outside/token", "--paths"),
        ("inside/link", "--paths"),
        ("inside/away/token", "--paths"),
        ("inside/away/later.log", "--paths"),
        ("inside/none", "leads nowhere"),
        ("inside/later/../../outside/token", "goes back"),
    ] {
        let reason = permits.logs.path(&text(bad)).expect_err(bad);
        assert!(reason.contains(why), "{bad}: {reason}");
        let listens = [("audit".to_owned(), Listen::Udp)].into();
        let service = ServicePlace { logs: [("audit".to_owned(), text(bad))].into(), listens, ..Default::default() };
        let endpoint =
            Endpoints::bind(&service, &permits.logs, &Default::default()).await.map(|(_, addresses)| addresses);
        assert!(endpoint.is_err(), "{bad}: an endpoint writes to it, at {endpoint:?}");
    }
    assert_eq!(fs::read_dir(place("outside")).expect("a folder").count(), 1, "nothing was made there");
    Permits::default().logs.path(&text("outside/token")).expect("nothing is listed");
}

/// Closed at once by the server, if it comes that far.
async fn dial(address: &str, permits: &Permits) -> Answer {
    let (target, send) = (Target::plain("shop", address), Template::text("x\n"));
    perform(&Action::Tcp(TcpAction { target, send }), &Value::Null, Terms::alone(LONG, permits)).await
}

async fn run(argv: &[&str], permits: &Permits) -> (Option<i32>, String) {
    run_within(argv, Bounds::default(), permits).await
}

async fn run_within(argv: &[&str], limits: Bounds, permits: &Permits) -> (Option<i32>, String) {
    let argv = argv.iter().map(|argument| Template::text(*argument)).collect();
    let action = ExecAction { argv, env: Vec::new(), stdin: None, cwd: None, limits };
    let answer = perform(&Action::Exec(action), &Value::Null, Terms::alone(LONG, permits)).await;
    let Came::Exec(came) = answer.came else { return (None, answer.error.expect("a reason").message) };
    (came.code, came.stdout.text + &came.stderr.text + &answer.error.map(|error| error.message).unwrap_or_default())
}

#[tokio::test]
async fn a_program_has_no_way_to_more_privileges_and_nothing_that_the_agent_was_given() {
    // as whoever started this process may have left it one
    let kept = tempfile::tempfile().expect("a file");
    rustix::io::fcntl_setfd(&kept, rustix::io::FdFlags::empty()).expect("a flag");
    let permits = Permits::default();
    let (_, before) = run(&["ls", "/proc/self/fd"], &permits).await;
    crate::inherited::keep_from_programs().expect("/proc is there");
    let (_, after) = run(&["ls", "/proc/self/fd"], &permits).await;
    assert!(before.lines().count() > 4, "{before}");
    // the last is the folder that is listed
    assert_eq!(after, "0\n1\n2\n3\n");
    let (_, status) = run(&["cat", "/proc/self/status"], &permits).await;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    assert_eq!((field("NoNewPrivs:"), field("CapAmb:")), (Some("1"), Some("0000000000000000")), "{status}");
    let (_, environment) = run(&["env"], &permits).await;
    assert!(environment.lines().all(|line| line.starts_with("PATH=") || line.starts_with("HOME=")), "{environment}");
    // its own thread took that on, not this one
    assert!(!rustix::thread::no_new_privs().expect("it is known"));
}

#[tokio::test]
async fn a_program_has_no_more_than_its_step_and_the_agent_both_allow() {
    let owner = Bounds { descriptors: Some(32), memory_bytes: Some(512 << 20), ..Bounds::default() };
    let permits = Permits::of(Settings { shell: true, limits: owner, ..Settings::default() });
    let look = ["sh", "-c", "ulimit -n; ulimit -v; ulimit -n 64 || true"];
    for (asked, expected) in [
        (Bounds::default(), "32\n524288\n"),
        (Bounds { descriptors: Some(64), memory_bytes: Some(256 << 20), ..Bounds::default() }, "32\n262144\n"),
        (Bounds { descriptors: Some(16), ..Bounds::default() }, "16\n524288\n"),
    ] {
        let (code, said) = run_within(&look, asked, &permits).await;
        // nor is there a way to more
        assert!(code == Some(0) && said.starts_with(expected) && said.len() > expected.len(), "{asked:?}: {said}");
    }
}

#[tokio::test]
async fn a_program_sees_the_listed_folders_and_starts_the_listed_programs_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mine, secret) = (folder.path().join("mine"), folder.path().join("token"));
    fs::create_dir(&mine).expect("a folder");
    fs::write(&secret, "s3cret").expect("a file");
    let text = |path: &Path| path.display().to_string();
    let paths = Permits::of(Settings { paths: vec![mine.clone()], ..Settings::default() });
    if !paths.is_enforced() {
        return eprintln!("skipped: this kernel has no Landlock, so nothing holds a program to folders");
    }
    let written = text(&mine.join("written"));
    assert_eq!(run(&["cp", "/etc/hostname", &written], &paths).await, (Some(0), String::new()));
    let (code, said) = run(&["cat", &text(&secret)], &paths).await;
    assert!(code == Some(1) && said.contains("Permission denied"), "{said}");
    let (code, said) = run(&["cp", &written, &text(&folder.path().join("out"))], &paths).await;
    assert!(code == Some(1) && said.contains("Permission denied"), "{said}");

    let tools = ["env", "cat"].map(|tool| Path::new("/usr/bin").join(tool));
    let programs = Permits::of(listed(&[&tools[0], &tools[1]]));
    assert_eq!(run(&["env", "cat", &text(&secret)], &programs).await, (Some(0), "s3cret".to_owned()));
    // `env` is listed, what it would start is not
    let (code, said) = run(&["env", "ls"], &programs).await;
    assert!(code == Some(126) && said.contains("Permission denied"), "{said}");
}
