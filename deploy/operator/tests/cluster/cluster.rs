//! What runs in a cluster beside its API server, scripted: Deployments, Jobs, nodes and kubelets, garbage collection, namespaces.
//!
//! The times are those that were measured in a real cluster of version 1.36 with two nodes, where there are any.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::interval;

use crate::fake::{Fake, Id};

/// From a pod's making to its readiness, with the image on the node.
const START: Duration = Duration::from_millis(1_000);
/// Before it a deleted pod ends: its successor was ready after 3.9 s.
const END: Duration = Duration::from_millis(2_900);
/// A process that died is started again at once, then after 10 s, 20 s and so on, 300 s at most:
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy>
const BACK_OFF: [u64; 7] = [1, 10, 20, 40, 80, 160, 300];
/// A node that says nothing is Unknown after 50.8 s, and its pods are no longer ready.
const NODE_UNKNOWN: Duration = Duration::from_millis(50_800);
/// How often everything is looked at.
const TICK: Duration = Duration::from_millis(100);

pub const PODS: (&str, &str) = ("", "pods");
pub const DEPLOYMENTS: (&str, &str) = ("apps", "deployments");
pub const JOBS: (&str, &str) = ("batch", "jobs");
pub const NAMESPACES: (&str, &str) = ("", "namespaces");

#[derive(Debug, Default)]
struct Script {
    /// Zones whose nodes are gone, and since when.
    lost: BTreeMap<String, Timestamp>,
    /// Zones whose agents have lost each other.
    apart: BTreeSet<String>,
    /// Zones whose agents die right after their start, and single pods whose do.
    crashing: BTreeSet<String>,
    broken: BTreeSet<Id>,
    /// How orchestrators end, and how long they take.
    job: Option<(i64, Duration)>,
    pods: BTreeMap<Id, Pod>,
    /// When pods began to end.
    ending: BTreeMap<Id, Timestamp>,
    made: u64,
    /// Most restarts of any pod that there ever was.
    restarts: i64,
}

#[derive(Clone, Debug)]
struct Pod {
    ready_at: Timestamp,
    restarts: usize,
}

/// The rest of the cluster.
#[derive(Clone)]
pub struct Cluster {
    fake: Fake,
    script: Arc<Mutex<Script>>,
}

impl Cluster {
    pub fn new(fake: &Fake) -> Self {
        Self { fake: fake.clone(), script: Arc::default() }
    }

    /// Until it is dropped.
    pub async fn run(self) {
        let mut ticks = interval(TICK);
        let (mut known, mut quiet) = (0, 0);
        loop {
            ticks.tick().await;
            // where nothing changed, little is due: what waits for a time is up to half a second late
            let version = self.fake.with(|store| store.version());
            quiet = if std::mem::replace(&mut known, version) == version { quiet + 1 } else { 0 };
            if quiet % 5 != 0 {
                continue;
            }
            self.deployments();
            self.pods();
            self.jobs();
            self.collect();
            self.namespaces();
        }
    }

