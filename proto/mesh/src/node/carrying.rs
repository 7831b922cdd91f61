//! Signals on their way: which server carries them, who passes them on, and what becomes of those that come.

use std::sync::PoisonError;

use meshproof_proto::id::PeerId;
use meshproof_proto::identity::{Role, Signed};
use meshproof_proto::limits;
use meshproof_proto::rendezvous::ToServer;
use meshproof_proto::signal::Signal;
use tokio::sync::mpsc::error::TrySendError;

use super::Node;
use crate::context::now_unix;
use crate::link::{Command, Link};

impl Node {
    /// Has a signal carried: by the server that is asked for, by any that both sides share, or by peers that we are linked to.
    pub(super) fn carry(&self, to: PeerId, signal: Signed, server: Option<usize>) {
        let shared = match server {
            Some(index) => Some(index).filter(|index| self.tables.reach.lists(*index, &to)),
            None => self.tables.reach.through(&to),
        };
        match (shared.and_then(|index| self.servers.get(index)), server) {
            // a full queue loses the signal; the attempt's deadline brings the next one
            (Some(shared), _) => drop(shared.out.try_send(ToServer::Signal { to, signal })),
            (None, Some(_)) => tracing::debug!(?to, "the signaling server of a relay is away"),
            (None, None) => self.have_forwarded(to, &signal),
        }
    }

    /// Asks peers whose links are up to pass the signal on, the orchestrator first: everybody is linked to it.
    fn have_forwarded(&self, to: PeerId, signal: &Signed) {
        let mut near: Vec<(bool, Link)> = Vec::new();
        for entry in &self.tables.links {
            let info = entry.value().info.lock().unwrap_or_else(PoisonError::into_inner);
            if *entry.key() != to && info.state == "up" {
                near.push((info.role != Role::Orchestrator, entry.value().clone()));
            }
        }
        near.sort_by_key(|(other, _)| *other);
        for (_, link) in near.into_iter().take(limits::FORWARDERS) {
            // a full queue loses it, as a full one to a server does
            let _ = link.commands.try_send(Command::Forward { to, signal: signal.clone() });
        }
    }

    /// A peer cannot reach another: we can, or not. A link that is made for it would come too late.
    pub(super) fn pass_on(&self, (from, to): (PeerId, PeerId), signal: Signed) {
        let link = self.tables.links.get(&to).map(|link| link.value().clone());
        if let Some(link) = link {
            // nobody waits for a link that is busy on behalf of another peer
            let _ = link.commands.try_send(Command::Forwarded { from, signal });
        }
    }

    /// A signal came, from a signaling server or passed on by a peer.
    pub(super) fn signal(&self, (from, server): (PeerId, Option<usize>), signed: &Signed) {
        if self.refused.contains(&from) {
            // its signatures are not even checked: that would be work that it makes us do
            return;
        }
        if !self.tables.roster.contains_key(&from) && !self.tables.links.contains_key(&from) {
            tracing::debug!(?from, "a signal came from a peer that is not in the roster");
            return;
        }
        let signal = match Signal::open(signed, &from, &self.context.me, now_unix()) {
            Ok(signal) if signal.mesh == self.context.mesh => signal,
            Ok(_) => return tracing::warn!(?from, "a signal is for another mesh"),
            Err(error) => return tracing::warn!(?from, %error, "a signal was refused"),
        };
        // of a full queue the attempt's deadline brings the next one, and a peer that floods has nobody wait
        let give = |link: &Link| link.commands.try_send(Command::Signal(Box::new(signal.clone()), server));
        self.command(from, |link| !matches!(give(link), Err(TrySendError::Closed(_))));
    }
}
