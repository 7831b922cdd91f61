//! Many connections through one tunnel, and faults on whole connections.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use meshproof_agent::descriptors;
use meshproof_proto::identity::Capability;
use meshproof_proto::order::{Direction, FaultOrder, FaultReport, FaultTarget};
use meshproof_proto::shaper::{ConnectionShape, Shape};
use tarpc::context;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::service;
use crate::world::{Orchestrator, World, authority, name};

/// Open at once through one tunnel. Each takes four sockets of this process.
const CONNECTIONS: usize = 2_000;

/// Opened side by side: what the kernel's queue of a listener holds many times over.
const AT_ONCE: usize = 100;

type Client = BufReader<TcpStream>;

/// Shop's tunnel to the ledger.
async fn tunnel(world: &World) -> (Orchestrator, String) {
    world.agent("shop", &Capability::ALL);
    world.agent("ledger", &Capability::ALL);
    let mesh = world.orchestrator(&["ledger", "shop"]).await;
    mesh.initialize("ledger", Some(&service().await), &[]).await;
    let tunnel = mesh.initialize("shop", None, &["ledger"]).await.tunnels["ledger.tcp"].clone();
    (mesh, tunnel)
}

async fn connect(tunnel: &str) -> std::io::Result<Client> {
    TcpStream::connect(tunnel).await.map(BufReader::new)
}

