//! What machines ask over plain HTTP: whether something lives (`/healthz`), whether it can be used (`/readyz`), and its figures
//! (`/metrics`, in Prometheus' text format).
//!
//! Whatever is watched answers in its own loop, between two things that it does ([`asked`]); so what hangs is not called well.

pub mod limits;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Of figures.
pub const FIGURES: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Lives,
    Ready,
    Figures,
}

impl Question {
    fn at(path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Lives),
            "/readyz" => Some(Self::Ready),
            "/metrics" => Some(Self::Figures),
            _ => None,
        }
    }
}

/// What is watched over.
pub trait Watched: Clone + Send + Sync + 'static {
    /// The figures, or any word that it is well; else why not.
    fn tell(&self, question: Question) -> impl Future<Output = Result<String, String>> + Send;
}

/// Answers there until it is dropped.
///
/// # Errors
/// The address is not to be had.
pub fn serve(address: SocketAddr, watched: impl Watched) -> anyhow::Result<AbortOnDropHandle<()>> {
    let listener = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    let listener = listener.with_context(|| format!("cannot listen on {address}, where --health says"))?;
    tracing::info!(address = %listener.local_addr()?, "health and metrics are told");
    let answering = async move { accept(&listener, |stream| answer_all(stream, watched.clone())).await };
    Ok(AbortOnDropHandle::new(tokio::spawn(answering)))
}

/// Takes connections for ever, no more at once and none for longer than there is patience for.
pub async fn accept<Answering>(listener: &TcpListener, answer: impl Fn(TcpStream) -> Answering)
where
    Answering: Future<Output = ()> + Send + 'static,
{
    let (places, mut open) = (Arc::new(Semaphore::new(limits::CONNECTIONS)), JoinSet::new());
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let answering = answer(stream);
                open.spawn(async move {
                    let _ = timeout(limits::PATIENCE, answering).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection of whoever asks for health could not be taken");
                // most likely descriptors are used up, which passes
                tokio::time::sleep(limits::WITHIN).await;
            }
        }
    }
}

async fn answer_all(stream: TcpStream, watched: impl Watched) {
    let watched = &watched;
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request, watched).await) });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "whoever asked for health went early");
    }
}

async fn answer(request: &Request<Incoming>, watched: &impl Watched) -> Response<Full<Bytes>> {
    let there = || text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n");
    answer_at(request.method(), request.uri().path(), watched).await.unwrap_or_else(there)
}

/// What is answered at this path; none: nobody asks about health there. For servers that answer other things at the same address.
pub async fn answer_at(method: &Method, path: &str, watched: &impl Watched) -> Option<Response<Full<Bytes>>> {
    let question = Question::at(path)?;
    if ![Method::GET, Method::HEAD].contains(method) {
        return Some(text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n"));
    }
    Some(match (watched.tell(question).await, question) {
        (Ok(figures), Question::Figures) => {
            let mut response = text(StatusCode::OK, in_order(&figures));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FIGURES));
            response
        }
        (Ok(_), Question::Lives | Question::Ready) => text(StatusCode::OK, "ok\n"),
        (Err(why), _) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    })
}

/// Figures with the series of each metric in order, as whoever compares two answers wants them. Not for histograms, whose buckets have an
/// order of their own.
#[must_use]
pub fn in_order(figures: &str) -> String {
    let mut lines: Vec<&str> = figures.lines().collect();
    for series in lines.chunk_by_mut(|line, next| !line.starts_with('#') && !next.starts_with('#')) {
        series.sort_unstable();
    }
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

/// Asks whoever takes these in its loop how it is, and waits no longer than that.
pub async fn asked<Figures>(asks: &mpsc::Sender<oneshot::Sender<Figures>>, within: Duration) -> Option<Figures> {
    let asking = async {
        let (asker, answered) = oneshot::channel();
        asks.send(asker).await.ok()?;
        answered.await.ok()
    };
    timeout(within, asking).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_stand_in_order_below_what_is_said_of_their_metric() {
        let figures =
            "# HELP a A.\n# TYPE a counter\na_total{v=\"x\"} 1\na_total{v=\"b\"} 2\n# HELP b B.\nb 3\n# EOF\n";
        let ordered =
            "# HELP a A.\n# TYPE a counter\na_total{v=\"b\"} 2\na_total{v=\"x\"} 1\n# HELP b B.\nb 3\n# EOF\n";
        assert_eq!(in_order(figures), ordered);
    }

    #[tokio::test]
    async fn who_is_not_answered_in_time_and_who_is_gone_is_not_well() {
        let (asks, mut taken) = mpsc::channel::<oneshot::Sender<()>>(1);
        assert!(asked(&asks, Duration::from_millis(1)).await.is_none(), "nobody answers");
        taken.close();
        while taken.recv().await.is_some() {}
        assert!(asked(&asks, Duration::from_secs(3600)).await.is_none(), "it is known at once");
    }
}
