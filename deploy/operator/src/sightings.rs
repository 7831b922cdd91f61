//! Since when something is as it is, by this process' own clock.
//!
//! A lease's times are by its holder's clock, which may be wrong; how long it was not renewed is judged by when this process saw
//! it change. So a process that has just started gives everybody their full time, as client-go's leader election does.

use std::collections::HashMap;

use k8s_openapi::jiff::Timestamp;

use crate::limits;

/// What was seen, and since when it is so.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    seen: HashMap<String, (String, Timestamp)>,
    /// Since when the API server tells what changes, if it was away.
    watched: Option<Timestamp>,
}

impl Sightings {
    /// It is so now; says since when it is.
    pub fn note(&mut self, what: String, state: String, now: Timestamp) -> Timestamp {
        let seen = self.seen.entry(what).or_insert_with(|| (state.clone(), now));
        if seen.0 != state {
            *seen = (state, now);
        }
        seen.1
    }

    /// Since when it is as it was last seen.
    pub fn known(&self, what: &str) -> Option<Timestamp> {
        self.seen.get(what).map(|(_, since)| *since)
    }

    /// The API server is away. While it is, nobody can renew a lease, and nobody sees one renewed: that it was not says nothing. It
    /// is believed to be back with its first word, and if there is none, some time after it was last found away.
    pub fn blind(&mut self, now: Timestamp) {
        self.watched = Some(now + limits::BLIND);
    }

    /// It told something.
    pub fn told(&mut self, now: Timestamp) {
        self.watched = self.watched.map(|watched| watched.min(now));
    }

    /// The later of that moment and of when the API server was back: from then on a state that stays is one that was seen to stay.
    pub fn watched_since(&self, since: Timestamp) -> Timestamp {
        self.watched.map_or(since, |watched| watched.max(since))
    }

    /// Nobody asks for what begins with this any more.
    pub fn forget(&mut self, prefix: &str) {
        self.seen.retain(|what, _| !what.starts_with(prefix));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_so_since_it_was_first_seen_and_a_change_begins_anew() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut sightings = Sightings::default();
        let mut note = |state: &str, second| sightings.note("lease".into(), state.into(), at(second));
        assert_eq!(note("a", 1), at(1));
        assert_eq!(note("a", 5), at(1));
        assert_eq!(note("b", 9), at(9));
        assert_eq!(note("b", 11), at(9));
    }

    #[test]
    fn what_could_not_be_watched_is_so_since_it_could_be_again() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut sightings = Sightings::default();
        assert_eq!(sightings.watched_since(at(5)), at(5));
        sightings.blind(at(10));
        assert!(sightings.watched_since(at(5)) > at(40), "nothing is judged meanwhile");
        sightings.told(at(20));
        assert_eq!(sightings.watched_since(at(5)), at(20));
        sightings.told(at(30));
        assert_eq!(sightings.watched_since(at(5)), at(20), "it was told of before");
        assert_eq!(sightings.watched_since(at(25)), at(25));
    }
}
