//! The stub's connections.

use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use meshproof_proto::event::Fact;
use meshproof_proto::order::{Protocol, StubOrder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::Disturbance;
use super::line::{Line, Reset};
use super::state::State;
use super::{http, raw};
use crate::limits;

/// What all connections of a stub share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) order: StubOrder,
    pub(super) state: State,
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
    let reset = Reset::default();
    let line = Line::new(stream, reset.clone());
    let served = async {
        match shared.order.protocol {
            Protocol::Http => requests(line, &shared, &reset).await,
            Protocol::Tcp => raw::converse(line, &shared, &reset).await,
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = served => {}
    }
    drop(permit);
}

async fn requests(line: Line, shared: &Arc<Shared>, reset: &Reset) {
    let service = service_fn(|request| http::answer(Arc::clone(shared), reset.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(line), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to a stub broke");
    }
}
