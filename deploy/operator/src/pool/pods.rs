//! The pods of a slice: the agent alone, or beside a service as a native sidecar.
//!
//! Restricted pod security throughout: <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>

use serde_json::{Value, json};

use crate::kinds::{MeshPool, Mode};
use crate::limits;
use crate::objects::{AGENT, COMPONENT, MANAGED_BY, OPERATOR, POOL, ZONE};

/// The user of our images.
const USER: i64 = 65_532;

/// What an agent that shares a pod with a service may do, if nobody says otherwise: neither start programs nor change interfaces.
const BESIDE_A_SERVICE: &str = "http,grpc,tcp,ws,stub,tunnel,stream,logs";

/// A pod template for the agents of that zone.
pub(super) fn template(pool: &MeshPool, zone: &str) -> Value {
    let spec = &pool.spec.template;
    let mut labels = serde_json::to_value(&spec.labels).unwrap_or_default();
    for (key, value) in
        [(MANAGED_BY, OPERATOR), (COMPONENT, AGENT), (ZONE, zone), ("app.kubernetes.io/name", "meshproof")]
    {
        labels[key] = json!(value);
    }
    labels[POOL] = json!(pool.metadata.name);
    let (init, containers) = match spec.mode {
        Mode::Pod => (vec![], vec![agent(pool, zone)]),
        Mode::Sidecar => {
            let mut agent = agent(pool, zone);
            // https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
            agent["restartPolicy"] = json!("Always");
            (vec![agent], spec.containers.iter().map(restricted).collect())
        }
    };
    let mut pod = placed(zone);
    let more = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 10,
        "securityContext": security(pool),
        "initContainers": init,
        "containers": containers,
        "volumes": volumes(pool),
        "imagePullSecrets": spec.image_pull_secrets.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            // a node that is gone still counts, so anything stricter would keep its pods from starting elsewhere
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": selector(pool, zone) },
        }],
    });
    merge(&mut pod, more);
    json!({ "metadata": { "labels": labels }, "spec": pod })
}

/// What tells a slice's pods from all others.
pub(super) fn selector(pool: &MeshPool, zone: &str) -> Value {
    json!({ POOL: pool.metadata.name, ZONE: zone, COMPONENT: AGENT })
}

/// In that zone, and not for long on a node that is gone.
pub(super) fn placed(zone: &str) -> Value {
    let seconds = limits::NODE_TOLERATION.as_secs();
    let gone =
        |key: &str| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds });
    json!({
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{
            "matchExpressions": [{ "key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone] }],
        }] } } },
        "tolerations": [gone("node.kubernetes.io/not-ready"), gone("node.kubernetes.io/unreachable")],
    })
}

/// For a container of ours.
pub(super) fn hardened() -> Value {
    json!({
        "runAsUser": USER,
        "runAsGroup": USER,
        "runAsNonRoot": true,
        "readOnlyRootFilesystem": true,
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
    })
}

pub(super) fn pod_security() -> Value {
    json!({ "runAsNonRoot": true, "fsGroup": USER, "seccompProfile": { "type": "RuntimeDefault" } })
}

fn security(pool: &MeshPool) -> Value {
    let mut security = pod_security();
    if let Some(ports) = pool.spec.ice.port_range {
        // sockets without a port of their own get one of these; one of the sysctls that every pod may set
        // https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/#safe-and-unsafe-sysctls
        let range = format!("{} {}", ports.first, ports.last);
        security["sysctls"] = json!([{ "name": "net.ipv4.ip_local_port_range", "value": range }]);
    }
    security
}

/// A container of the user's, as restricted pod security asks for where it says nothing.
fn restricted(container: &Value) -> Value {
    let mut container = container.clone();
    if !container.is_object() {
        return container;
    }
    if !container["securityContext"].is_object() {
        container["securityContext"] = json!({});
    }
    let context = &mut container["securityContext"];
    for (field, value) in [("allowPrivilegeEscalation", json!(false)), ("capabilities", json!({ "drop": ["ALL"] }))] {
        if context[field].is_null() {
            context[field] = value;
        }
    }
    container
}

fn agent(pool: &MeshPool, zone: &str) -> Value {
    let spec = &pool.spec.template;
    let resources = spec.resources.as_ref().and_then(|resources| serde_json::to_value(resources).ok());
    let probe = |path: &str, period: u32, failures: u32| {
        let get = json!({ "path": path, "port": "health" });
        json!({ "httpGet": get, "periodSeconds": period, "timeoutSeconds": 3, "failureThreshold": failures })
    };
    let mut mounts = vec![
        json!({ "name": "token", "mountPath": "/etc/meshproof/token", "subPath": "token", "readOnly": true }),
        json!({ "name": "state", "mountPath": "/state" }),
    ];
    if pool.spec.ice.turn_secret_ref.is_some() {
        mounts.push(json!({ "name": "ice", "mountPath": "/etc/meshproof/ice", "readOnly": true }));
    }
    json!({
        "name": "meshproof-agent",
        "image": spec.image,
        "env": env(pool, zone),
        "ports": [{ "name": "health", "containerPort": limits::HEALTH_PORT, "protocol": "TCP" }],
        "resources": resources.unwrap_or_else(|| json!({
            "requests": { "cpu": limits::AGENT_CPU, "memory": limits::AGENT_MEMORY },
            "limits": { "memory": limits::AGENT_MEMORY_LIMIT },
        })),
        // it has joined; asked often, as pods that wait for it do
        "readinessProbe": probe("/readyz", 1, 3),
        // its loop goes round: never whom it reaches
        "livenessProbe": probe("/healthz", 10, 3),
        "securityContext": hardened(),
        "volumeMounts": mounts,
    })
}

fn env(pool: &MeshPool, zone: &str) -> Vec<Value> {
    let spec = &pool.spec.template;
    let mut env = vec![match &spec.agent_name {
        Some(name) => json!({ "name": "MESHPROOF_NAME", "value": name }),
        None => json!({ "name": "MESHPROOF_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }),
    }];
    let mut set = |name: &str, value: String| env.push(json!({ "name": name, "value": value }));
    set("MESHPROOF_LABELS", format!("pool={},zone={zone}", pool.metadata.name.as_deref().unwrap_or_default()));
    if !pool.spec.mesh.signaling.is_empty() {
        set("MESHPROOF_SIGNALING", pool.spec.mesh.signaling.join(","));
    }
    if let Some(secret) = &pool.spec.ice.turn_secret_ref {
        set("MESHPROOF_ICE_SERVERS", format!("/etc/meshproof/ice/{}", secret.key));
    }
    if spec.mode == Mode::Sidecar {
        set("MESHPROOF_ALLOW", BESIDE_A_SERVICE.to_owned());
    }
    let theirs: Vec<Value> = spec.env.iter().filter_map(|variable| serde_json::to_value(variable).ok()).collect();
    env.retain(|ours| theirs.iter().all(|variable| variable["name"] != ours["name"]));
    env.extend(theirs);
    env
}

fn volumes(pool: &MeshPool) -> Vec<Value> {
    let secret = |name: &str, of: &crate::kinds::KeyOf, path: &str| {
        let items = json!([{ "key": of.key, "path": path }]);
        json!({ "name": name, "secret": { "secretName": of.name, "items": items, "defaultMode": 0o440 } })
    };
    let mut volumes =
        vec![secret("token", &pool.spec.mesh.token_secret_ref, "token"), json!({ "name": "state", "emptyDir": {} })];
    if let Some(turn) = &pool.spec.ice.turn_secret_ref {
        volumes.push(secret("ice", turn, &turn.key));
    }
    volumes
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}
