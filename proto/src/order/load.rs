//! Many calls: how many, when, and which of them are whose.
//!
//! Calls of the open model, and users of the closed one, have numbers from 0. Of n agents the one with number i makes those whose
//! number leaves i when divided by n, so that together they make what one would have made, and no call is made twice.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Action, Check, RecordStreamId};
use crate::id::Name;
use crate::nesting;

/// A load, or one agent's part of it. The checks' fields: `calls failed unsent rate p50 p95 p99 max duration`; saves look into
/// `{calls, failed, unsent, rate, p50, p95, p99, max, duration}`, `failed` in per cent, times in ms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct LoadAction {
    /// An HTTP exchange, a gRPC call, a TCP exchange, WebSocket messages or a program. Expressions see `index`.
    pub call: Box<Action>,
    /// What each answer must be.
    pub each: Vec<Check>,
    /// Bounds one call.
    pub within_ms: u64,
    pub model: LoadModel,
    /// One behind the other.
    pub stages: Vec<Stage>,
    pub share: Share,
    /// Who makes the other parts, and the stream on which each is told to begin and tells what came of it.
    pub helpers: Vec<(Name, RecordStreamId)>,
}

// derived for both, and read within a bound: an action is in it, which may be a load again
impl Serialize for LoadAction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for LoadAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        nesting::bounded(deserializer, Self::deserialize)
    }
}

/// What decides when a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadModel {
    /// Time: levels are calls a second. At most so many are under way at once; others that are due wait, and that counts.
    Open { in_flight: u32 },
    /// The answer to the one before: levels are users, each of whom makes one call at a time.
    Closed,
}

/// From one level to another, in a straight line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    pub from: f64,
    pub to: f64,
    pub duration_ms: u64,
}

/// The part of one of several agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// From 0.
    pub number: u32,
    pub of: u32,
}

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self { number: 0, of: 1 };

    /// The number, among all, of the one that is this agent's own `nth`.
    #[must_use]
    pub fn number_of(self, nth: u64) -> u64 {
        nth.saturating_mul(u64::from(self.of.max(1))).saturating_add(u64::from(self.number))
    }
}

impl Stage {
    fn seconds(&self) -> f64 {
        self.duration_ms as f64 / 1e3
    }

    /// Calls of the open model in its first `t` seconds.
    fn calls(&self, t: f64) -> f64 {
        let slope = (self.to - self.from) / self.seconds().max(f64::MIN_POSITIVE);
        self.from * t + slope * t * t / 2.0
    }

    /// When, in its own seconds, so many calls were due; none that it has not.
    fn due(&self, calls: f64) -> Option<f64> {
        let all = self.seconds();
        if calls >= self.calls(all) {
            return None;
        }
        let slope = (self.to - self.from) / all;
        if slope.abs() < 1e-9 {
            return Some(calls / self.from);
        }
        // the root of slope/2 t² + from t = calls that lies in the stage, in the form that does not cancel
        let root = (self.from * self.from + 2.0 * slope * calls).max(0.0).sqrt();
        Some((2.0 * calls / (self.from + root).max(f64::MIN_POSITIVE)).clamp(0.0, all))
    }

    /// The part of it, in its own seconds, in which the level is above this one.
    fn above(&self, level: f64) -> Option<(f64, f64)> {
        let (all, low, high) = (self.seconds(), self.from.min(self.to), self.from.max(self.to));
        if high <= level || all <= 0.0 {
            return None;
        }
        if low > level || (high - low) < 1e-9 {
            return Some((0.0, all));
        }
        let cross = all * (level - self.from) / (self.to - self.from);
        Some(if self.to > self.from { (cross, all) } else { (0.0, cross) })
    }
}

