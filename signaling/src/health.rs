//! What machines ask of the server over plain HTTP, at an address that is not the peers': whether it lives (`/healthz`), whether it
//! takes peers (`/readyz`), and its figures (`/metrics`, in Prometheus' text format).
//!
//! The hub answers, between two things that it does; so a server that hangs is not called well.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::hub::{Arrival, Figures};
use crate::limits;

/// What is watched over.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) hub: mpsc::Sender<Arrival>,
    pub(crate) relays: Arc<Semaphore>,
    pub(crate) began: Instant,
}

/// Answers until `stop`.
pub(crate) async fn serve(listener: Arc<TcpListener>, watched: Watched, stop: CancellationToken) {
    let answering = meshproof_health::accept(&listener, |stream| answer(stream, watched.clone()));
    tokio::select! {
        () = stop.cancelled() => {}
        () = answering => {}
    }
}

async fn answer(stream: TcpStream, watched: Watched) {
    let routes = Router::new().route("/healthz", get(well)).route("/readyz", get(well)).route("/metrics", get(metrics));
    let service = TowerToHyperService::new(routes.with_state(watched));
    if let Err(error) = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    {
        tracing::debug!(%error, "whoever asked for health went early");
    }
}

/// A server takes peers from its first moment to its last, so whether it lives and whether it is ready is one question.
async fn well(State(watched): State<Watched>) -> Response {
    match watched.figures(meshproof_health::limits::WITHIN).await {
        Some(_) => "ok\n".into_response(),
        None => silent(),
    }
}

async fn metrics(State(watched): State<Watched>) -> Response {
    let Some(figures) = watched.figures(meshproof_health::limits::WITHIN).await else { return silent() };
    let kind = (header::CONTENT_TYPE, meshproof_health::FIGURES);
    match watched.text(figures) {
        Ok(text) => ([kind], meshproof_health::in_order(&text)).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn silent() -> Response {
    let why = format!("the server has not answered within {:?}\n", meshproof_health::limits::WITHIN);
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Mesh {
    mesh: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

impl Watched {
    async fn figures(&self, within: Duration) -> Option<Figures> {
        let asking = async {
            let (asker, answered) = oneshot::channel();
            self.hub.send(Arrival::Asked(asker)).await.ok()?;
            answered.await.ok()
        };
        timeout(within, asking).await.ok().flatten()
    }

    fn text(&self, figures: Figures) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("meshproof_signaling");
        let build = Family::<Build, Gauge>::default();
        build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("info", "The server's version", build);
        let peers = Family::<Mesh, Gauge>::default();
        for (mesh, count) in &figures.peers {
            peers.get_or_create(&Mesh { mesh: mesh.to_string() }).set(signed(*count));
        }
        registry.register("peers", "Registered peers by mesh", peers);
        let gauge = |value: i64| {
            let gauge = Gauge::<i64>::default();
            gauge.set(value);
            gauge
        };
        registry.register("sockets", "Open sockets of peers, registered or not", gauge(signed(figures.sockets)));
        let relays = limits::RELAYS.saturating_sub(self.relays.available_permits());
        registry.register(
            "relay_sockets",
            "Open sockets that carry datagrams of relayed connections",
            gauge(signed(relays)),
        );
        let up = i64::try_from(self.began.elapsed().as_secs()).unwrap_or(i64::MAX);
        registry.register("uptime_seconds", "Since the server started", gauge(up));
        let counter = |value: u64| {
            let counter = Counter::<u64>::default();
            counter.inc_by(value);
            counter
        };
        registry.register("messages_sent", "Messages to peers", counter(figures.sent));
        registry.register("refusals", "Messages that refuse something to a peer", counter(figures.refused));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> (Watched, mpsc::Receiver<Arrival>) {
        let (hub, arrivals) = mpsc::channel(1);
        (Watched { hub, relays: Arc::new(Semaphore::new(limits::RELAYS)), began: Instant::now() }, arrivals)
    }

    #[tokio::test]
    async fn a_server_whose_hub_hangs_or_is_gone_is_not_well() {
        let (watched, arrivals) = watched();
        assert!(watched.figures(Duration::from_millis(1)).await.is_none(), "nobody answers");
        drop(arrivals);
        assert!(watched.figures(Duration::from_secs(3600)).await.is_none(), "it is known at once");
    }

    #[tokio::test]
    async fn figures_have_the_names_that_prometheus_conventions_give_them() {
        let (watched, _arrivals) = watched();
        let _relay = watched.relays.try_acquire().expect("there is room");
        let peers = [("dev".parse().expect("a name"), 2)].into();
        let text = watched.text(Figures { peers, sockets: 3, sent: 7, refused: 1 }).expect("it is text");
        for line in [
            "meshproof_signaling_peers{mesh=\"dev\"} 2",
            "meshproof_signaling_sockets 3",
            "meshproof_signaling_relay_sockets 1",
            "meshproof_signaling_messages_sent_total 7",
            "meshproof_signaling_refusals_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
    }
}
