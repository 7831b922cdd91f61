//! What a cluster is asked to make for a run: a namespace that holds it in bounds, signaling, and a pod for each service.
//!
//! Pods meet restricted pod security, and what a template says of itself is left as it is. Variables stand in a Secret and not in the pod:
//! some are secrets, and there Kubernetes looks for no `$(NAME)` in them.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use meshproof_proto::id::{Name, PeerId};
use serde_json::{Map, Value, json};

use super::allotted::DIR;
use super::template::{Container, Template};
use crate::inject::{Wishes, sidecar};

/// What everything of a run has, with its id.
pub const RUN: &str = "meshproof.dev/run";
/// Of a pod: the service that it is of.
pub const SERVICE: &str = "meshproof.dev/service";
/// Until when the namespace is kept, as in `2026-12-01T16:00:00Z`.
pub const EXPIRES: &str = "meshproof.dev/expires";
/// `running`, or `kept` when the run did not pass.
pub const STATE: &str = "meshproof.dev/state";
/// Which process has made it: boot, number and start.
pub const ORCHESTRATOR: &str = "meshproof.dev/orchestrator";

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const OURS: &str = "meshproof";

/// By which all namespaces of runs are found.
pub const SELECTOR: &str = "app.kubernetes.io/managed-by=meshproof,meshproof.dev/run";

/// What signaling is called, and its port.
pub const SIGNALING: &str = "signaling";
pub const SIGNALING_PORT: u16 = 7070;
const HEALTH_PORT: u16 = 9464;

/// The user of our images.
const USER: u32 = 65_532;

/// What a pod with a service of ours has.
const SERVICE_VOLUME: &str = "meshproof-service";
const FILES_VOLUME: &str = "meshproof-files";

/// A run, as its manifests need it.
#[derive(Clone, Debug)]
pub struct Described {
    pub namespace: String,
    pub run: String,
    pub plan: Name,
    pub mesh: Name,
    pub root: PeerId,
    pub agent_image: String,
    pub signaling_image: String,
    /// Values of the namespace's annotations, by their names.
    pub annotations: BTreeMap<&'static str, String>,
    pub pods: Vec<Pod>,
}

/// A service, as its pod needs it.
#[derive(Clone, Debug)]
pub struct Pod {
    pub service: Name,
    /// The pod's own name, and that of its Secrets.
    pub name: String,
    pub template: Template,
    pub image: Option<String>,
    /// What the plan starts; none: what template or image do.
    pub processes: Vec<Vec<String>>,
    pub variables: Vec<(String, String)>,
    /// Path in the working directory, and content.
    pub files: Vec<(String, Vec<u8>)>,
    pub token: String,
    /// Settings of its agent.
    pub agent: Vec<(&'static str, String)>,
}

/// Everything, in the order in which it is to be made.
pub fn manifests(described: &Described) -> Vec<Value> {
    let mut all = described.fence();
    all.extend(described.signaling());
    for pod in &described.pods {
        all.extend(described.secrets(pod));
        all.push(described.pod(pod));
    }
    all
}

impl Described {
    /// <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>
    fn labels(&self, component: &str) -> Map<String, Value> {
        let labels = [
            (MANAGED_BY, OURS),
            ("app.kubernetes.io/name", OURS),
            ("app.kubernetes.io/part-of", OURS),
            ("app.kubernetes.io/instance", self.plan.as_str()),
            ("app.kubernetes.io/component", component),
            ("app.kubernetes.io/version", env!("CARGO_PKG_VERSION")),
            (RUN, &self.run),
        ];
        labels.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
    }

    fn object(&self, kind: (&str, &str), (name, component): (&str, &str), mut fields: Value) -> Value {
        let (version, kind) = kind;
        let mut object = json!({
            "apiVersion": version, "kind": kind,
            "metadata": { "name": name, "namespace": self.namespace, "labels": self.labels(component) },
        });
        if let (Some(object), Some(fields)) = (object.as_object_mut(), fields.as_object_mut()) {
            object.append(fields);
        }
        object
    }

