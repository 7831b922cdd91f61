//! What should be there for a run.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kinds::{KeyOf, MeshRun};
use crate::objects::{
    AGENT, Belongs, COMPONENT, CONDUCTOR, Key, Kind, Object, RUN_NAME, RUN_NAMESPACE, RUN_UID, and, managed,
};

/// The user of our images.
const USER: i64 = 65_532;

/// What the agents of a run are called as a pool.
const POOL: &str = "run";

/// The operator's own ServiceAccount, and the ClusterRole that it has in the namespaces of runs.
#[derive(Clone, Debug)]
pub struct Account {
    pub namespace: String,
    pub name: String,
    pub run_role: String,
}

/// Where everything of the run is: named after it, and after its UID, as runs of one name may follow each other.
pub fn namespace_of(run: &MeshRun) -> String {
    let name: String = run.metadata.name.as_deref().unwrap_or_default().chars().take(40).collect();
    let uid: String = run.metadata.uid.as_deref().unwrap_or_default().chars().filter(|c| *c != '-').take(8).collect();
    format!("mesh-run-{}-{uid}", name.replace('.', "-"))
}

/// Why the run's name cannot be used, if so.
pub(super) fn refuse(run: &MeshRun) -> Option<String> {
    let length = run.metadata.name.as_deref().unwrap_or_default().len();
    (length > 63).then(|| format!("the run's name has {length} characters, 63 at most fit into a label"))
}

fn belongs(run: &MeshRun, component: &str) -> Belongs {
    let name = run.metadata.name.as_deref().unwrap_or_default();
    let labels = and(
        managed(component, name),
        &[
            (RUN_UID, run.metadata.uid.as_deref().unwrap_or_default()),
            (RUN_NAME, name),
            (RUN_NAMESPACE, run.metadata.namespace.as_deref().unwrap_or_default()),
        ],
    );
    Belongs { namespace: namespace_of(run), labels, owner: None }
}

/// What the run needs from the namespace of its object.
pub(super) fn sources(run: &MeshRun) -> Vec<Key> {
    let namespace = run.metadata.namespace.clone().unwrap_or_default();
    let mesh = &run.spec.pool_template.mesh;
    let ice = &run.spec.pool_template.ice;
    let key = |kind, of: &KeyOf| Key { kind, namespace: namespace.clone(), name: of.name.clone() };
    let mut keys = vec![key(Kind::ConfigMap, &run.spec.plan), key(Kind::Secret, &mesh.token_secret_ref)];
    keys.push(key(Kind::Secret, &run.spec.orchestrator.mesh_secret_ref));
    keys.extend(mesh.zone_token_secret_ref.iter().chain(&ice.turn_secret_ref).map(|of| key(Kind::Secret, of)));
    keys.sort();
    keys.dedup();
    keys
}

/// The copy has its source's name.
pub(super) fn copy_of(run: &MeshRun, source: &Key) -> Key {
    Key { namespace: namespace_of(run), ..source.clone() }
}

/// Copies of what was read.
pub(super) fn copies(run: &MeshRun, sources: &BTreeMap<Key, Option<Value>>) -> Vec<Object> {
    let copy = |(key, source): (&Key, &Option<Value>)| {
        let source = source.as_ref()?;
        let mut fields = json!({ "data": source["data"] });
        if key.kind == Kind::ConfigMap && source["binaryData"].is_object() {
            fields["binaryData"] = source["binaryData"].clone();
        }
        Some(Object::new(key.kind, &key.name, &belongs(run, AGENT), fields))
    };
    sources.iter().filter_map(copy).collect()
}

/// The namespace and what holds it in bounds, in the order in which they are made.
pub(super) fn fence(run: &MeshRun, account: Option<&Account>) -> Vec<Object> {
    let belongs = belongs(run, AGENT);
    let mut in_namespace = belongs.clone();
    // https://kubernetes.io/docs/concepts/security/pod-security-admission/
    for mode in ["enforce", "audit", "warn"] {
        in_namespace.labels[format!("pod-security.kubernetes.io/{mode}")] = json!("restricted");
    }
    let mut objects = vec![Object::new(Kind::Namespace, namespace_of(run), &in_namespace, json!({}))];
    objects.extend(account.map(|account| {
        let binding = json!({
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account.run_role },
            "subjects": [{ "kind": "ServiceAccount", "name": account.name, "namespace": account.namespace }],
        });
        Object::new(Kind::RoleBinding, "meshproof-operator", &belongs, binding)
    }));
    let hard = match &run.spec.quota {
        Some(quota) => serde_json::to_value(quota).unwrap_or_default(),
        None => json!({ "pods": "100" }),
    };
    let limits = json!({ "spec": { "limits": [{
        "type": "Container",
        "default": { "cpu": "1", "memory": "512Mi" },
        "defaultRequest": { "cpu": "50m", "memory": "64Mi" },
    }] } });
    objects.push(Object::new(Kind::ResourceQuota, "run", &belongs, json!({ "spec": { "hard": hard } })));
    objects.push(Object::new(Kind::LimitRange, "run", &belongs, limits));
    objects.push(Object::new(Kind::NetworkPolicy, "run", &belongs, policy(run)));
    objects
}