/// One question and its answer.
async fn ask(client: &mut Client, what: &str) -> std::io::Result<String> {
    client.write_all(format!("{what}\n").as_bytes()).await?;
    let mut line = String::new();
    client.read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_connections_are_open_at_once_through_one_tunnel_and_each_keeps_its_bytes_and_its_end() {
    descriptors::raise_limit();
    let world = World::new().await;
    let (mut mesh, tunnel) = tunnel(&world).await;
    let talk = async {
        let mut clients = Vec::with_capacity(CONNECTIONS);
        for first in (0..CONNECTIONS).step_by(AT_ONCE) {
            let opening = (first..first + AT_ONCE).map(|number| {
                let tunnel = tunnel.clone();
                async move {
                    let mut client = connect(&tunnel).await.expect("listens");
                    assert_eq!(
                        ask(&mut client, &format!("first {number}")).await.expect("open"),
                        format!("OK first {number}")
                    );
                    client
                }
            });
            clients.extend(futures::future::join_all(opening).await);
        }
        assert_eq!(clients.len(), CONNECTIONS);
        // every one of them is still open, the oldest too
        let again = clients.into_iter().enumerate().map(|(number, mut client)| async move {
            let said = ask(&mut client, &format!("again {number}")).await.expect("open");
            assert_eq!(said, format!("OK again {number}"));
            client.get_mut().shutdown().await.expect("open");
            let mut last = String::new();
            client.read_to_string(&mut last).await.expect("open");
            assert_eq!(last, "bye\n", "the service speaks after its client's end");
        });
        futures::future::join_all(again).await;
    };
    timeout(Duration::from_secs(120), mesh.during_long(talk)).await.expect("it ends in time");
}

fn order(name_of: &str, target: FaultTarget, shape: Shape) -> Box<FaultOrder> {
    Box::new(FaultOrder { authority: authority(), fault: name_of.to_owned(), target, shape, lease_ms: 30_000 })
}

fn to_ledger(direction: Direction) -> FaultTarget {
    FaultTarget::Traffic { peer: name("ledger"), direction }
}

async fn begin(mesh: &mut Orchestrator, at: &str, order: Box<FaultOrder>) {
    let agent = mesh.client(at);
    mesh.during(agent.begin_fault(context::current(), order)).await.expect("answered").expect("taken");
}

async fn heal(mesh: &mut Orchestrator, at: &str, fault: &str) -> FaultReport {
    let agent = mesh.client(at);
    let report = mesh.during(agent.heal_fault(context::current(), authority(), fault.to_owned())).await;
    report.expect("answered").expect("healed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_connections_are_refused_by_the_kernel_while_open_ones_go_on_and_the_port_comes_back() {
    let world = World::new().await;
    let (mut mesh, tunnel) = tunnel(&world).await;
    let mut before = connect(&tunnel).await.expect("listens");
    let first = mesh.during(ask(&mut before, "before")).await;
    assert_eq!(first.expect("open"), "OK before");
    let refuse = ConnectionShape { refuse: true, ..ConnectionShape::default() };
    let shape = Shape { connections: refuse, ..Shape::default() };
    for round in 0..3 {
        let fault = format!("refuse-{round}");
        begin(&mut mesh, "shop", order(&fault, to_ledger(Direction::Outgoing), shape.clone())).await;
        let refused = async {
            // what comes just before may be accepted, or be reset with the queue that it waits in
            while !connect(&tunnel).await.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
                tokio::task::yield_now().await;
            }
        };
        mesh.during(refused).await;
        let during = mesh.during(ask(&mut before, "during")).await;
        assert_eq!(during.expect("an open connection goes on"), "OK during");
        let report = heal(&mut mesh, "shop", &fault).await;
        assert!(report.effective && report.healed && report.measured.starts_with("refused "), "{report:?}");
        assert_eq!(report.deviation_percent, Some(0.0), "{report:?}");
        let mut after = connect(&tunnel).await.expect("the same port listens again");
        assert_eq!(mesh.during(ask(&mut after, "after")).await.expect("open"), "OK after");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_reaches_client_and_service_as_a_reset_whichever_agent_makes_it() {
    let world = World::new().await;
    let (mut mesh, tunnel) = tunnel(&world).await;
    let reset = ConnectionShape { reset_after_us: Some(0), ..ConnectionShape::default() };
    let shape = Shape { connections: reset, ..Shape::default() };
    let targets = [
        ("shop", "ledger", Direction::Outgoing),
        ("ledger", "shop", Direction::Both),
        ("ledger", "shop", Direction::Outgoing),
    ];
    for (at, peer, direction) in targets {
        let mut open = connect(&tunnel).await.expect("listens");
        assert_eq!(mesh.during(ask(&mut open, "before")).await.expect("open"), "OK before");
        let target = FaultTarget::Traffic { peer: name(peer), direction };
        begin(&mut mesh, at, order("reset", target, shape.clone())).await;
        let error = mesh.during(open.fill_buf()).await.map(<[u8]>::to_vec).expect_err("reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let new = async {
            // its reset may come before it knows that it is open
            let mut new = connect(&tunnel).await?;
            ask(&mut new, "new").await
        };
        let said = mesh.during(new).await;
        assert!(said.is_err() || said.is_ok_and(|line| line.is_empty()), "a new connection is reset");
        let report = heal(&mut mesh, at, "reset").await;
        assert!(report.effective && report.healed && report.measured.starts_with("reset "), "{report:?}");
        assert_eq!(report.deviation_percent, Some(0.0), "{report:?}");
        let mut after = connect(&tunnel).await.expect("listens");
        assert_eq!(mesh.during(ask(&mut after, "after")).await.expect("open"), "OK after");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_cuts_every_path_it_names_and_one_report_tells_of_all() {
    let world = World::new().await;
    for agent in ["shop", "ledger", "bank"] {
        world.agent(agent, &Capability::ALL);
    }
    let mut mesh = world.orchestrator(&["bank", "ledger", "shop"]).await;
    for agent in ["ledger", "bank"] {
        mesh.initialize(agent, Some(&service().await), &[]).await;
    }
    let tunnels = mesh.initialize("shop", None, &["ledger", "bank"]).await.tunnels;
    let mut clients = Vec::new();
    for to in ["ledger.tcp", "bank.tcp"] {
        let mut client = connect(&tunnels[to]).await.expect("listens");
        assert_eq!(mesh.during(ask(&mut client, "before")).await.expect("open"), "OK before");
        clients.push(client);
    }
    let target = FaultTarget::Partition { peers: BTreeSet::from([name("bank"), name("ledger")]) };
    begin(&mut mesh, "shop", order("split", target, Shape { loss_percent: 100.0, ..Shape::default() })).await;
    for client in &mut clients {
        client.write_all(b"during\n").await.expect("open");
        let read = timeout(Duration::from_millis(300), client.fill_buf());
        mesh.during(read).await.map(drop).expect_err("held");
    }
    let report = heal(&mut mesh, "shop", "split").await;
    let cut = "loss 100% (1 connection, 7 B held, 0 B passed)";
    assert_eq!(report.measured, format!("{cut}; {cut}"));
    assert!(report.effective && report.healed, "{report:?}");
    for client in &mut clients {
        let mut line = String::new();
        mesh.during(client.read_line(&mut line)).await.expect("flows");
        assert_eq!(line, "OK during\n");
    }
}
