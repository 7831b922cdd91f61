//! Since when something is as it is, by this process' own clock.
//!
//! A lease's times are by its holder's clock, which may be wrong; how long it was not renewed is judged by when this process saw
//! it change. So a process that has just started gives everybody their full time, as client-go's leader election does.

use std::collections::HashMap;

use k8s_openapi::jiff::Timestamp;

/// What was seen, and since when it is so.
#[derive(Clone, Debug, Default)]
pub struct Sightings(HashMap<String, (String, Timestamp)>);

impl Sightings {
    /// It is so now; says since when it is.
    pub fn note(&mut self, what: String, state: String, now: Timestamp) -> Timestamp {
        let seen = self.0.entry(what).or_insert_with(|| (state.clone(), now));
        if seen.0 != state {
            *seen = (state, now);
        }
        seen.1
    }

    /// Since when it is as it was last seen.
    pub fn known(&self, what: &str) -> Option<Timestamp> {
        self.0.get(what).map(|(_, since)| *since)
    }

    /// Nobody asks for what begins with this any more.
    pub fn forget(&mut self, prefix: &str) {
        self.0.retain(|what, _| !what.starts_with(prefix));
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
}
