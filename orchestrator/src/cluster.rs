//! A run in a Kubernetes cluster: a namespace of its own, a pod for each service with its agent beside it, and a signaling server that
//! this machine reaches through the API server.
//!
//! What is made is decided purely (`allotted`, `template`, `manifests`), and so is what a pod's status means (`pods`). kubectl does the
//! talking, with the user's own configuration. Once the agents are there the run goes on as in any mesh that stands. What may live here: what
//! a cluster is asked for. What never: steps, and links.

mod allotted;
mod clean;
mod evidence;
mod forward;
mod kubectl;
mod limits;
mod manifests;
mod namespace;
mod opening;
mod pods;
mod template;

pub use clean::{Forensics, clear};
pub use kubectl::{Kubectl, KubectlError};
pub use limits::KEPT;
pub use namespace::Cluster;
pub use opening::{Making, NotMade};
pub use template::{DEFAULT, NoTemplate, Template, templates};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::id::Name;

use crate::plan::Plan;

/// What somebody wants of a cluster for a run.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The context of the kubeconfig; none: its current one.
    pub context: Option<String>,
    pub agent_image: String,
    pub signaling_image: String,
    /// How long the namespace of a run that did not pass is kept.
    pub keep: Duration,
    /// The plan with what it says of starting its services.
    pub plan: Arc<Plan>,
    /// What the pod of each service is made from.
    pub templates: BTreeMap<Name, Template>,
}
