//! The objects, and every change to them, in one order.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::apply::Owners;
use super::request::Refusal;

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub group: String,
    pub plural: String,
    pub namespace: String,
    pub name: String,
}

impl Id {
    pub fn new(resource: (&str, &str), namespace: &str, name: &str) -> Self {
        let (group, plural) = resource;
        let owned = str::to_owned;
        Self { group: owned(group), plural: owned(plural), namespace: owned(namespace), name: owned(name) }
    }

    fn is_namespace(&self) -> bool {
        self.group.is_empty() && self.plural == "namespaces"
    }

    /// Those that the operator meets; a write to the object leaves their status as it is, and one to the status all else.
    /// <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#status-subresource>
    pub fn has_status(&self) -> bool {
        ["meshpools", "meshruns", "deployments", "jobs", "pods", "namespaces", "poddisruptionbudgets"]
            .contains(&self.plural.as_str())
    }
}

/// What a watch tells.
#[derive(Clone, Debug)]
pub struct Change {
    pub version: u64,
    pub id: Id,
    /// None: it was not there before.
    pub before: Option<Value>,
    /// None: it is gone. `before` has the version of its end then.
    pub after: Option<Value>,
}

#[derive(Debug, Default)]
pub struct Store {
    objects: BTreeMap<Id, Value>,
    pub owners: BTreeMap<Id, Owners>,
    pub changes: Vec<Change>,
    version: u64,
    /// Changes up to this one are forgotten.
    pub forgotten: u64,
    uids: u64,
}

impl Store {
    /// A server that is not new: the first versions are forgotten.
    pub fn with_a_past() -> Self {
        Self { version: 100, forgotten: 100, ..Self::default() }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, id: &Id) -> Option<&Value> {
        self.objects.get(id)
    }

    pub fn all(&self) -> impl Iterator<Item = (&Id, &Value)> {
        self.objects.iter()
    }

    /// A namespace has to be there, and not on its way out.
    /// <https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/>
    fn admit(&self, id: &Id) -> Result<(), Refusal> {
        if id.namespace.is_empty() {
            return Ok(());
        }
        let namespace = self
            .get(&Id::new(("", "namespaces"), "", &id.namespace))
            .ok_or_else(|| Refusal::new(404, "NotFound", format!("namespaces \"{}\" not found", id.namespace)))?;
        if is_terminating(namespace) {
            let why =
                format!("unable to create new content in namespace {} because it is being terminated", id.namespace);
            return Err(Refusal::new(403, "Forbidden", why));
        }
        Ok(())
    }

    pub fn create(&mut self, id: &Id, mut object: Value, now: Timestamp) -> Result<Value, Refusal> {
        self.admit(id)?;
        if self.objects.contains_key(id) {
            return Err(Refusal::new(409, "AlreadyExists", format!("{} \"{}\" already exists", id.plural, id.name)));
        }
        self.uids += 1;
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(id.name);
        if !id.namespace.is_empty() {
            metadata["namespace"] = json!(id.namespace);
        }
        metadata["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", self.uids));
        metadata["creationTimestamp"] = json!(time(now));
        metadata["generation"] = json!(1);
        if id.has_status() {
            without_status(&mut object);
        }
        if id.is_namespace() {
            object["status"] = json!({ "phase": "Active" });
        }
        Ok(self.put(id, None, object))
    }

    /// Writes what is there anew. Nothing changes if it is as before: then its version stays, and no watch tells.
    /// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>
    pub fn update(&mut self, id: &Id, mut object: Value) -> Value {
        let before = self.objects[id].clone();
        let kept = [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "name",
            "namespace",
            "generation",
            "resourceVersion",
        ];
        for field in kept {
            match before["metadata"].get(field) {
                Some(value) => object["metadata"][field] = value.clone(),
                None => remove(&mut object["metadata"], field),
            }
        }
        tidy(&mut object);
        if object == before {
            return before;
        }
        if content(&object) != content(&before) {
            object["metadata"]["generation"] = json!(before["metadata"]["generation"].as_u64().unwrap_or(0) + 1);
        }
        if is_terminating(&before) && !has_finalizers(&object) && !id.is_namespace() && id.plural != "pods" {
            return self.remove(id);
        }
        self.put(id, Some(before), object)
    }

    /// An object with finalizers is only marked; whoever takes the last one away removes it.
    /// <https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/>
    ///
    /// A pod is marked until its kubelet has ended it, a namespace until it is empty.
    pub fn delete(&mut self, id: &Id, now: Timestamp) -> Result<Value, Refusal> {
        let object = self.get(id).cloned().ok_or_else(|| not_found(id))?;
        let is_kept = has_finalizers(&object) || id.plural == "pods" || id.is_namespace();
        if !is_kept {
            return Ok(self.remove(id));
        }
        if is_terminating(&object) {
            return Ok(object);
        }
        let mut marked = object.clone();
        marked["metadata"]["deletionTimestamp"] = json!(time(now));
        if id.is_namespace() {
            marked["status"]["phase"] = json!("Terminating");
        }
        Ok(self.put(id, Some(object), marked))
    }

    /// It is gone at once.
    pub fn remove(&mut self, id: &Id) -> Value {
        self.version += 1;
        let mut before = self.objects.remove(id).expect("it is there");
        self.owners.remove(id);
        before["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.changes.push(Change { version: self.version, id: id.clone(), before: Some(before.clone()), after: None });
        before
    }

    fn put(&mut self, id: &Id, before: Option<Value>, mut object: Value) -> Value {
        self.version += 1;
        tidy(&mut object);
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(id.clone(), object.clone());
        self.changes.push(Change { version: self.version, id: id.clone(), before, after: Some(object.clone()) });
        object
    }
}

pub fn not_found(id: &Id) -> Refusal {
    Refusal::new(404, "NotFound", format!("{} \"{}\" not found", id.plural, id.name))
}

pub fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
}

/// What generations count.
fn content(object: &Value) -> Value {
    let mut content = object.clone();
    remove(&mut content, "metadata");
    remove(&mut content, "status");
    content
}

pub fn without_status(object: &mut Value) {
    remove(object, "status");
}

pub fn remove(object: &mut Value, field: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove(field);
    }
}

/// Nulls and what is empty of metadata are not kept.
fn tidy(object: &mut Value) {
    match object {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["finalizers", "ownerReferences", "annotations", "labels", "managedFields"] {
            let is_empty = metadata.get(field).is_some_and(|value| *value == json!([]) || *value == json!({}));
            if is_empty {
                metadata.remove(field);
            }
        }
    }
}

/// As the API server writes a `Time`.
pub fn time(now: Timestamp) -> String {
    Timestamp::from_second(now.as_second()).expect("it was a time before").to_string()
}
