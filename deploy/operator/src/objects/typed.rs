//! For tests: whether an object is one of the API's types, with no field that they do not have.
//!
//! Objects are written as JSON, where a misspelt field is no mistake of a compiler, and the API server prunes or refuses it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, LimitRange, Namespace, Pod, ResourceQuota, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Kind, Object, covers};
use crate::kinds::MeshPool;

/// Reads it as what it says it is, and finds everything of it again.
pub fn check(object: &Object) {
    let body = &object.body;
    let again = match object.key.kind {
        Kind::Namespace => again::<Namespace>(body),
        Kind::ResourceQuota => again::<ResourceQuota>(body),
        Kind::LimitRange => again::<LimitRange>(body),
        Kind::NetworkPolicy => again::<NetworkPolicy>(body),
        Kind::ServiceAccount => again::<ServiceAccount>(body),
        Kind::Role => again::<Role>(body),
        Kind::RoleBinding => again::<RoleBinding>(body),
        Kind::Secret => again::<Secret>(body),
        Kind::ConfigMap => again::<ConfigMap>(body),
        Kind::Lease => again::<Lease>(body),
        Kind::Service => again::<Service>(body),
        Kind::PodDisruptionBudget => again::<PodDisruptionBudget>(body),
        Kind::Deployment => again::<Deployment>(body),
        Kind::MeshPool => again::<MeshPool>(body),
        Kind::Job => again::<Job>(body),
        Kind::Pod => again::<Pod>(body),
    };
    assert!(covers(&again, body), "{}: not all of\n{body:#}\nis in\n{again:#}", object.key);
}

fn again<Type: DeserializeOwned + Serialize>(body: &Value) -> Value {
    let typed: Type = serde_json::from_value(body.clone()).unwrap_or_else(|error| panic!("{error}: {body:#}"));
    serde_json::to_value(typed).expect("plain data")
}

#[cfg(test)]
mod tests {
    use super::super::{Belongs, Key};
    use super::*;
    use serde_json::json;

    #[test]
    #[should_panic(expected = "not all of")]
    fn a_misspelt_field_is_found() {
        let belongs = Belongs { namespace: "team".to_owned(), labels: json!({}), owner: None };
        let lease = Object::new(Kind::Lease, "x", &belongs, json!({ "spec": { "leaseDuration": 10 } }));
        assert_eq!(lease.key, Key { kind: Kind::Lease, namespace: "team".to_owned(), name: "x".to_owned() });
        check(&lease);
    }
}
