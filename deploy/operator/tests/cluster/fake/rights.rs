//! What a service account may do, from the roles and bindings that are in the store.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/>

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};

use super::request::{Asked, Refusal};
use super::store::{Id, Store};

const RBAC: &str = "rbac.authorization.k8s.io";

/// Whose requests are looked at: its namespace and name.
pub type Account = (String, String);

/// A verb on a resource of a group. The name is empty if none is given, as for lists and what is made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub name: String,
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}.{}", self.verb, self.resource, self.group)
    }
}

/// What the request needs, all of it.
fn needed(store: &Store, asked: &Asked, method: &Method, body: &Value) -> Vec<(String, Right)> {
    let id = &asked.id;
    let right = |verb: &str, group: &str, resource: &str, name: &str| {
        let owned = str::to_owned;
        Right { verb: owned(verb), group: owned(group), resource: owned(resource), name: owned(name) }
    };
    let resource = if asked.is_status { format!("{}/status", id.plural) } else { id.plural.clone() };
    let verb = asked.verb(method);
    // a namespace is in itself: https://kubernetes.io/docs/reference/access-authn-authz/authorization/
    let place = if id.plural == "namespaces" { id.name.clone() } else { id.namespace.clone() };
    let mut needed = vec![(place.clone(), right(verb, &id.group, &resource, &id.name))];
    let is_write = matches!(verb, "create" | "update" | "patch");
    // https://kubernetes.io/docs/reference/using-api/server-side-apply/#api-implementation
    if verb == "patch" && store.get(id).is_none() {
        needed.push((place.clone(), right("create", &id.group, &resource, "")));
    }
    // of owners that are new: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#ownerreferencespermissionenforcement
    let owners = |object: &Value| object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let known = store.get(id).map(owners).unwrap_or_default();
    for owner in owners(body) {
        if is_write && owner["blockOwnerDeletion"] == true && !known.contains(&owner) {
            let text = |field: &str| owner[field].as_str().unwrap_or_default().to_owned();
            let group = text("apiVersion").split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
            let resource = format!("{}s/finalizers", text("kind").to_lowercase());
            needed.push((place.clone(), right("update", &group, &resource, &text("name"))));
        }
    }
    if !is_write || id.group != RBAC {
        return needed;
    }
    // nobody gives what they do not have, or may not bind:
    // https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
    match id.plural.as_str() {
        "roles" => needed.extend(given(body).into_iter().map(|right| (place.clone(), right))),
        "rolebindings" if body["roleRef"]["kind"] == "ClusterRole" => {
            let name = body["roleRef"]["name"].as_str().unwrap_or_default();
            needed.push((place, right("bind", RBAC, "clusterroles", name)));
        }
        "rolebindings" => {
            let role = role(store, &place, &body["roleRef"]).cloned().unwrap_or_default();
            needed.extend(given(&role).into_iter().map(|right| (place.clone(), right)));
        }
        _ => {}
    }
    needed
}

/// What the request used; or what is missing.
pub fn check(
    store: &Store,
    account: &Account,
    asked: (&Asked, &Method),
    body: &Value,
) -> Result<BTreeSet<Right>, Refusal> {
    let (asked, method) = asked;
    let mut used = BTreeSet::new();
    for (namespace, right) in needed(store, asked, method, body) {
        if !has(store, account, &namespace, &right) {
            let (_, name) = account;
            let why = format!("{} is forbidden: {name} cannot {right} in the namespace \"{namespace}\"", right.name);
            return Err(Refusal::new(403, "Forbidden", why));
        }
        used.insert(Right { name: String::new(), ..right });
    }
    Ok(used)
}

fn has(store: &Store, account: &Account, namespace: &str, right: &Right) -> bool {
    let (of, name) = account;
    let subject = json!({ "kind": "ServiceAccount", "name": name, "namespace": of });
    let bindings = store.all().filter(|(id, _)| id.group == RBAC).filter(|(id, _)| {
        id.plural == "clusterrolebindings"
            || (id.plural == "rolebindings" && id.namespace == namespace && !namespace.is_empty())
    });
    bindings
        .filter(|(_, binding)| binding["subjects"].as_array().is_some_and(|subjects| subjects.contains(&subject)))
        .filter_map(|(_, binding)| role(store, namespace, &binding["roleRef"]))
        .any(|role| given(role).iter().any(|given| covers(given, right)))
}

fn covers(given: &Right, asked: &Right) -> bool {
    let is_it = given.verb == asked.verb && given.group == asked.group && given.resource == asked.resource;
    is_it && (given.name.is_empty() || given.name == asked.name)
}

fn role<'a>(store: &'a Store, namespace: &str, reference: &Value) -> Option<&'a Value> {
    let name = reference["name"].as_str()?;
    match reference["kind"].as_str()? {
        "ClusterRole" => store.get(&Id::new((RBAC, "clusterroles"), "", name)),
        _ => store.get(&Id::new((RBAC, "roles"), namespace, name)),
    }
}

/// What a role gives, one by one.
pub fn given(role: &Value) -> Vec<Right> {
    let list = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned));
        texts.collect()
    };
    let mut rights = Vec::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        let names = list(&rule["resourceNames"]);
        let names = if names.is_empty() { vec![String::new()] } else { names };
        for group in list(&rule["apiGroups"]) {
            for resource in list(&rule["resources"]) {
                for verb in list(&rule["verbs"]) {
                    rights.extend(names.iter().map(|name| Right {
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.clone(),
                        name: name.clone(),
                    }));
                }
            }
        }
    }
    rights
}
