//! Serves the page and its sockets to browsers of this machine.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Pass;
use super::health::{self, Figures, Watched};
use super::limits::{CONNECTIONS, HELLO_WITHIN, TABS, WORD_BYTES};
use super::tab::{self, House};
use super::{guard, page};

pub use super::tab::{Asked, ReadsLines, Seat};

/// Who is let in, as whom, and from where their stand-ins are reached.
pub struct Config {
    pub passes: Vec<Pass>,
    /// Whose name stands in the names of pages.
    pub person: String,
    pub addresses: Vec<IpAddr>,
    pub reads_lines: ReadsLines,
    /// Where machines ask how this process is; they may where the page is, too.
    pub health: Option<SocketAddr>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("passes", &self.passes).field("person", &self.person).finish_non_exhaustive()
    }
}

/// A listener that others of this machine reach, and nobody else.
///
/// # Errors
/// The address is another machine's to reach, or not to be had.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        let why = format!(
            "{address} can be reached from other machines, and the page is not encrypted on its way; listen on 127.0.0.1, and let \
             `ssh -L` carry it"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

#[derive(Clone)]
struct Server {
    house: Arc<House>,
    tabs: Arc<Semaphore>,
    watched: Watched,
}

/// Serves until it is stopped; then every tab hears that, and what was begun in one is waited for.
///
/// # Errors
/// The listener's, or the place for health is not to be had.
pub async fn serve(listener: TcpListener, config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let Config { passes, person, addresses, reads_lines, health } = config;
    let (watched, mut asked) = health::watched();
    let _health = health.map(|address| meshproof_health::serve(address, watched.clone())).transpose()?;
    let readers = TaskTracker::new();
    let house =
        Arc::new(House { passes, person, addresses, reads_lines, readers: readers.clone(), stop: stop.clone() });
    let tabs = Arc::new(Semaphore::new(TABS));
    let server = Server { house, tabs: Arc::clone(&tabs), watched };
    let routes = Router::new()
        .route("/socket", get(socket))
        .fallback(file)
        .layer(middleware::from_fn(guarded))
        .with_state(server);
    let (places, mut open, began) = (Arc::new(Semaphore::new(CONNECTIONS)), JoinSet::new(), Instant::now());
    loop {
        while open.try_join_next().is_some() {}
        let accepting = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes this semaphore");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepting => accepted,
            Some(asker) = asked.recv() => {
                let counts = (TABS - tabs.available_permits(), CONNECTIONS - places.available_permits());
                // whoever asked may be gone
                let _ = asker.send(Figures::now(began, counts));
                continue;
            }
            () = stop.cancelled() => {
                drop(listener);
                readers.close();
                readers.wait().await;
                return Ok(());
            }
        };
        let (stream, _) = accepted?;
        let routes = routes.clone();
        open.spawn(async move {
            http(stream, routes).await;
            drop(place);
        });
    }
}

async fn http(stream: TcpStream, routes: Router) {
    // costs at most some latency when it fails
    let _ = stream.set_nodelay(true);
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HELLO_WITHIN)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .with_upgrades();
    if let Err(error) = served.await {
        tracing::debug!(%error, "a browser's connection ended early");
    }
}

async fn guarded(request: Request, next: Next) -> Response {
    let answer = match guard::refusal(&request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    guard::guarded(answer)
}

async fn file(State(server): State<Server>, request: Request) -> Response {
    if let Some(answer) = meshproof_health::answer_at(request.method(), request.uri().path(), &server.watched).await {
        return answer.map(Body::new);
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    match page::at(request.uri().path()) {
        Some((kind, text)) => ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such file here\n").into_response(),
    }
}

async fn socket(State(server): State<Server>, upgrade: WebSocketUpgrade) -> Response {
    let Ok(place) = Arc::clone(&server.tabs).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many tabs are open\n").into_response();
    };
    upgrade.max_message_size(WORD_BYTES).max_frame_size(WORD_BYTES).on_upgrade(async move |socket| {
        tab::serve(socket, server.house).await;
        drop(place);
    })
}
