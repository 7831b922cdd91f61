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
use super::{http, raw, tls};
use crate::limits;

/// What all connections of a stub share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) order: StubOrder,
    pub(super) state: State,
    /// Of a gRPC stub.
    pub(super) methods: Methods,
    pub(super) disturbance: Disturbance,
    pub(super) facts: mpsc::Sender<Fact>,
    /// Takes secrets out of what is told of calls.
    pub(super) masker: Arc<Masker>,
    /// The value of the header that makes a call a probe.
    pub(super) probe: String,
    /// Of a stub that is spoken to over TLS.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// How a connection came, which every call on it has in common.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    /// The server name that the client asked for when it began TLS.
    pub(super) tls_name: Option<String>,
}

/// What is spoken on one connection.
#[derive(Clone, Copy, Debug)]
enum Speech {
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
    let reset = Reset::default();
    let stop = calls.stop.clone();
    let served = async {
        let talk = Talk { shared: &shared, reset: &reset, calls, arrived: Arrived::default() };
        match &shared.tls {
            Some(config) => talk.encrypted(Arc::clone(config), Line::new(stream, reset.clone())).await,
            None => {
                let speech = match shared.order.protocol {
                    Protocol::Grpc if begins_http2(&stream).await => Speech::Http2,
                    Protocol::Http | Protocol::Grpc => Speech::Http1,
                    Protocol::Tcp => Speech::Raw,
                };
                talk.on(Line::new(stream, reset.clone()), speech).await;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = served => {}
    }
    drop(permit);
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

/// One connection, and what is at hand for it.
struct Talk<'s> {
    shared: &'s Arc<Shared>,
    reset: &'s Reset,
    calls: Calls,
    arrived: Arrived,
}

impl Talk<'_> {
    async fn encrypted(self, config: Arc<ServerConfig>, line: Line) {
        let stream = match TlsAcceptor::from(config).accept(line).await {
            Ok(stream) => stream,
            Err(error) => return self.shared.not_welcome(&error),
        };
        let (_, session) = stream.get_ref();
        let tls_name = session.server_name().map(str::to_owned);
        let speech = match (self.shared.order.protocol, session.alpn_protocol()) {
            (Protocol::Tcp, _) => Speech::Raw,
            // Who asks for nothing and means gRPC speaks HTTP/2: there is no other way.
            (Protocol::Grpc, Some(tls::HTTP2) | None) => Speech::Http2,
            (Protocol::Http | Protocol::Grpc, _) => Speech::Http1,
        };
        Self { arrived: Arrived { tls_name }, ..self }.on(stream, speech).await;
    }

    async fn on(self, line: impl AsyncRead + AsyncWrite + Unpin + Send, speech: Speech) {
        let Self { shared, reset, calls, arrived } = self;
        let arrived = Arc::new(arrived);
        let ended = match speech {
            Speech::Raw => return raw::converse(line, shared, reset).await,
            Speech::Http1 => {
                let answer = |request| http::answer(Arc::clone(shared), reset.clone(), (Arc::clone(&arrived), request));
                let builder = hyper::server::conn::http1::Builder::new();
                builder.serve_connection(TokioIo::new(line), service_fn(answer)).await
            }
            Speech::Http2 => {
                let answer = |request| grpc::answer(Arc::clone(shared), Arc::clone(&arrived), request);
                let builder = hyper::server::conn::http2::Builder::new(calls);
                builder.serve_connection(TokioIo::new(line), service_fn(answer)).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to a stub broke");
        }
    }
}

impl Shared {
    /// A client that we did not like over TLS, or that did not like us. That is no call: it is remembered and not counted.
    fn not_welcome(&self, error: &std::io::Error) {
        tracing::debug!(stub = self.order.name, %error, "a TLS handshake failed");
        let request = format!("a TLS handshake that failed: {error}");
        self.state.journal.remember(Entry { route: None, number: 0, status: 0, took_ms: 0.0, request });
    }
}

/// The calls of one HTTP/2 connection, each a task that ends with the stub.
#[derive(Clone, Debug)]
struct Calls {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl<Call> hyper::rt::Executor<Call> for Calls
where
    Call: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, call: Call) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = call => {}
            }
        });
    }
}
