//! What machines ask of a run over plain HTTP: whether its orchestrator lives (`/healthz`), whether the run goes on (`/readyz`), and its
//! figures (`/metrics`, in Prometheus' text format).
//!
//! While agents are commanded, the loop of the run answers, between two things that it does; so one that hangs is not called well.
//! Before and after, building and tearing down have bounds of their own. Nothing is changed by asking, and nothing of what is under test is
//! told but numbers.

mod figures;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use meshproof_mesh::Mesh;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::driver::Driver;
use super::limits;
use crate::memory::Conducted;
pub(super) use figures::{Counts, Figures};

/// An answer that somebody waits for.
pub(super) type Asked = oneshot::Sender<Figures>;

/// How far the run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// What it needs is built and started.
    #[default]
    Preparing,
    /// Its loop answers.
    GoesOn,
}

/// Answers until it is dropped.
pub(super) struct Health {
    pub(super) stage: watch::Sender<Stage>,
    pub(super) asked: mpsc::Receiver<Asked>,
    _serving: AbortOnDropHandle<()>,
}

/// Whom to ask.
#[derive(Clone)]
struct Asks {
    stage: watch::Receiver<Stage>,
    to_loop: mpsc::Sender<Asked>,
}

impl Health {
    /// Listens there.
    pub(super) fn at(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        });
        let listener = listener.with_context(|| format!("cannot listen on {address}, where --health says"))?;
        tracing::info!(address = %listener.local_addr()?, "health and metrics are told");
        let (stage, watched) = watch::channel(Stage::default());
        let (to_loop, asked) = mpsc::channel(limits::HEALTH_ASKED);
        let serving = tokio::spawn(accept(listener, Asks { stage: watched, to_loop }));
        Ok(Self { stage, asked, _serving: AbortOnDropHandle::new(serving) })
    }
}

impl Driver {
    pub(super) fn tell_figures(&self, asked: Asked, run: &Conducted) {
        let links = self.mesh.as_ref().map(Mesh::links).unwrap_or_default();
        let roster = self.crew.roster();
        let linked =
            roster.values().filter(|peer| links.iter().any(|link| link.peer == **peer && link.state == "up")).count();
        let figures = Figures {
            run: self.authority.run.to_string(),
            plan: self.plan.name.to_string(),
            up: run.began().elapsed(),
            term: self.authority.term.0,
            counts: self.scribe.counts(),
            linked,
            away: roster.len() - linked,
            signaling_away: self.away.len(),
            lines: self.scribe.lines(),
            on_disk: *self.on_disk.borrow(),
        };
        // whoever asked may be gone
        let _ = asked.send(figures);
    }
}

async fn accept(listener: TcpListener, asks: Asks) {
    let (places, mut open) = (Arc::new(Semaphore::new(limits::HEALTH_CONNECTIONS)), JoinSet::new());
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let answering = answer_all(stream, asks.clone());
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

async fn answer_all(stream: TcpStream, asks: Asks) {
    let asks = &asks;
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request, asks).await) });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEALTH_PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "whoever asked for health went early");
    }
}

async fn answer(request: &Request<Incoming>, asks: &Asks) -> Response<Full<Bytes>> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
    }
    let stage = *asks.stage.borrow();
    let figures = match stage {
        Stage::Preparing => None,
        Stage::GoesOn => asks.figures().await,
    };
    match (request.uri().path(), stage, figures) {
        ("/healthz", Stage::Preparing, _) | ("/healthz" | "/readyz", _, Some(_)) => text(StatusCode::OK, "ok\n"),
        ("/readyz" | "/metrics", Stage::Preparing, _) => {
            text(StatusCode::SERVICE_UNAVAILABLE, "the run has not begun: what it needs is made ready\n")
        }
        ("/metrics", _, Some(figures)) => {
            let mut response = text(StatusCode::OK, &figures.text());
            let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        ("/healthz" | "/readyz" | "/metrics", Stage::GoesOn, None) => {
            let why = format!("the orchestrator has not answered within {:?}\n", limits::HEALTH_WITHIN);
            text(StatusCode::SERVICE_UNAVAILABLE, &why)
        }
        _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n"),
    }
}

impl Asks {
    async fn figures(&self) -> Option<Figures> {
        let asking = async {
            let (asker, answered) = oneshot::channel();
            self.to_loop.send(asker).await.ok()?;
            answered.await.ok()
        };
        timeout(limits::HEALTH_WITHIN, asking).await.ok().flatten()
    }
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())));
    *response.status_mut() = status;
    response
}
