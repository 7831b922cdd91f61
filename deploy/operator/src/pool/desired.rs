//! What should be there for a pool.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use meshproof_proto::epoch::EpochNotice;
use serde_json::{Value, json};

use super::{Names, pods};
use crate::kinds::MeshPool;
use crate::limits;
use crate::objects::{
    AGENT, Belongs, COMPONENT, Kind, Object, POOL, REPORTER, RUN_NAME, RUN_NAMESPACE, RUN_UID, ZONE, and, label,
    managed,
};

/// What the operator was told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its own image, which the zone reporters run.
    pub image: String,
}

/// Everything but what is written once a failover decides it. `sizes` has every zone of the pool.
pub fn desired(pool: &MeshPool, sizes: &BTreeMap<String, i32>, settings: &Settings) -> Vec<Object> {
    let names = Names::of(pool);
    let mut objects = vec![Object::new(Kind::NetworkPolicy, names.policy(), &belongs(pool, AGENT), policy(pool))];
    for zone in &pool.spec.zones {
        let replicas = sizes.get(&zone.name).copied().unwrap_or_default();
        objects.extend(slice(pool, &zone.name, replicas));
        objects.extend(reporter(pool, &zone.name, settings));
    }
    objects.sort_by(|left, right| left.key.cmp(&right.key));
    objects
}

/// The signed epoch, where signaling servers can mount it, and in words.
pub fn notice(pool: &MeshPool, notice: &EpochNotice, epoch: (i64, &str)) -> Object {
    let (number, zone) = epoch;
    let text = serde_json::to_string(notice).expect("a notice is plain data");
    let data = json!({ "epoch.json": text, "number": number.to_string(), "zone": zone });
    Object::new(Kind::ConfigMap, Names::of(pool).epoch(), &belongs(pool, AGENT), json!({ "data": data }))
}

/// Namespace, labels and owner of what belongs to a pool.
pub(super) fn belongs(pool: &MeshPool, component: &str) -> Belongs {
    let name = Names::of(pool).pool();
    let mut labels = and(managed(component, name), &[(POOL, name)]);
    // what belongs to a run is known by these
    let of_pool =
        serde_json::to_value(&pool.metadata).map(|metadata| json!({ "metadata": metadata })).unwrap_or_default();
    for key in [RUN_UID, RUN_NAME, RUN_NAMESPACE] {
        if !label(&of_pool, key).is_empty() {
            labels[key] = json!(label(&of_pool, key));
        }
    }
    let owner = json!({
        "apiVersion": format!("{}/{}", crate::kinds::GROUP, crate::kinds::VERSION),
        "kind": "MeshPool",
        "name": name,
        "uid": pool.metadata.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    });
    Belongs { namespace: pool.metadata.namespace.clone().unwrap_or_default(), labels, owner: Some(owner) }
}

fn of_zone(pool: &MeshPool, zone: &str, component: &str) -> Belongs {
    let mut belongs = belongs(pool, component);
    belongs.labels[ZONE] = json!(zone);
    belongs
}

fn slice(pool: &MeshPool, zone: &str, replicas: i32) -> Vec<Object> {
    let names = Names::of(pool);
    let belongs = of_zone(pool, zone, AGENT);
    let selector = pods::selector(pool, zone);
    let deployment = json!({ "spec": {
        "replicas": replicas,
        "revisionHistoryLimit": 2,
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
        "selector": { "matchLabels": selector },
        "template": pods::template(pool, zone),
    } });
    let budget = json!({ "spec": { "maxUnavailable": 1, "selector": { "matchLabels": selector } } });
    // only who is ready: one that publishes all lists the addresses of dead ones, too
    let service = json!({ "spec": {
        "clusterIP": "None",
        "selector": selector,
        "ports": [{ "name": "health", "port": limits::HEALTH_PORT, "protocol": "TCP" }],
    } });
    let lease = json!({ "spec": { "leaseDurationSeconds": pool.spec.failover.zone_lease_seconds } });
    vec![
        Object::new(Kind::Lease, names.zone_lease(zone), &belongs, lease),
        Object::new(Kind::Service, names.slice(zone), &belongs, service),
        Object::new(Kind::PodDisruptionBudget, names.slice(zone), &belongs, budget),
        Object::new(Kind::Deployment, names.slice(zone), &belongs, deployment),
    ]
}

