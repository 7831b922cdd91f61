//! Kubernetes objects as this crate handles them: JSON with a kind, a namespace and a name.
//!
//! What should be there is written as JSON too, as in the documentation: it is what the API server keeps, and what of it is
//! already so can be compared field by field.

mod covers;
mod labels;
#[cfg(test)]
pub(crate) mod typed;

use kube::api::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

pub use covers::covers;
pub use labels::*;

/// The kinds that the operator makes or looks at. In the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Namespace,
    ResourceQuota,
    LimitRange,
    NetworkPolicy,
    ServiceAccount,
    Role,
    RoleBinding,
    Secret,
    ConfigMap,
    Lease,
    Service,
    PodDisruptionBudget,
    Deployment,
    MeshPool,
    Job,
    Pod,
}

impl Kind {
    pub const ALL: [Kind; 16] = [
        Self::Namespace,
        Self::ResourceQuota,
        Self::LimitRange,
        Self::NetworkPolicy,
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
        Self::Secret,
        Self::ConfigMap,
        Self::Lease,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::Deployment,
        Self::MeshPool,
        Self::Job,
        Self::Pod,
    ];

    /// Group, version, kind, plural.
    fn words(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::ResourceQuota => ("", "v1", "ResourceQuota", "resourcequotas"),
            Self::LimitRange => ("", "v1", "LimitRange", "limitranges"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::Role => ("rbac.authorization.k8s.io", "v1", "Role", "roles"),
            Self::RoleBinding => ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Lease => ("coordination.k8s.io", "v1", "Lease", "leases"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::MeshPool => (crate::kinds::GROUP, crate::kinds::VERSION, "MeshPool", "meshpools"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::Pod => ("", "v1", "Pod", "pods"),
        }
    }

    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.words();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    pub fn name(self) -> &'static str {
        self.words().2
    }

    fn api_version(self) -> String {
        let (group, version, ..) = self.words();
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
    }

    /// Reads `kind`.
    pub fn of(object: &Value) -> Option<Self> {
        let kind = object["kind"].as_str()?;
        Self::ALL.into_iter().find(|known| known.words().2 == kind)
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: Kind,
    /// Empty for what is in none.
    pub namespace: String,
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}

/// An object as it should be: of the fields that the operator has an opinion about.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub key: Key,
    pub body: Value,
}

/// What stands in an object's metadata beside its name.
#[derive(Clone, Debug)]
pub struct Belongs {
    pub namespace: String,
    pub labels: Value,
    /// An owner reference, which has Kubernetes delete it with its owner.
    pub owner: Option<Value>,
}

impl Object {
    /// `fields` are those beside `metadata`.
    pub fn new(kind: Kind, name: impl Into<String>, belongs: &Belongs, fields: Value) -> Self {
        let name = name.into();
        let mut metadata = json!({ "name": name, "labels": belongs.labels });
        let namespace = if kind == Kind::Namespace { String::new() } else { belongs.namespace.clone() };
        if !namespace.is_empty() {
            metadata["namespace"] = json!(namespace);
        }
        if let Some(owner) = &belongs.owner {
            metadata["ownerReferences"] = json!([owner]);
        }
        let mut body = json!({ "apiVersion": kind.api_version(), "kind": kind.name(), "metadata": metadata });
        if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
            body.extend(fields);
        }
        Self { key: Key { kind, namespace, name }, body }
    }
}

/// The key of an object as the API server has it.
pub fn key_of(kind: Kind, object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    Key { kind, namespace: text("namespace"), name: text("name") }
}
