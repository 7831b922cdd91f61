//! Waits for agents that take part in another run, in a mesh that several use.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use meshproof_mesh::MeshEvent;
use meshproof_proto::id::Name;
use meshproof_proto::order::{Initialize, Initialized};
use meshproof_proto::rpc::Refusal;

use super::crew::{CallError, Caller};
use super::driver::Driver;
use super::outcome::Broken;
use crate::local;
use crate::record::Happening;

/// When an agent that is taken is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

impl Driver {
    /// Gives the agents their orders as they become free, one after the other by name: so of two runs that wait for the same agents none has
    /// what the other waits for while it waits for that one.
    pub(super) async fn initialize_in_turn(
        &mut self,
        (places, held): (&BTreeMap<Name, local::Place>, &BTreeMap<String, String>),
        within: Duration,
    ) -> Result<BTreeMap<Name, Initialized>, Broken> {
        let until = Instant::now() + within;
        let (mut initialized, mut told) = (BTreeMap::new(), BTreeSet::new());
        for (name, caller) in self.crew.callers() {
            loop {
                let order = self.initialize_order(&name, places, held);
                match initialize(&caller, order).await {
                    Ok(ports) => {
                        initialized.insert(name, ports);
                        break;
                    }
                    Err(CallError::Refused(Refusal::Busy(run))) if Instant::now() < until => {
                        let text = format!("waiting for run {run}, which has agent {name}");
                        if told.insert(run) {
                            self.scribe.say_early(Happening::Noted { text })?;
                        }
                        self.let_pass(AGAIN_AFTER).await;
                    }
                    Err(error) => return Err(refused(&name, &error)),
                }
            }
        }
        Ok(initialized)
    }

    /// Takes note of links that are replaced meanwhile.
    async fn let_pass(&mut self, time: Duration) {
        let over = tokio::time::sleep(time);
        tokio::pin!(over);
        while let Some(events) = &mut self.mesh_events {
            tokio::select! {
                Some(event) = events.recv() => if let MeshEvent::LinkUp(up) = event {
                    self.crew.linked(up);
                },
                () = &mut over => return,
            }
        }
    }
}

pub(super) async fn initialize(caller: &Caller, order: Initialize) -> Result<Initialized, CallError> {
    caller
        .call(|client, context| {
            let order = Box::new(order.clone());
            async move { client.initialize(context, order).await }
        })
        .await
}

pub(super) fn refused(agent: &Name, error: &CallError) -> Broken {
    Broken::because(format!("agent {agent} did not initialize: {error}"))
}