/// Links come in over UDP, and the zone's reporter asks for health; nothing else does.
fn policy(pool: &MeshPool) -> Value {
    let (first, last) =
        pool.spec.ice.port_range.map_or((1024, 65_535), |ports| (i64::from(ports.first), i64::from(ports.last)));
    json!({ "spec": {
        "podSelector": { "matchLabels": { POOL: Names::of(pool).pool(), COMPONENT: AGENT } },
        "policyTypes": ["Ingress"],
        "ingress": [
            { "ports": [{ "protocol": "UDP", "port": first, "endPort": last }] },
            {
                "from": [{ "podSelector": { "matchLabels": { POOL: Names::of(pool).pool(), COMPONENT: REPORTER } } }],
                "ports": [{ "protocol": "TCP", "port": limits::HEALTH_PORT }],
            },
        ],
    } })
}

/// Two pods that watch over the zone's agents, with rights over the zone's Lease and nothing else.
fn reporter(pool: &MeshPool, zone: &str, settings: &Settings) -> Vec<Object> {
    let names = Names::of(pool);
    let belongs = of_zone(pool, zone, REPORTER);
    let name = names.reporter(zone);
    let role = json!({ "rules": [{
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [names.zone_lease(zone)],
        "verbs": ["get", "update"],
    }] });
    let binding = json!({
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": belongs.namespace }],
    });
    let account = json!({ "automountServiceAccountToken": false });
    let selector = json!({ POOL: names.pool(), ZONE: zone, COMPONENT: REPORTER });
    let deployment = json!({ "spec": {
        "replicas": 2,
        "revisionHistoryLimit": 2,
        "selector": { "matchLabels": selector },
        "template": { "metadata": { "labels": belongs.labels }, "spec": reporter_pod(pool, zone, settings) },
    } });
    vec![
        Object::new(Kind::ServiceAccount, &name, &belongs, account),
        Object::new(Kind::Role, &name, &belongs, role),
        Object::new(Kind::RoleBinding, &name, &belongs, binding),
        Object::new(Kind::Deployment, &name, &belongs, deployment),
    ]
}

fn reporter_pod(pool: &MeshPool, zone: &str, settings: &Settings) -> Value {
    let names = Names::of(pool);
    let namespace = pool.metadata.namespace.clone().unwrap_or_default();
    let mut pod = pods::placed(zone);
    let agents = format!("{}.{namespace}.svc:{}", names.slice(zone), limits::HEALTH_PORT);
    let more = json!({
        "serviceAccountName": names.reporter(zone),
        "automountServiceAccountToken": true,
        "enableServiceLinks": false,
        "securityContext": pods::pod_security(),
        "containers": [{
            "name": "zone-reporter",
            "image": settings.image,
            "args": ["zone-reporter", "--lease", names.zone_lease(zone), "--namespace", namespace, "--agents", agents],
            "env": [{ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
            "resources": { "requests": { "cpu": "5m", "memory": "16Mi" }, "limits": { "memory": "64Mi" } },
            "securityContext": pods::hardened(),
        }],
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": { POOL: names.pool(), ZONE: zone, COMPONENT: REPORTER } },
        }],
    });
    if let (Value::Object(pod), Value::Object(more)) = (&mut pod, more) {
        pod.extend(more);
    }
    pod
}

/// The Lease that names the active zone, under the version that was seen. Whoever replaces it begins an epoch.
pub fn active_lease(pool: &MeshPool, active: (&str, i64), seen: Option<&str>, now: Timestamp) -> Object {
    let (zone, transitions) = active;
    let now = MicroTime(now);
    let spec = json!({ "holderIdentity": zone, "leaseTransitions": transitions, "acquireTime": now, "renewTime": now });
    let mut lease =
        Object::new(Kind::Lease, Names::of(pool).active_lease(), &belongs(pool, AGENT), json!({ "spec": spec }));
    if let Some(seen) = seen {
        lease.body["metadata"]["resourceVersion"] = json!(seen);
    }
    lease
}
