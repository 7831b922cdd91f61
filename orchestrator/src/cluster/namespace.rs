//! The namespace of a run: everything in it goes when it does.

use std::path::Path;
use std::time::Duration;

use meshproof_proto::event::Evidence;
use meshproof_proto::id::{Name, RunId};
use meshproof_proto::mask::Masker;

use super::evidence::Evident;
use super::forward::Forward;
use super::kubectl::{Kubectl, KubectlError};
use super::limits::{NAME_CHARS, TAKEN_LINES};
use super::manifests::{EXPIRES, STATE};
use crate::record::now_ms;
use crate::report::figures;

/// A namespace that is to be made, or is there. Dropped before it was ended, it is removed.
#[derive(Debug)]
pub struct Cluster {
    pub(super) evident: Evident,
    keep: Duration,
    pub(super) forward: Option<Forward>,
    /// The pod of each service.
    pub(super) pods: Vec<(Name, String)>,
    pub(super) stage: Stage,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody was asked for it.
    Named,
    /// It may be there.
    Asked,
    /// It is there, with everything in it.
    Made,
    /// It is somebody else's.
    Over,
}

impl Cluster {
    /// Of that run, in that context of the kubeconfig or its current one. Nothing is made yet.
    #[must_use]
    pub fn named(plan: &Name, run: &RunId, (context, keep): (Option<String>, Duration)) -> Self {
        let namespace = namespace(plan, run);
        let evident = Evident { kubectl: Kubectl::new(context), namespace };
        Self { evident, keep, forward: None, pods: Vec::new(), stage: Stage::Named }
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.evident.namespace
    }

    /// Where this machine finds signaling.
    pub fn signaling(&self) -> Vec<String> {
        self.forward.iter().map(Forward::url).collect()
    }

    /// What it says of the pod of a service.
    pub async fn evidence(&self, service: &Name) -> Vec<Evidence> {
        let pods: Vec<String> =
            self.pods.iter().filter(|(name, _)| name == service).map(|(_, pod)| pod.clone()).collect();
        self.evident.of(&pods).await
    }

    /// Whether there is something to look at when its run did not pass.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.stage == Stage::Made
    }

    /// What somebody is told of one that is kept from now on.
    #[must_use]
    pub fn kept(&self) -> String {
        let until = figures::day_and_time(now_ms() + millis(self.keep));
        let look = self.evident.kubectl.shown(&format!("--namespace={} get pods,events", self.namespace()));
        format!(
            "the namespace {} is kept until {until}: {look}; `meshproof clean --on kubernetes` removes it then",
            self.namespace()
        )
    }

    /// Writes what its containers printed below `out`, without secrets.
    ///
    /// # Errors
    /// It cannot be had, or not be written; in words.
    pub async fn collect(&self, out: &Path, masker: &Masker) -> Result<(), String> {
        if self.forward.is_none() {
            // what they printed stands beside why they are not ready
            return Ok(());
        }
        let namespace = format!("--namespace={}", self.namespace());
        let tail = format!("--tail={TAKEN_LINES}");
        for (service, pod) in &self.pods {
            let arguments = ["logs", pod, &namespace, "--all-containers", "--prefix", "--timestamps", &tail];
            let folder = out.join("logs").join(service.as_str());
            let printed = self.evident.kubectl.done(&arguments).await;
            let printed = printed.map_err(|error| format!("the log of the pod {pod}: {error}"))?;
            std::fs::create_dir_all(&folder)
                .and_then(|()| std::fs::write(folder.join("pod.log"), masker.mask(&printed).as_bytes()))
                .map_err(|error| format!("the log of the pod {pod} cannot be written: {error}"))?;
        }
        Ok(())
    }

    /// It is not needed any more.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn remove(mut self) -> Result<(), KubectlError> {
        if self.stage == Stage::Named {
            return Ok(());
        }
        let removed = self.evident.kubectl.done(&removing(self.namespace())).await.map(drop);
        // once is enough: it would not go better
        self.stage = Stage::Over;
        removed
    }

    /// It stays as it is, for whoever wants to look at it.
    ///
    /// # Errors
    /// What says how long cannot be written; then it stays until it is cleaned away.
    pub async fn leave(mut self) -> Result<(), KubectlError> {
        self.stage = Stage::Over;
        let (state, expires) = (format!("{STATE}=kept"), format!("{EXPIRES}={}", expires(self.keep)));
        let arguments = ["annotate", "namespace", self.namespace(), &state, &expires, "--overwrite"];
        self.evident.kubectl.done(&arguments).await.map(drop)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Asked | Stage::Made) {
            self.evident.kubectl.begin(&removing(self.namespace()));
        }
    }
}

/// What is in it is ended beside us.
pub(super) fn removing(namespace: &str) -> [&str; 5] {
    ["delete", "namespace", namespace, "--wait=false", "--ignore-not-found"]
}

/// `mesh-run-NAME-XXXXXXXX`, after the plan and the run.
fn namespace(plan: &Name, run: &RunId) -> String {
    let plan: String = label(plan.as_str()).chars().take(NAME_CHARS).collect();
    let run: String = run.0.chars().filter(char::is_ascii_alphanumeric).skip(1).take(8).collect();
    format!("mesh-run-{}-{}", plan.trim_end_matches('-'), run.to_lowercase())
}

/// As names of namespaces and pods are: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names>
pub(super) fn label(name: &str) -> String {
    let letters =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' });
    letters.collect::<String>().trim_matches('-').to_owned()
}

/// As API servers write times. Two of them can be held against each other as they are.
pub(super) fn time(at_ms: u64) -> String {
    figures::day_and_time(at_ms).replacen(' ', "T", 1).replace(" UTC", "Z")
}

pub(super) fn expires(keep: Duration) -> String {
    time(now_ms() + millis(keep))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_called_after_its_plan_and_its_run() {
        let of = |plan: &str| namespace(&plan.parse().expect("a name"), &RunId("r-0123456789ab".to_owned()));
        assert_eq!(of("checkout"), "mesh-run-checkout-01234567");
        assert_eq!(of("Check_Out"), "mesh-run-check-out-01234567");
        assert!(of(&"long-".repeat(12)).len() <= 63);
        assert_eq!(time(1_772_323_200_000), "2026-03-01T00:00:00Z");
    }
}
