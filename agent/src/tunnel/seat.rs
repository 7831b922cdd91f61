//! The place of another agent in a run, whichever instance holds it.

use std::sync::Arc;

use meshproof_proto::id::{Name, PeerId};
use tokio::sync::watch;

/// Everything that leads to another agent leads to this, so that it goes on with the instance that comes after the present one.
#[derive(Debug)]
pub(crate) struct Seat {
    name: Name,
    holder: watch::Sender<PeerId>,
}

impl Seat {
    pub(crate) fn new(name: Name, holder: PeerId) -> Arc<Self> {
        Arc::new(Self { name, holder: watch::Sender::new(holder) })
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn holder(&self) -> PeerId {
        *self.holder.borrow()
    }

    /// Tells when another instance holds it.
    pub(crate) fn changes(&self) -> watch::Receiver<PeerId> {
        self.holder.subscribe()
    }

    pub(crate) fn take(&self, peer: PeerId) {
        self.holder.send_if_modified(|holder| std::mem::replace(holder, peer) != peer);
    }
}
