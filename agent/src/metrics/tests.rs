//! What fetches of metrics may dial.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::permits::Settings;

/// An address that only the machine itself is meant to reach, as clouds keep their metadata at.
const LINK_LOCAL: &str = "169.254.77.1";

/// Asks for `up`, which this place tells, under these permits.
async fn up(address: SocketAddr, permits: Permits) -> Result<Range, NoNumber> {
    let scrape = Scrape { port: "http".to_owned(), path: "/metrics".to_owned(), every_ms: 3_600_000 };
    let ports = BTreeMap::from([("http".to_owned(), address.to_string())]);
    let service = ServicePlace { ports, scrape: Some(scrape), ..ServicePlace::default() };
    let metrics = Metrics::open(&service, mpsc::channel(1).0, Arc::new(permits));
    metrics.refresh("up").await;
    metrics.number(&Question { metric: "up", labels: &[], stat: Stat::Is })
}

/// A service that tells that it is up.
async fn service(at: &str) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind(at).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n").await;
        }
    });
    (address, AbortOnDropHandle::new(serving))
}

fn no(number: Result<Range, NoNumber>) -> String {
    match number {
        Err(NoNumber::Yet(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_signaling_server_tells_no_metrics_and_its_neighbour_does() {
    let (address, _serving) = service("127.0.0.1:0").await;
    let control = format!("ws://localhost:{}/mesh", address.port());
    let why = no(up(address, Permits::new(Settings::default(), &[control], Arc::default())).await);
    assert!(why.contains("a signaling server of this mesh"), "{why}");
    let elsewhere = ["ws://localhost:1/mesh".to_owned()];
    assert_eq!(up(address, Permits::new(Settings::default(), &elsewhere, Arc::default())).await, Ok(Range::of(1.0)));
}

/// In a network of this process alone; see the test below.
#[tokio::test]
#[ignore = "started by metrics_at_a_link_local_address_are_fetched_if_the_agent_may_reach_it"]
async fn fetch_from_a_link_local_address() {
    let (address, _serving) = service(&format!("{LINK_LOCAL}:0")).await;
    let why = no(up(address, Permits::default()).await);
    assert!(why.contains("--reach 169.254.77.1"), "{why}");
    let reach = vec![address.ip()];
    assert_eq!(up(address, Permits::of(Settings { reach, ..Settings::default() })).await, Ok(Range::of(1.0)));
    println!("fetched from {LINK_LOCAL}");
}

#[test]
fn metrics_at_a_link_local_address_are_fetched_if_the_agent_may_reach_it() {
    let may = Command::new("unshare").args(["--net", "true"]).output().expect("util-linux is on every Debian");
    if !may.status.success() {
        let why = String::from_utf8_lossy(&may.stderr);
        return println!("skipped: a network with a link-local address of its own cannot be made here: {}", why.trim());
    }
    let this = std::env::current_exe().expect("we run");
    let there = format!(
        "ip link set lo up && ip address add {LINK_LOCAL}/32 dev lo && \
         exec \"$0\" --exact metrics::tests::fetch_from_a_link_local_address --ignored --nocapture"
    );
    let mut inside = Command::new("unshare");
    inside.args(["--net", "/bin/sh", "-c", &there]).arg(this).stdin(Stdio::null());
    let ran = inside.output().expect("it was there");
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success() && said.contains("fetched from"), "{said}");
}
