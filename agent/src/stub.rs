//! A pretend upstream: a server on loopback that answers what the plan says, over HTTP/1.1, gRPC or a raw connection.
//!
//! The first route whose conditions all hold answers, its replies in turn. A fault on the stub delays replies or holds them;
//! what it did is measured, and probed over loopback when nobody called. A stub keeps no files, and asks nobody but those that the plan
//! names as the other end of an upstream.

mod body;
mod calls;
mod condition;
mod fault;
mod grpc;
mod handler;
mod http;
mod journal;
mod line;
mod raw;
mod reply;
mod request;
mod routed;
mod server;
mod state;
mod table;
mod tls;
mod upstreams;

pub(crate) use condition::Condition;
pub use fault::Unsupported;
pub use journal::OutOfOrder;
pub use state::TooManyRoutes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::event::Fact;
use meshproof_proto::id::RunId;
use meshproof_proto::mask::Masker;
use meshproof_proto::order::{FaultReport, Keep, Protocol, StubChange, StubOrder};
use meshproof_proto::seed::Seed;
use meshproof_proto::shaper::Shape;
use meshproof_proto::stub::StubReport;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::limits;
use crate::notes::Notes;
use crate::outbox::StubPast;
use crate::permits::Permits;
use crate::struck::Struck;
use fault::{Disturbance, Measured};
use grpc::Methods;
use journal::Journal;
use server::Shared;
use state::State;
use upstreams::Hosts;

/// A stub that listens. Dropping it closes it.
#[derive(Debug)]
pub struct StubServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: TaskTracker,
    stop: DropGuard,
}

/// What a stub finds around it.
#[derive(Clone, Debug)]
pub struct Around {
    /// Where calls are told.
    pub facts: mpsc::Sender<Fact>,
    /// Draws jitter.
    pub seed: u64,
    /// Takes secrets out of what is told.
    pub masker: Arc<Masker>,
    /// What a stub that passes calls on may dial.
    pub permits: Arc<Permits>,
    /// Where it hears that a call is on disk.
    pub notes: Notes,
}

/// What was before a stub.
#[derive(Debug, Default)]
pub struct Before {
    /// What one of an earlier run has left to it.
    pub kept: Option<Kept>,
    /// What befell it in this run, under an instance of the agent that is gone.
    pub past: Vec<StubPast>,
}

/// What a stub that is kept for the mesh leaves to the next run.
#[derive(Clone, Debug)]
pub struct Kept(Arc<Journal>);

/// Why there is no stub.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("stub `{name}` cannot listen on port {port}: {error}")]
    Listen { name: String, port: u16, error: std::io::Error },
    #[error("stub `{name}`: {why}")]
    Description { name: String, why: String },
    #[error("stub `{name}` cannot speak TLS: {why}")]
    Tls { name: String, why: String },
    #[error("stub `{name}` cannot stand for other hosts: {why}")]
    Upstreams { name: String, why: String },
}

impl StubServer {
    /// Listens on 127.0.0.1. Calls become facts, as many as the order's journal has room for; while `facts` is full, their
    /// replies wait.
    pub async fn bind(order: StubOrder, facts: mpsc::Sender<Fact>, seed: u64) -> Result<Self, BindError> {
        Self::bind_with(
            order,
            Around { facts, seed, masker: Arc::default(), permits: Arc::default(), notes: Notes::default() },
            Before::default(),
        )
        .await
    }

