//! The way out of a service's namespace to wherever the machine gets, with nothing changed on the machine.
//!
//! The namespace's default route leads to the data network's device. A connection that leaves there is dialled by a thread outside.
//! Once that stands, the packet that opened it goes back into the namespace, rewritten so that it comes from a *stand-in* on the network and
//! goes to a listener of ours there; what follows is rewritten in the same way, both ways. So the service's own kernel is at both ends
//! of a TCP connection in the namespace, the machine's at one outside, and only bytes pass between the two. Refusals are passed on.
//! A datagram's flow has a socket outside of its own. Everything else ends here: no `ping` leaves.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use meshproof_proto::order::network::STAND_IN;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::device::Device;
use super::packet::{TCP, UDP};
use super::rewrite;
use crate::limits;
use crate::namespace::Outside;

/// A client in the namespace and whom it speaks to.
type Flow = (SocketAddrV4, SocketAddrV4);

#[derive(Debug)]
pub(super) struct Egress {
    device: Arc<Device>,
    listener: SocketAddrV4,
    outside: Outside,
    work: mpsc::Sender<BoxFuture<'static, ()>>,
    flows: Mutex<Flows>,
}

#[derive(Debug, Default)]
struct Flows {
    connections: BTreeMap<Flow, Connection>,
    /// The port of the stand-in to the connection that it stands in for.
    stand_ins: BTreeMap<u16, Flow>,
    last: u16,
    datagrams: BTreeMap<Flow, mpsc::Sender<Vec<u8>>>,
}

/// Too much begins at once.
#[derive(Debug)]
struct Full;

#[derive(Debug)]
struct Connection {
    stand_in: u16,
    outside: Dialled,
}

#[derive(Debug)]
enum Dialled {
    NotYet,
    /// Until the other half is there.
    Stands(TcpStream),
    Joined,
}

impl Flows {
    /// A port that stands in for no other connection. `None`: there are as many as may be.
    fn stand_in(&mut self, flow: Flow) -> Option<u16> {
        if self.connections.len() >= limits::EGRESS_CONNECTIONS {
            return None;
        }
        loop {
            self.last = self.last.wrapping_add(1).max(1);
            if !self.stand_ins.contains_key(&self.last) {
                break;
            }
        }
        self.stand_ins.insert(self.last, flow);
        self.connections.insert(flow, Connection { stand_in: self.last, outside: Dialled::NotYet });
        Some(self.last)
    }

    fn forget(&mut self, flow: &Flow) {
        if let Some(connection) = self.connections.remove(flow) {
            self.stand_ins.remove(&connection.stand_in);
        }
    }

    fn take_dialled(&mut self, stand_in: u16) -> Option<(Flow, TcpStream)> {
        let flow = *self.stand_ins.get(&stand_in)?;
        let connection = self.connections.get_mut(&flow)?;
        match std::mem::replace(&mut connection.outside, Dialled::Joined) {
            Dialled::Stands(stream) => Some((flow, stream)),
            Dialled::NotYet | Dialled::Joined => None,
        }
    }
}

impl Egress {
    /// Opens the way out, for the service of this address. It is open as long as what comes with it runs.
    pub(super) async fn open(
        device: &Arc<Device>,
        own: Ipv4Addr,
        outside: Outside,
    ) -> io::Result<(Arc<Self>, impl Future<Output = ()> + use<>)> {
        let listener = TcpListener::bind((own, 0)).await?;
        let address = SocketAddrV4::new(own, listener.local_addr()?.port());
        device.lead_everything_here().await?;
        let flows = Mutex::default();
        let (work, ordered) = mpsc::channel(limits::DATAGRAM_FLOWS);
        let egress = Arc::new(Self { device: Arc::clone(device), listener: address, outside, work, flows });
        let runs = run(ordered, Arc::clone(&egress).accept(listener));
        Ok((egress, runs))
    }

