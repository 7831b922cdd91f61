//! The way through an HTTP proxy: a real one from Debian, and scripted ones that refuse.

use std::net::SocketAddr;
use std::process::Stdio;

use meshproof_mesh::proxy::{Proxies, ProxyError};
use meshproof_mesh::relay::RelayError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::common::{PATIENCE, Peer, Server, connected, halves, transfer};

fn through(address: &str) -> Proxies {
    Proxies::Always(address.parse().expect("an address"))
}

/// A running tinyproxy that wants a password; ends when dropped.
struct Tinyproxy {
    address: SocketAddr,
    _process: Child,
    folder: std::path::PathBuf,
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Tinyproxy {
    /// `None` where it is not installed, which says so, and is an error in CI.
    async fn start() -> Option<Self> {
        let installed = Command::new("tinyproxy").arg("-v").stdout(Stdio::null()).status().await;
        if installed.is_err() {
            println!("skipped: tinyproxy is not installed; .ci/setup installs it");
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI has what .ci/setup installs");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound").port();
        let folder = std::env::temp_dir().join(format!("meshproof-tinyproxy-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("tinyproxy.conf");
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nMaxClients 20\nTimeout 60\nBasicAuth alice s3cret\nAllow 127.0.0.1\n"
        );
        std::fs::write(&file, text).expect("a file");
        let process = Command::new("tinyproxy")
            .arg("-d")
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("tinyproxy starts");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(PATIENCE, listening).await.expect("tinyproxy listens");
        Some(Self { address, _process: process, folder })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relayed_connection_goes_through_a_real_proxy_with_a_password_and_not_without() {
    let Some(proxy) = Tinyproxy::start().await else { return };
    let server = Server::start().await;
    let (mut left, mut right) = (Peer::new(10), Peer::new(11));
    left.proxies = through(&format!("http://alice:s3cret@{}", proxy.address));
    right.proxies = left.proxies.clone();
    let (a, mut b) = connected(halves(&server.url, &left, &right)).await;
    transfer(&a, &mut b, 2_000_000).await;
    tokio::join!(a.close(), b.close());

    left.proxies = through(&format!("http://alice:wrong@{}", proxy.address));
    let error = left.refusal(&server.url, right.id()).await;
    let RelayError::Proxy(ProxyError::Refused { answer, .. }) = &*error else { panic!("{error}") };
    assert!(answer.contains("40"), "{answer}");
    assert!(!error.to_string().contains("wrong"), "no password in {error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_answers_instead_is_told_with_its_status_line() {
    for (answer, expected) in [
        (&b"HTTP/1.1 403 Filtered\r\nContent-Length: 0\r\n\r\n"[..], "it answered `HTTP/1.1 403 Filtered`"),
        (b"HTTP/1.1 407 \x1b[31mRed\r\n\r\n", "it answered `HTTP/1.1 407 [31mRed`"),
        (b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP: it answered `SSH-2.0-OpenSSH`"),
        (b"", "broke off"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let proxy = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.expect("a request");
            stream.write_all(answer).await.expect("written");
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let mut peer = Peer::new(10);
        peer.proxies = through(&address.to_string());
        let error = peer.refusal("ws://signaling.invalid:8080/mesh", Peer::new(11).id()).await.to_string();
        assert!(error.contains(expected), "{error}");
        let request = proxy.await.expect("it was asked");
        assert!(request.starts_with("CONNECT signaling.invalid:8080 HTTP/1.1\r\nHost: signaling.invalid:8080\r\n"));
    }
}