    fn script<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.script.lock().expect("nobody panics with it"))
    }

    /// The zone's nodes are gone, with everything on them.
    pub fn lose(&self, zone: &str) {
        let now = self.fake.now();
        self.script(|script| script.lost.insert(zone.to_owned(), now));
    }

    pub fn bring_back(&self, zone: &str) {
        self.script(|script| script.lost.remove(zone));
    }

    pub fn is_lost(&self, zone: &str) -> bool {
        self.script(|script| script.lost.contains_key(zone))
    }

    /// The zone's agents run, and their links are gone.
    pub fn parts(&self, zone: &str) {
        self.script(|script| script.apart.insert(zone.to_owned()));
    }

    pub fn is_apart(&self, zone: &str) -> bool {
        self.script(|script| script.apart.contains(zone))
    }

    /// Processes of the zone's agents die from now on, right after their start.
    pub fn crash(&self, zone: &str) {
        self.script(|script| script.crashing.insert(zone.to_owned()));
    }

    /// The process of this pod dies from now on, right after its start.
    pub fn breaks(&self, pod: &Id) {
        self.script(|script| script.broken.insert(pod.clone()));
    }

    /// The next orchestrators end so.
    pub fn orchestrators_end(&self, code: i64, after: Duration) {
        self.script(|script| script.job = Some((code, after)));
    }

    pub fn restarts(&self) -> i64 {
        self.script(|script| script.restarts)
    }

    fn of(&self, resource: (&str, &str)) -> Vec<(Id, Value)> {
        let is_it = |id: &Id| id.group == resource.0 && id.plural == resource.1;
        self.fake
            .with(|store| store.all().filter(|(id, _)| is_it(id)).map(|(id, it)| (id.clone(), it.clone())).collect())
    }

    /// Ready pods with that label in a zone.
    pub fn ready_pods(&self, zone: &str, component: &str) -> Vec<(Id, Value)> {
        let mut pods = self.of(PODS);
        pods.retain(|(_, pod)| {
            let labels = &pod["metadata"]["labels"];
            is_ready(pod) && labels["meshproof.dev/zone"] == zone && labels["app.kubernetes.io/component"] == component
        });
        pods
    }

    /// As many pods as there should be, and what is said of them.
    fn deployments(&self) {
        let (pods, now) = (self.of(PODS), self.fake.now());
        for (id, deployment) in self.of(DEPLOYMENTS) {
            let selector = &deployment["spec"]["selector"]["matchLabels"];
            let ours = pods.iter().filter(|(pod_id, pod)| pod_id.namespace == id.namespace && has(pod, selector));
            let (going, mut staying): (Vec<_>, Vec<_>) = ours.partition(|(_, pod)| is_going(pod));
            staying.sort_by_key(|(_, pod)| is_ready(pod));
            let wanted = usize::try_from(deployment["spec"]["replicas"].as_u64().unwrap_or(1)).expect("a number");
            for _ in staying.len() + going.len()..wanted {
                self.make_pod(&id, &deployment);
            }
            for (surplus, _) in staying.iter().take(staying.len().saturating_sub(wanted)) {
                self.fake.with(|store| store.delete(surplus, now).map(drop)).expect("it is there");
            }
            let ready = staying.iter().filter(|(_, pod)| is_ready(pod)).count();
            self.fake.edit(&id, |deployment| {
                deployment["status"] =
                    json!({ "replicas": staying.len(), "observedGeneration": deployment["metadata"]["generation"] });
                // it is left out where it is none
                if ready > 0 {
                    deployment["status"]["readyReplicas"] = json!(ready);
                }
            });
        }
    }

    fn make_pod(&self, owner: &Id, of: &Value) {
        let now = self.fake.now();
        let number = self.script(|script| {
            script.made += 1;
            script.made
        });
        let id = Id::new(PODS, &owner.namespace, &format!("{}-{number}", owner.name));
        let template = &of["spec"]["template"];
        let owner = json!([{ "apiVersion": of["apiVersion"], "kind": of["kind"], "name": of["metadata"]["name"], "uid": of["metadata"]["uid"], "controller": true }]);
        let metadata = json!({ "labels": template["metadata"]["labels"], "ownerReferences": owner });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] });
        if self.fake.with(|store| store.create(&id, pod, now)).is_ok() {
            self.script(|script| script.pods.insert(id, Pod { ready_at: now + START, restarts: 0 }));
        }
    }

    /// Kubelets: processes start, die, and end; nodes are gone.
    fn pods(&self) {
        let now = self.fake.now();
        for (id, pod) in self.of(PODS) {
            let zone = pod["metadata"]["labels"]["meshproof.dev/zone"].as_str().unwrap_or_default().to_owned();
            let lost = self.script(|script| script.lost.get(&zone).copied());
            match lost {
                // its kubelet says nothing more; the node's controller does, and marks it
                Some(since) if now >= since + NODE_UNKNOWN => {
                    self.says(&id, (false, 0));
                    if now >= since + NODE_UNKNOWN + toleration(&pod) {
                        let _ = self.fake.with(|store| store.delete(&id, now).map(drop));
                    }
                }
                Some(_) => {}
                None if is_going(&pod) => {
                    let began = self.script(|script| *script.ending.entry(id.clone()).or_insert(now));
                    if now >= began + END {
                        self.fake.with(|store| store.remove(&id));
                    }
                }
                None => self.process(&id, &zone),
            }
        }
    }

    fn process(&self, id: &Id, zone: &str) {
        let now = self.fake.now();
        let said = self.script(|script| {
            let dies = script.broken.contains(id) || script.crashing.contains(zone) && !id.name.contains("reporter");
            let pod = script.pods.get_mut(id)?;
            if dies && now >= pod.ready_at {
                pod.ready_at = now + Duration::from_secs(BACK_OFF[pod.restarts.min(BACK_OFF.len() - 1)]);
                pod.restarts += 1;
            }
            let restarts = i64::try_from(pod.restarts).expect("a number");
            script.restarts = script.restarts.max(restarts);
            Some((now >= pod.ready_at, restarts))
        });
        if let Some(said) = said {
            self.says(id, said);
        }
    }

    fn says(&self, id: &Id, said: (bool, i64)) {
        let (is_ready, restarts) = said;
        self.fake.edit(id, |pod| {
            let known = pod["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap_or_default();
            let ready = json!({ "type": "Ready", "status": if is_ready { "True" } else { "False" } });
            let container =
                json!({ "name": "meshproof-agent", "restartCount": restarts.max(known), "ready": is_ready });
            pod["status"] = json!({ "phase": "Running", "conditions": [ready], "containerStatuses": [container] });
        });
    }

    fn jobs(&self) {
        let now = self.fake.now();
        for (id, job) in self.of(JOBS) {
            if !job["status"]["conditions"].is_null() {
                continue;
            }
            let pod_id = Id::new(PODS, &id.namespace, &format!("{}-0", id.name));
            if self.fake.get(&pod_id).is_none() {
                let labels = job["spec"]["template"]["metadata"]["labels"].clone();
                let owner = json!([{ "kind": "Job", "name": id.name, "uid": job["metadata"]["uid"] }]);
                let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "labels": labels, "ownerReferences": owner } });
                let _ = self.fake.with(|store| store.create(&pod_id, pod, now).map(drop));
                continue;
            }
            let Some((code, after)) = self.script(|script| script.job) else { continue };
            let made: Timestamp =
                job["metadata"]["creationTimestamp"].as_str().expect("a time").parse().expect("a time");
            if now < made + after {
                continue;
            }
            self.fake.edit(&pod_id, |pod| {
                let ended = json!({ "terminated": { "exitCode": code } });
                let phase = if code == 0 { "Succeeded" } else { "Failed" };
                pod["status"] = json!({ "phase": phase, "containerStatuses": [{ "restartCount": 0, "state": ended }] });
            });
            let type_ = if code == 0 { "Complete" } else { "Failed" };
            self.fake.edit(&id, |job| job["status"] = json!({ "conditions": [{ "type": type_, "status": "True" }] }));
        }
    }

    /// What belongs to what is gone goes too:
    /// <https://kubernetes.io/docs/concepts/architecture/garbage-collection/#owners-dependents>
    fn collect(&self) {
        let now = self.fake.now();
        self.fake.with(|store| {
            let uids: BTreeSet<String> =
                store.all().filter_map(|(_, object)| object["metadata"]["uid"].as_str().map(str::to_owned)).collect();
            let is_orphan = |object: &Value| {
                let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
                !owners.is_empty()
                    && owners.iter().all(|owner| !uids.contains(owner["uid"].as_str().unwrap_or_default()))
            };
            let orphans: Vec<Id> = store
                .all()
                .filter(|(_, object)| is_orphan(object) && !is_going(object))
                .map(|(id, _)| id.clone())
                .collect();
            for orphan in orphans {
                let _ = store.delete(&orphan, now);
            }
        });
    }

    /// A namespace that goes is emptied, then it is gone:
    /// <https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#working-with-namespaces>
    fn namespaces(&self) {
        let now = self.fake.now();
        self.fake.with(|store| {
            let going: Vec<Id> = store
                .all()
                .filter(|(id, object)| id.plural == "namespaces" && is_going(object))
                .map(|(id, _)| id.clone())
                .collect();
            for namespace in going {
                let inside: Vec<Id> =
                    store.all().filter(|(id, _)| id.namespace == namespace.name).map(|(id, _)| id.clone()).collect();
                if inside.is_empty() {
                    store.remove(&namespace);
                }
                for id in inside {
                    let _ = store.delete(&id, now);
                }
            }
        });
    }
}

fn has(object: &Value, labels: &Value) -> bool {
    let labels = labels.as_object().expect("a selector");
    labels.iter().all(|(key, value)| object["metadata"]["labels"][key] == *value)
}

fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    !is_going(pod) && conditions.iter().any(|is| is["type"] == "Ready" && is["status"] == "True")
}

/// How long a pod stays on a node that is gone:
/// <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions>
fn toleration(pod: &Value) -> Duration {
    let tolerations = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    let unreachable = tolerations.iter().find(|one| one["key"] == "node.kubernetes.io/unreachable");
    Duration::from_secs(unreachable.and_then(|one| one["tolerationSeconds"].as_u64()).unwrap_or(300))
}
