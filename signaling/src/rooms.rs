//! Who is registered where, and who hears what: the whole decision of the signaling server, pure.
//!
//! Every connection is *challenged*, then *claims* to be somebody, until it is *registered*; a refused, replaced or leaving connection is forgotten at
//! once, so nothing is ever sent to it after its `Close`. A peer has one connection: registering again replaces the former
//! one, and the others notice nothing unless its chain changed. Signals are carried, never opened; their receivers judge.
//! Nothing here is worth keeping: after a restart peers register again.

#[cfg(test)]
mod claims;
mod epochs;
mod ice;
mod news;
#[cfg(test)]
mod properties;
mod refusal;
mod room;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Signed, UnixSeconds};
use meshproof_proto::limits::{SIGNAL_BYTES, TOKENS_LOOK};
use meshproof_proto::rendezvous::{REGISTER_LABEL, ToPeer, ToServer};
use meshproof_proto::trust::{RootNews, Trust};
use meshproof_proto::version::PROTOCOL;

pub use epochs::NotTaken;
pub use refusal::Refusal;
use room::{Member, Room};

pub use crate::vetting::{Claim, Vetted};

use crate::ice::Ice;

/// One WebSocket. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Random bytes that a peer signs to show that it holds its key now.
pub type Nonce = [u8; 32];

/// The time twice: one that only goes forward, for deadlines, and the wall's, for the expiry of grants.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub instant: Instant,
    pub unix: UnixSeconds,
}

/// What happened on a connection.
#[derive(Debug)]
pub enum Input {
    /// The nonce is fresh from the operating system.
    Connected {
        nonce: Nonce,
    },
    Message(ToServer),
    /// What came of [`Output::Vet`].
    Vetted {
        claim: Box<Claim>,
        result: Result<Vetted, Refusal>,
    },
    /// Something came that is no message; the text says what is wrong with it.
    Unreadable(String),
    Disconnected,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The same message to each of these, in this order.
    Send { to: Vec<ConnId>, message: ToPeer },
    /// Have this claim looked into, with [`Rooms::trust`], and tell what comes of it.
    Vet { conn: ConnId, claim: Box<Claim> },
    /// Last output for this connection.
    Close { conn: ConnId, reason: CloseReason },
    /// The root of a mesh said more.
    Learned { mesh: Name, news: RootNews },
}

/// Why a connection closes; a refusal's text went ahead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    Refused,
    /// The peer registered on another connection.
    Replaced,
    /// The peer said so.
    Left,
}

/// The meshes of a server with their registered peers.
pub struct Rooms {
    rooms: BTreeMap<Name, Room>,
    conns: BTreeMap<ConnId, Conn>,
    /// Of the challenged connections, earliest first.
    deadlines: BTreeSet<(Instant, ConnId)>,
    /// When the members' tokens are looked at, while there are any.
    look: Option<Instant>,
    ice: Ice,
    /// When the members get new credentials for TURN, while there are any.
    renew: Option<Instant>,
    register_within: Duration,
    outputs: VecDeque<Output>,
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rooms({} meshes, {} connections)", self.rooms.len(), self.conns.len())
    }
}

enum Conn {
    Challenged {
        nonce: Nonce,
        deadline: Instant,
    },
    /// It said who it is, which is being looked into.
    Claiming {
        deadline: Instant,
    },
    Registered {
        mesh: Name,
        peer: PeerId,
    },
}

impl Rooms {
    /// `meshes` with the public root key of each; `register_within` counts from the challenge.
    pub fn new(meshes: impl IntoIterator<Item = (Name, PeerId)>, register_within: Duration) -> Self {
        Self {
            rooms: meshes.into_iter().map(|(name, root)| (name.clone(), Room::new(Trust::new(name, root)))).collect(),
            conns: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            look: None,
            ice: Ice::default(),
            renew: None,
            register_within,
            outputs: VecDeque::new(),
        }
    }

    /// With STUN and TURN servers for all of them.
    #[must_use]
    pub fn with_ice(self, ice: Ice) -> Self {
        Self { ice, ..self }
    }

