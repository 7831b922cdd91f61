//! Who talks to whom in datagrams: clients at the listening end, a socket for each of them at the other.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::super::faltering::{Faltering, is_of_what_was_sent};
use super::Exchange;
use crate::limits;
use crate::permits::Permits;

/// Where a datagram of a client came from: the listener, and the client itself.
type From = (SocketAddr, SocketAddr);

/// The clients of all listeners of a path.
#[derive(Debug, Default)]
pub(super) struct Clients {
    last: u64,
    numbers: HashMap<From, u64>,
    flows: HashMap<u64, Client>,
}

#[derive(Debug)]
struct Client {
    from: From,
    socket: Arc<UdpSocket>,
    seen: Instant,
}

impl Clients {
    /// The flow of the client, which is a new one when another has taken the place of its last.
    pub(super) fn flow(&mut self, socket: &Arc<UdpSocket>, from: From) -> u64 {
        let seen = Instant::now();
        if let Some(known) = self.numbers.get(&from).and_then(|number| self.flows.get_mut(number)) {
            known.seen = seen;
            return self.numbers[&from];
        }
        self.make_room(seen);
        self.last += 1;
        self.numbers.insert(from, self.last);
        self.flows.insert(self.last, Client { from, socket: Arc::clone(socket), seen });
        self.last
    }

    /// Where an answer goes.
    pub(super) fn client(&self, flow: u64) -> Option<(Arc<UdpSocket>, SocketAddr)> {
        let client = self.flows.get(&flow)?;
        Some((Arc::clone(&client.socket), client.from.1))
    }

    fn make_room(&mut self, now: Instant) {
        let oldest = self.flows.iter().min_by_key(|(_, client)| client.seen).map(|(flow, client)| (*flow, client.seen));
        let Some((flow, seen)) = oldest else { return };
        if self.flows.len() >= limits::DATAGRAM_FLOWS || now - seen > limits::DATAGRAM_FLOW_IDLE {
            let client = self.flows.remove(&flow);
            client.map(|client| self.numbers.remove(&client.from));
        }
    }
}

/// The flows of the peer that have a socket here.
#[derive(Debug, Default)]
pub(super) struct Upstreams(HashMap<u64, mpsc::Sender<Vec<u8>>>);

impl Upstreams {
    /// Where its datagrams go; and what they wait in, if it is new. When there is no room for another, they go nowhere.
    pub(super) fn of(&mut self, flow: u64) -> (mpsc::Sender<Vec<u8>>, Option<mpsc::Receiver<Vec<u8>>>) {
        if let Some(queue) = self.0.get(&flow) {
            return (queue.clone(), None);
        }
        let (queue, waiting) = mpsc::channel(limits::DATAGRAMS_WAITING);
        if self.0.len() >= limits::DATAGRAM_FLOWS {
            return (queue, None);
        }
        self.0.insert(flow, queue.clone());
        (queue, Some(waiting))
    }

    fn end(&mut self, flow: u64) {
        self.0.remove(&flow);
    }
}

/// Passes a flow's datagrams to the service and its answers back, until it was silent for long.
pub(super) async fn serve(
    exchange: Arc<Exchange>,
    flow: u64,
    (address, permits): (String, Arc<Permits>),
    waiting: mpsc::Receiver<Vec<u8>>,
) {
    let served = match connect(&address, &permits).await {
        Ok(socket) => exchange_on(&exchange, flow, (&socket, waiting)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::debug!(address, %error, "datagrams cannot be passed on");
    }
    exchange.upstreams().end(flow);
}

async fn exchange_on(
    exchange: &Arc<Exchange>,
    flow: u64,
    (socket, mut waiting): (&UdpSocket, mpsc::Receiver<Vec<u8>>),
) -> io::Result<()> {
    let (mut seen, mut faltering) = (Instant::now(), Faltering::default());
    loop {
        tokio::select! {
            Some(bytes) = waiting.recv() => {
                // Nobody listens there, or its queue is full: a datagram is lost.
                let _ = socket.send(&bytes).await;
            }
            ready = socket.readable() => {
                ready?;
                let answers = answers(|buffer| socket.try_recv(buffer), |bytes| exchange.from_service(flow, bytes));
                if let Err(error) = answers {
                    faltering.wait("a tunnel cannot take datagrams of a service now", &error).await;
                    continue;
                }
                faltering.is_well();
            }
            () = sleep_until(seen + limits::DATAGRAM_FLOW_IDLE) => return Ok(()),
        }
        seen = Instant::now();
    }
}

/// Takes what is there to read. A buffer for the largest is held only while there is something.
fn answers(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>, mut take: impl FnMut(Vec<u8>)) -> io::Result<()> {
    let mut buffer = vec![0; limits::DATAGRAM_BYTES];
    loop {
        match read(&mut buffer) {
            Ok(count) => take(buffer[..count].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if is_of_what_was_sent(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

async fn connect(address: &str, permits: &Permits) -> io::Result<UdpSocket> {
    let found = permits.resolve(address).await?;
    let any = match found.first() {
        Some(SocketAddr::V6(_)) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        Some(SocketAddr::V4(_)) | None => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(found.as_slice()).await?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_taken_past_refusals_and_an_error_that_stays_is_given_back() {
        let would_block = || Err(io::ErrorKind::WouldBlock.into());
        let refused = || Err(io::ErrorKind::ConnectionRefused.into());
        let mut came = vec![would_block(), Ok(1), refused(), refused(), Ok(2)];
        let mut counts = Vec::new();
        let taken = answers(|_| came.pop().expect("it is not asked on"), |bytes| counts.push(bytes.len()));
        assert!(taken.is_ok());
        assert_eq!(counts, [2, 1]);
        let for_good = answers(|_| Err(io::ErrorKind::OutOfMemory.into()), |_| panic!("nothing came"));
        assert_eq!(for_good.expect_err("it is told").kind(), io::ErrorKind::OutOfMemory);
    }
}
