//! A world for one pool: what was applied, zones that come and go, a clock, and kubelets that obey at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{Action, LeaseState, Names, Observed, Plan, Settings, observe, plan};
use crate::kinds::{
    Failover, Ice, KeyOf, Mesh, MeshPool, MeshPoolSpec, MeshPoolStatus, Mode, Template, Zone, ZoneLease,
};
use crate::objects::{Key, Kind};
use crate::sightings::Sightings;

pub fn settings() -> Settings {
    Settings { image: "meshproof-operator:test".to_owned() }
}

pub fn pool(zones: Vec<Zone>) -> MeshPool {
    let token = KeyOf { name: "token".to_owned(), key: "token".to_owned() };
    let template = Template {
        image: "meshproof-agent:test".to_owned(),
        resources: None,
        mode: Mode::Pod,
        agent_name: None,
        env: Vec::new(),
        containers: Vec::new(),
        labels: BTreeMap::new(),
        image_pull_secrets: Vec::new(),
    };
    let mesh = Mesh { token_secret_ref: token, zone_token_secret_ref: None, signaling: Vec::new() };
    let spec = MeshPoolSpec { mesh, template, zones, failover: Failover::default(), ice: Ice::default() };
    let mut pool = MeshPool::new("shop", spec);
    pool.metadata.namespace = Some("test".to_owned());
    pool.metadata.uid = Some("0-1".to_owned());
    pool.metadata.generation = Some(1);
    pool
}

#[derive(Debug)]
pub struct World {
    pub pool: MeshPool,
    pub status: MeshPoolStatus,
    pub now: Timestamp,
    objects: BTreeMap<Key, Value>,
    pods: BTreeMap<String, Value>,
    sightings: Sightings,
    version: u64,
    /// Zones whose reporter says nothing, whose agents are not there, and in which no pod becomes ready.
    cut: BTreeSet<String>,
    lost: BTreeSet<String>,
    held: BTreeSet<String>,
    pub told: Vec<(i64, String)>,
    /// Every epoch that ever was, and its zone.
    pub epochs: BTreeMap<i64, String>,
    pub log: Vec<(&'static str, String)>,
    pub deleted_pods: usize,
}

impl World {
    pub fn new(pool: MeshPool) -> Self {
        Self {
            pool,
            status: MeshPoolStatus::default(),
            now: Timestamp::from_second(1_800_000_000).expect("a time"),
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            sightings: Sightings::default(),
            version: 0,
            cut: BTreeSet::new(),
            lost: BTreeSet::new(),
            held: BTreeSet::new(),
            told: Vec::new(),
            epochs: BTreeMap::new(),
            log: Vec::new(),
            deleted_pods: 0,
        }
    }

    /// Second by second: kubelets and reporters act, then the operator.
    pub fn run(&mut self, duration: Duration) {
        for _ in 0..duration.as_secs() {
            self.now += Duration::from_secs(1);
            self.live();
            self.operate();
        }
    }

    /// The operator looks every five seconds only.
    pub fn rest(&mut self, duration: Duration) {
        for second in 0..duration.as_secs() {
            self.now += Duration::from_secs(1);
            self.live();
            if second % 5 == 4 {
                self.operate();
            }
        }
    }

    /// Kubelets and reporters.
    pub fn live(&mut self) {
        let zones: Vec<String> = self.pool.spec.zones.iter().map(|zone| zone.name.clone()).collect();
        for zone in zones {
            if self.lost.contains(&zone) {
                self.ready(&zone, 0);
            } else if !self.held.contains(&zone) {
                let replicas = self.replicas(&zone);
                self.ready(&zone, replicas);
            }
            let is_well = !self.lost.contains(&zone) && !self.cut.contains(&zone) && self.ready_of(&zone) > 0;
            if is_well && self.now.as_second() % 3 == 0 {
                let renewed = self.now.to_string();
                let name = Names::of(&self.pool).zone_lease(&zone);
                self.change(Kind::Lease, &name, |lease| lease["spec"]["renewTime"] = json!(renewed));
            }
        }
    }