    /// How many peers are registered in each mesh.
    pub fn peers(&self) -> impl Iterator<Item = (&Name, usize)> {
        self.rooms.iter().map(|(name, room)| (name, room.count()))
    }

    /// Input of a connection that is not known (any more) has no effect.
    pub fn handle(&mut self, conn: ConnId, input: Input, now: Now) {
        match input {
            Input::Connected { nonce } => self.challenge(conn, nonce, now.instant),
            Input::Message(message) => {
                if let Err(refusal) = self.message(conn, message, now) {
                    self.refuse(conn, &refusal);
                }
            }
            Input::Vetted { claim, result } => {
                if let Err(refusal) = self.vetted(conn, (*claim, result), now) {
                    self.refuse(conn, &refusal);
                }
            }
            Input::Unreadable(error) => self.refuse(conn, &Refusal::Unreadable(error)),
            Input::Disconnected => self.forget(conn),
        }
    }

    /// Refuses the connections that did not register in time, and those whose tokens ended.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some((deadline, conn)) = self.deadlines.first().copied() {
            if deadline > now.instant {
                break;
            }
            self.refuse(conn, &Refusal::Late { after: self.register_within });
        }
        if self.look.is_some_and(|look| look <= now.instant) {
            self.look_at_tokens(now);
        }
        if self.renew.is_some_and(|renew| renew <= now.instant) {
            self.renew_credentials(now);
        }
    }

    /// When [`Rooms::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        deadline.into_iter().chain(self.look).chain(self.renew).min()
    }

    /// What is to be done next; call until there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whom a mesh trusts, if it is served.
    pub fn trust(&self, mesh: &Name) -> Option<Arc<Trust>> {
        self.rooms.get(mesh).map(|room| Arc::clone(&room.trust))
    }

    fn challenge(&mut self, conn: ConnId, nonce: Nonce, now: Instant) {
        let deadline = now + self.register_within;
        self.conns.insert(conn, Conn::Challenged { nonce, deadline });
        self.deadlines.insert((deadline, conn));
        self.send(conn, ToPeer::Challenge { protocol: PROTOCOL, nonce: nonce.to_vec() });
    }

    fn message(&mut self, conn: ConnId, message: ToServer, now: Now) -> Result<(), Refusal> {
        match (self.conns.get(&conn), message) {
            (None, _) => Ok(()),
            (Some(Conn::Challenged { nonce, deadline }), ToServer::Register { protocol, mesh, chain, proof }) => {
                let claim = Claim { asked: (REGISTER_LABEL, *nonce), protocol, mesh, chain: *chain, proof };
                let deadline = *deadline;
                self.conns.insert(conn, Conn::Claiming { deadline });
                self.outputs.push_back(Output::Vet { conn, claim: Box::new(claim) });
                Ok(())
            }
            (Some(Conn::Claiming { .. } | Conn::Registered { .. }), ToServer::Register { .. }) => {
                Err(Refusal::AlreadyRegistered)
            }
            (Some(Conn::Challenged { .. } | Conn::Claiming { .. }), ToServer::Signal { .. }) => {
                Err(Refusal::NotRegistered)
            }
            (Some(Conn::Registered { mesh, peer }), ToServer::Signal { to, signal }) => {
                let (mesh, from) = (mesh.clone(), *peer);
                self.forward(conn, (&mesh, from, to), signal)
            }
            (Some(known), ToServer::News { mesh, news }) => match known {
                Conn::Registered { mesh: theirs, .. } if *theirs != mesh => Err(Refusal::UnknownMesh(mesh)),
                Conn::Challenged { .. } | Conn::Claiming { .. } | Conn::Registered { .. } => {
                    self.learn(conn, (&mesh, &news), now)
                }
            },
            (Some(_), ToServer::Leave) => {
                self.forget(conn);
                self.outputs.push_back(Output::Close { conn, reason: CloseReason::Left });
                Ok(())
            }
        }
    }

    /// The result of vetting counts for a connection that still waits for it.
    fn vetted(
        &mut self,
        conn: ConnId,
        (claim, result): (Claim, Result<Vetted, Refusal>),
        now: Now,
    ) -> Result<(), Refusal> {
        let Some(Conn::Claiming { deadline }) = self.conns.get(&conn) else { return Ok(()) };
        let deadline = *deadline;
        let Vetted { peer, issued, bytes } = result?;
        let Claim { mesh, chain, protocol, .. } = claim;
        let room = self.rooms.get_mut(&mesh).expect("vetting found the mesh");
        // the root may have said more while the claim was looked into
        room.trust.admits(&issued, now.unix).map_err(Refusal::Trust)?;
        let member = Member { conn, chain: chain.clone(), issued, bytes: bytes + 1, speaks: protocol };
        if !room.has_place(&peer, &member) {
            return Err(Refusal::Full(mesh));
        }
        let former = room.enter(peer, member);
        let (others, peers, news) = (room.conns_without(&peer), room.chains_without(&peer), room.trust.news());
        let epochs = room.epochs.notices().cloned().collect::<Vec<_>>();
        self.conns.insert(conn, Conn::Registered { mesh, peer });
        self.deadlines.remove(&(deadline, conn));
        self.look.get_or_insert(now.instant + TOKENS_LOOK);
        if let Some(former) = &former {
            self.conns.remove(&former.conn);
            self.outputs.push_back(Output::Close { conn: former.conn, reason: CloseReason::Replaced });
        }
        if !news.is_empty() && protocol.has_news() {
            // the chains that follow may need it
            self.send(conn, ToPeer::News(news));
        }
        if !self.ice.is_empty() && protocol.has_ice() {
            self.tell_servers(conn, &peer, now);
        }
        if !epochs.is_empty() && protocol.has_epochs() {
            // before anybody can ask it for something
            self.send(conn, ToPeer::Epochs(epochs));
        }
        self.send(conn, ToPeer::Welcome { peers });
        if former.is_none_or(|former| former.chain != chain) {
            self.broadcast(others, ToPeer::Joined { chain: Box::new(chain) });
        }
        Ok(())
    }

    fn forward(&mut self, conn: ConnId, way: (&Name, PeerId, PeerId), signal: Signed) -> Result<(), Refusal> {
        let (mesh, from, to) = way;
        if signal.text.len() > SIGNAL_BYTES {
            return Err(Refusal::SignalTooLarge(signal.text.len()));
        }
        match self.rooms.get(mesh).and_then(|room| room.conn_of(&to)) {
            Some(receiver) => self.send(receiver, ToPeer::Signal { from, signal }),
            None => self.send(conn, ToPeer::Undeliverable { to }),
        }
        Ok(())
    }

    fn refuse(&mut self, conn: ConnId, refusal: &Refusal) {
        if !self.conns.contains_key(&conn) {
            return;
        }
        self.send(conn, ToPeer::Refused { reason: refusal.to_string() });
        self.forget(conn);
        self.outputs.push_back(Output::Close { conn, reason: CloseReason::Refused });
    }

    /// Nothing is sent to this connection from now on; the others hear that its peer left.
    fn forget(&mut self, conn: ConnId) {
        match self.conns.remove(&conn) {
            None => {}
            Some(Conn::Challenged { deadline, .. } | Conn::Claiming { deadline }) => {
                self.deadlines.remove(&(deadline, conn));
            }
            Some(Conn::Registered { mesh, peer }) => {
                let room = self.rooms.get_mut(&mesh).expect("a peer is registered only in a mesh that is served");
                room.leave(&peer);
                let others = room.conns_without(&peer);
                self.broadcast(others, ToPeer::Left { peer });
            }
        }
    }

    fn send(&mut self, conn: ConnId, message: ToPeer) {
        self.outputs.push_back(Output::Send { to: vec![conn], message });
    }

    fn broadcast(&mut self, to: Vec<ConnId>, message: ToPeer) {
        if !to.is_empty() {
            self.outputs.push_back(Output::Send { to, message });
        }
    }
}
