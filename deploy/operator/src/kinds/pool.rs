//! MeshPool: agents of one mesh, in one zone or several.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Conditions, KeyOf};

/// Agents of one mesh: which, how many in each zone, and what happens when a zone is lost.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "meshproof.dev",
    version = "v1alpha1",
    kind = "MeshPool",
    plural = "meshpools",
    shortname = "mpool",
    category = "meshproof",
    namespaced,
    status = "MeshPoolStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Active","type":"string","jsonPath":".status.activeZone"}"#,
    printcolumn = r#"{"name":"Epoch","type":"integer","jsonPath":".status.epoch"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct MeshPoolSpec {
    /// The mesh that the agents join; another mesh is another pool.
    #[x_kube(validation = ("self == oldSelf", "a pool stays in its mesh; make another pool"))]
    pub mesh: Mesh,
    /// The pods.
    pub template: Template,
    /// Where they are. One zone is active; each other one stands by.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        validation = ("self.exists_one(zone, zone.role == 'Active')", "one zone has the role Active, all others Standby"),
        merge_strategy = ListMerge::Map(vec!["name".into()])
    )]
    pub zones: Vec<Zone>,
    #[serde(default)]
    pub failover: Failover,
    #[serde(default)]
    pub ice: Ice,
}

/// How the mesh is joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mesh {
    /// The Secret with the agents' token, as `meshproof mesh invite` makes it.
    pub token_secret_ref: KeyOf,
    /// The Secret with a token of the role zone-operator, which signs epochs. Without it epochs are not told to the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_token_secret_ref: Option<KeyOf>,
    /// WebSocket URLs of the signaling servers; if empty, those that the token names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 1024)))]
    pub signaling: Vec<String>,
}

/// What a pod of the pool is.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.mode == 'Sidecar' ? size(self.containers) > 0 : size(self.containers) == 0",
    "mode Sidecar has the containers of the service, mode Pod has none"))]
pub struct Template {
    /// The agent's image.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// Requests and limits of the agent's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Pod: the agent alone. Sidecar: beside the containers of a service, as a native sidecar, which starts before and ends after them.
    #[serde(default)]
    pub mode: Mode,
    /// The name of the agents in the mesh, if they stand for one service; else each has the name of its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub agent_name: Option<String>,
    /// More variables of the agent, such as MESHPROOF_SERVICE.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub env: Vec<EnvVar>,
    /// The service's containers, as in a pod.
    #[serde(default)]
    #[schemars(schema_with = "containers")]
    pub containers: Vec<serde_json::Value>,
    /// More labels of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Secrets that the images are pulled with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    pub image_pull_secrets: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    #[default]
    Pod,
    Sidecar,
}

/// Agents in one zone: a *slice*, kept by one Deployment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.role == 'Standby' || self.replicas > 0", "the zone with the role Active has at least one replica"))]
pub struct Zone {
    /// The value of the nodes' label `topology.kubernetes.io/zone`.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    pub role: ZoneRole,
    /// Agents of the Active zone; of a Standby zone while another one is active, where 0 is a cold standby.
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// Agents of a Standby zone once it is active; if absent, as many as the Active zone has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub takeover_replicas: Option<i32>,
    /// Agents of the Active zone while another one is active, its warm size; 1 if absent. It has to be warm to be failed back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub warm_replicas: Option<i32>,
}

impl Zone {
    /// One with so many replicas, and as many as is usual where it takes over or waits.
    #[must_use]
    pub fn new(name: &str, role: ZoneRole, replicas: i32) -> Self {
        Self { name: name.to_owned(), role, replicas, takeover_replicas: None, warm_replicas: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ZoneRole {
    Active,
    Standby,
}

/// When a zone counts as lost, and whether it comes back by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Failover {
    /// A zone whose lease was not renewed for so long is lost.
    #[schemars(range(min = 9, max = 600))]
    pub zone_lease_seconds: i32,
    /// A zone without a ready agent for so long is lost; one that has to be back for good has to be well for so long.
    #[schemars(range(min = 1, max = 3600))]
    pub hold_down_seconds: i32,
    /// Manual: the annotation meshproof.dev/activate names the zone. Automatic: to the Active zone, once it is well.
    pub failback: Failback,
}

impl Default for Failover {
    fn default() -> Self {
        Self { zone_lease_seconds: 10, hold_down_seconds: 30, failback: Failback::Manual }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Failback {
    #[default]
    Manual,
    Automatic,
}

/// How the agents reach each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Ice {
    /// The UDP ports of links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range: Option<PortRange>,
    /// The Secret with the list of STUN and TURN servers, as MESHPROOF_ICE_SERVERS names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_secret_ref: Option<KeyOf>,
}

#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.first + 99 <= self.last", "a range has at least 100 ports, for connections to the agent's service leave from it, too"))]
pub struct PortRange {
    #[schemars(range(min = 1024, max = 65535))]
    pub first: i32,
    #[schemars(range(min = 1024, max = 65535))]
    pub last: i32,
}

/// What has come of it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshPoolStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The zone whose agents count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_zone: Option<String>,
    /// Grows with every change of the active zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[serde(default)]
    pub zones: Vec<ZoneStatus>,
    /// Pods that were replaced since their last restarts were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respawns: Option<Respawns>,
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[serde(default)]
    pub conditions: Conditions,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneStatus {
    pub name: String,
    pub desired: i32,
    pub ready: i32,
    pub lease: ZoneLease,
}

/// What the zone's reporter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ZoneLease {
    /// It has not said anything yet.
    #[default]
    Never,
    Live,
    Expired,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Respawns {
    pub since: Time,
    pub count: i32,
}

/// A container's schema is the API server's own business: it checks the Deployment that is made of it.
fn containers(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": 16,
        "default": [],
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true }
    })
}
