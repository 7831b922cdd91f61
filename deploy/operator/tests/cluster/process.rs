//! The operator and a zone reporter as programs, in real time: what their images run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use meshproof_health::{Question, Watched};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::fake::Id;
use crate::stage::{LEASES, Stage, pool};

/// An agent that has joined.
#[derive(Clone)]
struct Agent;

impl Watched for Agent {
    async fn tell(&self, _: Question) -> Result<String, String> {
        Ok("meshproof_signaling_servers{state=\"up\"} 1\n".to_owned())
    }
}

/// An address of this test's alone: all of 127.0.0.0/8 is this machine.
fn own(port: u16) -> SocketAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 64 + a % 64, b, c], port))
}

/// A kubeconfig for a server at that address.
fn kubeconfig(folder: &Path, address: SocketAddr) -> PathBuf {
    let path = folder.join("config");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{ name: test, cluster: {{ server: 'http://{address}' }} }}]\n\
         contexts: [{{ name: test, context: {{ cluster: test, user: test }} }}]\n\
         users: [{{ name: test, user: {{}} }}]\n"
    );
    std::fs::write(&path, text).expect("a file");
    path
}

fn program(kubeconfig: &Path, name: &str, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof-operator"));
    command
        .args(args)
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .env("POD_NAME", name)
        .env("POD_NAMESPACE", "meshproof");
    command.stderr(Stdio::null()).kill_on_drop(true).spawn().expect("it is built")
}

async fn get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer
}

fn figure(figures: &str, name: &str) -> f64 {
    let line = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {figures}")).trim().parse().expect("a number")
}

#[tokio::test]
async fn the_programs_do_it_too_and_leave_when_they_are_told_to() {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let folder = tempfile::tempdir().expect("a folder");
    let config = kubeconfig(folder.path(), listener.local_addr().expect("an address"));
    let _serving = stage.fake.serve(listener);
    let (health, agent) = (own(9464), own(9465));
    let _agent = meshproof_health::serve(agent, Agent).expect("an agent");
    let mut operator = program(&config, "operator-0", &["operate", "--image", "x", "--health", &health.to_string()]);
    let agents = agent.to_string();
    let args = ["zone-reporter", "--namespace", "team", "--lease", "shop-zone-a", "--agents", &agents];
    let mut reporter = program(&config, "reporter-0", &args);
    stage.create_pool(&pool()).await;
    stage.until("the pool is complete", |stage| stage.holds("Ready") && stage.ready("b") == 1).await;
    let lease = Id::new(LEASES, "team", "shop-zone-a");
    let holder = |stage: &Stage| stage.fake.get(&lease).unwrap_or_default()["spec"]["holderIdentity"].clone();
    stage.until("the zone's lease is renewed", |stage| holder(stage) == "reporter-0").await;

    assert!(get(health, "/healthz").await.contains("200 OK") && get(health, "/readyz").await.contains("200 OK"));
    let figures = get(health, "/metrics").await;
    assert_eq!(figure(&figures, "meshproof_operator_leader"), 1.0);
    assert_eq!(figure(&figures, "meshproof_operator_pool_epoch{namespace=\"team\",pool=\"shop\"}"), 1.0);
    let condition = "meshproof_operator_pool_condition{namespace=\"team\",pool=\"shop\",condition=\"Ready\"}";
    assert_eq!(figure(&figures, condition), 1.0);
    let memory = figure(&figures, "process_resident_memory_bytes") / 1_048_576.0;
    println!("| memory of the operator, with one pool | {memory:.1} MiB |");

    for child in [&mut operator, &mut reporter] {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw).expect("it runs");
        kill_process(pid, Signal::TERM).expect("it runs");
        let ended = timeout(Duration::from_secs(10), child.wait()).await.expect("it ends").expect("it was started");
        assert!(ended.success(), "{ended}");
    }
    let lease = stage.fake.get(&Id::new(LEASES, "meshproof", "meshproof-operator")).expect("its lease");
    assert_eq!(lease["spec"]["holderIdentity"], "", "the next one need not wait");
}
