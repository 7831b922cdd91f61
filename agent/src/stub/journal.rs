//! What a stub remembers: how often each route was called, and the last calls, up to the bound that the plan gives.
//!
//! Memory is bounded by routes and by that bound, whatever comes. Counts are exact for ever; what is asked of single calls
//! beyond the bound is refused and never guessed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use meshproof_proto::event::StubCall;
use tokio::sync::watch;

use crate::limits;

/// Shared by the runs that a stub is kept for.
#[derive(Debug)]
pub(super) struct Journal {
    counts: Mutex<Counts>,
    total: watch::Sender<u64>,
}

#[derive(Debug)]
struct Counts {
    /// Route to its place among the counted.
    slots: BTreeMap<String, usize>,
    routes: Vec<u64>,
    unmatched: u64,
    /// How many calls are remembered and told.
    bound: u64,
    told: u64,
    /// Calls that were not told one by one.
    untold: u64,
    /// Unexpected calls that were told beyond the bound.
    told_beyond: u64,
    last: VecDeque<Entry>,
    /// In the order in which calls came: the place of the route.
    order: VecDeque<Option<usize>>,
    forgotten: u64,
    /// Calls may have come that are not counted here.
    uncertain: bool,
}

/// A call that was answered.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) route: Option<String>,
    pub(super) number: u64,
    pub(super) status: u16,
    pub(super) took_ms: f64,
    pub(super) request: String,
}

/// What counting says about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// On its route, or among those without one.
    pub(super) number: u64,
    /// Whether it is told, or only counted.
    pub(super) tell: bool,
}

/// Calls did not come in the order that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutOfOrder {
    /// The first so many came; then this is missing.
    Missing { came: usize, next: String },
    /// The calls before these were forgotten.
    Forgotten { held: usize, all: u64 },
}

impl Journal {
    pub(super) fn new() -> Self {
        let counts = Counts {
            slots: BTreeMap::new(),
            routes: Vec::new(),
            unmatched: 0,
            bound: 0,
            told: 0,
            untold: 0,
            told_beyond: 0,
            last: VecDeque::new(),
            order: VecDeque::new(),
            forgotten: 0,
            uncertain: false,
        };
        Self { counts: Mutex::new(counts), total: watch::Sender::new(0) }
    }

    /// How much is remembered from now on.
    pub(super) fn bound(&self, bound: u64) {
        self.lock().bound = bound;
    }

    /// Where the calls of a route are counted, and how many there were.
    pub(super) fn slot(&self, route: &str) -> (usize, u64) {
        let mut counts = self.lock();
        let Counts { slots, routes, .. } = &mut *counts;
        let slot = *slots.entry(route.to_owned()).or_insert_with(|| {
            routes.push(0);
            routes.len() - 1
        });
        (slot, routes[slot])
    }

    /// Routes that were ever counted.
    pub(super) fn slots(&self) -> usize {
        self.lock().routes.len()
    }

    pub(super) fn count(&self, slot: Option<usize>) -> Counted {
        let mut counts = self.lock();
        let count = match slot {
            Some(slot) => &mut counts.routes[slot],
            None => &mut counts.unmatched,
        };
        *count += 1;
        let number = *count;
        let tell = counts.told < counts.bound;
        if tell {
            counts.told += 1;
        } else {
            counts.untold += 1;
        }
        if counts.order.len() as u64 >= counts.bound {
            counts.order.pop_front();
            counts.forgotten += 1;
        }
        if counts.bound > 0 {
            counts.order.push_back(slot);
        }
        // Under the lock, so that the total and the counts are cleared together.
        self.total.send_modify(|total| *total += 1);
        Counted { number, tell }
    }

    /// A call that was told by an instance of the agent that is gone. When as many were told as may be, others may have come.
    pub(super) fn relive(&self, call: StubCall) {
        let slot = call.route.as_deref().map(|route| self.slot(route).0);
        self.count(slot);
        let StubCall { route, number, request, status, took_ms, .. } = call;
        self.remember(Entry { route, number, status, took_ms, request });
        let mut counts = self.lock();
        counts.uncertain |= counts.told >= counts.bound;
    }

    /// Calls came that cannot be counted.
    pub(super) fn doubt(&self) {
        self.lock().uncertain = true;
    }

    pub(super) fn is_uncertain(&self) -> bool {
        self.lock().uncertain
    }