    pub fn observed(&mut self) -> Observed {
        let mut pool = self.pool.clone();
        pool.status = Some(self.status.clone());
        let objects = self.objects.iter().map(|(key, object)| (key.kind, object.clone()));
        let pods = self.pods.values().map(|pod| (Kind::Pod, pod.clone()));
        observe(&pool, objects.chain(pods).collect(), &mut self.sightings, self.now)
    }

    pub fn plan(&mut self) -> Plan {
        let observed = self.observed();
        plan(&self.pool.clone(), &observed, &settings(), self.now)
    }

    pub fn actions(&mut self) -> Vec<Action> {
        self.plan().actions
    }

    fn operate(&mut self) {
        let plan = self.plan();
        self.carry_out(&plan, usize::MAX);
    }

    /// The first so many steps; whether all were done. As an operator that dies after them, or meets a conflict.
    pub fn carry_out(&mut self, plan: &Plan, steps: usize) -> bool {
        for action in plan.actions.iter().take(steps) {
            if !self.act(action) {
                return false;
            }
        }
        if plan.actions.len() > steps {
            return false;
        }
        self.status = plan.status.clone();
        self.log.extend(plan.happened.iter().map(|happened| (happened.reason, happened.note.clone())));
        true
    }

    /// Whether the API server took it.
    fn act(&mut self, action: &Action) -> bool {
        match action {
            Action::Activate { zone, transitions, seen } => return self.activate(zone, *transitions, seen.as_deref()),
            Action::Tell { epoch, zone } => {
                self.told.push((*epoch, zone.clone()));
                let name = Names::of(&self.pool).epoch();
                let body = json!({ "kind": "ConfigMap", "data": { "number": epoch.to_string(), "zone": zone } });
                self.put(Kind::ConfigMap, &name, body);
            }
            Action::Apply(object) => {
                let mut stored = self.objects.get(&object.key).cloned().unwrap_or_else(|| json!({}));
                merge(&mut stored, &object.body);
                self.put(object.key.kind, &object.key.name, stored);
            }
            Action::Delete(key) => {
                self.objects.remove(key);
            }
            Action::ClearLease { key, seen } => {
                if self.objects.get(key).is_none_or(|lease| lease["metadata"]["resourceVersion"] != **seen) {
                    return false;
                }
                self.change(Kind::Lease, &key.name, |lease| lease["spec"]["renewTime"] = Value::Null);
            }
            Action::ForgetAsked => self.pool.metadata.annotations = None,
            Action::DeletePod { name, .. } => {
                self.pods.remove(name);
                self.deleted_pods += 1;
            }
        }
        true
    }

    fn activate(&mut self, zone: &str, transitions: i64, seen: Option<&str>) -> bool {
        let name = Names::of(&self.pool).active_lease();
        let stored = self.objects.get(&self.key(Kind::Lease, &name));
        let version = stored.and_then(|lease| lease["metadata"]["resourceVersion"].as_str());
        if version != seen {
            return false;
        }
        let before = self.epochs.insert(transitions + 1, zone.to_owned());
        assert!(before.is_none(), "epoch {} was {before:?}'s", transitions + 1);
        let spec = json!({ "holderIdentity": zone, "leaseTransitions": transitions });
        self.put(Kind::Lease, &name, json!({ "kind": "Lease", "spec": spec }));
        true
    }

    fn key(&self, kind: Kind, name: &str) -> Key {
        Key { kind, namespace: "test".to_owned(), name: name.to_owned() }
    }

