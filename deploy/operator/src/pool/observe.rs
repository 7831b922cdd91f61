//! What the API server has of a pool, and since when.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::Names;
use crate::kinds::{MeshPool, MeshPoolStatus, ZoneLease};
use crate::objects::{AGENT, COMPONENT, Key, Kind, REPORTER, ZONE, key_of, label};
use crate::sightings::Sightings;

/// A pool as it is.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Everything that belongs to the pool, but for pods.
    pub objects: BTreeMap<Key, Value>,
    pub zones: BTreeMap<String, ZoneSeen>,
    pub pods: Vec<PodSeen>,
    pub active: Option<ActiveLease>,
    /// The epoch that was told to the mesh, and its zone.
    pub told: Option<(i64, String)>,
    pub status: MeshPoolStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneSeen {
    /// Of its Deployment; none if there is no Deployment.
    pub replicas: Option<i32>,
    pub ready: i32,
    /// Since when it has no ready agent.
    pub empty_since: Option<Timestamp>,
    pub lease: LeaseState,
}

/// A zone's Lease, by when it was seen to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LeaseState {
    #[default]
    Never,
    Live {
        until: Timestamp,
        /// Since when it is live without a gap.
        since: Timestamp,
    },
    Expired,
}

impl LeaseState {
    pub fn told(&self) -> ZoneLease {
        match self {
            Self::Never => ZoneLease::Never,
            Self::Live { .. } => ZoneLease::Live,
            Self::Expired => ZoneLease::Expired,
        }
    }
}

/// The Lease that names the active zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveLease {
    pub zone: String,
    pub transitions: i64,
    /// Since when this process knows it to be so.
    pub since: Timestamp,
    pub resource_version: String,
}

impl ActiveLease {
    pub fn epoch(&self) -> i64 {
        self.transitions + 1
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSeen {
    pub name: String,
    pub uid: String,
    pub restarts: i32,
    pub is_ready: bool,
}

/// Makes the picture. `objects` are those with the pool's label; what has to be known for longer than one look is in `sightings`.
pub fn observe(pool: &MeshPool, objects: Vec<(Kind, Value)>, sightings: &mut Sightings, now: Timestamp) -> Observed {
    let mut observed = Observed { status: pool.status.clone().unwrap_or_default(), ..Observed::default() };
    for zone in &pool.spec.zones {
        observed.zones.insert(zone.name.clone(), ZoneSeen::default());
    }
    for (kind, object) in objects {
        if kind == Kind::Pod {
            observed.pods.extend(pod(&object));
        } else {
            observed.objects.insert(key_of(kind, &object), object);
        }
    }
    let names = Names::of(pool);
    let mut seen = Seen { pool, sightings, now };
    let found: Vec<(String, ZoneSeen)> = observed.zones.keys().map(|zone| seen.zone(zone, &observed.objects)).collect();
    observed.zones.extend(found);
    observed.active = seen.active(&observed.objects);
    let namespace = pool.metadata.namespace.clone().unwrap_or_default();
    let told = observed.objects.get(&Key { kind: Kind::ConfigMap, namespace, name: names.epoch() });
    observed.told = told.and_then(|map| {
        let epoch = map["data"]["number"].as_str()?.parse().ok()?;
        Some((epoch, map["data"]["zone"].as_str()?.to_owned()))
    });
    observed
}

struct Seen<'a> {
    pool: &'a MeshPool,
    sightings: &'a mut Sightings,
    now: Timestamp,
}

impl Seen<'_> {
    fn since(&mut self, what: &str, state: String) -> Timestamp {
        let uid = self.pool.metadata.uid.as_deref().unwrap_or_default();
        self.sightings.note(format!("{uid}/{what}"), state, self.now)
    }

    fn zone(&mut self, zone: &str, objects: &BTreeMap<Key, Value>) -> (String, ZoneSeen) {
        let slice = objects.values().find(|object| is_slice(object) && label(object, ZONE) == zone);
        let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
        let ready = slice.and_then(|slice| number(&slice["status"]["readyReplicas"])).unwrap_or_default();
        let empty = self.since(&format!("empty/{zone}"), (ready == 0).to_string());
        let replicas = slice.map(|slice| number(&slice["spec"]["replicas"]).unwrap_or(1));
        // what was said of agents says nothing of none
        let is_cold = replicas == Some(0) && ready == 0;
        let seen = ZoneSeen {
            replicas,
            ready,
            empty_since: (ready == 0).then(|| self.sightings.watched_since(empty)),
            lease: if is_cold { LeaseState::Never } else { self.lease(zone, objects) },
        };
        (zone.to_owned(), seen)
    }

    fn lease(&mut self, zone: &str, objects: &BTreeMap<Key, Value>) -> LeaseState {
        let Some(lease) = find(objects, Kind::Lease, &Names::of(self.pool).zone_lease(zone)) else {
            return LeaseState::Never;
        };
        let Some(renewed) = lease["spec"]["renewTime"].as_str() else { return LeaseState::Never };
        let changed = self.since(&format!("renewed/{zone}"), renewed.to_owned());
        let changed = self.sightings.watched_since(changed);
        let until = changed + seconds(self.pool.spec.failover.zone_lease_seconds);
        let is_live = self.now < until;
        let since = self.since(&format!("live/{zone}"), is_live.to_string());
        if is_live { LeaseState::Live { until, since } } else { LeaseState::Expired }
    }

    fn active(&mut self, objects: &BTreeMap<Key, Value>) -> Option<ActiveLease> {
        let lease = find(objects, Kind::Lease, &Names::of(self.pool).active_lease())?;
        let zone = lease["spec"]["holderIdentity"].as_str()?.to_owned();
        let transitions = lease["spec"]["leaseTransitions"].as_i64().unwrap_or_default();
        let since = self.since("active", transitions.to_string());
        let resource_version = lease["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        Some(ActiveLease { zone, transitions, since, resource_version })
    }
}

/// A Deployment of agents, not of reporters.
pub(super) fn is_slice(object: &Value) -> bool {
    Kind::of(object) == Some(Kind::Deployment) && label(object, COMPONENT) != REPORTER
}

fn find<'a>(objects: &'a BTreeMap<Key, Value>, kind: Kind, name: &str) -> Option<&'a Value> {
    objects.iter().find(|(key, _)| key.kind == kind && key.name == name).map(|(_, object)| object)
}

pub(super) fn seconds(seconds: i32) -> std::time::Duration {
    std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// An agent's pod that is there to stay.
fn pod(object: &Value) -> Option<PodSeen> {
    if label(object, COMPONENT) != AGENT || !object["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let status = &object["status"];
    let containers = [list(&status["initContainerStatuses"]), list(&status["containerStatuses"])].concat();
    let restarts =
        containers.iter().filter_map(|container| container["restartCount"].as_i64()).max().unwrap_or_default();
    let is_ready = list(&status["conditions"])
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    Some(PodSeen {
        name: text("name")?,
        uid: text("uid")?,
        restarts: i32::try_from(restarts).unwrap_or(i32::MAX),
        is_ready,
    })
}
