//! Which faults are active here, and until when. Pure: `now` is an argument.
//!
//! A fault is a lease. The same order again renews it; without renewal it ends by itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshproof_proto::order::{FaultOrder, FaultTarget};
use meshproof_proto::shaper::Shape;

use crate::limits;

/// The active faults by name.
#[derive(Debug, Default)]
pub struct Leases {
    active: BTreeMap<String, Lease>,
}

#[derive(Debug)]
struct Lease {
    target: FaultTarget,
    shape: Shape,
    deadline: Instant,
}

/// What an order came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    New,
    Renewed,
}

/// A fault of that name is active and disturbs something else.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("fault `{0}` is active here with another target or shape; heal it first")]
pub struct Differs(String);

impl Leases {
    /// Begins a lease, or renews it when the same fault is active.
    pub fn begin(&mut self, order: &FaultOrder, now: Instant) -> Result<Begun, Differs> {
        let deadline = now + Duration::from_millis(order.lease_ms).min(limits::LEASE_LONGEST);
        if let Some(lease) = self.active.get_mut(&order.fault) {
            if lease.target != order.target || lease.shape != order.shape {
                return Err(Differs(order.fault.clone()));
            }
            lease.deadline = deadline;
            return Ok(Begun::Renewed);
        }
        let lease = Lease { target: order.target.clone(), shape: order.shape.clone(), deadline };
        self.active.insert(order.fault.clone(), lease);
        Ok(Begun::New)
    }

    /// Whether a fault of that name is active.
    pub fn is_active(&self, fault: &str) -> bool {
        self.active.contains_key(fault)
    }

    /// Ends a lease; false when there is none.
    pub fn end(&mut self, fault: &str) -> bool {
        self.active.remove(fault).is_some()
    }

    /// Ends the leases that nobody renewed in time, and names them.
    pub fn expire(&mut self, now: Instant) -> Vec<String> {
        self.active.extract_if(.., |_, lease| lease.deadline <= now).map(|(fault, _)| fault).collect()
    }

    /// When the next lease ends.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.active.values().map(|lease| lease.deadline).min()
    }

    /// The names of the active faults.
    pub fn names(&self) -> Vec<String> {
        self.active.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::id::{Digest, RunId, Term};
    use meshproof_proto::order::Authority;

    use super::*;

    fn order(fault: &str, lease_ms: u64) -> FaultOrder {
        FaultOrder {
            authority: Authority { run: RunId("r".to_owned()), term: Term(1), plan: Digest([0; 32]) },
            fault: fault.to_owned(),
            target: FaultTarget::Stub { stub: "payments".to_owned() },
            shape: Shape { latency_us: 5, ..Shape::default() },
            lease_ms,
        }
    }

    #[test]
    fn a_lease_ends_by_itself_unless_it_is_renewed() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(leases.begin(&order("a", 100), start), Ok(Begun::New));
        assert_eq!(leases.begin(&order("b", 100), start), Ok(Begun::New));
        assert_eq!(leases.begin(&order("a", 100), after(60)), Ok(Begun::Renewed));
        assert_eq!(leases.next_deadline(), Some(after(100)));
        assert_eq!(leases.expire(after(99)), Vec::<String>::new());
        assert_eq!(leases.expire(after(100)), ["b"]);
        assert_eq!(leases.names(), ["a"]);
        assert_eq!(leases.expire(after(160)), ["a"]);
        assert_eq!(leases.next_deadline(), None);
    }

    #[test]
    fn one_name_is_one_disturbance() {
        let (mut leases, now) = (Leases::default(), Instant::now());
        leases.begin(&order("a", 100), now).expect("new");
        let mut other = order("a", 100);
        other.shape.latency_us = 6;
        assert_eq!(leases.begin(&other, now), Err(Differs("a".to_owned())));
        assert!(leases.end("a"));
        assert!(!leases.end("a"));
        assert_eq!(leases.begin(&other, now), Ok(Begun::New));
    }
}
