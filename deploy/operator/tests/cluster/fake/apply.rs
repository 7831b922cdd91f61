//! Server-side apply: who owns which field.
//!
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/>: what a manager applies is merged and becomes its own; what it
//! applied before and does not any more goes, if nobody else owns it; another value for a field that somebody else owns is a
//! conflict, unless it is forced. A field that is changed by a plain write becomes its writer's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::request::Refusal;

/// Manager to fields, as JSON pointers.
pub type Owners = BTreeMap<String, BTreeSet<String>>;

/// Merges what `manager` applies into what is there.
pub fn apply(mut object: Value, applied: &Value, owners: &mut Owners, by: (&str, bool)) -> Result<Value, Refusal> {
    let (manager, is_forced) = by;
    let fields = fields(applied);
    let conflicting =
        |field: &String| object.pointer(field).is_some() && object.pointer(field) != applied.pointer(field);
    let owned: Vec<(String, String)> = owners
        .iter()
        .filter(|(other, _)| *other != manager)
        .flat_map(|(other, theirs)| theirs.intersection(&fields).map(move |field| (other.clone(), field.clone())))
        .filter(|(_, field)| conflicting(field))
        .collect();
    if let Some((other, field)) = owned.first().filter(|_| !is_forced) {
        let why = format!("Apply failed with {} conflict: conflict with \"{other}\": {field}", owned.len());
        return Err(Refusal::new(409, "Conflict", why));
    }
    for (other, field) in owned {
        owners.get_mut(&other).expect("it owns the field").remove(&field);
    }
    let before = owners.insert(manager.to_owned(), fields.clone()).unwrap_or_default();
    for gone in before.difference(&fields) {
        let is_owned = owners.values().any(|theirs| theirs.contains(gone));
        let is_parent = fields.iter().any(|field| field.starts_with(&format!("{gone}/")));
        if !is_owned && !is_parent {
            remove(&mut object, gone);
        }
    }
    for field in &fields {
        set(&mut object, field, applied.pointer(field).cloned().unwrap_or_default());
    }
    Ok(object)
}

/// What a plain write changed is its writer's.
pub fn written(before: &Value, after: &Value, owners: &mut Owners, manager: &str) {
    let changed: BTreeSet<String> =
        fields(after).into_iter().filter(|field| before.pointer(field) != after.pointer(field)).collect();
    for theirs in owners.values_mut() {
        theirs.retain(|field| !changed.contains(field) && after.pointer(field).is_some());
    }
    owners.entry(manager.to_owned()).or_default().extend(changed);
}

/// All leaves, but for what names the object. Lists are leaves.
fn fields(object: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(object, "", &mut found);
    let names =
        ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace", "/metadata/uid", "/metadata/resourceVersion"];
    found.retain(|field| !names.contains(&field.as_str()));
    found
}

fn collect(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                collect(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

fn set(object: &mut Value, field: &str, value: Value) {
    let mut at = object;
    for key in field.split('/').skip(1) {
        let key = key.replace("~1", "/").replace("~0", "~");
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[key];
    }
    *at = value;
}

fn remove(object: &mut Value, field: &str) {
    let (parent, key) = field.rsplit_once('/').expect("a pointer begins with a slash");
    if let Some(Value::Object(parent)) = object.pointer_mut(parent) {
        parent.remove(&key.replace("~1", "/").replace("~0", "~"));
    }
}