    /// Whether a call that fails the test, and that counting did not want told, is told all the same.
    pub(super) fn tells_unexpected(&self) -> bool {
        let mut counts = self.lock();
        let tells = counts.told_beyond < limits::STUB_UNEXPECTED_TOLD;
        if tells {
            counts.told_beyond += 1;
            counts.untold = counts.untold.saturating_sub(1);
        }
        tells
    }

    /// As if nobody had called; gives how many calls were not told. A call that is being answered keeps its number.
    pub(super) fn clear(&self) -> u64 {
        let mut counts = self.lock();
        counts.routes.fill(0);
        (counts.unmatched, counts.told, counts.told_beyond, counts.forgotten) = (0, 0, 0, 0);
        counts.uncertain = false;
        counts.last.clear();
        counts.order.clear();
        self.total.send_modify(|total| *total = 0);
        std::mem::take(&mut counts.untold)
    }

    /// From here on calls are told again; gives how many were not.
    pub(super) fn tell_again(&self) -> u64 {
        let mut counts = self.lock();
        (counts.told, counts.told_beyond) = (0, 0);
        std::mem::take(&mut counts.untold)
    }

    /// Remembers how a call went.
    pub(super) fn remember(&self, call: Entry) {
        let mut counts = self.lock();
        if counts.last.len() as u64 >= counts.bound {
            counts.last.pop_front();
        }
        if counts.bound > 0 {
            counts.last.push_back(call);
        }
    }

    /// Calls on a route, or all of them, those that no route matched included. `None`: no such route was ever there.
    pub(super) fn calls(&self, route: Option<&str>) -> Option<u64> {
        match route {
            Some(route) => {
                let counts = self.lock();
                counts.slots.get(route).map(|slot| counts.routes[*slot])
            }
            None => Some(*self.total.borrow()),
        }
    }

    pub(super) fn unmatched(&self) -> u64 {
        self.lock().unmatched
    }

    /// Whether these routes were called in this order; others may have been called in between.
    pub(super) fn in_order(&self, wanted: &[String]) -> Result<(), OutOfOrder> {
        let counts = self.lock();
        let mut calls = counts.order.iter();
        for (came, next) in wanted.iter().enumerate() {
            let slot = counts.slots.get(next);
            if slot.is_none() || !calls.any(|call| call.as_ref() == slot) {
                if counts.forgotten > 0 {
                    let held = counts.order.len();
                    return Err(OutOfOrder::Forgotten { held, all: counts.forgotten + held as u64 });
                }
                return Err(OutOfOrder::Missing { came, next: next.clone() });
            }
        }
        Ok(())
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.total.subscribe()
    }

    /// The last calls, the oldest first, no more than `most`.
    pub(super) fn last(&self, most: usize) -> Vec<String> {
        let counts = self.lock();
        let left_out = counts.last.len().saturating_sub(most);
        counts.last.iter().skip(left_out).map(ToString::to_string).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Every change is one step, so a holder that panicked left nothing half done.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let route = self.route.as_deref().unwrap_or("no route");
        let Self { number, status, took_ms, request, .. } = self;
        write!(f, "{route} #{number} -> {status} after {took_ms:.0} ms: {request}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_counts_stay_exact() {
        let journal = Journal::new();
        journal.bound(10);
        let (a, _) = journal.slot("a");
        let (b, _) = journal.slot("b");
        let order = |ids: &[&str]| journal.in_order(&ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
        for slot in [a, b, a] {
            assert!(journal.count(Some(slot)).tell);
        }
        assert_eq!((order(&["a", "b", "a"]), order(&["b", "a"]), order(&["a", "a"])), (Ok(()), Ok(()), Ok(())));
        assert_eq!(order(&["b", "b"]), Err(OutOfOrder::Missing { came: 1, next: "b".to_owned() }));
        for number in 3..=1_000_000 {
            let tell = number <= 9;
            assert_eq!(journal.count(Some(a)), Counted { number, tell });
        }
        assert_eq!((journal.calls(Some("a")), journal.calls(None)), (Some(1_000_000), Some(1_000_001)));
        // The one call of `b` is long forgotten: whether it came is not guessed.
        assert_eq!(order(&["b"]), Err(OutOfOrder::Forgotten { held: 10, all: 1_000_001 }));
        let held = journal.lock().order.len();
        assert_eq!((held, journal.clear()), (10, 999_991));
        assert_eq!((journal.calls(Some("a")), journal.calls(None), journal.clear()), (Some(0), Some(0), 0));
    }
}