    fn put(&mut self, kind: Kind, name: &str, mut body: Value) {
        let key = self.key(kind, name);
        self.version += 1;
        body["metadata"]["name"] = json!(name);
        body["metadata"]["namespace"] = json!("test");
        body["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(key, body);
    }

    fn change(&mut self, kind: Kind, name: &str, change: impl FnOnce(&mut Value)) {
        let Some(mut body) = self.objects.get(&self.key(kind, name)).cloned() else { return };
        change(&mut body);
        self.put(kind, name, body);
    }

    fn ready(&mut self, zone: &str, ready: i32) {
        let name = Names::of(&self.pool).slice(zone);
        self.change(Kind::Deployment, &name, |slice| slice["status"]["readyReplicas"] = json!(ready));
    }

    fn of_slice(&self, zone: &str, part: &str, field: &str) -> i32 {
        let slice = self.objects.get(&self.key(Kind::Deployment, &Names::of(&self.pool).slice(zone)));
        slice.and_then(|slice| slice[part][field].as_i64()).unwrap_or_default().try_into().expect("a number of pods")
    }

    pub fn replicas(&self, zone: &str) -> i32 {
        self.of_slice(zone, "spec", "replicas")
    }

    pub fn ready_of(&self, zone: &str) -> i32 {
        self.of_slice(zone, "status", "readyReplicas")
    }

    pub fn active(&self) -> (String, i64) {
        let lease = &self.objects[&self.key(Kind::Lease, &Names::of(&self.pool).active_lease())];
        let zone = lease["spec"]["holderIdentity"].as_str().expect("a zone").to_owned();
        (zone, lease["spec"]["leaseTransitions"].as_i64().expect("a number") + 1)
    }

    pub fn lease(&mut self, zone: &str) -> ZoneLease {
        self.observed().zones.get(zone).map(|seen| &seen.lease).map_or(ZoneLease::Never, LeaseState::told)
    }

    pub fn objects(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.objects.iter()
    }

    pub fn has(&self, kind: Kind, name: &str) -> bool {
        self.objects.contains_key(&self.key(kind, name))
    }

    pub fn has_slice(&self, zone: &str) -> bool {
        self.has(Kind::Deployment, &Names::of(&self.pool).slice(zone))
    }

    pub fn delete(&mut self, kind: Kind, name: &str) {
        self.objects.remove(&self.key(kind, name)).expect("it was there");
    }

    pub fn scale(&mut self, zone: &str, replicas: i32) {
        let name = Names::of(&self.pool).slice(zone);
        self.change(Kind::Deployment, &name, |slice| slice["spec"]["replicas"] = json!(replicas));
    }

    pub fn annotate(&mut self, key: &str, value: &str) {
        self.pool.metadata.annotations = Some([(key.to_owned(), value.to_owned())].into());
    }

    /// Its pods look well and its reporter is not heard.
    pub fn cut(&mut self, zone: &str) {
        self.cut.insert(zone.to_owned());
    }

    /// Nothing of it is left.
    pub fn lose(&mut self, zone: &str) {
        self.lost.insert(zone.to_owned());
    }

    pub fn bring_back(&mut self, zone: &str) {
        self.lost.remove(zone);
        self.cut.remove(zone);
    }

    /// No pod becomes ready there, and none stops being so.
    pub fn hold(&mut self, zone: &str) {
        self.held.insert(zone.to_owned());
    }

    pub fn release(&mut self, zone: &str) {
        self.held.remove(zone);
    }

    pub fn kill_pods(&mut self, zone: &str) {
        self.ready(zone, 0);
    }

    pub fn restart_operator(&mut self) {
        self.sightings = Sightings::default();
    }

    /// Three pods of the zone that were restarted so often and are not ready.
    pub fn loop_pods(&mut self, zone: &str, restarts: i32) {
        for number in 0..3 {
            let name = format!("shop-{zone}-{number}");
            let labels = json!({ "app.kubernetes.io/component": "agent", "meshproof.dev/zone": zone });
            let status = json!({ "containerStatuses": [{ "restartCount": restarts }], "conditions": [] });
            let metadata = json!({ "name": name, "uid": name, "labels": labels });
            self.pods.insert(name, json!({ "metadata": metadata, "status": status }));
        }
    }

    pub fn all_pods_are_ready(&mut self) {
        for pod in self.pods.values_mut() {
            pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
        }
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
