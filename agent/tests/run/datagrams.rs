//! Datagrams through a tunnel, and what faults do to them.

use std::collections::BTreeSet;
use std::time::Duration;

use meshproof_proto::identity::Capability;
use meshproof_proto::order::{Direction, FaultOrder, FaultReport, FaultTarget};
use meshproof_proto::shaper::{DatagramShape, Shape};
use tarpc::context;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::world::{Orchestrator, World, authority, name};

/// Datagrams sent before their answers are waited for: what every queue on the way holds.
const BATCH: u32 = 50;

/// Answers cross two agents of this process in well under this.
const QUIET: Duration = Duration::from_millis(150);

/// Sends each datagram back to where it came from, behind its own port.
async fn service() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
    let address = socket.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        let mut buffer = vec![0; 2_000];
        while let Ok((count, client)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..count], client).await;
        }
    });
    address
}

async fn tunnel(world: &World) -> (Orchestrator, String) {
    world.agent("shop", &Capability::ALL);
    world.agent("resolver", &Capability::ALL);
    let mesh = world.orchestrator(&["resolver", "shop"]).await;
    mesh.initialize_for_datagrams("resolver", Some(&service().await), &[]).await;
    let tunnel = mesh.initialize_for_datagrams("shop", None, &["resolver"]).await.tunnels["resolver.dns"].clone();
    (mesh, tunnel)
}

struct Client(UdpSocket);

/// What came back.
#[derive(Default)]
struct Back {
    sent: u32,
    came: BTreeSet<u32>,
    twice: u32,
    late: u32,
}

impl Client {
    async fn new(tunnel: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
        socket.connect(tunnel).await.expect("an address");
        Self(socket)
    }

    /// Sends so many numbers, and collects those that come back.
    async fn exchange(&self, numbers: u32) -> Back {
        let mut back = Back::default();
        while back.sent < numbers {
            let first = back.sent;
            for number in first..first + BATCH {
                self.0.send(&number.to_le_bytes()).await.expect("sent");
            }
            back.sent += BATCH;
            let (mut buffer, mut newest) = ([0; 4], 0);
            while let Ok(Ok(count)) = timeout(QUIET, self.0.recv(&mut buffer)).await {
                assert_eq!(count, 4);
                let number = u32::from_le_bytes(buffer);
                back.late += u32::from(number < newest);
                newest = newest.max(number);
                back.twice += u32::from(!back.came.insert(number));
                if back.came.range(first..).count() == BATCH as usize && back.twice == 0 {
                    break;
                }
            }
        }
        back
    }

    /// Waits until the path is there: the first datagrams may be lost while it is made.
    async fn opened(&self) {
        let mut buffer = [0; 4];
        loop {
            self.0.send(b"open").await.expect("sent");
            if let Ok(Ok(_)) = timeout(QUIET, self.0.recv(&mut buffer)).await {
                break;
            }
        }
        while timeout(QUIET, self.0.recv(&mut buffer)).await.is_ok() {}
    }
}

async fn under(mesh: &mut Orchestrator, shape: Shape, client: &Client, numbers: u32) -> (Back, FaultReport) {
    let target = FaultTarget::Traffic { peer: name("resolver"), direction: Direction::Outgoing };
    let fault = shape.to_string();
    let order = FaultOrder { authority: authority(), fault: fault.clone(), target, shape, lease_ms: 60_000 };
    let shop = mesh.client("shop");
    mesh.during(shop.begin_fault(context::current(), Box::new(order))).await.expect("answered").expect("taken");
    let exchange = timeout(Duration::from_secs(120), client.exchange(numbers));
    let back = mesh.during_long(exchange).await.expect("it ends in time");
    let report = mesh.during(shop.heal_fault(context::current(), authority(), fault)).await;
    (back, report.expect("answered").expect("healed"))
}

fn share(part: u32, of: u32) -> f64 {
    100.0 * f64::from(part) / f64::from(of)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_of_a_service_over_udp_gets_its_own_answers() {
    let world = World::new().await;
    let (mut mesh, tunnel) = tunnel(&world).await;
    let (one, other) = (Client::new(&tunnel).await, Client::new(&tunnel).await);
    mesh.during(async { tokio::join!(one.opened(), other.opened()) }).await;
    let (from_one, from_other) = mesh.during(async { tokio::join!(one.exchange(500), other.exchange(500)) }).await;
    for back in [from_one, from_other] {
        assert!(share(back.came.len() as u32, back.sent) > 98.0, "{} of {}", back.came.len(), back.sent);
        assert_eq!(back.twice, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_duplicates_and_reordering_of_datagrams_are_as_an_outside_observer_counts_them() {
    let world = World::new().await;
    let (mut mesh, tunnel) = tunnel(&world).await;
    let client = Client::new(&tunnel).await;
    mesh.during(client.opened()).await;
    println!("the run's seed is 7");

    let (back, report) = under(&mut mesh, Shape { loss_percent: 10.0, ..Shape::default() }, &client, 2_000).await;
    let lost = share(back.sent - back.came.len() as u32, back.sent);
    assert!((lost - 10.0).abs() < 3.0, "{lost}% were lost: {report:?}");
    assert!(report.effective && report.healed && report.measured.starts_with("loss "), "{report:?}");
    assert!(report.deviation_percent.expect("a number") < 25.0, "{report:?}");

    let datagrams = DatagramShape { duplicate_percent: 20.0, ..DatagramShape::default() };
    let (back, report) = under(&mut mesh, Shape { datagrams, ..Shape::default() }, &client, 500).await;
    let twice = share(back.twice, back.sent);
    assert!((twice - 20.0).abs() < 6.0, "{twice}% came twice: {report:?}");
    assert!(report.measured.starts_with("duplicate "), "{report:?}");

    let datagrams = DatagramShape { reorder_percent: 20.0, ..DatagramShape::default() };
    let (back, report) = under(&mut mesh, Shape { datagrams, ..Shape::default() }, &client, 500).await;
    let late = share(back.late, back.sent);
    assert!((late - 20.0).abs() < 8.0, "{late}% came late: {report:?}");
    assert!(report.effective && report.measured.starts_with("reorder "), "{report:?}");
    assert!(report.deviation_percent.expect("a number") < 35.0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_path_for_datagrams_is_measured_by_probes_and_is_seen_to_be_healed() {
    let world = World::new().await;
    let (mut mesh, tunnel) = tunnel(&world).await;
    let client = Client::new(&tunnel).await;
    mesh.during(client.opened()).await;
    let shape = Shape { loss_percent: 50.0, ..Shape::default() };
    let target = FaultTarget::Traffic { peer: name("resolver"), direction: Direction::Both };
    let fault = "silent".to_owned();
    let order = FaultOrder { authority: authority(), fault: fault.clone(), target, shape, lease_ms: 1_500 };
    let shop = mesh.client("shop");
    mesh.during(shop.begin_fault(context::current(), Box::new(order))).await.expect("answered").expect("taken");
    let ended = |facts: Vec<meshproof_proto::event::Fact>| {
        facts.into_iter().find_map(|fact| match fact {
            meshproof_proto::event::Fact::FaultEnded(report) => Some(report),
            _ => None,
        })
    };
    mesh.until(|mesh| ended(mesh.facts("shop")).is_some()).await;
    let report = ended(mesh.facts("shop")).expect("waited for");
    assert!(report.effective && report.healed && report.measured.contains("probes only"), "{report:?}");
    assert!(report.deviation_percent.expect("a number") < 60.0, "{report:?}");
}
