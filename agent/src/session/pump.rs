//! Takes batches to the orchestrator over the current connection.

use meshproof_mesh::Mesh;
use meshproof_proto::event::EventBatch;
use meshproof_proto::frame::EventFrame;
use meshproof_proto::id::PeerId;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::limits;
use crate::outbox::KeptOutbox;

/// One connection's way for batches. It ends when the connection does; the next one begins with what is unacknowledged.
#[derive(Debug)]
pub(super) struct Pump {
    batches: mpsc::Sender<EventBatch>,
    _task: AbortOnDropHandle<()>,
}

impl Pump {
    pub(super) fn new(mesh: Mesh, to: PeerId) -> Self {
        let (batches, mut waiting) = mpsc::channel(limits::BATCHES_WAITING);
        let pumping = async move {
            while let Some(batch) = waiting.recv().await {
                if mesh.send_events(to, EventFrame::Batch(batch)).await.is_err() {
                    return;
                }
            }
        };
        Self { batches, _task: AbortOnDropHandle::new(tokio::spawn(pumping)) }
    }

    /// Passes on what the outbox has, as far as its window goes.
    pub(super) fn take(&self, outbox: &mut KeptOutbox) -> Pumped {
        loop {
            let room = match self.batches.try_reserve() {
                Ok(room) => room,
                Err(mpsc::error::TrySendError::Full(())) => return Pumped::On,
                Err(mpsc::error::TrySendError::Closed(())) => return Pumped::Gone,
            };
            match outbox.poll_batch() {
                Some(batch) => room.send(batch),
                None => return Pumped::On,
            }
        }
    }
}

/// Whether the pump still works.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pumped {
    On,
    Gone,
}
