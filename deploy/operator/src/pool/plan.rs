//! What to do next for a pool.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::failover::{Turn, Why, turn};
use super::observe::{LeaseState, Observed, PodSeen, ZoneSeen, is_slice, seconds};
use super::sizes::sizes;
use super::{Names, Settings, desired, status};
use crate::kinds::{MeshPool, MeshPoolStatus, Respawns};
use crate::limits;
use crate::objects::{ACTIVATE, Key, Kind, Object, covers};

/// One thing to do. They are done in order, and what fails ends the plan: the next look makes another one.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Makes the zone active, if the Lease is still as it was seen.
    Activate {
        zone: String,
        transitions: i64,
        seen: Option<String>,
    },
    /// Tells the mesh.
    Tell {
        epoch: i64,
        zone: String,
    },
    Apply(Object),
    Delete(Key),
    /// Of a zone that stands by cold: what its reporter said once is over.
    ClearLease {
        key: Key,
        seen: String,
    },
    /// What was asked for is done.
    ForgetAsked,
    /// Is replaced by its Deployment.
    DeletePod {
        name: String,
        uid: String,
    },
}

/// Something that people want to know: an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    pub is_warning: bool,
    pub reason: &'static str,
    pub note: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// As it should be once all is done.
    pub status: MeshPoolStatus,
    pub happened: Vec<Happened>,
    /// When there is something to decide, though nobody told of a change.
    pub look_again: Duration,
}

/// Decides. A pool that is being deleted needs nothing: everything goes with it.
pub fn plan(pool: &MeshPool, observed: &Observed, settings: &Settings, now: Timestamp) -> Plan {
    if let Some(why) = Names::of(pool).refuse() {
        return refused(pool, observed, &why, now);
    }
    let Some(turn) = turn(pool, observed, now) else {
        return refused(pool, observed, "the pool has no zones", now);
    };
    let sizes = sizes(pool, observed, &turn);
    let respawn = respawn(observed, now);
    let mut actions = Vec::new();
    let epoch = epoch_after(observed, &turn);
    actions.extend(activate(observed, &turn));
    // before a cold zone is given agents, so that they are not judged by what was said of others
    actions.extend(cleared(pool, observed, &sizes));
    let wanted = desired(pool, &sizes, settings);
    actions.extend(differences(observed, &wanted));
    // agents of a zone that is no longer one stay until the active zone has all of its own
    let is_covered =
        observed.zones.get(turn.active()).is_some_and(|seen| Some(&seen.ready) >= sizes.get(turn.active()));
    actions.extend(
        surplus(pool, observed, &wanted)
            .filter(|key| is_covered || !is_slice(&observed.objects[key]))
            .map(Action::Delete),
    );
    actions.extend(tell(pool, observed, &turn, epoch));
    actions.extend(asked_is_done(pool, &turn));
    actions.extend(respawn.pods.iter().map(|pod| Action::DeletePod { name: pod.name.clone(), uid: pod.uid.clone() }));
    let told = status::Told { turn: &turn, sizes: &sizes, epoch, respawn: &respawn, now };
    Plan {
        status: status::status(pool, observed, &told),
        happened: happened(observed, &turn, &respawn, epoch),
        look_again: look_again(pool, observed, now),
        actions,
    }
}

fn refused(pool: &MeshPool, observed: &Observed, why: &str, now: Timestamp) -> Plan {
    let status = status::refused(pool, observed, why, now);
    Plan { actions: Vec::new(), status, happened: Vec::new(), look_again: limits::LOOK_AGAIN }
}

/// A Lease that is made anew goes on counting where the status stopped, or the mesh would refuse its epochs.
fn transitions_after(observed: &Observed) -> i64 {
    match &observed.active {
        Some(active) => active.transitions + 1,
        None => observed.status.epoch.unwrap_or_default(),
    }
}

fn epoch_after(observed: &Observed, turn: &Turn) -> i64 {
    match (turn, &observed.active) {
        (Turn::Over { .. }, _) | (_, None) => transitions_after(observed) + 1,
        (_, Some(active)) => active.epoch(),
    }
}

fn activate(observed: &Observed, turn: &Turn) -> Option<Action> {
    let Turn::Over { zone, .. } = turn else { return None };
    let seen = observed.active.as_ref().map(|active| active.resource_version.clone());
    Some(Action::Activate { zone: zone.clone(), transitions: transitions_after(observed), seen })
}

fn tell(pool: &MeshPool, observed: &Observed, turn: &Turn, epoch: i64) -> Option<Action> {
    pool.spec.mesh.zone_token_secret_ref.as_ref()?;
    let zone = turn.active().to_owned();
    (observed.told != Some((epoch, zone.clone()))).then_some(Action::Tell { epoch, zone })
}

fn differences(observed: &Observed, wanted: &[Object]) -> Vec<Action> {
    let is_so = |object: &Object| observed.objects.get(&object.key).is_some_and(|have| covers(have, &object.body));
    wanted.iter().filter(|object| !is_so(object)).cloned().map(Action::Apply).collect()
}

/// What is of no zone any more.
fn surplus(pool: &MeshPool, observed: &Observed, wanted: &[Object]) -> impl Iterator<Item = Key> {
    let names = Names::of(pool);
    let mut kept: BTreeSet<Key> = wanted.iter().map(|object| object.key.clone()).collect();
    let namespace = pool.metadata.namespace.clone().unwrap_or_default();
    for (kind, name) in [(Kind::Lease, names.active_lease()), (Kind::ConfigMap, names.epoch())] {
        kept.insert(Key { kind, namespace: namespace.clone(), name });
    }
    observed.objects.keys().filter(move |key| !kept.contains(key)).cloned()
}

