//! When an agent or signaling that ended is started again. Pure.
//!
//! At once, for a run waits for it. One that does not live long is given a little more time each time; one that never does is given up,
//! for whatever ends it will end the next one.

use std::collections::BTreeMap;
use std::time::Instant;

use super::limits::{EARLY_DEATHS, EARLY_LIFE, RESPAWN_LATER};
use super::protocol::What;

/// The lives of the processes that are started again.
#[derive(Debug, Default)]
pub struct Respawns {
    lives: BTreeMap<What, Lives>,
    due: BTreeMap<What, Instant>,
}

#[derive(Debug)]
struct Lives {
    began: Instant,
    /// That were short, one after the other.
    early_deaths: u32,
}

/// What follows from an end.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// It becomes [`Respawns::due`].
    Again,
    GivenUp,
}

impl Respawns {
    /// It starts.
    pub fn started(&mut self, what: &What, now: Instant) {
        let first = Lives { began: now, early_deaths: 0 };
        let lives = self.lives.entry(what.clone()).or_insert(first);
        lives.began = now;
    }

    pub fn ended(&mut self, what: &What, now: Instant) -> Next {
        let Some(lives) = self.lives.get_mut(what) else { return Next::GivenUp };
        let was_early = now.saturating_duration_since(lives.began) < EARLY_LIFE;
        lives.early_deaths = if was_early { lives.early_deaths + 1 } else { 0 };
        if lives.early_deaths > EARLY_DEATHS {
            return Next::GivenUp;
        }
        // the first one may have been unlucky
        let wait = RESPAWN_LATER * lives.early_deaths.saturating_sub(1);
        self.due.insert(what.clone(), now + wait);
        Next::Again
    }

    /// Whether it is about to be started again.
    pub fn is_due(&self, what: &What) -> bool {
        self.due.contains_key(what)
    }

    /// It is not started again.
    pub fn forget(&mut self, what: &What) {
        self.due.remove(what);
    }

    /// When [`Respawns::due`] has the next one.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// The next one whose time has come.
    pub fn due(&mut self, now: Instant) -> Option<What> {
        let what = self.due.iter().find(|(_, at)| **at <= now)?.0.clone();
        self.due.remove(&what);
        Some(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_lived_is_started_at_once_and_one_that_never_does_is_given_up() {
        let (mut respawns, what) =
            (Respawns::default(), What::Agent { name: "shop".parse().expect("a name"), number: 1 });
        let mut now = Instant::now();
        for _ in 0..10 {
            respawns.started(&what, now);
            now += EARLY_LIFE;
            assert_eq!((respawns.ended(&what, now), respawns.poll_timeout()), (Next::Again, Some(now)));
            assert_eq!((respawns.due(now), respawns.due(now)), (Some(what.clone()), None));
        }
        let mut waits = Vec::new();
        loop {
            respawns.started(&what, now);
            if respawns.ended(&what, now) == Next::GivenUp {
                break;
            }
            let due = respawns.poll_timeout().expect("it is started again");
            waits.push(due - now);
            now = due;
            assert_eq!(respawns.due(now), Some(what.clone()));
        }
        assert_eq!(waits.len(), usize::try_from(EARLY_DEATHS).expect("few"));
        assert_eq!((waits[0].is_zero(), waits.is_sorted()), (true, true));
        assert_eq!(respawns.poll_timeout(), None);
    }
}
