//! The one owner of the relays: sockets tell it what came, it tells them what to do. No datagram comes by here.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;
use meshproof_proto::id::Name;
use meshproof_proto::rendezvous::FromRelay;
use meshproof_proto::trust::RootNews;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::hub::{at, now};
use crate::limits;
use crate::relays::{CloseReason, Input, Output, Relays};
use crate::rooms::{ConnId, Nonce, Now};

/// From a socket to the desk.
#[derive(Debug)]
pub(crate) enum Arrival {
    Opened { conn: ConnId, from: SocketAddr, nonce: Nonce, orders: mpsc::Sender<Order> },
    Heard { conn: ConnId, input: Input },
}

/// From the desk to a socket.
#[derive(Debug)]
pub(crate) enum Order {
    Say(Utf8Bytes),
    /// The text is said first. What comes after it is for the other end, and must not be read as if it were for us.
    Join(Utf8Bytes, Joint),
    Close(CloseReason),
}

/// A socket's end of the pipe between two.
#[derive(Debug)]
pub(crate) struct Joint {
    pub(crate) to: mpsc::Sender<Bytes>,
    pub(crate) from: mpsc::Receiver<Bytes>,
}

impl Joint {
    fn pair() -> [Self; 2] {
        let (to_right, from_left) = mpsc::channel(limits::RELAY_QUEUE);
        let (to_left, from_right) = mpsc::channel(limits::RELAY_QUEUE);
        [Self { to: to_right, from: from_right }, Self { to: to_left, from: from_left }]
    }
}

pub(crate) struct Desk {
    relays: Relays,
    /// Where each comes from, and the way to it.
    sockets: HashMap<ConnId, (SocketAddr, mpsc::Sender<Order>)>,
    /// What the rendezvous learned of the roots.
    learned: watch::Receiver<BTreeMap<Name, RootNews>>,
}

impl Desk {
    pub(crate) fn new(relays: Relays, learned: watch::Receiver<BTreeMap<Name, RootNews>>) -> Self {
        Self { relays, sockets: HashMap::new(), learned }
    }

    /// Runs until `stop`.
    pub(crate) async fn run(mut self, mut arrivals: mpsc::Receiver<Arrival>, stop: CancellationToken) {
        loop {
            let timeout = self.relays.poll_timeout();
            tokio::select! {
                () = stop.cancelled() => return,
                () = at(timeout) => self.relays.handle_timeout(Instant::now()),
                Ok(()) = self.learned.changed() => self.learn(),
                arrival = arrivals.recv() => match arrival {
                    Some(arrival) => self.take(arrival, now()),
                    None => return,
                },
            }
            self.act();
        }
    }

    fn learn(&mut self) {
        for (mesh, news) in &*self.learned.borrow_and_update() {
            self.relays.learn(mesh, news);
        }
    }

    fn take(&mut self, arrival: Arrival, now: Now) {
        match arrival {
            Arrival::Opened { conn, from, nonce, orders } => {
                self.sockets.insert(conn, (from, orders));
                self.relays.handle(conn, Input::Connected { nonce }, now);
            }
            Arrival::Heard { conn, input } => {
                if matches!(input, Input::Disconnected) {
                    self.sockets.remove(&conn);
                }
                self.relays.handle(conn, input, now);
            }
        }
    }

    fn act(&mut self) {
        while let Some(output) = self.relays.poll_output() {
            match output {
                Output::Send { to, message } => {
                    if let FromRelay::Refused { reason } = &message {
                        let from = self.sockets.get(&to).map(|(from, _)| from);
                        tracing::warn!(target: "meshproof::audit", ?from, reason, "relay refused");
                    }
                    self.order(to, Order::Say(text(&message)));
                }
                Output::Join { ends } => {
                    tracing::debug!(?ends, "relayed connection");
                    for (end, joint) in ends.into_iter().zip(Joint::pair()) {
                        self.order(end, Order::Join(text(&FromRelay::Paired), joint));
                    }
                }
                Output::Close { conn, reason } => {
                    self.order(conn, Order::Close(reason));
                    self.sockets.remove(&conn);
                }
            }
        }
    }

    /// There is room for all orders that a socket ever gets; one that is gone says so itself.
    fn order(&self, conn: ConnId, order: Order) {
        if let Some((_, orders)) = self.sockets.get(&conn) {
            let _ = orders.try_send(order);
        }
    }
}

fn text(message: &FromRelay) -> Utf8Bytes {
    serde_json::to_string(message).expect("a message is plain data").into()
}

#[cfg(test)]
mod tests {
    use meshproof_proto::identity::UnixSeconds;

    use super::*;
    use crate::relays::tests::{NONCE, pair, relays};
    use crate::rooms::tests::Peer;

    /// Whoever is told sends at once: told and joined in two orders, its first datagram came between them and ended it.
    #[test]
    fn a_socket_is_told_that_it_is_paired_and_joined_in_one_order() {
        let (a, b) = (Peer::new(10, "dev"), Peer::new(11, "dev"));
        let mut desk = Desk::new(relays(), watch::channel(BTreeMap::new()).1);
        let (now, mut told) = (Now { instant: Instant::now(), unix: UnixSeconds(900) }, Vec::new());
        for (conn, me, other) in [(1, &a, &b), (2, &b, &a)] {
            let (orders_in, mut orders) = mpsc::channel(limits::RELAY_ORDERS);
            let conn = ConnId(conn);
            desk.take(Arrival::Opened { conn, from: ([127, 0, 0, 1], 1).into(), nonce: NONCE, orders: orders_in }, now);
            desk.act();
            assert!(matches!(orders.try_recv(), Ok(Order::Say(_))), "the challenge");
            desk.take(Arrival::Heard { conn, input: Input::Message(pair(me, &NONCE, other.id(), 1)) }, now);
            desk.act();
            told.push(orders);
        }
        for mut orders in told {
            let Ok(Order::Join(text, _)) = orders.try_recv() else { panic!("it was not joined first") };
            assert!(text.contains("paired"), "{text}");
            assert!(orders.try_recv().is_err(), "and nothing else");
        }
    }
}
