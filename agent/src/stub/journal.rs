//! How often a stub was called, and the last calls for people.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use meshproof_proto::order::StubOrder;
use tokio::sync::watch;

use crate::limits;

#[derive(Debug)]
pub(super) struct Journal {
    counts: Mutex<Counts>,
    total: watch::Sender<u64>,
}

#[derive(Debug)]
struct Counts {
    routes: BTreeMap<String, u64>,
    unmatched: u64,
    last: VecDeque<String>,
}

impl Journal {
    pub(super) fn of(order: &StubOrder) -> Self {
        let routes = order.routes.iter().map(|route| (route.id.clone(), 0)).collect();
        Self {
            counts: Mutex::new(Counts { routes, unmatched: 0, last: VecDeque::new() }),
            total: watch::Sender::new(0),
        }
    }

    /// Counts a call; gives its number on its route, or among those without one.
    pub(super) fn count(&self, route: Option<&str>) -> u64 {
        let mut counts = self.lock();
        let count = match route {
            Some(route) => counts.routes.entry(route.to_owned()).or_default(),
            None => &mut counts.unmatched,
        };
        *count += 1;
        let number = *count;
        // Under the lock, so that the total and the counts are cleared together.
        self.total.send_modify(|total| *total += 1);
        number
    }

    /// As if nobody had called. A call that is being answered keeps its number and is not counted again.
    pub(super) fn clear(&self) {
        let mut counts = self.lock();
        counts.routes.values_mut().for_each(|count| *count = 0);
        counts.unmatched = 0;
        counts.last.clear();
        self.total.send_modify(|total| *total = 0);
    }

    /// Remembers how a call went.
    pub(super) fn remember(&self, call: String) {
        let mut counts = self.lock();
        if counts.last.len() == limits::STUB_CALLS_REMEMBERED {
            counts.last.pop_front();
        }
        counts.last.push_back(call);
    }

    pub(super) fn calls(&self, route: Option<&str>) -> Option<u64> {
        match route {
            Some(route) => self.lock().routes.get(route).copied(),
            None => Some(*self.total.borrow()),
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.total.subscribe()
    }

    pub(super) fn last(&self) -> Vec<String> {
        self.lock().last.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Every change is one step, so a holder that panicked left nothing half done.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
