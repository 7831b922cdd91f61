//! A pretend upstream: an HTTP/1.1 server on loopback that answers what the plan says.
//!
//! The first route whose conditions all hold answers, its replies in turn. A fault on the stub delays replies or holds them;
//! what it did is measured, and probed over loopback when nobody called. A stub never follows links, keeps files or asks anybody.

mod fault;
mod glob;
mod journal;
mod reply;
mod request;
mod route;
mod server;

pub use fault::Unsupported;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::event::Fact;
use meshproof_proto::expr::Template;
use meshproof_proto::order::{Action, Body, FaultReport, HttpAction, StubOrder, Target};
use meshproof_proto::seed::Seed;
use meshproof_proto::shaper::Shape;
use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::action::perform;
use crate::limits;
use fault::{Disturbance, Measured};
use journal::Journal;
use server::Shared;

/// A stub that listens. Dropping it closes it.
#[derive(Debug)]
pub struct StubServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: TaskTracker,
    stop: DropGuard,
}

/// A stub cannot listen.
#[derive(Debug, Error)]
#[error("stub `{name}` cannot listen on port {port}: {error}")]
pub struct BindError {
    name: String,
    port: u16,
    error: std::io::Error,
}

impl StubServer {
    /// Listens on 127.0.0.1. Every call becomes a fact; while `facts` is full, replies wait. `seed` draws jitter.
    pub async fn bind(order: StubOrder, facts: mpsc::Sender<Fact>, seed: u64) -> Result<Self, BindError> {
        let (name, port) = (order.name.clone(), order.port);
        let bound = async {
            let listener = TcpListener::bind(("127.0.0.1", port)).await?;
            let address = listener.local_addr()?;
            std::io::Result::Ok((listener, address))
        };
        let (listener, address) = bound.await.map_err(|error| BindError { name, port, error })?;
        let shared = Arc::new(Shared {
            journal: Journal::of(&order),
            order,
            facts,
            disturbance: Disturbance::with(Seed::new(seed)),
            probe: probe_secret(),
        });
        let token = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(server::accept(listener, Arc::clone(&shared), token.clone(), tasks.clone()));
        tasks.close();
        Ok(Self { shared, address, tasks, stop: token.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The stub's name.
    pub fn name(&self) -> &str {
        &self.shared.order.name
    }

    /// Calls so far, on one route or on all, those that no route matched included. `None`: there is no such route.
    pub fn calls(&self, route: Option<&str>) -> Option<u64> {
        self.shared.journal.calls(route)
    }

    /// Forgets every call: counts and the replies of routes start anew. A disturbance goes on.
    pub fn begin_anew(&self) {
        self.shared.journal.clear();
    }

    /// Tells whenever a call came.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.journal.changes()
    }

    /// The last calls, the oldest first, for people.
    pub fn last_calls(&self) -> Vec<String> {
        self.shared.journal.last()
    }

    /// Disturbs every reply from now on. The same shape again goes on as it was, as when a lease is renewed.
    pub fn begin_fault(&self, shape: Shape) -> Result<(), Unsupported> {
        self.shared.disturbance.begin(shape)
    }

    /// Ends the disturbance, releases what it holds, and says what it did, under the fault's name. `None`: there was none.
    pub async fn end_fault(&self, fault: &str) -> Option<FaultReport> {
        let disturbance = &self.shared.disturbance;
        let shape = disturbance.shape()?;
        let mut probes = 0;
        if disturbance.measured().is_none_or(|measured| measured.calls() == 0) && !fault::is_nothing(&shape) {
            let longest = if shape.is_black_hole() { limits::STUB_HELD_PROBE } else { fault::longest(&shape) };
            self.probe(longest).await;
            probes = 1;
        }
        let measured: Measured = disturbance.end()?;
        let healed = self.probe(limits::STUB_PROBE).await;
        Some(measured.report(fault, &shape, fault::Seen { probes, healed }))
    }

    /// One call to ourselves through everything that other calls go through. Whether it was answered in time.
    async fn probe(&self, within: Duration) -> bool {
        let action = Action::Http(HttpAction {
            target: Target { label: format!("stub {}", self.name()), address: self.address.to_string() },
            method: "GET".to_owned(),
            path: Template::text(server::PROBE_PATH),
            headers: vec![(server::PROBE_HEADER.to_owned(), Template::text(&self.shared.probe))],
            body: Body::Empty,
        });
        let began = Instant::now();
        let answer = perform(&action, &Value::Null, within).await;
        tracing::debug!(stub = self.name(), took = ?began.elapsed(), error = ?answer.error, "probed");
        answer.error.is_none()
    }

    /// Closes the port and every connection, and waits until they are closed.
    pub async fn close(self) {
        drop(self.stop);
        self.tasks.wait().await;
    }
}

/// What tells a probe from a service's call.
fn probe_secret() -> String {
    // Without luck from the system, a service could only hit this by trying.
    let luck = getrandom::u64().unwrap_or(0x6d65_7368_7072_6f6f);
    format!("{luck:016x}")
}

#[cfg(test)]
mod tests;
