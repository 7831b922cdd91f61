//! The agents of a run, as the orchestrator reaches them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshproof_mesh::LinkUp;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::limits::CALLS_IN_FLIGHT;
use meshproof_proto::rpc::{AgentClient, AgentRequest, AgentResponse, Refusal};
use tarpc::client::RpcError;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;

/// One call, answered or not. No call is long: results of steps come as events.
const CALL_WITHIN: Duration = Duration::from_secs(10);

/// How long a call may wait for a link that is being replaced, repeats included.
const REACH_WITHIN: Duration = Duration::from_secs(30);

/// Half of what an agent takes, as calls that were given up here may still be on their way there. Others wait for their turn.
const CALLS_AT_ONCE: usize = CALLS_IN_FLIGHT / 2;

/// When a call that was not made is made again over the same connection.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The agents by name.
#[derive(Debug, Default)]
pub(super) struct Crew(BTreeMap<Name, Seat>);

#[derive(Debug)]
struct Seat {
    peer: PeerId,
    client: watch::Sender<Option<AgentClient>>,
}

/// Calls one agent, over whatever connection its link has.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    client: watch::Receiver<Option<AgentClient>>,
}

/// A call that brought no result.
#[derive(Debug, Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the agent could not be reached within {0:?}")]
    Unreachable(Duration),
}

impl Crew {
    /// An agent joined; the latest instance of a name holds it.
    pub(super) fn seat(&mut self, name: Name, peer: PeerId) {
        let client = watch::Sender::new(None);
        self.0.insert(name, Seat { peer, client });
    }

    /// A link came up, for the first time or again. Gives the agent's name, if it is one of the crew.
    pub(super) fn linked(&mut self, up: LinkUp) -> Option<Name> {
        let (name, seat) = self.0.iter().find(|(_, seat)| seat.peer == up.peer.peer)?;
        let (client, _) = up.rpc.split::<AgentRequest, AgentResponse, AgentRequest, AgentResponse>();
        let mut config = tarpc::client::Config::default();
        config.max_in_flight_requests = CALLS_AT_ONCE;
        let client = AgentClient::new(config, client).spawn();
        seat.client.send_replace(Some(client));
        Some(name.clone())
    }

    pub(super) fn name_of(&self, peer: &PeerId) -> Option<&Name> {
        self.0.iter().find(|(_, seat)| seat.peer == *peer).map(|(name, _)| name)
    }

    pub(super) fn roster(&self) -> BTreeMap<Name, PeerId> {
        self.0.iter().map(|(name, seat)| (name.clone(), seat.peer)).collect()
    }

    /// How to call that agent; `None` when it never joined.
    pub(super) fn caller(&self, name: &Name) -> Option<Caller> {
        self.0.get(name).map(|seat| Caller { client: seat.client.subscribe() })
    }

    pub(super) fn callers(&self) -> Vec<(Name, Caller)> {
        self.0.keys().filter_map(|name| Some((name.clone(), self.caller(name)?))).collect()
    }

    /// The agent is gone: calls to it end.
    pub(super) fn lose(&mut self, name: &Name) {
        self.0.remove(name);
    }
}

impl Caller {
    /// Calls until there is an answer. A call without one is made again, on the next connection if its own has ended: agents do each
    /// order at most once, so that is safe.
    pub(super) async fn call<T, F, Answer>(&self, make: F) -> Result<T, CallError>
    where
        F: Fn(AgentClient, tarpc::context::Context) -> Answer,
        Answer: Future<Output = Result<Result<T, Refusal>, RpcError>>,
    {
        match timeout(REACH_WITHIN, self.keep_calling(make)).await {
            Ok(Some(answer)) => Ok(answer?),
            Ok(None) | Err(_) => Err(CallError::Unreachable(REACH_WITHIN)),
        }
    }

    /// `None` when the agent is gone.
    async fn keep_calling<T, F, Answer>(&self, make: F) -> Option<Result<T, Refusal>>
    where
        F: Fn(AgentClient, tarpc::context::Context) -> Answer,
        Answer: Future<Output = Result<Result<T, Refusal>, RpcError>>,
    {
        let mut clients = self.client.clone();
        loop {
            let client = clients.wait_for(Option::is_some).await.ok()?.clone()?;
            clients.mark_unchanged();
            tokio::select! {
                answer = make(client, context()) => match answer {
                    Ok(answer) => return Some(answer),
                    Err(error) => {
                        tracing::debug!(%error, "a call ended without an answer");
                        if let Ok(changed) = timeout(AGAIN_AFTER, clients.changed()).await {
                            changed.ok()?;
                        }
                    }
                },
                changed = clients.changed() => changed.ok()?,
            }
        }
    }
}

fn context() -> tarpc::context::Context {
    let mut context = tarpc::context::current();
    context.deadline = Instant::now() + CALL_WITHIN;
    context
}