    /// The namespace, and what holds it in bounds.
    fn fence(&self) -> Vec<Value> {
        let mut labels = self.labels("run");
        // https://kubernetes.io/docs/concepts/security/pod-security-admission/
        for mode in ["enforce", "audit", "warn"] {
            labels.insert(format!("pod-security.kubernetes.io/{mode}"), json!("restricted"));
        }
        let metadata = json!({ "name": self.namespace, "labels": labels, "annotations": self.annotations });
        // each service's, signaling's, and as many that replace them
        let pods = (self.pods.len() + 1) * 2;
        let hard = json!({
            "pods": pods.to_string(), "services.loadbalancers": "0", "services.nodeports": "0", "persistentvolumeclaims": "10",
        });
        let limits = json!([{
            "type": "Container",
            "default": { "cpu": "1", "memory": "512Mi" },
            "defaultRequest": { "cpu": "50m", "memory": "64Mi" },
        }]);
        // nobody else is let in but over links, which only correspondents are heard on; whom services call is theirs to say
        let policy = json!({
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "ingress": [
                { "from": [{ "podSelector": {} }] },
                { "ports": [{ "protocol": "UDP", "port": 1024, "endPort": 65_535 }] },
            ],
        });
        let run = ("run", "run");
        vec![
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }),
            self.object(("v1", "ResourceQuota"), run, json!({ "spec": { "hard": hard } })),
            self.object(("v1", "LimitRange"), run, json!({ "spec": { "limits": limits } })),
            self.object(("networking.k8s.io/v1", "NetworkPolicy"), run, json!({ "spec": policy })),
            // its own, as the one that every namespace gets comes a moment later, and pods are refused until then
            self.object(("v1", "ServiceAccount"), run, json!({ "automountServiceAccountToken": false })),
        ]
    }

    /// The server that introduces the peers, and its name for them.
    fn signaling(&self) -> Vec<Value> {
        let ready = json!({ "httpGet": { "path": "/readyz", "port": "health" }, "periodSeconds": 1 });
        let alive = json!({ "httpGet": { "path": "/healthz", "port": "health" } });
        let mut container = json!({
            "name": SIGNALING,
            "image": self.signaling_image,
            "env": [{ "name": "MESHPROOF_MESHES", "value": format!("{}={}", self.mesh, self.root) }],
            "ports": [
                { "name": SIGNALING, "containerPort": SIGNALING_PORT }, { "name": "health", "containerPort": HEALTH_PORT },
            ],
            "readinessProbe": ready,
            "livenessProbe": alive,
            "resources": { "requests": { "cpu": "20m", "memory": "32Mi" }, "limits": { "memory": "256Mi" } },
            "securityContext": restricted(),
        });
        container["securityContext"]["readOnlyRootFilesystem"] = json!(true);
        let mut spec = json!({ "restartPolicy": "Always", "containers": [container] });
        spec.as_object_mut().into_iter().for_each(bounded);
        spec["securityContext"]["runAsUser"] = json!(USER);
        let service = json!({
            "selector": { "app.kubernetes.io/component": SIGNALING, RUN: self.run },
            "ports": [{ "name": SIGNALING, "port": SIGNALING_PORT, "targetPort": SIGNALING }],
        });
        let name = (SIGNALING, SIGNALING);
        vec![
            self.object(("v1", "Service"), name, json!({ "spec": service })),
            self.object(("v1", "Pod"), name, json!({ "spec": spec })),
        ]
    }

    fn secrets(&self, pod: &Pod) -> Vec<Value> {
        let secret = |part: &str, data: Map<String, Value>| {
            let name = format!("{}-{part}", pod.name);
            self.object(("v1", "Secret"), (&name, "service"), json!({ "type": "Opaque", "data": data }))
        };
        let encoded = |bytes: &[u8]| Value::from(BASE64.encode(bytes));
        let token = [("token".to_owned(), encoded(pod.token.as_bytes()))].into_iter().collect();
        let variables = pod.variables.iter().map(|(name, value)| (name.clone(), encoded(value.as_bytes())));
        let files = pod.files.iter().enumerate().map(|(number, (_, content))| (file(number), encoded(content)));
        let mut secrets = vec![secret("token", token), secret("variables", variables.collect())];
        secrets.extend((!pod.files.is_empty()).then(|| secret("files", files.collect())));
        secrets
    }

    fn pod(&self, pod: &Pod) -> Value {
        let mut template = pod.template.clone();
        let spec = &mut template.spec;
        bounded(&mut spec.rest);
        spec.rest.entry("restartPolicy").or_insert_with(|| json!("Always"));
        let (first, others) = spec.containers.split_first().expect("a template has containers");
        let services = pod.containers(first);
        spec.containers = services.into_iter().chain(others.iter().cloned()).collect();
        for container in &mut spec.containers {
            container.rest.entry("securityContext").or_insert_with(restricted);
        }
        spec.init_containers.insert(0, self.agent(pod));
        spec.volumes.extend(pod.volumes());
        template.metadata.labels.insert(SERVICE.to_owned(), pod.name.clone());
        let labels = self
            .labels("service")
            .into_iter()
            .map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned()));
        template.metadata.labels.extend(labels);
        template.metadata.rest.insert("name".to_owned(), json!(pod.name));
        template.metadata.rest.insert("namespace".to_owned(), json!(self.namespace));
        let mut whole =
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": template.metadata, "spec": template.spec });
        without_empty(&mut whole["spec"]);
        whole
    }

    /// As `meshproof inject` has it, and with the service's folder.
    fn agent(&self, pod: &Pod) -> Value {
        let url = format!("ws://{SIGNALING}:{SIGNALING_PORT}/mesh");
        let settings = [("MESHPROOF_SIGNALING", url)].into_iter().chain(pod.agent.iter().cloned());
        let wishes = Wishes {
            name: None,
            image: self.agent_image.clone(),
            secret: None,
            settings: settings.collect(),
            of_one_service: false,
        };
        let mut agent = read(&sidecar::container(&pod.service, &wishes));
        if let Some(mounts) = agent["volumeMounts"].as_array_mut() {
            mounts.push(json!({ "name": SERVICE_VOLUME, "mountPath": DIR }));
        }
        agent
    }
}

