//! How many agents each zone has.

use std::collections::BTreeMap;

use super::failover::{Turn, home};
use super::observe::Observed;
use crate::kinds::{MeshPool, Zone, ZoneRole};

/// Of a zone that is active.
pub(super) fn full(pool: &MeshPool, zone: &Zone) -> i32 {
    let of_home = || home(pool).map_or(1, |home| home.replicas);
    match zone.role {
        ZoneRole::Active => zone.replicas,
        ZoneRole::Standby => zone.takeover_replicas.unwrap_or_else(of_home),
    }
    .max(1)
}

/// Of a zone that is not.
pub(super) fn warm(zone: &Zone) -> i32 {
    match zone.role {
        ZoneRole::Active => zone.warm_replicas.unwrap_or(1).min(zone.replicas),
        ZoneRole::Standby => zone.replicas,
    }
}

/// A zone that is not active shrinks only when the active one has all its agents.
pub(super) fn sizes(pool: &MeshPool, observed: &Observed, turn: &Turn) -> BTreeMap<String, i32> {
    let is_complete = |zone: &Zone| observed.zones.get(&zone.name).is_some_and(|seen| seen.ready >= full(pool, zone));
    let active = pool.spec.zones.iter().find(|zone| zone.name == turn.active());
    let may_shrink = active.is_some_and(is_complete);
    let size = |zone: &Zone| {
        let is_next = matches!(turn, Turn::Prepare { next, .. } if *next == zone.name);
        if zone.name == turn.active() || is_next {
            return full(pool, zone);
        }
        let now = observed.zones.get(&zone.name).and_then(|seen| seen.replicas);
        now.filter(|_| !may_shrink).unwrap_or_default().max(warm(zone))
    };
    pool.spec.zones.iter().map(|zone| (zone.name.clone(), size(zone))).collect()
}
