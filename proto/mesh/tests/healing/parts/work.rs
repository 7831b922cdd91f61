//! Calls between peers: who runs one says so, and who made one says how it ended.

use std::time::{Duration, Instant};

use futures::StreamExt;
use meshproof_mesh::RpcPort;
use meshproof_mesh::rpc::CallFailure;
use tarpc::context::Context;
use tarpc::server::Channel;
use tokio::sync::watch;

use crate::wire::{self, Event, Outcome, Way};

/// Longer than any cut, so that a call ends by its link and not by its clock.
const CALL_WITHIN: Duration = Duration::from_secs(20);

#[tarpc::service]
pub trait Work {
    /// Runs once for each call; answers after a while.
    async fn work(id: u64, answered_after: Duration) -> u64;
    async fn echo(id: u64) -> u64;
}

#[derive(Clone)]
struct Worker;

impl Work for Worker {
    async fn work(self, _: Context, id: u64, answered_after: Duration) -> u64 {
        wire::say(Event::Executing { id });
        tokio::time::sleep(answered_after).await;
        id
    }

    async fn echo(self, _: Context, id: u64) -> u64 {
        id
    }
}

/// The client of a link's present generation.
pub type Current = watch::Sender<Option<WorkClient>>;

/// Serves the peer over one generation of a link, and gives the client for it.
pub fn both_ways(port: RpcPort) -> WorkClient {
    let (client, server) = port.split::<WorkRequest, WorkResponse, WorkRequest, WorkResponse>();
    let serving = tarpc::server::BaseChannel::with_defaults(server).execute(Worker.serve());
    tokio::spawn(serving.for_each(|response| async {
        tokio::spawn(response);
    }));
    WorkClient::new(tarpc::client::Config::default(), client).spawn()
}

/// Calls once, on the generation that is there now.
pub async fn call(client: Option<WorkClient>, id: u64, answered_after: Duration) {
    let outcome = match client {
        None => Outcome::Failed { may_have_happened: false, error: "there never was a link".to_owned() },
        Some(client) => match client.work(context(), id, answered_after).await {
            Ok(answer) if answer == id => Outcome::Answered,
            Ok(other) => Outcome::Failed { may_have_happened: true, error: format!("answered with {other}") },
            Err(error) => {
                let failure = CallFailure::from(error);
                Outcome::Failed { may_have_happened: failure.may_have_happened(), error: failure.to_string() }
            }
        },
    };
    wire::say(Event::Called { id, outcome });
}

/// Calls, on whatever generation there is, until one call is answered.
pub async fn echo(mut current: watch::Receiver<Option<WorkClient>>, id: u64) {
    loop {
        let client = current.borrow_and_update().clone();
        let answer = async {
            match client {
                Some(client) => client.echo(context(), id).await.is_ok_and(|answer| answer == id),
                None => false,
            }
        };
        let answered = tokio::select! {
            answered = answer => answered,
            changed = current.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        if answered {
            return wire::say(Event::Echoed { id, by: Way::Call });
        }
        if current.changed().await.is_err() {
            return;
        }
    }
}

fn context() -> Context {
    let mut context = tarpc::context::current();
    context.deadline = Instant::now() + CALL_WITHIN;
    context
}