/// Nothing comes in; names, links, signaling, and each other may be reached. What the agents let in is said by their pool's policy.
fn policy(run: &MeshRun) -> Value {
    let tcp: Vec<Value> = signaling_ports(run).iter().map(|port| json!({ "protocol": "TCP", "port": port })).collect();
    // zone reporters renew their Lease
    let api = [443, 6443].map(|port| json!({ "protocol": "TCP", "port": port }));
    json!({ "spec": {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [
            { "ports": [{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }] },
            { "ports": [{ "protocol": "UDP", "port": 1024, "endPort": 65_535 }] },
            { "ports": tcp },
            { "ports": api },
            { "to": [{ "podSelector": {} }] },
        ],
    } })
}

/// Of the URLs; of those that only the token names nothing is known, so it is what servers are usually reached by.
fn signaling_ports(run: &MeshRun) -> Vec<u16> {
    let port = |url: &String| {
        let (scheme, rest) = url.split_once("://")?;
        let host = rest.split(['/', '?']).next()?;
        let usual = if scheme == "wss" { 443 } else { 80 };
        match host.rsplit_once(':') {
            Some((_, port)) if !port.contains(']') => port.parse().ok(),
            _ => Some(usual),
        }
    };
    let urls = &run.spec.pool_template.mesh.signaling;
    let mut ports: Vec<u16> = if urls.is_empty() { vec![443, 7070] } else { urls.iter().filter_map(port).collect() };
    ports.sort_unstable();
    ports.dedup();
    ports
}

pub(super) fn pool(run: &MeshRun) -> Object {
    let spec = serde_json::to_value(&run.spec.pool_template).unwrap_or_default();
    Object::new(Kind::MeshPool, POOL, &belongs(run, AGENT), json!({ "spec": spec }))
}

/// The orchestrator. It is started once: a second one would do the plan's steps a second time.
pub(super) fn job(run: &MeshRun) -> Object {
    let belongs = belongs(run, CONDUCTOR);
    let orchestrator = &run.spec.orchestrator;
    let (plan, mesh) = (&run.spec.plan, &orchestrator.mesh_secret_ref);
    let args = ["run", &format!("/plan/{}", plan.key), "--mesh", &format!("/mesh/{}", mesh.key), "--addresses", "auto"];
    let secret =
        json!({ "secretName": mesh.name, "defaultMode": 0o440, "items": [{ "key": mesh.key, "path": mesh.key }] });
    let map = json!({ "name": plan.name, "items": [{ "key": plan.key, "path": plan.key }] });
    let container = json!({
        "name": "orchestrator",
        "image": orchestrator.image,
        "args": args,
        "env": [{ "name": "HOME", "value": "/work" }, { "name": "TMPDIR", "value": "/work" }],
        "workingDir": "/work",
        "securityContext": {
            "runAsUser": USER, "runAsGroup": USER, "runAsNonRoot": true, "readOnlyRootFilesystem": true,
            "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [
            { "name": "plan", "mountPath": "/plan", "readOnly": true },
            { "name": "mesh", "mountPath": "/mesh", "readOnly": true },
            { "name": "work", "mountPath": "/work" },
        ],
    });
    let pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": { "runAsNonRoot": true, "fsGroup": USER, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [container],
        "volumes": [
            { "name": "plan", "configMap": map },
            { "name": "mesh", "secret": secret },
            { "name": "work", "emptyDir": {} },
        ],
    });
    let spec = json!({
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "template": { "metadata": { "labels": and(belongs.labels.clone(), &[(COMPONENT, CONDUCTOR)]) }, "spec": pod },
    });
    Object::new(Kind::Job, "orchestrator", &belongs, json!({ "spec": spec }))
}
