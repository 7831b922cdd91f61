//! What a stub answers and remembers, apart from its connections: the part that can outlive a run.

use std::sync::{Arc, Mutex, PoisonError};

use meshproof_proto::order::{Keep, StubChange, StubOrder, StubRoute};
use thiserror::Error;

use super::journal::Journal;
use super::table::Table;
use crate::limits;
use crate::outbox::StubPast;

#[derive(Debug)]
pub(super) struct State {
    pub(super) journal: Arc<Journal>,
    keep: Keep,
    routes: Vec<StubRoute>,
    table: Mutex<Arc<Table>>,
}

/// More routes than a stub takes.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("unsupported: more than {} routes of one stub, those that were replaced included", limits::STUB_ROUTES)]
pub struct TooManyRoutes;

impl State {
    /// With what an earlier run left, if it was kept.
    pub(super) fn of(order: &StubOrder, kept: Option<Arc<Journal>>) -> Self {
        let journal = kept.unwrap_or_else(|| Arc::new(Journal::new()));
        journal.bound(order.journal);
        // Sequences of a kept stub go on where they were.
        let table = Table::of(&order.routes, |id| (journal.slot(id).0, 0));
        Self { journal, keep: order.keep, routes: order.routes.clone(), table: Mutex::new(Arc::new(table)) }
    }

    pub(super) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.lock())
    }

    /// Gives how many calls were counted and not told.
    pub(super) fn begin_test(&self) -> u64 {
        match self.keep {
            Keep::Test => self.purge(),
            Keep::Run | Keep::Mesh => self.journal.tell_again(),
        }
    }

    /// As it was at the beginning; gives how many calls were counted and not told.
    pub(super) fn purge(&self) -> u64 {
        let mut table = self.lock();
        let untold = self.journal.clear();
        *table = Arc::new(Table::of(&self.routes, |id| (self.journal.slot(id).0, 0)));
        untold
    }

    /// What befell the stub under an instance of the agent that is gone.
    pub(super) fn relive(&self, past: StubPast) {
        match past {
            StubPast::Called(call) => self.journal.relive(call),
            StubPast::Changed(StubChange::Purge) => drop(self.purge()),
            StubPast::Changed(StubChange::Replace(routes)) => {
                if let Err(error) = self.replace(&routes) {
                    tracing::error!(%error, "routes that were there before cannot be had again");
                }
            }
            StubPast::Untold(_) => self.journal.doubt(),
        }
    }

    pub(super) fn replace(&self, routes: &[StubRoute]) -> Result<(), TooManyRoutes> {
        let mut table = self.lock();
        if self.journal.slots() + routes.len() > limits::STUB_ROUTES {
            return Err(TooManyRoutes);
        }
        *table = Arc::new(Table::of(routes, |id| self.journal.slot(id)));
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<Table>> {
        // A table is replaced as a whole, so a holder that panicked left a good one.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
