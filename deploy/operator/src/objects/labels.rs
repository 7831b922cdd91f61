//! Labels and annotations, ours and the recommended ones.
//!
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>

use serde_json::{Value, json};

pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const OPERATOR: &str = "meshproof-operator";
pub const COMPONENT: &str = "app.kubernetes.io/component";
pub const POOL: &str = "meshproof.dev/pool";
pub const ZONE: &str = "meshproof.dev/zone";
/// The UID of the MeshRun: what is in a namespace cannot be owned by what is in another one.
pub const RUN_UID: &str = "meshproof.dev/run-uid";
pub const RUN_NAME: &str = "meshproof.dev/run-name";
pub const RUN_NAMESPACE: &str = "meshproof.dev/run-namespace";

/// An annotation of a MeshPool: the zone that a person wants active.
pub const ACTIVATE: &str = "meshproof.dev/activate";

pub const AGENT: &str = "agent";
pub const REPORTER: &str = "zone-reporter";
pub const CONDUCTOR: &str = "orchestrator";

/// What everything of the operator has: its watches select by it.
pub fn managed(component: &str, instance: &str) -> Value {
    json!({
        MANAGED_BY: OPERATOR,
        COMPONENT: component,
        "app.kubernetes.io/name": "meshproof",
        "app.kubernetes.io/instance": instance,
        "app.kubernetes.io/part-of": "meshproof",
    })
}

/// With these beside.
pub fn and(mut labels: Value, more: &[(&str, &str)]) -> Value {
    for (key, value) in more {
        labels[*key] = json!(value);
    }
    labels
}

/// The label's value, or nothing.
pub fn label<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["labels"][key].as_str().unwrap_or_default()
}
