//! The agent as a native sidecar: an init container that is always restarted (Kubernetes 1.29 and later), in a pod that may be as restricted as
//! Pod Security's `restricted` has it.

use std::fmt::Write as _;

use meshproof_proto::id::Name;

const CONTAINER: &str = "meshproof-agent";
const TOKEN: &str = "meshproof-token";
const STATE: &str = "meshproof-state";

/// What a pod with an agent has.
pub(super) const NAMES: [&str; 3] = [CONTAINER, TOKEN, STATE];

/// What somebody wants of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// Default: the workload's.
    pub name: Option<Name>,
    pub image: String,
    /// The Secret with the token. Default: `meshproof-AGENT`.
    pub secret: Option<String>,
    /// Values of the agent's settings, by the names of their variables.
    pub settings: Vec<(&'static str, String)>,
    /// Whether some of these are about one service only.
    pub of_one_service: bool,
}

impl Wishes {
    /// Whether they make sense for one workload only.
    pub(super) fn are_of_one(&self) -> bool {
        self.name.is_some() || self.secret.is_some() || self.of_one_service
    }
}

/// As a member of a list. It does not hold back the containers beside it: without a mesh a service serves all the same, so that there is no
/// probe for readiness; liveness is the agent's own event loop, never its peers.
pub(crate) fn container(agent: &Name, wishes: &Wishes) -> String {
    let mut text = format!(
        "- name: {CONTAINER}\n  image: {}\n  restartPolicy: Always\n  env:\n    - {{ name: MESHPROOF_NAME, value: {} }}\n",
        quoted(&wishes.image),
        quoted(agent.as_str())
    );
    for (name, value) in &wishes.settings {
        let _ = writeln!(text, "    - {{ name: {name}, value: {} }}", quoted(value));
    }
    text + "  ports:\n    - { name: meshproof, containerPort: 9464 }\n  livenessProbe:\n    httpGet: { path: /healthz, port: meshproof }\n  \
            resources:\n    requests: { cpu: 10m, memory: 40Mi }\n    limits: { memory: 256Mi }\n  securityContext:\n    \
            allowPrivilegeEscalation: false\n    capabilities: { drop: [ALL] }\n    readOnlyRootFilesystem: true\n    \
            runAsNonRoot: true\n    runAsUser: 65532\n    seccompProfile: { type: RuntimeDefault }\n  volumeMounts:\n    \
            - { name: meshproof-token, mountPath: /etc/meshproof, readOnly: true }\n    - { name: meshproof-state, mountPath: /state }\n"
}

pub(crate) fn volumes(secret: &str) -> String {
    format!(
        "- {{ name: {TOKEN}, secret: {{ secretName: {} }} }}\n- {{ name: {STATE}, emptyDir: {{}} }}\n",
        quoted(secret)
    )
}

/// As YAML and JSON both read it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
