//! The stub's connections.

use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use meshproof_proto::event::Fact;
use meshproof_proto::mask::Masker;
use meshproof_proto::order::{Protocol, StubOrder};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::Disturbance;
use super::grpc::{self, Methods};
use super::journal::Entry;
use super::line::{Line, Reset};
use super::state::State;
use super::upstreams::{Host, Hosts};
use super::{http, raw, tls};
use crate::limits;
use crate::notes::Notes;
use crate::permits::Permits;

/// What all connections of a stub share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) order: StubOrder,
    pub(super) state: State,
    /// Of a gRPC stub.
    pub(super) methods: Methods,
    pub(super) disturbance: Disturbance,
    pub(super) facts: mpsc::Sender<Fact>,
    pub(super) notes: Notes,
    /// Takes secrets out of what is told of calls.
    pub(super) masker: Arc<Masker>,
    /// The value of the header that makes a call a probe.
    pub(super) probe: String,
    /// Of a stub that is spoken to over TLS.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Of a stub that is a proxy.
    pub(super) hosts: Option<Hosts>,
    /// Where its calls are counted, and the address of the function that answers what no route takes.
    pub(super) handler: Option<(usize, String)>,
    /// What may be dialled from here.
    pub(super) permits: Arc<Permits>,
}

/// How a connection came, which every call on it has in common.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    /// The server name that the client asked for when it began TLS.
    pub(super) tls_name: Option<String>,
    /// The host that a tunnel is for, inside of it.
    pub(super) through: Option<Host>,
}

/// What is spoken on one connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Speech {
    Http1,
    Http2,
    Raw,
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
                let calls = Calls { tasks: tasks.clone(), stop: stop.clone() };
                tasks.spawn(serve(stream, permit, Arc::clone(&shared), calls));
            }
            Err(error) => {
                // Out of descriptors: without a pause this would be a busy loop.
                tracing::warn!(stub = shared.order.name, %error, "a connection could not be taken");
                tokio::time::sleep(limits::POLL_FIRST).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, permit: OwnedSemaphorePermit, shared: Arc<Shared>, calls: Calls) {
    let _ = stream.set_nodelay(true);
    let (reset, stop) = (Reset::default(), calls.stop.clone());
    let served = async {
        let line = |stream| Line::new(stream, reset.clone());
        let arrived = Arc::default();
        let talk = Talk { shared, reset: reset.clone(), calls, arrived, _permit: Arc::new(permit) };
        if let Some(config) = talk.shared.tls.clone() {
            return talk.encrypted(config, line(stream)).await;
        }
        let speech = match talk.shared.order.protocol {
            Protocol::Grpc if begins_http2(&stream).await => Speech::Http2,
            Protocol::Http | Protocol::Grpc => Speech::Http1,
            Protocol::Tcp => Speech::Raw,
        };
        talk.on(line(stream), speech).await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = served => {}
    }
}

/// Whether HTTP/2 is spoken, without taking a byte of it. Our own probes speak HTTP/1.1.
async fn begins_http2(stream: &TcpStream) -> bool {
    const PREFACE: &[u8] = b"PRI";
    let mut begin = [0; PREFACE.len()];
    loop {
        match stream.peek(&mut begin).await {
            Ok(0) | Err(_) => return false,
            Ok(seen) if begin[..seen] != PREFACE[..seen] => return false,
            Ok(seen) if seen == PREFACE.len() => return true,
            // More is on its way; a peek would see the same again at once.
            Ok(_) => tokio::task::yield_now().await,
        }
    }
}

/// One connection, and what every call on it needs.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub(super) shared: Arc<Shared>,
    pub(super) reset: Reset,
    pub(super) calls: Calls,
    pub(super) arrived: Arc<Arrived>,
    /// Its place among the connections, given back when the last part of it is gone.
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Talk {
    /// The same connection, of which more is known.
    pub(super) fn known(&self, arrived: Arrived) -> Self {
        Self { arrived: Arc::new(arrived), ..self.clone() }
    }

    async fn encrypted(self, config: Arc<ServerConfig>, line: Line) {
        let stream = match TlsAcceptor::from(config).accept(line).await {
            Ok(stream) => stream,
            Err(error) => return self.shared.not_welcome("", &error.to_string()),
        };
        let (_, session) = stream.get_ref();
        let tls_name = session.server_name().map(str::to_owned);
        let speech = match (self.shared.order.protocol, session.alpn_protocol()) {
            (Protocol::Tcp, _) => Speech::Raw,
            // Who asks for nothing and means gRPC speaks HTTP/2: there is no other way.
            (Protocol::Grpc, Some(tls::HTTP2) | None) => Speech::Http2,
            (Protocol::Http | Protocol::Grpc, _) => Speech::Http1,
        };
        self.known(Arrived { tls_name, through: None }).on(stream, speech).await;
    }

    pub(super) async fn on(self, line: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, speech: Speech) {
        let talk = Arc::new(self);
        let ended = match speech {
            Speech::Raw => return raw::converse(line, &talk.shared, &talk.reset).await,
            Speech::Http1 => {
                let service = service_fn(|request| http::answer(Arc::clone(&talk), request));
                let builder = hyper::server::conn::http1::Builder::new();
                let connection = builder.serve_connection(TokioIo::new(line), service);
                if talk.shared.hosts.is_some() { connection.with_upgrades().await } else { connection.await }
            }
            Speech::Http2 => {
                let service = service_fn(|request| grpc::answer(Arc::clone(&talk), request));
                let builder = hyper::server::conn::http2::Builder::new(talk.calls.clone());
                builder.serve_connection(TokioIo::new(line), service).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to a stub broke");
        }
    }
}

impl Shared {
    /// A client that we did not like over TLS, or that did not like us. That is no call: it is remembered and not counted.
    pub(super) fn not_welcome(&self, to: &str, why: &str) {
        tracing::debug!(stub = self.order.name, to, why, "a TLS handshake failed");
        let request = format!("{to} a TLS handshake that failed: {why}").trim_start().to_owned();
        self.state.journal.remember(Entry { route: None, number: 0, status: 0, took_ms: 0.0, request });
    }
}

/// Where tasks go that end with the stub.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Calls {
    pub(super) fn spawn(&self, call: impl Future<Output: Send> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = call => {}
            }
        });
    }
}

impl<Call> hyper::rt::Executor<Call> for Calls
where
    Call: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, call: Call) {
        self.spawn(call);
    }
}
