//! What the API server has of a run.

use std::collections::BTreeMap;

use serde_json::Value;

use super::desired::{self, namespace_of};
use crate::kinds::{Counts, MeshRun, MeshRunStatus};
use crate::objects::{COMPONENT, CONDUCTOR, Key, Kind, key_of, label};

/// A run as it is.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub namespace: NamespaceSeen,
    /// What is in it and belongs to the run, but for pods and what a pool owns.
    pub objects: BTreeMap<Key, Value>,
    /// What is copied from the namespace of the run's object; nothing where it is missing.
    pub sources: BTreeMap<Key, Option<Value>>,
    pub pool: Option<PoolSeen>,
    pub job: Option<JobSeen>,
    pub status: MeshRunStatus,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamespaceSeen {
    #[default]
    None,
    There,
    Going,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolSeen {
    pub is_ready: bool,
    pub agents: Counts,
}

/// The orchestrator's Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobSeen {
    Going,
    /// The orchestrator's exit code, and its pod.
    Exited {
        code: i64,
        pod: String,
    },
    /// It ended without one: its node went away, or its image is not to be had.
    Broken {
        why: String,
    },
}

/// The Secrets and the ConfigMap that are still to be copied.
pub fn needed(run: &MeshRun, objects: &BTreeMap<Key, Value>) -> Vec<Key> {
    let copied = desired::sources(run).into_iter();
    copied.filter(|source| !objects.contains_key(&desired::copy_of(run, source))).collect()
}

/// Makes the picture. `objects` are those with the run's label.
pub fn observe(run: &MeshRun, objects: Vec<(Kind, Value)>, sources: BTreeMap<Key, Option<Value>>) -> Observed {
    let mut observed = Observed { sources, status: run.status.clone().unwrap_or_default(), ..Observed::default() };
    let mut pods = Vec::new();
    for (kind, object) in objects {
        match kind {
            Kind::Namespace if object["metadata"]["name"] == namespace_of(run) => {
                observed.namespace = namespace(&object)
            }
            Kind::Namespace => {}
            Kind::Pod => pods.push(object),
            _ if object["metadata"]["ownerReferences"].is_array() => {}
            _ => {
                observed.objects.insert(key_of(kind, &object), object);
            }
        }
    }
    observed.pool = observed.objects.values().find(|object| Kind::of(object) == Some(Kind::MeshPool)).map(pool);
    let job = observed.objects.values().find(|object| Kind::of(object) == Some(Kind::Job));
    observed.job = job.map(|job| job_seen(job, &pods));
    observed
}

fn namespace(object: &Value) -> NamespaceSeen {
    if object["metadata"]["deletionTimestamp"].is_null() { NamespaceSeen::There } else { NamespaceSeen::Going }
}

fn pool(object: &Value) -> PoolSeen {
    let status = &object["status"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let is_current = status["observedGeneration"] == object["metadata"]["generation"];
    let is_ready = list(&status["conditions"]).iter().any(|is| is["type"] == "Ready" && is["status"] == "True");
    let sum = |field: &str| {
        let zones = list(&status["zones"]);
        let all: i64 = zones.iter().filter_map(|zone| zone[field].as_i64()).sum();
        i32::try_from(all).unwrap_or(i32::MAX)
    };
    let agents = Counts { desired: sum("desired"), ready: sum("ready") };
    PoolSeen { is_ready: is_ready && is_current, agents }
}

fn job_seen(job: &Value, pods: &[Value]) -> JobSeen {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let conditions = list(&job["status"]["conditions"]);
    let ended = conditions
        .iter()
        .find(|is| is["status"] == "True" && ["Complete", "Failed"].iter().any(|type_| is["type"] == *type_));
    let Some(ended) = ended else { return JobSeen::Going };
    let exited = pods.iter().filter(|pod| label(pod, COMPONENT) == CONDUCTOR).find_map(|pod| {
        let containers = list(&pod["status"]["containerStatuses"]);
        let code = containers.iter().find_map(|container| container["state"]["terminated"]["exitCode"].as_i64())?;
        Some(JobSeen::Exited { code, pod: pod["metadata"]["name"].as_str()?.to_owned() })
    });
    // the Job's end is told before its pod's, if the caches are apart: then the pod's is still to come, or never does
    exited.unwrap_or_else(|| match ended["type"] == "Complete" {
        true => JobSeen::Exited { code: 0, pod: String::new() },
        false => JobSeen::Broken { why: ended["message"].as_str().unwrap_or("the Job has failed").to_owned() },
    })
}