    /// Like `bind`, going on where a stub before this one has stopped.
    pub async fn bind_with(
        order: StubOrder,
        Around { facts, seed, masker, permits, notes }: Around,
        Before { kept, past }: Before,
    ) -> Result<Self, BindError> {
        let (name, port) = (order.name.clone(), order.port);
        let bound = async {
            let listener = TcpListener::bind(("127.0.0.1", port)).await?;
            let address = listener.local_addr()?;
            std::io::Result::Ok((listener, address))
        };
        let (listener, address) = bound.await.map_err(|error| BindError::Listen { name, port, error })?;
        let methods = match order.protocol {
            Protocol::Grpc => Methods::of(&order.protos, &order.routes),
            Protocol::Http | Protocol::Tcp => Ok(Methods::default()),
        };
        let methods = methods.map_err(|why| BindError::Description { name: order.name.clone(), why })?;
        let speaks: &[&[u8]] = match order.protocol {
            Protocol::Http => &[tls::HTTP1],
            Protocol::Grpc => &[tls::HTTP2, tls::HTTP1],
            Protocol::Tcp => &[],
        };
        let tls = order.tls.as_ref().map(|tls| tls::config(tls, speaks)).transpose();
        let tls = tls.map_err(|why| BindError::Tls { name: order.name.clone(), why })?;
        let state = State::of(&order, kept.map(|kept| kept.0));
        past.into_iter().for_each(|past| state.relive(past));
        let hosts = order.upstreams.as_ref().map(|upstreams| Hosts::of(upstreams, &state.journal)).transpose();
        let hosts = hosts.map_err(|why| BindError::Upstreams { name: order.name.clone(), why })?;
        let shared = Arc::new(Shared {
            methods,
            tls,
            hosts,
            handler: order.handler.clone().map(|address| (state.journal.slot(http::HANDLER).0, address)),
            permits,
            state,
            order,
            facts,
            notes,
            masker,
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

    /// What the next run goes on with, if the plan says so.
    pub fn kept(&self) -> Option<Kept> {
        (self.shared.order.keep == Keep::Mesh).then(|| Kept(Arc::clone(&self.shared.state.journal)))
    }

    /// Whether each test finds it as if nobody had called.
    pub fn begins_anew(&self) -> bool {
        self.shared.order.keep == Keep::Test
    }

    /// Whether calls may have come that nobody can count any more.
    pub fn is_uncertain(&self) -> bool {
        self.shared.state.journal.is_uncertain()
    }

    /// Calls so far, on one route or on all, those that no route matched included. `None`: there never was such a route.
    pub fn calls(&self, route: Option<&str>) -> Option<u64> {
        self.shared.state.journal.calls(route)
    }

    /// Whether these routes were called in this order, other calls in between or not.
    pub fn in_order(&self, routes: &[String]) -> Result<(), OutOfOrder> {
        self.shared.state.journal.in_order(routes)
    }

    /// A test begins: unless the stub is kept for longer, it forgets every call and its routes are the plan's. A disturbance
    /// goes on.
    pub fn begin_test(&self) {
        let untold = self.shared.state.begin_test();
        self.tell_untold(untold);
    }

    /// Forgets every call, or answers with other routes from now on.
    pub fn change(&self, change: &StubChange) -> Result<(), TooManyRoutes> {
        match change {
            StubChange::Purge => {
                let untold = self.shared.state.purge();
                self.tell_untold(untold);
                Ok(())
            }
            StubChange::Replace(routes) => self.shared.state.replace(routes),
        }
    }

    /// Calls that were only counted are told as a number, so that what is told says that it is not all.
    fn tell_untold(&self, calls: u64) {
        if calls == 0 {
            return;
        }
        let stub = self.name().to_owned();
        if let Err(error) = self.shared.facts.try_send(Fact::StubCallsUntold { stub, calls }) {
            tracing::warn!(stub = self.name(), calls, %error, "calls that were only counted could not be told");
        }
    }

    /// Tells whenever a call came.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.state.journal.changes()
    }

    /// The last calls, the oldest first, for people.
    pub fn last_calls(&self) -> Vec<String> {
        self.shared.state.journal.last(limits::STUB_CALLS_SHOWN)
    }

    /// Whether it answers.
    pub async fn is_healthy(&self) -> bool {
        self.look().probe(limits::STUB_PROBE).await
    }

    /// What can be told of it without holding it.
    pub fn look(&self) -> Look {
        Look { shared: Arc::clone(&self.shared), address: self.address }
    }

    /// Disturbs every reply from now on. The same shape again goes on as it was, as when a lease is renewed.
    pub fn begin_fault(&self, shape: Shape, run: &RunId) -> Result<(), Unsupported> {
        let struck = Struck::by(&shape, run);
        if struck.is_some() && self.shared.order.protocol == Protocol::Tcp {
            return Err(Unsupported::requests());
        }
        self.shared.disturbance.begin(shape, struck)
    }

    /// Ends the disturbance, releases what it holds, and says what it did, under the fault's name. `None`: there was none.
    pub async fn end_fault(&self, fault: &str) -> Option<FaultReport> {
        let disturbance = &self.shared.disturbance;
        let shape = disturbance.shape()?;
        let mut probes = 0;
        let is_probed = !fault::is_nothing(&shape) && shape.only.is_none();
        if is_probed && disturbance.measured().is_none_or(|measured| measured.calls() == 0) {
            // measuring takes as long as a reply does, and services do not wait for that
            disturbance.end_for_services();
            let longest = if shape.is_black_hole() { limits::STUB_HELD_PROBE } else { fault::longest(&shape) };
            self.look().probe(longest).await;
            probes = 1;
        }
        let measured: Measured = disturbance.end()?;
        let healed = self.look().probe(limits::STUB_PROBE).await;
        Some(measured.report(fault, &shape, fault::Seen { probes, healed }))
    }

    /// Closes the port and every connection, and waits until they are closed.
    pub async fn close(self) {
        let untold = self.shared.state.journal.tell_again();
        self.tell_untold(untold);
        drop(self.stop);
        self.tasks.wait().await;
    }
}

/// A view of a stub; it does not keep the port open.
#[derive(Debug)]
pub struct Look {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Look {
    /// All of it, for those who look in.
    pub async fn report(&self) -> StubReport {
        let journal = &self.shared.state.journal;
        let table = self.shared.state.table();
        let calls = |id: &str| (id.to_owned(), journal.calls(Some(id)).unwrap_or_default());
        let upstreams = self.shared.hosts.iter().flat_map(Hosts::ids);
        let routes = table.routes().iter().map(|route| route.id.as_str()).chain(upstreams);
        let routes = routes.chain(self.shared.handler.iter().map(|_| http::HANDLER));
        StubReport {
            name: self.shared.order.name.clone(),
            address: self.address.to_string(),
            keep: self.shared.order.keep,
            healthy: self.probe(limits::STUB_PROBE).await,
            routes: routes.take(limits::STUB_ROUTES_SHOWN).map(calls).collect(),
            unmatched: journal.unmatched(),
            last: journal.last(limits::STUB_CALLS_SHOWN),
        }
    }

    /// One call to the stub through everything that other calls go through. Whether it was answered in time.
    async fn probe(&self, within: Duration) -> bool {
        let began = Instant::now();
        let tls = self.shared.order.tls.as_ref().map(tls::to_ourselves);
        let (at, secret) = ((self.address, tls), &self.shared.probe);
        let answered = match self.shared.order.protocol {
            // A gRPC stub takes one over HTTP/1.1 too, which needs no description.
            Protocol::Http | Protocol::Grpc => http::probe(at, secret, within).await,
            Protocol::Tcp => raw::probe(at, secret, within).await,
        };
        tracing::debug!(stub = self.shared.order.name, took = ?began.elapsed(), answered, "probed");
        answered
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
