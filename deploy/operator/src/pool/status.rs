//! What is said of a pool.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::failover::{Turn, Why};
use super::observe::{LeaseState, Observed};
use super::plan::Respawn;
use super::sizes::{full, warm};
use crate::kinds::{MeshPool, MeshPoolStatus, ZoneStatus, condition};

/// What was decided.
pub(super) struct Told<'a> {
    pub turn: &'a Turn,
    pub sizes: &'a BTreeMap<String, i32>,
    pub epoch: i64,
    pub respawn: &'a Respawn<'a>,
    pub now: Timestamp,
}

pub(super) fn because(why: Why) -> &'static str {
    match why {
        Why::First => "as none was active",
        Why::Silent => "as its reporter no longer says that its mesh is well",
        Why::Empty => "as it has no ready agent",
        Why::Removed => "which is no longer a zone of the pool",
        Why::Failback => "as it is back for good",
        Why::Asked => "as was asked for",
    }
}

pub(super) fn status(pool: &MeshPool, observed: &Observed, told: &Told) -> MeshPoolStatus {
    let zones = pool.spec.zones.iter().map(|zone| {
        let seen = observed.zones.get(&zone.name).cloned().unwrap_or_default();
        let desired = told.sizes.get(&zone.name).copied().unwrap_or_default();
        ZoneStatus { name: zone.name.clone(), desired, ready: seen.ready, lease: seen.lease.told() }
    });
    let mut status = MeshPoolStatus {
        observed_generation: pool.metadata.generation,
        active_zone: Some(told.turn.active().to_owned()),
        epoch: Some(told.epoch),
        zones: zones.collect(),
        respawns: told.respawn.counted.clone(),
        conditions: observed.status.conditions.clone(),
    };
    let generation = pool.metadata.generation.unwrap_or_default();
    for new in
        [ready(pool, observed, told), degraded(told), failing_over(pool, observed, told), standby(pool, observed, told)]
    {
        condition(&mut status.conditions, new, generation, told.now);
    }
    status
}

pub(super) fn refused(pool: &MeshPool, observed: &Observed, why: &str, now: Timestamp) -> MeshPoolStatus {
    let mut status = observed.status.clone();
    status.observed_generation = pool.metadata.generation;
    let generation = pool.metadata.generation.unwrap_or_default();
    condition(&mut status.conditions, ("Ready", false, "Invalid", why.to_owned()), generation, now);
    status
}

/// Ready agents of the active zone, and how many it should have.
fn counts(pool: &MeshPool, observed: &Observed, turn: &Turn) -> (i32, i32) {
    let ready = observed.zones.get(turn.active()).map_or(0, |seen| seen.ready);
    let zone = pool.spec.zones.iter().find(|zone| zone.name == turn.active());
    (ready, zone.map_or(1, |zone| full(pool, zone)))
}

type New = (&'static str, bool, &'static str, String);

fn ready(pool: &MeshPool, observed: &Observed, told: &Told) -> New {
    let (ready, full) = counts(pool, observed, told.turn);
    let message = format!("{ready} of {full} agents of zone {} are ready", told.turn.active());
    match told.turn {
        Turn::Stuck { .. } => ("Ready", false, "ZoneLost", message),
        _ if ready < full => ("Ready", false, "AgentsMissing", message),
        _ => ("Ready", true, "AgentsReady", message),
    }
}

fn degraded(told: &Told) -> New {
    if let Turn::Stuck { zone, why } = told.turn {
        let message = format!("zone {zone} is lost, {}, and no other zone can take over", because(*why));
        return ("Degraded", true, "NoZoneLeft", message);
    }
    if told.respawn.left > 0 {
        let message = format!("{} pods do not stay up, also when they are started anew", told.respawn.left);
        return ("Degraded", true, "RespawnsUsedUp", message);
    }
    ("Degraded", false, "AsExpected", String::new())
}

fn failing_over(pool: &MeshPool, observed: &Observed, told: &Told) -> New {
    const TYPE: &str = "FailoverInProgress";
    let (ready, full) = counts(pool, observed, told.turn);
    match told.turn {
        Turn::Prepare { zone, next } => {
            (TYPE, true, "Preparing", format!("zone {next} is made ready to take over from {zone}"))
        }
        turn if told.epoch > 1 && ready < full => {
            (TYPE, true, "TakingOver", format!("zone {} takes over, epoch {}", turn.active(), told.epoch))
        }
        _ => (TYPE, false, "Settled", String::new()),
    }
}

fn standby(pool: &MeshPool, observed: &Observed, told: &Told) -> New {
    const TYPE: &str = "StandbyReady";
    let others = pool.spec.zones.iter().filter(|zone| zone.name != told.turn.active());
    let could = |zone: &&crate::kinds::Zone| match observed.zones.get(&zone.name).map(|seen| &seen.lease) {
        Some(LeaseState::Live { .. }) => true,
        Some(LeaseState::Never) => warm(zone) == 0,
        Some(LeaseState::Expired) | None => false,
    };
    let names: Vec<&str> = others.clone().filter(could).map(|zone| zone.name.as_str()).collect();
    match names.is_empty() {
        false => (TYPE, true, "CanTakeOver", format!("zones that can take over: {}", names.join(", "))),
        true if others.count() == 0 => (TYPE, false, "NoStandby", "the pool has one zone".to_owned()),
        true => (TYPE, false, "NoneWell", "no other zone is known to be well".to_owned()),
    }
}
