//! Which zone is active.
//!
//! There is one truth: the Lease `<pool>-active`, whose holder is the active zone and whose transitions count the epochs. It is
//! replaced under its resourceVersion, so of two operators that both want to change it one is refused; and the epoch grows with
//! every change, so no two zones are ever active in the same one.

use k8s_openapi::jiff::Timestamp;

use super::observe::{LeaseState, Observed, seconds};
use super::sizes;
use crate::kinds::{Failback, MeshPool, Zone, ZoneRole};
use crate::limits;
use crate::objects::ACTIVATE;

/// What becomes of the active zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It stays.
    Stay { zone: String },
    /// It is lost, and no other zone is there to take over.
    Stuck { zone: String, why: Why },
    /// It stays until this other one has all its agents.
    Prepare { zone: String, next: String },
    /// Another one takes over now.
    Over { zone: String, why: Why },
}

/// Why another zone becomes active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// None was yet.
    First,
    /// The active zone's reporter has not renewed its lease.
    Silent,
    /// The active zone has had no ready agent for too long.
    Empty,
    /// The active zone is no longer one of the pool's.
    Removed,
    /// The Active zone is back for good.
    Failback,
    /// A person asked for it.
    Asked,
}

impl Turn {
    /// Whose agents count once the plan is carried out.
    pub fn active(&self) -> &str {
        match self {
            Self::Stay { zone } | Self::Stuck { zone, .. } | Self::Prepare { zone, .. } | Self::Over { zone, .. } => {
                zone
            }
        }
    }
}

/// The zone with the role Active. The schema has one; whoever made the object without it gets the first.
pub(super) fn home(pool: &MeshPool) -> Option<&Zone> {
    let zones = &pool.spec.zones;
    zones.iter().find(|zone| zone.role == ZoneRole::Active).or_else(|| zones.first())
}

/// The zone that a person wants.
fn asked(pool: &MeshPool) -> Option<&String> {
    pool.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ACTIVATE))
}

pub(super) fn turn(pool: &MeshPool, observed: &Observed, now: Timestamp) -> Option<Turn> {
    let home = home(pool)?.name.clone();
    let Some(active) = &observed.active else {
        // if its Lease was deleted, the zone that was active stays so
        let before = observed.status.active_zone.as_ref().or(asked(pool));
        let before = before.filter(|zone| observed.zones.contains_key(*zone)).cloned();
        return Some(Turn::Over { zone: before.unwrap_or(home), why: Why::First });
    };
    let zone = active.zone.clone();
    if let Some(why) = lost(pool, observed, now) {
        return Some(match successor(pool, observed) {
            Some(next) => Turn::Over { zone: next, why },
            None => Turn::Stuck { zone, why },
        });
    }
    let Some((next, why)) = wished(pool, observed, now) else { return Some(Turn::Stay { zone }) };
    let seen = &observed.zones[&next];
    let is_live = matches!(seen.lease, LeaseState::Live { .. });
    let full = pool.spec.zones.iter().find(|zone| zone.name == next).map(|zone| sizes::full(pool, zone))?;
    Some(if is_live && seen.ready >= full { Turn::Over { zone: next, why } } else { Turn::Prepare { zone, next } })
}

/// Why the active zone is lost, if it is.
fn lost(pool: &MeshPool, observed: &Observed, now: Timestamp) -> Option<Why> {
    let active = observed.active.as_ref()?;
    let Some(seen) = observed.zones.get(&active.zone) else { return Some(Why::Removed) };
    if seen.lease == LeaseState::Expired {
        return Some(Why::Silent);
    }
    let hold_down = seconds(pool.spec.failover.hold_down_seconds);
    let is_up = now >= active.since + limits::STARTUP;
    (is_up && seen.empty_since.is_some_and(|since| now >= since + hold_down)).then_some(Why::Empty)
}

/// Who takes over: a zone that is known to be well, else a cold one, of which nothing is known.
fn successor(pool: &MeshPool, observed: &Observed) -> Option<String> {
    let active = observed.active.as_ref().map(|active| active.zone.as_str());
    let home = home(pool).into_iter();
    let others = home.chain(&pool.spec.zones).filter(|zone| Some(zone.name.as_str()) != active);
    let ranked = others.filter_map(|zone| {
        let seen = observed.zones.get(&zone.name)?;
        let rank = match seen.lease {
            LeaseState::Live { .. } => 0,
            LeaseState::Never if sizes::warm(zone) == 0 => 1,
            LeaseState::Never | LeaseState::Expired => return None,
        };
        Some(((rank, Some(&zone.name) != asked(pool)), zone.name.clone()))
    });
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, zone)| zone)
}

/// The zone that should be active instead of one that is well.
fn wished(pool: &MeshPool, observed: &Observed, now: Timestamp) -> Option<(String, Why)> {
    let active = observed.active.as_ref()?;
    let asked = asked(pool);
    if let Some(asked) = asked.filter(|asked| **asked != active.zone) {
        let seen = observed.zones.get(asked)?;
        return (seen.lease != LeaseState::Expired).then(|| (asked.clone(), Why::Asked));
    }
    let home = home(pool).filter(|home| home.name != active.zone)?;
    let hold_down = seconds(pool.spec.failover.hold_down_seconds);
    let is_settled = now >= active.since + hold_down;
    let is_well = match observed.zones.get(&home.name)?.lease {
        LeaseState::Live { since, .. } => now >= since + hold_down,
        LeaseState::Never | LeaseState::Expired => false,
    };
    let is_automatic = pool.spec.failover.failback == Failback::Automatic && asked.is_none();
    (is_automatic && is_settled && is_well).then(|| (home.name.clone(), Why::Failback))
}
