//! The stub's connections.

use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use meshproof_proto::event::Fact;
use meshproof_proto::mask::Masker;
use meshproof_proto::order::{Protocol, StubOrder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::Disturbance;
use super::grpc::{self, Methods};
use super::line::{Line, Reset};
use super::state::State;
use super::{http, raw};
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
        let is_grpc = shared.order.protocol == Protocol::Grpc && begins_http2(&stream).await;
        let line = Line::new(stream, reset.clone());
        match shared.order.protocol {
            Protocol::Grpc if is_grpc => messages(line, &shared, calls).await,
            Protocol::Http | Protocol::Grpc => requests(line, &shared, &reset).await,
            Protocol::Tcp => raw::converse(line, &shared, &reset).await,
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

async fn messages(line: Line, shared: &Arc<Shared>, calls: Calls) {
    let service = service_fn(|request| grpc::answer(Arc::clone(shared), request));
    let connection = hyper::server::conn::http2::Builder::new(calls).serve_connection(TokioIo::new(line), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to a gRPC stub broke");
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

async fn requests(line: Line, shared: &Arc<Shared>, reset: &Reset) {
    let service = service_fn(|request| http::answer(Arc::clone(shared), reset.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(line), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to a stub broke");
    }
}
