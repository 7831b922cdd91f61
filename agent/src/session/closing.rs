//! The end of a run at this agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshproof_mesh::Mesh;
use meshproof_proto::event::Fact;
use meshproof_proto::id::Name;
use meshproof_proto::order::FaultReport;
use tokio::sync::mpsc;

use super::run::Work;
use crate::metrics;
use crate::tunnel::Tunnels;

/// What is left of the work at a run.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// Of faults that were still active.
    pub(super) reports: Vec<FaultReport>,
    /// The data network: services are asked to end after this, and one that talks to others while it ends needs it.
    pub(super) network: Option<Tunnels>,
}

/// Gives up steps, heals faults, closes tunnels and stubs, in this order; tells the facts of it.
pub(super) async fn close(mut work: Work, facts: mpsc::Sender<Fact>) -> Closed {
    for (key, result) in work.steps.close().await {
        let _ = facts.send(Fact::StepEnded { key, result }).await;
    }
    for fact in work.tending.close().await {
        let _ = facts.send(fact).await;
    }
    let reports = work.faults.close().await;
    for report in &reports {
        let _ = facts.send(Fact::FaultEnded(report.clone())).await;
    }
    let network = match work.networked {
        true => Some(work.tunnels),
        false => {
            work.tunnels.close().await;
            None
        }
    };
    match Arc::into_inner(work.beside) {
        Some(beside) => {
            for stub in beside.stubs.into_values() {
                stub.close().await;
            }
            beside.logs.close().await;
            if let Some(used) = beside.metrics.close() {
                let _ = facts.send(Fact::Used(used)).await;
            }
        }
        None => tracing::error!("something still uses the stubs of a run that ended"),
    }
    if let Some(used) = metrics::own_since_start() {
        let _ = facts.send(Fact::AgentUsed(used)).await;
    }
    Closed { reports, network }
}

/// Payload bytes of the links by peer's name, sent and received.
#[derive(Debug, Default)]
pub(super) struct LinkBytes {
    sent: BTreeMap<Name, u64>,
    received: BTreeMap<Name, u64>,
}

impl LinkBytes {
    pub(super) fn of(mesh: &Mesh) -> Self {
        let mut bytes = Self::default();
        for link in mesh.links() {
            let Ok(name) = link.name.parse::<Name>() else { continue };
            *bytes.sent.entry(name.clone()).or_default() += link.bytes_sent;
            *bytes.received.entry(name).or_default() += link.bytes_received;
        }
        bytes
    }

    /// What came on top since then.
    pub(super) fn since(self, before: &Self) -> (BTreeMap<Name, u64>, BTreeMap<Name, u64>) {
        let less = |now: BTreeMap<Name, u64>, before: &BTreeMap<Name, u64>| {
            let left = |name: &Name, bytes: u64| bytes.saturating_sub(before.get(name).copied().unwrap_or(0));
            now.into_iter().map(|(name, bytes)| (name.clone(), left(&name, bytes))).collect()
        };
        (less(self.sent, &before.sent), less(self.received, &before.received))
    }
}
