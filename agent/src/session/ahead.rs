//! Orders that came before their turn: each begins here once the step before it has ended well, so that between two steps of one
//! agent nobody waits for the orchestrator.

use std::collections::HashMap;

use meshproof_proto::event::Steering;
use meshproof_proto::id::Name;
use meshproof_proto::limits::{HELD_AT_MOST, STEPS_AHEAD};
use meshproof_proto::order::{StepKey, StepOrder};
use meshproof_proto::rpc::Refusal;
use tokio::time::Instant;

/// Orders by the step that comes before them.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    after: HashMap<StepKey, StepOrder>,
    held: Option<Held>,
}

/// A person holds the run: orders before their turn are given back, also those that were on their way.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) by: Name,
    pub(super) number: u64,
    pub(super) how: Steering,
    until: Instant,
}

impl Ahead {
    /// Keeps an order until its turn.
    pub(super) fn hold(&mut self, before: StepKey, order: StepOrder) -> Result<(), Refusal> {
        // a window is refilled while its last orders are still here
        const MOST: usize = 2 * STEPS_AHEAD;
        if self.after.len() >= MOST && !self.after.contains_key(&before) {
            return Err(Refusal::Failed(format!("{MOST} steps wait here for their turn; no more are taken")));
        }
        self.after.insert(before, order);
        Ok(())
    }

    /// A person wants this; gives back what is held back from now on.
    pub(super) fn steer(&mut self, how: Steering, (by, number): (Name, u64)) -> Vec<StepKey> {
        match how {
            Steering::Resume => {
                self.held = None;
                Vec::new()
            }
            Steering::Pause | Steering::Step => {
                self.held = Some(Held { by, number, how, until: Instant::now() + HELD_AT_MOST });
                let mut given_back: Vec<_> = self.after.drain().map(|(_, order)| order.key).collect();
                given_back.sort();
                given_back
            }
        }
    }

    /// Who holds the run now.
    pub(super) fn held(&mut self) -> Option<Held> {
        self.held.take_if(|held| held.until <= Instant::now());
        self.held.clone()
    }

    /// The order whose turn has come.
    pub(super) fn after(&mut self, ended: &StepKey) -> Option<StepOrder> {
        self.after.remove(ended)
    }

    /// The steps behind this one have no turn any more.
    pub(super) fn forget_behind(&mut self, key: &StepKey) {
        let mut next = self.after.remove(key);
        while let Some(order) = next {
            next = self.after.remove(&order.key);
        }
    }

    /// Takes an order out whose turn has not come; what waits for it stays.
    pub(super) fn take(&mut self, key: &StepKey) -> Option<StepOrder> {
        let before = self.after.iter().find(|(_, order)| order.key == *key)?.0.clone();
        self.after.remove(&before)
    }
}
