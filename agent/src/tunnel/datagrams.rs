//! Datagrams between the services of two agents.
//!
//! A listener beside one service takes them from clients, each client a *flow*; beside the other service each flow has a socket of
//! its own, so that the service sees clients apart and its answers find their way. Nothing here waits for anything: what finds no
//! room is dropped, as on any network.

mod flows;
mod late;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshproof_mesh::{Datagram, Mesh};
use meshproof_proto::id::{PeerId, RunId};
use meshproof_proto::identity::Identity;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::faltering::Faltering;
use super::{Seat, Tasks};
use crate::limits;
use crate::network::{Header, Inlet};
use crate::permits::Permits;
use crate::rights::{Rights, for_datagrams, for_packets};
use crate::traffic::{Gate, Path, Traveller};
use crate::wire::{Packet, RunTag};
use flows::{Clients, Upstreams};
use late::Late;

/// What takes the datagrams of one path.
#[derive(Debug)]
pub(crate) struct Exchange {
    mesh: Mesh,
    seat: Arc<Seat>,
    tag: RunTag,
    path: Arc<Path>,
    tasks: Tasks,
    clients: Mutex<Clients>,
    upstreams: Mutex<Upstreams>,
    probes: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
    next_probe: AtomicU64,
    late: Late,
}

/// What this agent lets the peer do.
#[derive(Clone, Debug)]
pub(crate) struct Lets {
    /// The ports of the service here that take datagrams, and their addresses.
    pub ports: BTreeMap<String, String>,
    pub rights: Arc<Rights>,
    /// Where packets of the data network come out; none: there is no data network.
    pub inlet: Option<Inlet>,
}

/// What the sender of datagrams may do here, looked at when the first of a kind comes.
#[derive(Debug, Default)]
struct Allowed {
    datagrams: Option<bool>,
    packets: Option<bool>,
}

impl Allowed {
    fn takes(&mut self, packet: &Packet, (peer, rights): (&Identity, &Rights)) -> bool {
        let (known, needed) = match packet {
            Packet::Ip { .. } => (&mut self.packets, for_packets()),
            Packet::There { .. } | Packet::Back { .. } | Packet::Probe { .. } | Packet::ProbeBack { .. } => {
                (&mut self.datagrams, for_datagrams())
            }
        };
        *known.get_or_insert_with(|| rights.allow(peer, &needed).is_ok())
    }
}

/// How a probe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through the gates, as the services' datagrams do.
    Through,
    /// Past whatever else still disturbs the path.
    Past,
}

impl Exchange {
    pub(super) fn new((mesh, seat): (Mesh, Arc<Seat>), run: &RunId, path: &Arc<Path>, tasks: &Tasks) -> Arc<Self> {
        Arc::new(Self {
            mesh,
            seat,
            tag: RunTag::of(run),
            path: Arc::clone(path),
            tasks: tasks.clone(),
            clients: Mutex::default(),
            upstreams: Mutex::default(),
            probes: Mutex::default(),
            next_probe: AtomicU64::default(),
            late: Late::default(),
        })
    }

    /// Takes what the peer sends, and does later what faults delay, until the mesh ends.
    pub(super) async fn run(self: Arc<Self>, lets: Lets) {
        tokio::select! {
            () = Arc::clone(&self).receive(lets) => {}
            () = self.late.run() => {}
        }
    }

    async fn receive(self: Arc<Self>, lets: Lets) {
        let mut holders = self.seat.changes();
        loop {
            let holder = *holders.borrow_and_update();
            tokio::select! {
                () = self.receive_from(holder, &lets) => return,
                // the seat is ours, so it never ends
                _ = holders.changed() => {}
            }
        }
    }

