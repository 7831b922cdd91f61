//! Which of several operators acts: leader election by a Lease, purely.
//!
//! As client-go does it. Everybody looks at the Lease every two seconds. Whether it has expired is judged by when this process saw it
//! change, never by the times in it; it is taken over by a write under its resourceVersion, which the API server gives to one only. A
//! leader that could not renew for ten seconds goes, five seconds before anybody may take the Lease.
//!
//! <https://kubernetes.io/docs/concepts/architecture/leases/#leader-election>

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::limits;

/// The Lease as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Empty after a release.
    pub holder: String,
    pub transitions: i64,
    pub resource_version: String,
}

/// What to write. It is refused if the Lease is no longer as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// None: the Lease is not there yet.
    pub seen: Option<String>,
    pub transitions: i64,
}

/// One candidate.
#[derive(Clone, Debug)]
pub struct Election {
    me: String,
    seen: Option<(Held, Timestamp)>,
    /// Since when this one leads for sure.
    renewed: Option<Timestamp>,
}

impl Election {
    pub fn new(me: impl Into<String>) -> Self {
        Self { me: me.into(), seen: None, renewed: None }
    }

    pub fn me(&self) -> &str {
        &self.me
    }

    /// The Lease was read; what to write, if anything.
    pub fn read(&mut self, lease: Option<Held>, now: Timestamp) -> Option<Claim> {
        let Some(lease) = lease else {
            self.seen = None;
            return Some(Claim { seen: None, transitions: 0 });
        };
        if self.seen.as_ref().is_none_or(|(known, _)| *known != lease) {
            self.seen = Some((lease.clone(), now));
        }
        let (_, since) = self.seen.as_ref().expect("it was just seen");
        let is_expired = now >= *since + limits::LEADER_LEASE;
        let seen = Some(lease.resource_version.clone());
        if lease.holder == self.me {
            return Some(Claim { seen, transitions: lease.transitions });
        }
        (lease.holder.is_empty() || is_expired).then(|| Claim { seen, transitions: lease.transitions + 1 })
    }

    /// The claim was written: this one leads, from when it began to write.
    pub fn written(&mut self, began: Timestamp) {
        self.renewed = Some(began);
    }

    /// The Lease was read and is somebody else's.
    pub fn refused(&mut self) {
        self.renewed = None;
    }

    /// Whether this one may act.
    pub fn leads(&self, now: Timestamp) -> bool {
        self.renewed.is_some_and(|renewed| now < renewed + limits::LEADER_DEADLINE)
    }

    /// How long it still may act, if it may.
    pub fn until_lost(&self, now: Timestamp) -> Option<Duration> {
        Duration::try_from(self.renewed? + limits::LEADER_DEADLINE - now).ok()
    }

    /// Whether it did, and has to go now.
    pub fn is_lost(&self, now: Timestamp) -> bool {
        self.renewed.is_some() && !self.leads(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn held(holder: &str, version: u32) -> Option<Held> {
        Some(Held { holder: holder.to_owned(), transitions: 4, resource_version: version.to_string() })
    }

    #[test]
    fn a_lease_that_is_not_there_and_a_released_one_are_taken_at_once() {
        let mut election = Election::new("me");
        assert_eq!(election.read(None, at(0)), Some(Claim { seen: None, transitions: 0 }));
        assert_eq!(election.read(held("", 7), at(0)), Some(Claim { seen: Some("7".to_owned()), transitions: 5 }));
    }

    #[test]
    fn a_lease_is_taken_fifteen_seconds_after_it_was_last_seen_to_change() {
        let mut election = Election::new("me");
        assert_eq!(election.read(held("other", 1), at(0)), None);
        assert_eq!(election.read(held("other", 2), at(14)), None);
        assert_eq!(election.read(held("other", 2), at(28)), None);
        assert_eq!(election.read(held("other", 2), at(29)), Some(Claim { seen: Some("2".to_owned()), transitions: 5 }));
    }

    #[test]
    fn whoever_has_just_started_gives_the_holder_its_full_time() {
        let mut election = Election::new("me");
        assert_eq!(election.read(held("other", 1), at(1_000)), None);
    }

    #[test]
    fn a_leader_acts_until_its_deadline_and_is_lost_then() {
        let mut election = Election::new("me");
        assert!(!election.leads(at(0)) && !election.is_lost(at(0)));
        election.written(at(0));
        assert!(election.leads(at(9)) && !election.is_lost(at(9)));
        assert!(election.is_lost(at(10)), "five seconds before another one may take the lease");
        election.written(at(8));
        assert!(election.leads(at(17)));
        assert_eq!(election.read(held("me", 9), at(17)), Some(Claim { seen: Some("9".to_owned()), transitions: 4 }));
    }

    /// However two candidates and their clocks run, no two of them act at once.
    #[test]
    fn two_candidates_never_lead_at_once() {
        use proptest::prelude::*;
        // who acts, how far time goes on before, and whether its write arrives
        let steps = prop::collection::vec((0_usize..2, 0_i64..12, prop::bool::weighted(0.8)), 1..80);
        proptest!(|(steps in steps)| {
            let mut candidates = [Election::new("a"), Election::new("b")];
            let (mut lease, mut version, mut now): (Option<Held>, u32, i64) = (None, 0, 0);
            for (who, pause, arrives) in steps {
                now += pause;
                let claim = candidates[who].read(lease.clone(), at(now));
                let Some(claim) = claim else { candidates[who].refused(); continue };
                if arrives && claim.seen == lease.as_ref().map(|lease| lease.resource_version.clone()) {
                    version += 1;
                    let holder = candidates[who].me().to_owned();
                    lease = Some(Held { holder, transitions: claim.transitions, resource_version: version.to_string() });
                    candidates[who].written(at(now));
                }
                prop_assert!(!candidates.iter().all(|one| one.leads(at(now))));
            }
        });
    }
}
