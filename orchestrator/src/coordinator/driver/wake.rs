//! What the loop waits for.

use std::time::Instant;

use meshproof_mesh::MeshEvent;
use tokio::sync::mpsc;

use super::Driver;
use crate::coordinator::failover::Answered;
use crate::coordinator::health::Asked;
use crate::coordinator::remembering::Stored;
use crate::coordinator::standbys::Answer;
use crate::local::Notice;
use crate::run::{Abort, Input};

/// What the loop woke up for.
pub(super) enum Wake {
    Input(Input),
    Mesh(MeshEvent),
    /// None: the keeper is gone.
    Notice(Option<Notice>),
    Signal(Abort),
    Acknowledge,
    /// An instance has taken over, or could not.
    Adopted(Box<Answered>),
    /// An instance has said what it is, or had its time.
    StoodBy(Box<Answer>),
    /// One has not in time.
    Overdue,
    /// An agent has stored something, or could not.
    Stored(Stored),
    /// Something is to be stored.
    Store,
    /// Somebody asks how the run is.
    Asked(Asked),
    /// Another orchestrator commands.
    Superseded,
    Time,
}

impl Driver {
    /// Waits for the next thing. `due` is when the run wants to be called, `store_at` when something is to be stored.
    pub(super) async fn wake(&mut self, (due, store_at): (Option<Instant>, Option<Instant>)) -> Wake {
        // Events that came again were on disk before.
        let is_due = self.is_due();
        let overdue = self.failovers.due();
        let superseded = self.crew.superseded();
        let Self { inbox, mesh_events, notices, on_disk, acknowledge_at, failovers, standbys, storing, health, .. } =
            self;
        let heard = async {
            let told = async {
                tokio::select! {
                    Some(input) = inbox.recv() => Wake::Input(input),
                    Some(event) = receive(mesh_events.as_mut()) => Wake::Mesh(event),
                }
            };
            tokio::select! {
                biased;
                // Why something is gone is known before that it is.
                notice = receive(notices.as_mut()) => Wake::Notice(notice),
                wake = told => wake,
            }
        };
        // What is due comes first: it is soon done, and nobody's acknowledgement waits behind what another one floods with.
        tokio::select! {
            biased;
            () = std::future::ready(()), if is_due => Wake::Acknowledge,
            // The journal lives as long as this loop.
            Ok(()) = on_disk.changed() => Wake::Acknowledge,
            () = until(*acknowledge_at) => Wake::Acknowledge,
            () = superseded.cancelled() => Wake::Superseded,
            Some(stored) = storing.join_next() => stored.map_or(Wake::Store, Wake::Stored),
            () = until(store_at) => Wake::Store,
            Some(asked) = receive(health.as_mut().map(|health| &mut health.asked)) => Wake::Asked(asked),
            () = until(due) => Wake::Time,
            () = until(overdue) => Wake::Overdue,
            answered = failovers.answered() => Wake::Adopted(Box::new(answered)),
            answer = standbys.answer() => Wake::StoodBy(Box::new(answer)),
            wake = heard => wake,
        }
    }

    /// Whether something may be acknowledged.
    fn is_due(&self) -> bool {
        self.unacked.front().is_some_and(|first| first.line <= *self.on_disk.borrow())
    }
}

/// Waits for a moment, or for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// The next value, or never when there is no source of them.
pub(in crate::coordinator) async fn receive<T>(source: Option<&mut mpsc::Receiver<T>>) -> Option<T> {
    match source {
        Some(source) => source.recv().await,
        None => std::future::pending().await,
    }
}