/// A cold zone has no agents that could be well: what was said of earlier ones says nothing of those that a take-over starts.
fn cleared(pool: &MeshPool, observed: &Observed, sizes: &BTreeMap<String, i32>) -> Vec<Action> {
    let names = Names::of(pool);
    let is_cold = |(zone, seen): &(&String, &ZoneSeen)| {
        seen.ready == 0 && (seen.replicas == Some(0) || sizes.get(*zone) == Some(&0))
    };
    let cold = observed.zones.iter().filter(is_cold);
    let clear = |(zone, _): (&String, _)| {
        let name = names.zone_lease(zone);
        let (key, lease) = observed.objects.iter().find(|(key, _)| key.kind == Kind::Lease && key.name == name)?;
        let seen = lease["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        (!lease["spec"]["renewTime"].is_null()).then(|| Action::ClearLease { key: key.clone(), seen })
    };
    cold.filter_map(clear).collect()
}

fn asked_is_done(pool: &MeshPool, turn: &Turn) -> Option<Action> {
    let asked = pool.metadata.annotations.as_ref()?.get(ACTIVATE)?;
    let is_known = pool.spec.zones.iter().any(|zone| zone.name == *asked);
    // while something else has to be seen to, what was asked for stays asked for
    let is_done = matches!(turn, Turn::Stay { zone } | Turn::Over { zone, .. } if zone == asked) || !is_known;
    is_done.then_some(Action::ForgetAsked)
}

/// Pods that are started anew in place of being restarted once more.
#[derive(Clone, Debug, Default)]
pub(super) struct Respawn<'a> {
    pub pods: Vec<&'a PodSeen>,
    /// Pods beyond the budget.
    pub left: usize,
    pub counted: Option<Respawns>,
}

fn respawn(observed: &Observed, now: Timestamp) -> Respawn<'_> {
    let is_over = |counted: &&Respawns| now < counted.since.0 + limits::RESPAWN_WINDOW;
    let counted = observed.status.respawns.as_ref().filter(is_over).cloned();
    let mut looping: Vec<&PodSeen> =
        observed.pods.iter().filter(|pod| pod.restarts >= limits::RESTARTS && !pod.is_ready).collect();
    looping.sort_by_key(|pod| (std::cmp::Reverse(pod.restarts), &pod.name));
    let spent = counted.as_ref().map_or(0, |counted| counted.count);
    let budget = usize::try_from(limits::RESPAWNS - spent).unwrap_or_default();
    let left = looping.split_off(budget.min(looping.len())).len();
    if looping.is_empty() {
        return Respawn { pods: looping, left, counted };
    }
    let since = counted.map_or_else(|| Time(second(now)), |counted| counted.since);
    let count = spent + i32::try_from(looping.len()).unwrap_or(i32::MAX);
    Respawn { pods: looping, left, counted: Some(Respawns { since, count }) }
}

/// As the API server keeps it.
fn second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).expect("it was a time before")
}

fn happened(observed: &Observed, turn: &Turn, respawn: &Respawn, epoch: i64) -> Vec<Happened> {
    let say = |is_warning, reason, note: String| Happened { is_warning, reason, note };
    let mut happened = Vec::new();
    let before = observed.active.as_ref().map(|active| active.zone.as_str()).unwrap_or_default();
    match turn {
        Turn::Over { zone, why: Why::First } => {
            happened.push(say(false, "Activated", format!("zone {zone} is active, epoch {epoch}")));
        }
        Turn::Over { zone, why: why @ (Why::Failback | Why::Asked | Why::Removed) } => {
            let note = format!("zone {zone} takes over from {before}, {}: epoch {epoch}", status::because(*why));
            happened.push(say(false, "HandedOver", note));
        }
        Turn::Over { zone, why: why @ (Why::Silent | Why::Empty) } => {
            let note =
                format!("zone {before} is lost, {}; zone {zone} takes over: epoch {epoch}", status::because(*why));
            happened.push(say(true, "FailedOver", note));
        }
        Turn::Stay { .. } | Turn::Stuck { .. } | Turn::Prepare { .. } => {}
    }
    for pod in &respawn.pods {
        let note = format!("pod {} was restarted {} times and is started anew", pod.name, pod.restarts);
        happened.push(say(true, "PodReplaced", note));
    }
    happened
}

/// The next moment at which the same picture leads to another plan.
fn look_again(pool: &MeshPool, observed: &Observed, now: Timestamp) -> Duration {
    let hold_down = seconds(pool.spec.failover.hold_down_seconds);
    let active = observed.active.as_ref();
    let mut moments: Vec<Timestamp> = Vec::new();
    for seen in observed.zones.values() {
        if let LeaseState::Live { until, since } = seen.lease {
            moments.extend([until, since + hold_down]);
        }
        moments.extend(seen.empty_since.map(|since| since + hold_down));
    }
    moments.extend(active.into_iter().flat_map(|active| [active.since + limits::STARTUP, active.since + hold_down]));
    moments.extend(observed.status.respawns.as_ref().map(|counted| counted.since.0 + limits::RESPAWN_WINDOW));
    let waits = moments.into_iter().filter_map(|moment| Duration::try_from(moment - now).ok());
    let soonest = waits.filter(|wait| !wait.is_zero()).min().unwrap_or(limits::LOOK_AGAIN);
    soonest.clamp(limits::LOOK_SOONEST, limits::LOOK_AGAIN)
}
