//! Whose datagrams are carried to whom: the decisions about relayed connections, pure.
//!
//! A relayed connection is two sockets, one from each end. Each proves who it is, as for signaling, and names its *half*: the
//! other end, the connection's kind and its generation. Who asks is never named but proved, so nobody can take somebody
//! else's half; and halves meet only when each names the other. The first half waits, for a while; when the second comes, both
//! are told and joined, and nothing here looks at what they say.
//!
//! The pipe between two joined sockets ends with either of them, and takes what is in it to the other first. So a partner that
//! went needs no output here: it is forgotten together with its other half.

#[cfg(test)]
mod properties;
mod refusal;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use meshproof_proto::id::{Generation, Name, PeerId};
use meshproof_proto::identity::{Chain, UnixSeconds};
use meshproof_proto::rendezvous::{FromRelay, RELAY_LABEL, ToRelay};
use meshproof_proto::signal::ConnectionKind;
use meshproof_proto::trust::{RootNews, Trust};
use meshproof_proto::version::{PROTOCOL, Version};

pub use refusal::RelayRefusal;

use crate::limits;
use crate::rooms::{ConnId, Nonce, Now};
use crate::vetting::{Claim, Vetted};

/// What happened on a relay socket.
#[derive(Clone, Debug)]
pub enum Input {
    /// The nonce is fresh from the operating system.
    Connected {
        nonce: Nonce,
    },
    Message(ToRelay),
    /// Something came that is no message; the text says what is wrong with it.
    Unreadable(String),
    Disconnected,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Send {
        to: ConnId,
        message: FromRelay,
    },
    /// Both are told `paired`, and what one of them sends goes to the other. It is one output, because whoever is told sends at once.
    Join {
        ends: [ConnId; 2],
    },
    /// Last output for this socket.
    Close {
        conn: ConnId,
        reason: CloseReason,
    },
}

/// Why a socket closes; a refusal's text went ahead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    Refused,
    /// The peer asked for the same on another socket.
    Replaced,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the challenge to the request.
    pub request: Duration,
    /// From the request to the other end's.
    pub partner: Duration,
}

/// One end of a relayed connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Half {
    mesh: Name,
    from: PeerId,
    to: PeerId,
    kind: ConnectionKind,
    generation: Generation,
}

impl Half {
    fn other(&self) -> Self {
        Self { from: self.to, to: self.from, ..self.clone() }
    }
}

enum Conn {
    Challenged { nonce: Nonce, deadline: Instant },
    Waiting { half: Half, deadline: Instant },
    Paired { half: Half, partner: ConnId },
}

struct Request {
    nonce: Nonce,
    protocol: Version,
    mesh: Name,
    chain: Chain,
    proof: Vec<u8>,
    to: PeerId,
    kind: ConnectionKind,
    generation: Generation,
}

/// The relayed connections of a server.
pub struct Relays {
    trusts: BTreeMap<Name, Trust>,
    conns: BTreeMap<ConnId, Conn>,
    /// Of those that wait or are paired.
    halves: BTreeMap<Half, ConnId>,
    /// How many halves each peer has.
    shares: BTreeMap<(Name, PeerId), usize>,
    /// Of those that are challenged or wait, earliest first.
    deadlines: BTreeSet<(Instant, ConnId)>,
    patience: Patience,
    outputs: VecDeque<Output>,
}

impl std::fmt::Debug for Relays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Relays({} sockets, {} halves)", self.conns.len(), self.halves.len())
    }
}

impl Relays {
    /// `meshes` with the public root key of each.
    pub fn new(meshes: impl IntoIterator<Item = (Name, PeerId)>, patience: Patience) -> Self {
        Self {
            trusts: meshes.into_iter().map(|(name, root)| (name.clone(), Trust::new(name, root))).collect(),
            conns: BTreeMap::new(),
            halves: BTreeMap::new(),
            shares: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            patience,
            outputs: VecDeque::new(),
        }
    }

    /// Input of a socket that is not known (any more) has no effect.
    pub fn handle(&mut self, conn: ConnId, input: Input, now: Now) {
        match input {
            Input::Connected { nonce } => self.challenge(conn, nonce, now.instant),
            Input::Message(message) => {
                if let Err(refusal) = self.message(conn, message, now) {
                    self.refuse(conn, &refusal);
                }
            }
            Input::Unreadable(error) => self.refuse(conn, &RelayRefusal::Unreadable(error)),
            Input::Disconnected => self.forget(conn),
        }
    }