impl Pod {
    /// One for each process that the plan starts, and one if it starts none.
    fn containers(&self, template: &Container) -> Vec<Container> {
        let mut first = template.clone();
        if let Some(image) = &self.image {
            first.image = Some(image.clone());
        }
        // what the template says beside it stands instead
        let variables = json!({ "secretRef": { "name": format!("{}-variables", self.name) } });
        first.env_from.insert(0, variables);
        first.volume_mounts.push(json!({ "name": SERVICE_VOLUME, "mountPath": DIR }));
        let mounts = self.files.iter().enumerate().map(|(number, (path, _))| {
            json!({ "name": FILES_VOLUME, "mountPath": format!("{DIR}/{path}"), "subPath": file(number), "readOnly": true })
        });
        first.volume_mounts.extend(mounts);
        // a command line is one of this machine's programs, unless it is said what it is to be found in
        let lines = self.processes.iter().filter(|line| !line.is_empty() && self.image.is_some());
        let started: Vec<Container> = lines
            .enumerate()
            .map(|(number, line)| {
                let mut one = first.clone();
                one.command = Some(line.iter().map(|word| word.replace("$(", "$$(")).collect());
                one.rest.remove("args");
                one.rest.entry("workingDir").or_insert_with(|| json!(DIR));
                if number > 0 {
                    one.name = format!("{}-{}", first.name, number + 1);
                }
                one
            })
            .collect();
        if started.is_empty() { vec![first] } else { started }
    }

    fn volumes(&self) -> Vec<Value> {
        let Value::Array(mut volumes) = read(&sidecar::volumes(&format!("{}-token", self.name))) else {
            return Vec::new();
        };
        volumes.push(json!({ "name": SERVICE_VOLUME, "emptyDir": {} }));
        if !self.files.is_empty() {
            volumes.push(json!({ "name": FILES_VOLUME, "secret": { "secretName": format!("{}-files", self.name) } }));
        }
        volumes
    }
}

/// A member of a list, or all of it, as `inject` writes it.
fn read(text: &str) -> Value {
    let list: Value = serde_saphyr::from_str(text).expect("tests read what we write");
    match list {
        Value::Array(mut list) if list.len() == 1 => list.remove(0),
        list => list,
    }
}

/// What a pod is to be where its template does not say otherwise:
/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>
fn bounded(spec: &mut Map<String, Value>) {
    let defaults = [
        ("automountServiceAccountToken", json!(false)),
        ("enableServiceLinks", json!(false)),
        ("serviceAccountName", json!("run")),
        ("terminationGracePeriodSeconds", json!(10)),
        ("securityContext", json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } })),
    ];
    for (name, value) in defaults {
        spec.entry(name).or_insert(value);
    }
}

fn restricted() -> Value {
    json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } })
}

fn file(number: usize) -> String {
    format!("file-{number}")
}

/// Lists of a template that has none.
fn without_empty(spec: &mut Value) {
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    if let Some(spec) = spec.as_object_mut() {
        spec.retain(|_, value| !is_empty(value));
    }
    let containers = spec["containers"].as_array_mut().into_iter().flatten();
    containers.filter_map(Value::as_object_mut).for_each(|container| container.retain(|_, value| !is_empty(value)));
}

#[cfg(test)]
mod tests;