    /// Has it done beside the rest. Without room it is not done, and its client may try again.
    fn begin(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<(), Full> {
        self.work.try_send(work.boxed()).map_err(|_| Full)
    }

    /// The service's kernel sent a packet that is for no service of the run.
    pub(super) fn take(self: &Arc<Self>, packet: &[u8]) {
        match rewrite::ends(packet) {
            Some((_, _, to)) if to.ip().is_multicast() || to.ip().is_broadcast() => {}
            Some((TCP, from, to)) if *to.ip() == STAND_IN => self.answered(packet, (from, to)),
            Some((TCP, from, to)) => self.asked(packet, (from, to)),
            Some((UDP, from, to)) => self.datagram(packet, (from, to)),
            Some(_) | None => tracing::trace!("a packet that cannot leave the data network"),
        }
    }

    /// From the client: to our listener.
    fn asked(self: &Arc<Self>, packet: &[u8], flow: Flow) {
        let mut flows = self.flows();
        match flows.connections.get(&flow) {
            Some(Connection { outside: Dialled::NotYet, .. }) => {}
            Some(Connection { stand_in, .. }) => {
                let stand_in = *stand_in;
                drop(flows);
                self.give(rewrite::redirected(packet, SocketAddrV4::new(STAND_IN, stand_in), self.listener));
            }
            None if rewrite::is_opening(packet) => {
                if let Some(stand_in) = flows.stand_in(flow) {
                    drop(flows);
                    let opening = packet.to_vec();
                    if self.begin(Arc::clone(self).dial(flow, stand_in, opening)).is_err() {
                        self.flows().forget(&flow);
                    }
                }
            }
            None => {}
        }
    }

    /// From our listener: to the client, as if from whom it speaks to.
    fn answered(&self, packet: &[u8], (_, to): Flow) {
        let flow = self.flows().stand_ins.get(&to.port()).copied();
        if let Some((client, server)) = flow {
            self.give(rewrite::redirected(packet, server, client));
        }
    }

    async fn dial(self: Arc<Self>, flow: Flow, stand_in: u16, opening: Vec<u8>) {
        let dialling = self.outside.spawn(timeout(limits::DIAL, TcpStream::connect(flow.1)));
        match dialling.await {
            Ok(Ok(Ok(stream))) => {
                // Small requests must not wait for an acknowledgement; where it cannot be set, they only get slower.
                let _ = stream.set_nodelay(true);
                if let Some(connection) = self.flows().connections.get_mut(&flow) {
                    connection.outside = Dialled::Stands(stream);
                }
                self.give(rewrite::redirected(&opening, SocketAddrV4::new(STAND_IN, stand_in), self.listener));
                sleep(limits::DIAL).await;
                // nobody came for it
                let mut flows = self.flows();
                if matches!(flows.connections.get(&flow), Some(Connection { outside: Dialled::Stands(_), .. })) {
                    flows.forget(&flow);
                }
            }
            Ok(Ok(Err(error))) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.flows().forget(&flow);
                self.give(rewrite::refusal(&opening));
            }
            // it hears nothing, as from a host that is not there
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => self.flows().forget(&flow),
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((inner, from)) if from.ip() == STAND_IN => {
                    let dialled = self.flows().take_dialled(from.port());
                    if let Some((flow, outer)) = dialled
                        && self.begin(Arc::clone(&self).carry(flow, inner, outer)).is_err()
                    {
                        self.flows().forget(&flow);
                    }
                }
                // somebody of the data network, who has no business here
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot leave the data network now");
                    sleep(limits::LINKED_AGAIN).await;
                }
            }
        }
    }

    async fn carry(self: Arc<Self>, flow: Flow, mut inner: TcpStream, mut outer: TcpStream) {
        let _ = inner.set_nodelay(true);
        if copy_bidirectional(&mut inner, &mut outer).await.is_err() {
            let _ = inner.set_zero_linger();
            let _ = outer.set_zero_linger();
        }
        drop((inner, outer));
        // the last packets of both kernels still find their way
        sleep(limits::EGRESS_LAST_PACKETS).await;
        self.flows().forget(&flow);
    }

    fn datagram(self: &Arc<Self>, packet: &[u8], flow: Flow) {
        let Some(payload) = rewrite::payload_of_datagram(packet) else { return };
        let mut flows = self.flows();
        let is_new = flows.datagrams.get(&flow).is_none_or(mpsc::Sender::is_closed);
        if is_new && flows.datagrams.len() >= limits::DATAGRAM_FLOWS {
            return;
        }
        if is_new {
            let (queue, waiting) = mpsc::channel(limits::DATAGRAMS_WAITING);
            flows.datagrams.insert(flow, queue);
            let exchanging = self.outside.spawn(exchange(Arc::clone(&self.device), flow, waiting));
            let egress = Arc::clone(self);
            // not begun, it ends the exchange, and the next datagram begins another
            let _ = self.begin(async move {
                let _ = exchanging.await;
                egress.flows().datagrams.remove(&flow);
            });
        }
        if let Some(queue) = flows.datagrams.get(&flow) {
            // one that finds no room is lost, as on any network
            let _ = queue.try_send(payload.to_vec());
        }
    }

    fn give(&self, packet: Option<Vec<u8>>) {
        if let Some(packet) = packet {
            self.device.give(&packet);
        }
    }

    fn flows(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does all of it, until it is dropped.
async fn run(mut ordered: mpsc::Receiver<BoxFuture<'static, ()>>, accepting: impl Future<Output = ()>) {
    let mut works = JoinSet::new();
    let ordering = async {
        loop {
            tokio::select! {
                Some(work) = ordered.recv() => drop(works.spawn(work)),
                Some(_) = works.join_next() => {}
                else => return,
            }
        }
    };
    tokio::join!(ordering, accepting);
}

/// The datagrams of one flow, until it is silent.
async fn exchange(device: Arc<Device>, (client, server): Flow, mut waiting: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(server).await?;
    let mut buffer = vec![0; limits::DATAGRAM_BYTES];
    loop {
        tokio::select! {
            asked = waiting.recv() => match asked {
                // a server that is not there says so to the next one; the client waits for its answer either way
                Some(payload) => drop(socket.send(&payload).await),
                None => return Ok(()),
            },
            answer = socket.recv(&mut buffer) => {
                let packet = answer.ok().and_then(|length| rewrite::datagram(server, client, &buffer[..length]));
                if let Some(packet) = packet {
                    device.give(&packet);
                }
            }
            () = sleep(limits::DATAGRAM_FLOW_IDLE) => return Ok(()),
        }
    }
}
