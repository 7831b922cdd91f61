//! `--on kubernetes`: which cluster, and what pods are made from.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::verdict::Exit;

use super::check;
use super::given::Given;
use crate::cluster::{KEPT, NoTemplate, Wanted, templates};
use crate::coordinator::Clustered;
use crate::local::Engine;
use crate::plan::{Code, Diagnostic, Plan, Source};
use crate::say;

/// Where services and agents are started, if not as processes of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum On {
    Podman,
    Docker,
    Kubernetes,
}

impl On {
    pub(super) fn engine(self) -> Option<Engine> {
        match self {
            Self::Podman => Some(Engine::Podman),
            Self::Docker => Some(Engine::Docker),
            Self::Kubernetes => None,
        }
    }
}

/// What a cluster is told beside the plan.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ClusterArgs {
    /// With --on kubernetes: the kubeconfig's context. Default: its current one.
    #[arg(long, value_name = "CONTEXT", requires = "on")]
    context: Option<String>,
    /// With --on kubernetes: the folder with the templates of pods, `SERVICE.yaml` for a service, `default.yaml` for those that are an
    /// image. Default: `deploy/templates` beside the plan, or further up in its repository.
    #[arg(long, value_name = "DIR", requires = "on")]
    templates: Option<PathBuf>,
    /// With --on kubernetes: the agents' image.
    #[arg(long, value_name = "IMAGE", env = "MESHPROOF_AGENT_IMAGE", default_value = concat!("meshproof-agent:", env!("CARGO_PKG_VERSION")))]
    agent_image: String,
    /// With --on kubernetes: signaling's image.
    #[arg(long, value_name = "IMAGE", env = "MESHPROOF_SIGNALING_IMAGE", default_value = concat!("meshproof-signaling:", env!("CARGO_PKG_VERSION")))]
    signaling_image: String,
    /// With --on kubernetes: how long the namespace of a run that did not pass is kept, as in `2h`. Default: 24h.
    #[arg(long, value_name = "DURATION", requires = "on", value_parser = duration)]
    keep_namespace: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::plan::duration(text).map_err(|error| error.to_string())
}

impl ClusterArgs {
    /// The plan for services of a cluster, and that cluster.
    ///
    /// # Errors
    /// What of the plan is not done there, or has no template; it was told.
    pub(super) fn placed(
        &self,
        plan: Plan,
        addresses: Vec<IpAddr>,
        read: (&Source, &Path, &Given),
    ) -> Result<(Plan, Option<Clustered>), Exit> {
        let whole = Arc::new(plan.clone());
        let plan = check::allowed(plan.clustered(), read)?;
        let dir = check::plan_dir(read.1).map_err(|error| say::failed(&error, Exit::Usage))?;
        let found = templates(&whole, &dir, self.templates.as_deref());
        let found = found.map_err(|missing| missing.into_iter().map(diagnostic).collect());
        // told as all else that the plan lacks
        let templates = match found {
            Ok(templates) => templates,
            Err(missing) => return check::allowed(Err(missing), read).map(|plan| (plan, None)),
        };
        let wanted = Wanted {
            context: self.context.clone(),
            agent_image: self.agent_image.clone(),
            signaling_image: self.signaling_image.clone(),
            keep: self.keep_namespace.unwrap_or(KEPT),
            plan: whole,
            templates,
        };
        Ok((plan, Some(Clustered { wanted: Arc::new(wanted), addresses })))
    }
}

fn diagnostic(NoTemplate { span, why }: NoTemplate) -> Diagnostic {
    Diagnostic::new(Code::Unsupported, span, why.to_string()).help(why.help())
}
