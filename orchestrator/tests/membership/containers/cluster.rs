//! A cluster of one test, to which the real kubectl speaks: an API server that is told what a user's is, and a node whose pods are containers of podman
//! (`tests/membership/cluster`). With `MESHPROOF_TEST_KUBECONFIG` it is that one instead, whose nodes can pull the images `meshproof-…:test` of
//! `MESHPROOF_TEST_REGISTRY`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::podman;
use crate::town::Town;

/// Far above what a namespace takes to end.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Cluster {
    kubeconfig: PathBuf,
    registry: String,
    /// Ends with its standard input.
    server: Option<Child>,
}

/// What this machine lacks for one.
pub fn missing() -> Option<&'static str> {
    let there =
        Command::new("kubectl").args(["version", "--client"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) { None } else { Some("kubectl") }
}

impl Cluster {
    /// `part` tells its containers from those of other tests of this process.
    pub fn start(town: &Town, part: &str) -> Self {
        let registry = std::env::var("MESHPROOF_TEST_REGISTRY").map(|registry| registry + "/").unwrap_or_default();
        if let Some(kubeconfig) = std::env::var_os("MESHPROOF_TEST_KUBECONFIG") {
            return Self { kubeconfig: kubeconfig.into(), registry, server: None };
        }
        let folder = town.path().join("cluster");
        std::fs::create_dir_all(&folder).expect("a new folder");
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/membership/cluster/apiserver.py");
        let mut server = Command::new("python3");
        server.arg(program).arg(&folder).arg(format!("mp{}{part}", std::process::id()));
        server.env("CONTAINERS_CONF", podman::settings()).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut server = server.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 is there");
        let mut line = String::new();
        let output = server.stdout.take().expect("it is a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).expect("it says that it is ready");
        assert!(line.contains("ready"), "{line:?}");
        if line.contains("no schemas") {
            println!("skipped: whether the API's schemas allow what is made; .ci/setup brings them");
        }
        Self { kubeconfig: folder.join("config"), registry, server: Some(server) }
    }

    /// An image of `deploy/images`.
    pub fn image(&self, name: &str) -> String {
        format!("{}meshproof-{name}:test", self.registry)
    }

    /// The command with what it needs to find this cluster, and its images.
    pub fn reached_by(&self, mut command: Command, town: &Town) -> Command {
        command.env("KUBECONFIG", &self.kubeconfig).env("KUBECACHEDIR", town.path().join("kube-cache"));
        let images = [("MESHPROOF_AGENT_IMAGE", "agent"), ("MESHPROOF_SIGNALING_IMAGE", "signaling")];
        command.envs(images.map(|(variable, image)| (variable, self.image(image))));
        command
    }

    pub fn kubectl(&self, town: &Town, arguments: &[&str]) -> String {
        let mut command = Command::new("kubectl");
        command.args(arguments);
        let output = self.reached_by(command, town).output().expect("it is there");
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The namespaces of runs of that plan.
    pub fn namespaces(&self, town: &Town, plan: &str) -> Vec<Value> {
        let selector = format!("--selector=app.kubernetes.io/managed-by=meshproof,app.kubernetes.io/instance={plan}");
        let list = self.kubectl(town, &["get", "namespaces", &selector, "--output=json"]);
        let list: Value = serde_json::from_str(&list).expect("JSON");
        list["items"].as_array().expect("a list").clone()
    }

    /// Waits until there are none.
    pub fn is_empty(&self, town: &Town, plan: &str) {
        let given_up_at = Instant::now() + PATIENCE;
        while let [first, ..] = &self.namespaces(town, plan)[..] {
            assert!(first["status"]["phase"] == "Terminating", "it is on its way out: {first}");
            assert!(Instant::now() < given_up_at, "{first}");
            let name = first["metadata"]["name"].as_str().expect("a name");
            self.kubectl(town, &["wait", "--for=delete", &format!("namespace/{name}"), "--timeout=120s"]);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            drop(server.stdin.take());
            let _ = server.wait();
        }
    }
}