    async fn receive_from(self: &Arc<Self>, holder: PeerId, lets: &Lets) {
        let mut inbox = self.mesh.datagrams(holder);
        let mut allowed = Allowed::default();
        while let Some(Datagram { peer, bytes }) = inbox.recv().await {
            match Packet::decode(&bytes) {
                Ok(packet) if packet.run() != self.tag => tracing::trace!("a datagram of another run"),
                Ok(packet) if allowed.takes(&packet, (&peer, &lets.rights)) => self.packet(packet, lets),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "a datagram cannot be read"),
            }
        }
    }

    fn packet(self: &Arc<Self>, packet: Packet, lets: &Lets) {
        match packet {
            Packet::There { port, flow, bytes, .. } => {
                let Some(address) = lets.ports.get(&port).cloned() else {
                    return tracing::debug!(port, "a datagram to a port that the service here has not");
                };
                let permits = Arc::clone(lets.rights.permits());
                self.cross(&self.path.incoming, (Traveller::Connection(flow), bytes), move |exchange, bytes| {
                    exchange.to_service((flow, &address), &permits, bytes);
                });
            }
            Packet::Back { flow, bytes, .. } => {
                self.cross(&self.path.incoming, (Traveller::Connection(flow), bytes), move |exchange, bytes| {
                    exchange.to_client(flow, &bytes);
                });
            }
            Packet::Probe { number, run } => self.send(&Packet::ProbeBack { number, run }),
            Packet::ProbeBack { number, .. } => {
                let is_back = move |exchange: &Arc<Self>, _| exchange.is_back(number);
                self.cross(&self.path.incoming, (Traveller::Probe, Vec::new()), is_back);
            }
            Packet::Ip { bytes, .. } => self.give_packet(bytes, lets),
        }
    }

    /// A packet of the data network came for the service here.
    fn give_packet(self: &Arc<Self>, bytes: Vec<u8>, lets: &Lets) {
        let (Some(header), Some(inlet)) = (Header::of(&bytes), lets.inlet.clone()) else {
            return tracing::debug!("a packet that nothing here can take");
        };
        if !inlet.expects(self.seat.name(), &header) {
            return tracing::debug!("a packet that is for nobody here");
        }
        let who = Traveller::Connection(header.flow(&bytes));
        self.cross(&self.path.incoming, (who, bytes), move |_, bytes| inlet.give(&bytes));
    }

    /// The service here sends a packet over the data network: through the gate of faults, then that of the network itself.
    pub(crate) fn take_packet(self: &Arc<Self>, flow: u64, packet: &[u8]) {
        let (run, who) = (self.tag, Traveller::Connection(flow));
        self.cross(&self.path.outgoing, (who, packet.to_vec()), move |exchange, bytes| {
            exchange.cross(&exchange.path.network, (who, bytes), move |exchange, bytes| {
                exchange.send_linked(Packet::Ip { run, bytes }, limits::LINKED_ATTEMPTS);
            });
        });
    }

    /// As [`Exchange::send`]; waits for the first link to the peer, which is being made.
    fn send_linked(self: &Arc<Self>, packet: Packet, attempts: u32) {
        if self.mesh.send_datagram(self.seat.holder(), packet.encode().into()).is_ok() || attempts == 0 {
            return;
        }
        let exchange = Arc::downgrade(self);
        let again = move || {
            if let Some(exchange) = exchange.upgrade() {
                exchange.send_linked(packet, attempts - 1);
            }
        };
        // When as many wait as may, this one is lost.
        let _ = self.late.put(Instant::now() + limits::LINKED_AGAIN, Box::new(again));
    }

    /// Listens on a port of loopback, a free one or this, for datagrams to a port of the service there.
    pub(super) async fn listen(self: &Arc<Self>, port: String, at: Option<SocketAddr>) -> io::Result<SocketAddr> {
        let at = at.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        let socket = Arc::new(UdpSocket::bind(at).await?);
        let address = socket.local_addr()?;
        self.tasks.spawn(Arc::clone(self).take_from_clients((socket, address), port));
        Ok(address)
    }

    async fn take_from_clients(self: Arc<Self>, (socket, address): (Arc<UdpSocket>, SocketAddr), port: String) {
        let (mut buffer, mut faltering) = (vec![0; limits::DATAGRAM_BYTES], Faltering::default());
        loop {
            let (count, client) = match socket.recv_from(&mut buffer).await {
                Ok(came) => came,
                Err(error) => {
                    faltering.wait("a tunnel cannot take datagrams of clients now", &error).await;
                    continue;
                }
            };
            faltering.is_well();
            let flow = self.clients().flow(&socket, (address, client));
            let (port, run) = (port.clone(), self.tag);
            let bytes = buffer[..count].to_vec();
            self.cross(&self.path.outgoing, (Traveller::Connection(flow), bytes), move |exchange, bytes| {
                exchange.send(&Packet::There { run, port: port.clone(), flow, bytes });
            });
        }
    }

    fn to_client(&self, flow: u64, bytes: &[u8]) {
        let client = self.clients().client(flow);
        match client {
            Some((socket, client)) if socket.try_send_to(bytes, client).is_ok() => {}
            Some(_) | None => tracing::trace!("a datagram finds no room"),
        }
    }

    fn to_service(self: &Arc<Self>, (flow, address): (u64, &str), permits: &Arc<Permits>, bytes: Vec<u8>) {
        let (queue, new) = self.upstreams().of(flow);
        if queue.try_send(bytes).is_err() {
            tracing::trace!("a datagram finds no room");
        }
        if let Some(waiting) = new {
            let (exchange, address, permits) = (Arc::clone(self), address.to_owned(), Arc::clone(permits));
            self.tasks.spawn(async move { flows::serve(exchange, flow, (address, permits), waiting).await });
        }
    }

    fn from_service(self: &Arc<Self>, flow: u64, bytes: Vec<u8>) {
        let run = self.tag;
        self.cross(&self.path.outgoing, (Traveller::Connection(flow), bytes), move |exchange, bytes| {
            exchange.send(&Packet::Back { run, flow, bytes });
        });
    }

    /// Through a gate, and on: at once, later, twice, or not at all.
    fn cross(
        self: &Arc<Self>,
        gate: &Gate,
        (who, bytes): (Traveller, Vec<u8>),
        on: impl Fn(&Arc<Self>, Vec<u8>) + Clone + Send + 'static,
    ) {
        // The usual way: nothing is disturbed, nothing is copied.
        if gate.is_open() {
            return on(self, bytes);
        }
        for crossing in gate.datagram(who, bytes.len()) {
            if crossing.is_due() {
                crossing.passed();
                on(self, crossing.of(&bytes));
                continue;
            }
            // What waits does not keep alive what it waits in.
            let (due, bytes, on, exchange) = (crossing.due(), crossing.of(&bytes), on.clone(), Arc::downgrade(self));
            let then = move || {
                let Some(exchange) = exchange.upgrade() else { return };
                crossing.passed();
                on(&exchange, bytes);
            };
            if self.late.put(due.into(), Box::new(then)).is_err() {
                tracing::trace!("a datagram finds no room");
            }
        }
    }

    /// Puts it into the link's queue.
    fn send(&self, packet: &Packet) {
        if self.mesh.send_datagram(self.seat.holder(), packet.encode().into()).is_err() {
            tracing::trace!("a datagram finds no room");
        }
    }

    /// Sends a probe through the gates, which count what becomes of it, or past them; who waits hears whether it came back.
    pub(crate) fn probe(self: &Arc<Self>, way: Way) -> impl Future<Output = bool> + use<> {
        let number = self.next_probe.fetch_add(1, Ordering::Relaxed);
        let (told, back) = oneshot::channel();
        let mut waiting = self.waiting_probes();
        // nobody waits for those any more
        waiting.retain(|_, told| !told.is_closed());
        waiting.insert(number, told);
        drop(waiting);
        let probe = Packet::Probe { run: self.tag, number };
        match way {
            Way::Through => self.cross(&self.path.outgoing, (Traveller::Probe, Vec::new()), move |exchange, _| {
                exchange.send(&probe);
            }),
            Way::Past => self.send(&probe),
        }
        async move { tokio::time::timeout(limits::DATAGRAM_BACK, back).await.is_ok_and(|told| told.is_ok()) }
    }

    fn is_back(&self, number: u64) {
        if let Some(told) = self.waiting_probes().remove(&number) {
            let _ = told.send(());
        }
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn upstreams(&self) -> MutexGuard<'_, Upstreams> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting_probes(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<()>>> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