    /// Refuses those that did not ask in time, and those whose partner did not come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((deadline, conn)) = self.deadlines.first().copied() {
            if deadline > now {
                break;
            }
            let refusal = match self.conns.get(&conn) {
                Some(Conn::Waiting { .. }) => RelayRefusal::Alone { after: self.patience.partner },
                Some(Conn::Challenged { .. } | Conn::Paired { .. }) | None => {
                    RelayRefusal::Late { after: self.patience.request }
                }
            };
            self.deadlines.remove(&(deadline, conn));
            self.refuse(conn, &refusal);
        }
    }

    /// Takes what the rendezvous took already. Connections that are carried go on: their ends know, too, and better.
    pub fn learn(&mut self, mesh: &Name, news: &RootNews) {
        if let Some(trust) = self.trusts.get_mut(mesh)
            && let Err(error) = trust.learn(news)
        {
            debug_assert!(false, "the rendezvous took it: {error}");
        }
    }

    /// When [`Relays::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// What is to be done next; call until there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn challenge(&mut self, conn: ConnId, nonce: Nonce, now: Instant) {
        let deadline = now + self.patience.request;
        self.conns.insert(conn, Conn::Challenged { nonce, deadline });
        self.deadlines.insert((deadline, conn));
        self.send(conn, FromRelay::Challenge { protocol: PROTOCOL, nonce: nonce.to_vec() });
    }

    fn message(&mut self, conn: ConnId, message: ToRelay, now: Now) -> Result<(), RelayRefusal> {
        match (self.conns.get(&conn), message) {
            (None, _) => Ok(()),
            (
                Some(Conn::Challenged { nonce, .. }),
                ToRelay::Pair { protocol, mesh, chain, proof, to, kind, generation },
            ) => {
                let request = Request { nonce: *nonce, protocol, mesh, chain: *chain, proof, to, kind, generation };
                let half = self.vet(request, now.unix)?;
                self.place(conn, half, now.instant)
            }
            (Some(Conn::Waiting { .. } | Conn::Paired { .. }), ToRelay::Pair { .. }) => Err(RelayRefusal::AskedAlready),
        }
    }

    fn vet(&self, request: Request, now: UnixSeconds) -> Result<Half, RelayRefusal> {
        let Request { nonce, protocol, mesh, chain, proof, to, kind, generation } = request;
        let claim = Claim { asked: (RELAY_LABEL, nonce), protocol, mesh: mesh.clone(), chain, proof };
        let Vetted { peer, .. } = claim.vet(self.trusts.get(&mesh), now)?;
        if peer == to {
            return Err(RelayRefusal::ToItself);
        }
        Ok(Half { mesh, from: peer, to, kind, generation })
    }

    /// Gives the half its place, in that of its former self if there is one, and joins it to the other if that waits.
    fn place(&mut self, conn: ConnId, half: Half, now: Instant) -> Result<(), RelayRefusal> {
        if let Some(former) = self.halves.get(&half).copied() {
            self.forget(former);
            self.outputs.push_back(Output::Close { conn: former, reason: CloseReason::Replaced });
        }
        let share = self.shares.entry((half.mesh.clone(), half.from)).or_default();
        if *share == limits::RELAYS_PER_PEER {
            return Err(RelayRefusal::TooMany);
        }
        *share += 1;
        self.forget_deadline(conn);
        self.halves.insert(half.clone(), conn);
        let partner = self.halves.get(&half.other()).copied();
        match partner {
            Some(partner) => self.join(conn, half, partner),
            None => {
                let deadline = now + self.patience.partner;
                self.deadlines.insert((deadline, conn));
                self.conns.insert(conn, Conn::Waiting { half, deadline });
            }
        }
        Ok(())
    }

    /// A half that is there waits: one that was paired went with its partner.
    fn join(&mut self, conn: ConnId, half: Half, partner: ConnId) {
        self.forget_deadline(partner);
        self.conns.insert(partner, Conn::Paired { half: half.other(), partner: conn });
        self.conns.insert(conn, Conn::Paired { half, partner });
        self.outputs.push_back(Output::Join { ends: [partner, conn] });
    }

    fn refuse(&mut self, conn: ConnId, refusal: &RelayRefusal) {
        if !self.conns.contains_key(&conn) {
            return;
        }
        self.send(conn, FromRelay::Refused { reason: refusal.to_string() });
        self.forget(conn);
        self.outputs.push_back(Output::Close { conn, reason: CloseReason::Refused });
    }

    /// Nothing is sent to this socket from now on, nor to the one it is joined to.
    fn forget(&mut self, conn: ConnId) {
        self.forget_deadline(conn);
        match self.conns.remove(&conn) {
            None | Some(Conn::Challenged { .. }) => {}
            Some(Conn::Waiting { half, .. }) => self.free(&half),
            Some(Conn::Paired { half, partner }) => {
                self.free(&half);
                self.free(&half.other());
                self.conns.remove(&partner);
            }
        }
    }

    fn forget_deadline(&mut self, conn: ConnId) {
        if let Some(Conn::Challenged { deadline, .. } | Conn::Waiting { deadline, .. }) = self.conns.get(&conn) {
            self.deadlines.remove(&(*deadline, conn));
        }
    }

    fn free(&mut self, half: &Half) {
        self.halves.remove(half);
        let owner = (half.mesh.clone(), half.from);
        if let Some(share) = self.shares.get_mut(&owner) {
            *share -= 1;
            if *share == 0 {
                self.shares.remove(&owner);
            }
        }
    }

    fn send(&mut self, to: ConnId, message: FromRelay) {
        self.outputs.push_back(Output::Send { to, message });
    }
}
