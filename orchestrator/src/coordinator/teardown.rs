//! Ends everything that was started, beside the loop, which goes on taking the agents' last events.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use meshproof_mesh::Mesh;
use meshproof_proto::id::Name;
use meshproof_proto::mask::Masker;
use meshproof_proto::order::Authority;
use meshproof_proto::rpc::Refusal;
use meshproof_proto::verdict::Verdict;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Options;
use super::clustered::CONSOLE_FILE;
use super::crew::{CallError, Caller};
use super::driver::{Driver, own_bytes};
use super::standing;
use crate::cluster::Cluster;
use crate::local::{Collect, How, LocalEnvironment, LocalError, Stopped};
use crate::record::Happening;
use crate::run::{Input, Problem};

/// An agent's part of the end: faults healed, stubs and tunnels closed, events delivered.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// How often an agent is asked whether its events were all acknowledged.
const DRAIN_EVERY: Duration = Duration::from_millis(10);

struct Teardown {
    agents: Vec<(Name, Caller)>,
    /// Those of them that take part in the run.
    initialized: Vec<(Name, Caller)>,
    authority: Authority,
    environment: Option<LocalEnvironment>,
    cluster: Option<Cluster>,
    options: Options,
    keep: Collect,
    masker: Arc<Masker>,
    inbox: mpsc::Sender<Input>,
    mesh: Option<Mesh>,
    carried: Arc<OnceLock<Happening>>,
}

impl Driver {
    /// Begins the end. Answered by `TornDown`.
    pub(super) fn tear_down(&mut self) {
        if self.teardown.is_some() {
            return;
        }
        if let (true, Some(cluster)) = (self.failed, self.cluster.as_ref().filter(|cluster| cluster.is_made())) {
            let text = cluster.kept();
            if let Err(error) = self.scribe.say(Happening::Noted { text }) {
                tracing::warn!(%error, "it cannot be told that the namespace is kept");
            }
        }
        let agents = self.crew.callers();
        let initialized = agents.iter().filter(|(name, _)| self.settings.contains_key(name)).cloned().collect();
        let teardown = Teardown {
            agents,
            initialized,
            authority: self.authority.clone(),
            environment: self.environment.take(),
            cluster: self.cluster.take(),
            options: self.options.clone(),
            keep: if self.failed { Collect::Everything } else { Collect::Outputs },
            masker: self.scribe.masker(),
            inbox: self.inbox_in.clone(),
            mesh: self.mesh.clone(),
            carried: Arc::clone(&self.carried),
        };
        self.teardown = Some(tokio::spawn(teardown.run()));
    }
}

impl Teardown {
    async fn run(mut self) {
        let mut problems = Vec::new();
        if self.options.mesh.is_some()
            && let Err(problem) = standing::collect(&self.initialized, &self.options.out).await
        {
            problems.push((Verdict::Error, problem));
        }
        let finishing = self.agents.drain(..).map(|(name, caller)| finish(name, caller, self.authority.clone()));
        for problem in futures::future::join_all(finishing).await {
            problems.extend(problem);
        }
        // with the agents go their links, and what these carried
        if let Some(mesh) = self.mesh.take() {
            let _ = self.carried.set(own_bytes(&mesh));
        }
        if let Some(environment) = self.environment.take() {
            problems.extend(end(environment, &self).await);
        }
        if let Some(cluster) = self.cluster.take() {
            problems.extend(self.let_go(cluster).await);
        }
        let _ = self.inbox.send(Input::TornDown { problems }).await;
    }
}

impl Teardown {
    /// Of one that passed nothing is left, and one that did not is kept as it is.
    async fn let_go(&self, cluster: Cluster) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(problem) = cluster.collect(&self.options.out, &self.masker).await {
            problems.push((Verdict::Error, problem));
        }
        // what it names is not there any more, or not for long
        let _ = std::fs::remove_file(self.options.out.join(CONSOLE_FILE));
        let namespace = cluster.namespace().to_owned();
        let (what, let_go) = match self.keep {
            Collect::Everything if cluster.is_made() => ("said to be kept", cluster.leave().await),
            Collect::Everything | Collect::Outputs | Collect::Logs => ("removed", cluster.remove().await),
        };
        if let Err(error) = let_go {
            problems.push((Verdict::Error, format!("the namespace {namespace} cannot be {what}: {error}")));
        }
        problems
    }
}

/// One agent's end; gives what went wrong.
async fn finish(name: Name, caller: Caller, authority: Authority) -> Option<Problem> {
    let finishing = async {
        let finished = caller.call(|client, context| {
            let authority = authority.clone();
            async move { client.finish(context, authority).await }
        });
        match finished.await {
            Ok(_) => {}
            // it never took part
            Err(CallError::Refused(Refusal::NoSuchRun(_))) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        loop {
            let status = caller.call(|client, context| async move { client.status(context).await });
            match status.await {
                Ok(status) if status.events_unacked == 0 => return Ok(()),
                Ok(_) => tokio::time::sleep(DRAIN_EVERY).await,
                Err(error) => return Err(error.to_string()),
            }
        }
    };
    match timeout(FINISH_WITHIN, finishing).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some((Verdict::Error, format!("agent {name} did not finish: {error}"))),
        Err(_) => Some((Verdict::Error, format!("agent {name} did not finish within {FINISH_WITHIN:?}"))),
    }
}

/// Services first, so that their last words are in the logs; then everything else.
async fn end(environment: LocalEnvironment, teardown: &Teardown) -> Vec<Problem> {
    let mut problems = Vec::new();
    match environment.stop(Stopped::Services, How::Asking).await {
        Ok(_) => {}
        // With the keeper everything has ended, and the folder is gone: there is nothing else to try.
        Err(error @ LocalError::Gone { .. }) => return vec![broken(error)],
        Err(error) => problems.push(broken(error)),
    }
    if let Err(error) = environment.collect(&teardown.options.out, teardown.keep, Arc::clone(&teardown.masker)).await {
        problems.push(broken(error));
    }
    match environment.end().await {
        Ok(report) => problems.extend(report.wrong_services().map(|wrong| (Verdict::Fail, wrong.to_string()))),
        Err(error) => problems.push(broken(error)),
    }
    problems
}

fn broken(error: LocalError) -> Problem {
    (Verdict::Error, error.to_string())
}
