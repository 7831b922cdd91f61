//! What machines ask of an agent over plain HTTP: whether it lives (`/healthz`), whether it can be used (`/readyz`), and its figures
//! (`/metrics`, in Prometheus' text format).
//!
//! The session answers, between two things that it does; so an agent that hangs is not called well. Nothing here changes anything, and
//! nothing of a run is told but numbers.

mod figures;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::limits;
pub(crate) use figures::Figures;

/// Asks the session how it is.
pub(crate) type Asks = mpsc::Sender<oneshot::Sender<Figures>>;

/// Answers there until it is dropped.
pub(crate) fn serve(address: SocketAddr, asks: Asks) -> anyhow::Result<AbortOnDropHandle<()>> {
    let listener = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    let listener = listener.with_context(|| format!("cannot listen on {address}, where --health says"))?;
    tracing::info!(address = %listener.local_addr()?, "health and metrics are told");
    Ok(AbortOnDropHandle::new(tokio::spawn(accept(listener, asks))))
}

async fn accept(listener: TcpListener, asks: Asks) {
    let (places, mut open) = (Arc::new(Semaphore::new(limits::HEALTH_CONNECTIONS)), JoinSet::new());
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let answering = answer_all(stream, asks.clone(), limits::HEALTH_WITHIN);
                open.spawn(async move {
                    let _ = timeout(limits::HEALTH_PATIENCE, answering).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection of whoever asks for health could not be taken");
                // most likely descriptors are used up, which passes
                tokio::time::sleep(limits::HEALTH_WITHIN).await;
            }
        }
    }
}

async fn answer_all(stream: TcpStream, asks: Asks, within: Duration) {
    let asks = &asks;
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request, asks, within).await) });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEALTH_PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "whoever asked for health went early");
    }
}

async fn answer(request: &Request<Incoming>, asks: &Asks, within: Duration) -> Response<Full<Bytes>> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
    }
    let path = request.uri().path();
    if !["/healthz", "/readyz", "/metrics"].contains(&path) {
        return text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n");
    }
    let Some(figures) = ask(asks, within).await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, &format!("the agent has not answered within {within:?}\n"));
    };
    match (path, figures.is_ready()) {
        ("/metrics", _) => {
            let mut response = text(StatusCode::OK, &figures.text());
            response.headers_mut().insert(CONTENT_TYPE, figures::CONTENT_TYPE);
            response
        }
        ("/readyz", false) => {
            text(StatusCode::SERVICE_UNAVAILABLE, "no signaling server is reached and no link is up\n")
        }
        _ => text(StatusCode::OK, "ok\n"),
    }
}

async fn ask(asks: &Asks, within: Duration) -> Option<Figures> {
    let asking = async {
        let (asker, answered) = oneshot::channel();
        asks.send(asker).await.ok()?;
        answered.await.ok()
    };
    timeout(within, asking).await.ok().flatten()
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_not_answered_in_time_and_who_is_gone_is_not_well() {
        let (asks, mut asked) = mpsc::channel(1);
        assert!(ask(&asks, Duration::from_millis(1)).await.is_none(), "nobody answers");
        asked.close();
        while asked.recv().await.is_some() {}
        assert!(ask(&asks, Duration::from_secs(3600)).await.is_none(), "it is known at once");
    }
}