impl LoadAction {
    /// Until the last stage is over.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.stages.iter().map(|stage| stage.duration_ms).sum())
    }

    /// When the call with this number among all is due; none: there are not so many.
    #[must_use]
    pub fn due(&self, number: u64) -> Option<Duration> {
        let (mut began, mut left) = (0.0, number as f64);
        for stage in &self.stages {
            if let Some(at) = stage.due(left) {
                return Some(Duration::from_secs_f64(began + at));
            }
            left = (left - stage.calls(stage.seconds())).max(0.0);
            began += stage.seconds();
        }
        None
    }

    /// How many calls of the open model are this agent's.
    #[must_use]
    pub fn own_calls(&self) -> u64 {
        let all = self.stages.iter().map(|stage| stage.calls(stage.seconds())).sum::<f64>();
        let guess = (all / f64::from(self.share.of.max(1))) as u64 + 2;
        // the last ones are asked for, so that what is counted here is what `due` gives
        (0..=guess).rev().find(|nth| *nth == 0 || self.due(self.share.number_of(nth - 1)).is_some()).unwrap_or_default()
    }

    /// The most users there are at any time.
    #[must_use]
    pub fn users(&self) -> u64 {
        self.stages.iter().map(|stage| stage.from.max(stage.to).ceil() as u64).max().unwrap_or_default()
    }

    /// From when to when the user with this number is there, the first time that ends after `at`.
    #[must_use]
    pub fn there(&self, user: u64, at: Duration) -> Option<(Duration, Duration)> {
        let mut began = 0.0;
        let mut found: Option<(f64, f64)> = None;
        for stage in self.stages.iter().filter(|stage| stage.duration_ms > 0) {
            let part = stage.above(user as f64).map(|(from, to)| (began + from, began + to));
            began += stage.seconds();
            match (&mut found, part) {
                // it goes on from one stage to the next
                (Some(found), Some(part)) if part.0 - found.1 < 1e-6 => found.1 = part.1,
                (Some(_), _) => break,
                (None, Some(part)) if part.1 > at.as_secs_f64() => found = Some(part),
                (None, _) => {}
            }
        }
        found.map(|(from, to)| (Duration::from_secs_f64(from), Duration::from_secs_f64(to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Template;
    use crate::order::{Target, TcpAction};

    fn load(stages: &[(f64, f64, u64)], share: Share) -> LoadAction {
        let stage =
            |(from, to, duration_ms): &(f64, f64, u64)| Stage { from: *from, to: *to, duration_ms: *duration_ms };
        let call = Action::Tcp(TcpAction { target: Target::plain("a", ""), send: Template::text("x") });
        LoadAction {
            call: Box::new(call),
            each: Vec::new(),
            within_ms: 1_000,
            model: LoadModel::Closed,
            stages: stages.iter().map(stage).collect(),
            share,
            helpers: Vec::new(),
        }
    }

    fn dues(load: &LoadAction) -> Vec<u64> {
        let due = |nth| load.due(load.share.number_of(nth)).map(|due| due.as_micros() as u64);
        (0..).map_while(due).collect()
    }

    #[test]
    fn at_a_constant_rate_calls_are_due_at_equal_distances() {
        let load = load(&[(100.0, 100.0, 50)], Share::WHOLE);
        assert_eq!(dues(&load), [0, 10_000, 20_000, 30_000, 40_000]);
        assert_eq!((load.own_calls(), load.duration()), (5, Duration::from_millis(50)));
    }

    #[test]
    fn a_ramp_has_as_many_calls_as_lie_under_it_and_ever_closer_together() {
        let load = load(&[(0.0, 100.0, 1_000), (100.0, 100.0, 1_000), (100.0, 0.0, 1_000)], Share::WHOLE);
        let dues = dues(&load);
        assert_eq!((dues.len() as u64, load.own_calls()), (200, 200));
        let gaps: Vec<u64> = dues.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps[..49].windows(2).all(|pair| pair[0] >= pair[1]), "{gaps:?}");
        assert!(gaps[151..].windows(2).all(|pair| pair[0] <= pair[1] + 1), "{gaps:?}");
        assert!(dues[50] >= 1_000_000 && dues[149] < 2_000_001 && dues[199] < 3_000_000, "{dues:?}");
    }

    #[test]
    fn several_agents_make_together_what_one_would_have_made() {
        let stages = [(0.0, 333.0, 700), (333.0, 20.0, 900), (50.0, 50.0, 300)];
        let whole = dues(&load(&stages, Share::WHOLE));
        let mut parts: Vec<u64> = (0..3).flat_map(|number| dues(&load(&stages, Share { number, of: 3 }))).collect();
        parts.sort_unstable();
        assert_eq!(parts, whole);
        let own: u64 = (0..3).map(|number| load(&stages, Share { number, of: 3 }).own_calls()).sum();
        assert_eq!(own, whole.len() as u64);
    }

    #[test]
    fn users_come_and_go_with_the_level_and_come_again() {
        let load = load(&[(0.0, 4.0, 4_000), (4.0, 0.0, 4_000), (0.0, 2.0, 0), (2.0, 2.0, 1_000)], Share::WHOLE);
        let there =
            |user, at| load.there(user, Duration::from_secs(at)).map(|(from, to)| (from.as_secs(), to.as_secs()));
        assert_eq!(load.users(), 4);
        assert_eq!((there(0, 0), there(3, 0), there(4, 0)), (Some((0, 9)), Some((3, 5)), None));
        assert_eq!((there(1, 0), there(1, 7)), (Some((1, 7)), Some((8, 9))));
        assert_eq!(there(1, 9), None);
    }
}
