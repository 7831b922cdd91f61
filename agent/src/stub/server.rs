//! The stub's connections and the way of a call through it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use meshproof_proto::event::{Fact, StubCall};
use meshproof_proto::order::{StubOrder, Unmatched};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::Disturbance;
use super::journal::Journal;
use super::reply::{self, Reply};
use super::request::Asked;
use super::route;
use crate::limits;

/// Ours, so that no plan's route is needed for it.
pub(super) const PROBE_PATH: &str = "/.meshproof/probe";
pub(super) const PROBE_HEADER: &str = "x-meshproof-probe";

/// What all connections of a stub share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) order: StubOrder,
    pub(super) journal: Journal,
    pub(super) disturbance: Disturbance,
    pub(super) facts: mpsc::Sender<Fact>,
    /// The value of the header that makes a call a probe.
    pub(super) probe: String,
}

/// Takes connections until stopped.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken, tasks: TaskTracker) {
    let room = Arc::new(Semaphore::new(limits::STUB_CONNECTIONS));
    let next = async || {
        let permit = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
        (listener.accept().await, permit)
    };
    loop {
        let (accepted, permit) = tokio::select! {
            () = stop.cancelled() => return,
            next = next() => next,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(serve(stream, permit, Arc::clone(&shared), stop.clone()));
            }
            Err(error) => {
                // Out of descriptors: without a pause this would be a busy loop.
                tracing::warn!(stub = shared.order.name, %error, "a connection could not be taken");
                tokio::time::sleep(limits::POLL_FIRST).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, permit: OwnedSemaphorePermit, shared: Arc<Shared>, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = stop.cancelled() => {}
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "a connection to a stub broke");
        }
    }
    drop(permit);
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Reply {
    let is_probe = request.uri().path() == PROBE_PATH
        && request.headers().get(PROBE_HEADER).is_some_and(|value| value.as_bytes() == shared.probe.as_bytes());
    if is_probe {
        shared.disturbance.pass().await;
        return reply::bare(StatusCode::NO_CONTENT);
    }
    let (parts, body) = request.into_parts();
    let call = match read(body).await {
        Ok(body) => shared.call(&Asked::of(&parts, &body)),
        Err(StatusCode::PAYLOAD_TOO_LARGE) => shared.too_large(&Asked::of(&parts, &[])),
        // The client broke off, or sent what is no HTTP: there was no call.
        Err(status) => return reply::bare(status),
    };
    let mut open = OpenCall { shared, began: Instant::now(), fact: Some(call.fact) };
    if !call.delay.is_zero() {
        tokio::time::sleep(call.delay).await;
    }
    shared.disturbance.pass().await;
    open.told().await;
    call.reply
}

async fn read(body: Incoming) -> Result<Bytes, StatusCode> {
    match Limited::new(body, limits::BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::BAD_REQUEST),
    }
}

/// A call that was counted, and what will be answered.
struct Call {
    reply: Reply,
    delay: Duration,
    fact: StubCall,
}

impl Shared {
    fn call(&self, asked: &Asked) -> Call {
        match route::find(&self.order.routes, asked) {
            Some(index) => self.routed(index, asked),
            None => self.unmatched(asked),
        }
    }

    fn routed(&self, index: usize, asked: &Asked) -> Call {
        let route = &self.order.routes[index];
        let number = self.journal.count(Some(&route.id));
        let chosen = route::reply(route, number);
        let made = match chosen {
            Some(chosen) => reply::rendered(chosen, &asked.scope(number)),
            None => Err("the route has no reply".to_owned()),
        };
        let delay = chosen.map_or(Duration::ZERO, |chosen| Duration::from_millis(chosen.delay_ms));
        let (reply, request, unexpected) = match made {
            Ok(reply) => (reply, asked.shown(), false),
            // A reply that cannot be made is a mistake of the plan: it must not pass for an answer.
            Err(why) => {
                let problem = json!({"error": "the reply cannot be made", "route": route.id, "because": why});
                let request = format!("{}; the reply cannot be made: {why}", asked.shown());
                (reply::problem(StatusCode::INTERNAL_SERVER_ERROR, &problem), request, true)
            }
        };
        let status = reply.status().as_u16();
        let fact = self.fact(Some(&route.id), StubCall { number, request, status, unexpected, ..nothing() });
        Call { reply, delay, fact }
    }

    fn unmatched(&self, asked: &Asked) -> Call {
        let number = self.journal.count(None);
        let nearest = route::nearest(&self.order.routes, asked);
        let hint = nearest.as_ref().map(|(id, why)| format!("; the nearest is `{id}`, but {why}")).unwrap_or_default();
        let problem = json!({
            "error": format!("no route of stub `{}` takes this call", self.order.name),
            "asked": asked.shown(),
            "nearest": nearest.map(|(id, why)| json!({"route": id, "because": why})),
        });
        let request = format!("{}: no route takes it{hint}", asked.shown());
        let unexpected = self.order.unmatched == Unmatched::Fail;
        let fact = self.fact(None, StubCall { number, request, status: 404, unexpected, ..nothing() });
        Call { reply: reply::problem(StatusCode::NOT_FOUND, &problem), delay: Duration::ZERO, fact }
    }

    /// A stub cannot look at such a call, so whether a route would take it stays open: never expected.
    fn too_large(&self, asked: &Asked) -> Call {
        let number = self.journal.count(None);
        let most = limits::BODY_BYTES / (1024 * 1024);
        let request = format!("{}: unsupported: a body of more than {most} MiB", asked.shown());
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        let fact =
            self.fact(None, StubCall { number, request, status: status.as_u16(), unexpected: true, ..nothing() });
        Call { reply: reply::bare(status), delay: Duration::ZERO, fact }
    }

    fn fact(&self, route: Option<&str>, call: StubCall) -> StubCall {
        StubCall { stub: self.order.name.clone(), route: route.map(str::to_owned), ..call }
    }
}

fn nothing() -> StubCall {
    StubCall {
        stub: String::new(),
        route: None,
        number: 0,
        request: String::new(),
        status: 0,
        took_ms: 0.0,
        unexpected: false,
    }
}

/// A call that waits for its reply. When the client leaves or the stub closes before, the fact says so with status 0.
struct OpenCall<'a> {
    shared: &'a Shared,
    began: Instant,
    fact: Option<StubCall>,
}

impl OpenCall<'_> {
    /// Tells the fact before the reply goes out, so that nothing that follows from the reply is told before it.
    async fn told(&mut self) {
        let Some(fact) = self.fact.as_mut() else { return };
        fact.took_ms = self.began.elapsed().as_secs_f64() * 1e3;
        // The room is waited for first: given up while waiting, the fact is still here for `drop`.
        let room = self.shared.facts.reserve().await;
        let Some(fact) = self.fact.take() else { return };
        self.shared.journal.remember(shown(&fact));
        if let Ok(room) = room {
            room.send(Fact::StubCalled(fact));
        }
    }
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        let Some(mut fact) = self.fact.take() else { return };
        fact.status = 0;
        fact.took_ms = self.began.elapsed().as_secs_f64() * 1e3;
        fact.request.push_str("; there was no reply: the client left or the stub closed");
        self.shared.journal.remember(shown(&fact));
        if let Err(error) = self.shared.facts.try_send(Fact::StubCalled(fact)) {
            tracing::warn!(stub = self.shared.order.name, %error, "a call without a reply could not be told");
        }
    }
}

fn shown(call: &StubCall) -> String {
    let route = call.route.as_deref().unwrap_or("no route");
    format!("{route} #{} -> {} after {:.0} ms: {}", call.number, call.status, call.took_ms, call.request)
}
