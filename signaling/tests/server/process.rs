//! Starting, saying where, and stopping quickly.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{HANG, Peer, Server, Socket, root};
use meshproof_proto::rendezvous::{ToPeer, ToServer};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Less than what one that does not answer is waited for while the server goes on.
const QUICK: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn a_stop_closes_every_socket_and_waits_for_nobody() {
    let mut server = Server::start().await;
    let (mut reading, _) = server.join(&Peer::new(10)).await;
    let (_frozen, _) = server.join(&Peer::new(11)).await;
    let (mut leaving, _) = server.join(&Peer::new(12)).await;
    leaving.say(&ToServer::Leave).await;
    for _ in 0..3 {
        reading.hear().await;
    }
    let _half_open = TcpStream::connect(server.address).await.expect("the server listens");
    let start = Instant::now();
    server.stop.cancel();
    let frame = reading.end().await.expect("a close frame");
    assert_eq!(u16::from(frame.code), 1001);
    (&mut server.task).await.expect("no panic").expect("a clean end");
    assert!(start.elapsed() < QUICK, "{:?}", start.elapsed());
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn the_binary_says_where_it_listens_and_stops_at_sigterm_and_sigint() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ready = dir.path().join("ready");
        let mut child = Command::new(env!("CARGO_BIN_EXE_meshproof-signaling"))
            .env("MESHPROOF_MESHES", format!("dev={},other={}", root(), root()))
            .arg("--ready-file")
            .arg(&ready)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let url = announced(&mut child).await;
        assert_eq!(std::fs::read_to_string(&ready).expect("a ready file"), format!("{url}\n"));
        let address = place(&url);
        assert!(health(address).await.starts_with("HTTP/1.1 200"));

        let pid = Pid::from_raw(child.id().expect("running").cast_signed()).expect("not zero");
        kill_process(pid, signal).expect("it is ours");
        let status = timeout(HANG, child.wait()).await.expect("it stops").expect("it is our child");
        assert!(status.success(), "{status}");
        assert!(!ready.exists());
    }
}

#[tokio::test]
async fn a_mesh_without_a_root_key_is_refused_with_the_form_expected() {
    let output = Command::new(env!("CARGO_BIN_EXE_meshproof-signaling")).args(["--mesh", "dev"]).output().await;
    let output = output.expect("the binary starts");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`NAME=ROOT-KEY` was expected, there is no `=`"), "{said}");
}

/// The URL that a server says it listens on.
async fn announced(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.as_mut().expect("piped")).lines();
    let line = timeout(HANG, lines.next_line()).await.expect("in time").expect("readable").expect("a line");
    line.strip_prefix("listening on ").expect("the announced form").to_owned()
}

/// Host and port of a mesh's URL.
fn place(url: &str) -> &str {
    url.strip_prefix("ws://").and_then(|rest| rest.strip_suffix("/mesh")).expect("a mesh URL")
}

async fn health(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("it reads");
    let mut answer = String::new();
    timeout(HANG, stream.read_to_string(&mut answer)).await.expect("in time").expect("text");
    answer
}

#[tokio::test]
async fn a_refusal_is_an_audit_line_that_names_where_the_peer_came_from_and_why() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meshproof-signaling"))
        .args(["--mesh", &format!("dev={}", root())])
        .env_remove("MESHPROOF_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let url = announced(&mut child).await;
    let stream = TcpStream::connect(place(&url)).await.expect("it listens");
    let from = stream.local_addr().expect("it is connected");
    let mut socket = Socket::over(stream, &url).await;
    let ToPeer::Challenge { nonce, .. } = socket.hear().await else { panic!("a challenge comes first") };
    socket.say(&Peer::under(2, 10).register(&nonce)).await;
    let ToPeer::Refused { reason } = socket.hear().await else { panic!("another root's token") };

    let mut said = BufReader::new(child.stderr.take().expect("piped")).lines();
    let line = timeout(HANG, async {
        loop {
            let line = said.next_line().await.expect("readable").expect("a line that names it");
            if line.contains("meshproof::audit") {
                return line;
            }
        }
    });
    let line = line.await.expect("in time");
    assert!(line.contains(&from.to_string()) && line.contains(reason.split(';').next().expect("a text")), "{line}");
}
