//! MeshRun: one execution of a plan, in a namespace of its own.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Conditions, KeyOf, MeshPoolSpec};

/// One execution of a plan by agents of its own, in a namespace of its own, which goes with it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "meshproof.dev",
    version = "v1alpha1",
    kind = "MeshRun",
    plural = "meshruns",
    shortname = "mrun",
    category = "meshproof",
    namespaced,
    status = "MeshRunStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Verdict","type":"string","jsonPath":".status.verdict"}"#,
    printcolumn = r#"{"name":"Namespace","type":"string","jsonPath":".status.namespace"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("self.plan == oldSelf.plan && self.poolTemplate == oldSelf.poolTemplate && self.orchestrator == oldSelf.orchestrator", "a run does not change, but that it may be aborted; make another run"),
    validation = ("has(self.quota) == has(oldSelf.quota) && (!has(self.quota) || self.quota == oldSelf.quota)", "a run's quota does not change"),
    validation = ("has(self.activeDeadlineSeconds) == has(oldSelf.activeDeadlineSeconds) && (!has(self.activeDeadlineSeconds) || self.activeDeadlineSeconds == oldSelf.activeDeadlineSeconds)", "a run's deadline does not change"),
    validation = ("has(self.ttlSecondsAfterFinished) == has(oldSelf.ttlSecondsAfterFinished) && (!has(self.ttlSecondsAfterFinished) || self.ttlSecondsAfterFinished == oldSelf.ttlSecondsAfterFinished)", "a run's time to live does not change"),
    validation = ("!oldSelf.abort || self.abort", "what was aborted stays so")
)]
pub struct MeshRunSpec {
    /// The agents. Its Secrets are copied from the namespace of the run's object.
    pub pool_template: MeshPoolSpec,
    /// The ConfigMap with the plan.
    pub plan: KeyOf,
    /// Who conducts it.
    pub orchestrator: Orchestrator,
    /// A run that takes longer, from its first moment, has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub active_deadline_seconds: Option<i64>,
    /// The run and its namespace are deleted so long after its end; never, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i64>,
    /// Of the namespace, as in a ResourceQuota; if absent, 100 pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<BTreeMap<String, Quantity>>,
    /// Ends the run now; its namespace stays until the time to live is over.
    #[serde(default)]
    pub abort: bool,
}

/// The pod that conducts the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Orchestrator {
    /// An image whose entry point is `meshproof`.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// The Secret with the mesh file, as `meshproof mesh join` makes it.
    pub mesh_secret_ref: KeyOf,
}

/// What has come of it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshRunStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default)]
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Where everything of the run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default)]
    pub agents: Counts,
    /// Who has the report: pod and path in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[serde(default)]
    pub conditions: Conditions,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Nothing was made yet.
    #[default]
    Pending,
    /// The namespace and its agents are being made.
    Preparing,
    Running,
    /// The plan was conducted to its end.
    Finished,
    /// It was not: what it needed is not there, or it took too long.
    Failed,
    Aborted,
}

impl Phase {
    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Aborted)
    }
}

/// As in every report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    Fail,
    Unknown,
    Error,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    pub desired: i32,
    pub ready: i32,
}
