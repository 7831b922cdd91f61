//! Single calls to the API server.
//!
//! Everything that should be so is applied by the server, with one manager for specs and another for status, and with force: what
//! the operator has an opinion about is its own. <https://kubernetes.io/docs/reference/using-api/server-side-apply/>

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};

use super::failure::{Failure, is};
use crate::kinds::{GROUP, VERSION};
use crate::objects::{Key, Kind, OPERATOR, Object};

const STATUS: &str = "meshproof-operator-status";

/// The API server, as the operator asks it.
#[derive(Clone)]
pub struct Kube {
    client: Client,
}

impl std::fmt::Debug for Kube {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kube")
    }
}

impl Kube {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub fn client(&self) -> Client {
        self.client.clone()
    }

    fn at(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = kind.resource();
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    fn of(&self, key: &Key) -> Api<DynamicObject> {
        self.at(key.kind, &key.namespace)
    }

    /// Nothing, if it is not there.
    pub async fn get(&self, key: &Key) -> Result<Option<Value>, Failure> {
        let found = self.of(key).get_opt(&key.name).await.map_err(|error| Failure::api(key, error))?;
        Ok(found.and_then(|object| serde_json::to_value(object).ok()))
    }

    pub async fn apply(&self, object: &Object) -> Result<(), Failure> {
        let params = PatchParams::apply(OPERATOR).force();
        let applied = self.of(&object.key).patch(&object.key.name, &params, &Patch::Apply(&object.body)).await;
        applied.map(drop).map_err(|error| Failure::api(&object.key, error))
    }

    /// With everything that belongs to it. What is gone already is no failure.
    pub async fn delete(&self, key: &Key, uid: Option<&str>) -> Result<(), Failure> {
        let preconditions = uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() });
        let params = DeleteParams { preconditions, ..DeleteParams::background() };
        match self.of(key).delete(&key.name, &params).await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, 404) => Ok(()),
            // another one of that name
            Err(error) if uid.is_some() && is(&error, 409) => Ok(()),
            Err(error) => Err(Failure::api(key, error)),
        }
    }

    /// Makes it, or replaces it if it is as it was seen: `metadata.resourceVersion` says which.
    pub async fn replace(&self, object: &Object) -> Result<(), Failure> {
        let failed = |error| Failure::api(&object.key, error);
        let body: DynamicObject = serde_json::from_value(object.body.clone())
            .map_err(|error| Failure::Unusable { what: object.key.to_string(), why: error.to_string() })?;
        let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        let api = self.of(&object.key);
        if object.body["metadata"]["resourceVersion"].is_null() {
            api.create(&params, &body).await.map(drop).map_err(failed)
        } else {
            api.replace(&object.key.name, &params, &body).await.map(drop).map_err(failed)
        }
    }

    /// Changes single fields; a null takes one away. <https://www.rfc-editor.org/rfc/rfc7386>
    pub async fn merge(&self, key: &Key, patch: &Value) -> Result<(), Failure> {
        let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        let patched = self.of(key).patch(&key.name, &params, &Patch::Merge(patch)).await;
        patched.map(drop).map_err(|error| Failure::api(key, error))
    }

    /// Writes the status of a MeshPool or a MeshRun.
    pub async fn status(&self, at: (&str, &str, &str), status: Value) -> Result<(), Failure> {
        let (kind, namespace, name) = at;
        let body = json!({ "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "status": status });
        let params = PatchParams::apply(STATUS).force();
        let gvk = kube::api::GroupVersionKind::gvk(GROUP, VERSION, kind);
        let resource = kube::api::ApiResource::from_gvk(&gvk);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let written = api.patch_status(name, &params, &Patch::Apply(body)).await;
        written.map(drop).map_err(|error| Failure::api(format!("status of {kind} {name}"), error))
    }
}
