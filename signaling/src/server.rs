//! The network's side: accepts connections, turns `/mesh` and `/relay` into WebSockets, and answers `/healthz`.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::limits::DATAGRAM_BYTES;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::epochs::Folder;
use crate::health::{self, Watched};
use crate::hub::{Arrival, Hub, Vetting};
use crate::ice::Ice;
use crate::limits;
use crate::relay::{self, Desk};
use crate::relays::{Patience, Relays};
use crate::rooms::{ConnId, Nonce, Rooms};
use crate::socket::{self, Post, Pulse};
use crate::sources::{Share, Sources};
use crate::tls::Tls;

/// What a server serves, and how patient it is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Each mesh with its public root key.
    pub meshes: Vec<(Name, PeerId)>,
    /// From the connection to the WebSocket, and from the challenge to the registration.
    pub register_deadline: Duration,
    pub ping_every: Duration,
    /// A peer from which nothing came for so long, not even answers to pings, is gone.
    pub silence: Duration,
    /// One end of a relayed connection waits this long for the other.
    pub relay_wait: Duration,
    /// With it only TLS is spoken.
    pub tls: Option<Tls>,
    /// STUN and TURN servers that peers are told.
    pub ice: Ice,
    /// A folder with epochs of its meshes' pools.
    pub epochs: Option<PathBuf>,
    /// Where whoever watches over the server asks for its health and its figures.
    pub health: Option<Arc<TcpListener>>,
}

impl Config {
    /// These meshes, with the patience of [`crate::limits`].
    pub fn new(meshes: Vec<(Name, PeerId)>) -> Self {
        Self {
            meshes,
            register_deadline: limits::REGISTER_DEADLINE,
            ping_every: limits::PING_EVERY,
            silence: limits::SILENCE,
            relay_wait: limits::RELAY_WAIT,
            tls: None,
            ice: Ice::default(),
            epochs: None,
            health: None,
        }
    }
}

/// To a connection of an address that has used up its allowance.
const TOO_MANY: &str = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: text/plain\r\n\
    Content-Length: 56\r\n\r\ntoo many connections from this address; try again later\n";

struct Server {
    hub: mpsc::Sender<Arrival>,
    desk: mpsc::Sender<relay::Arrival>,
    /// Places of relay sockets.
    relays: Arc<Semaphore>,
    register_deadline: Duration,
    pulse: Pulse,
    tls: Option<Tls>,
    tasks: TaskTracker,
    stop: CancellationToken,
    connections: AtomicU64,
}

/// One connection's share of the server; the permit goes with the last task that serves it.
#[derive(Clone)]
struct Visit {
    server: Arc<Server>,
    from: SocketAddr,
    share: Arc<Share>,
    permit: Arc<OwnedSemaphorePermit>,
}

/// Serves until `shutdown`, then closes every socket and returns in less than half a second.
///
/// # Errors
///
/// The listener's, when it failed to accept for ten seconds.
pub async fn serve(listener: TcpListener, config: Config, shutdown: CancellationToken) -> io::Result<()> {
    let (hub, arrivals) = mpsc::channel(limits::ARRIVALS);
    let (desk, relay_arrivals) = mpsc::channel(limits::ARRIVALS);
    let stop = shutdown.child_token();
    let server = Arc::new(Server {
        hub,
        desk,
        relays: Arc::new(Semaphore::new(limits::RELAYS)),
        register_deadline: config.register_deadline,
        pulse: Pulse { ping_every: config.ping_every, silence: config.silence },
        tls: config.tls.clone(),
        tasks: TaskTracker::new(),
        stop: stop.clone(),
        connections: AtomicU64::new(0),
    });
    let rooms = Rooms::new(config.meshes.clone(), config.register_deadline).with_ice(config.ice);
    let (learned, relays_learn) = watch::channel(BTreeMap::new());
    let vetting = Vetting::new(server.hub.clone(), server.tasks.clone());
    server.tasks.spawn(Hub::new(rooms, learned, vetting).run(arrivals, stop.clone()));
    let patience = Patience { request: config.register_deadline, partner: config.relay_wait };
    let relays = Relays::new(config.meshes, patience);
    server.tasks.spawn(Desk::new(relays, relays_learn).run(relay_arrivals, stop.clone()));
    if let Some(folder) = config.epochs {
        let mut folder = Folder::new(folder, server.hub.clone());
        // nobody is welcomed before
        folder.look().await;
        server.tasks.spawn(folder.watch(stop.clone()));
    }
    if let Some(listener) = config.health {
        let watched = Watched { hub: server.hub.clone(), relays: Arc::clone(&server.relays), began: Instant::now() };
        server.tasks.spawn(health::serve(listener, watched, stop.clone()));
    }
    let served = tokio::select! {
        () = stop.cancelled() => Ok(()),
        error = accept(&listener, &server) => Err(error),
    };
    stop.cancel();
    server.tasks.close();
    server.tasks.wait().await;
    served
}

/// Accepts while there is room; returns the error that ends it.
async fn accept(listener: &TcpListener, server: &Arc<Server>) -> io::Error {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    let (mut sources, mut failures) = (Sources::new(Instant::now()), 0);
    loop {
        let permit = Arc::clone(&places).acquire_owned().await.expect("nobody closes this semaphore");
        match listener.accept().await {
            Ok((stream, from)) => {
                failures = 0;
                let now = Instant::now();
                let share = sources.share(from.ip(), now);
                let Some(wait) = share.connect(now) else {
                    too_many(&stream, server);
                    // a flood of them does not keep this thread for itself
                    tokio::task::yield_now().await;
                    continue;
                };
                let visit = Visit { server: Arc::clone(server), from, share, permit: Arc::new(permit) };
                server.tasks.spawn(visit_http(stream, visit, wait));
            }
            Err(error) if failures == limits::ACCEPT_FAILURES => return error,
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(limits::ACCEPT_RETRY).await;
            }
        }
    }
}

/// Says so where that can be read, in one piece that always fits, and without waiting for a question.
fn too_many(stream: &TcpStream, server: &Server) {
    tracing::debug!("connection refused: its address has used up its allowance");
    if server.tls.is_none() {
        let _ = stream.try_write(TOO_MANY.as_bytes());
    }
}

/// Until the connection has become a WebSocket, said what it wanted, or used up its time; all of it after its turn came.
async fn visit_http(stream: TcpStream, visit: Visit, turn: Duration) {
    let server = Arc::clone(&visit.server);
    if !turn.is_zero() {
        tokio::select! {
            () = server.stop.cancelled() => return,
            () = tokio::time::sleep(turn) => {}
        }
    }
    // costs at most some latency when it fails
    let _ = stream.set_nodelay(true);
    tokio::select! {
        () = server.stop.cancelled() => {}
        () = tokio::time::sleep(server.register_deadline) => {}
        () = async {
            match &server.tls {
                None => http(stream, visit).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => http(stream, visit).await,
                    Err(error) => tracing::debug!(%error, "no TLS"),
                },
            }
        } => {}
    }
}

async fn http(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, visit: Visit) {
    let routes = Router::new().route("/mesh", get(mesh)).route("/relay", get(relay)).route("/healthz", get(healthz));
    let routes = routes.with_state(visit);
    let http = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .with_upgrades();
    if let Err(error) = http.await {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn mesh(State(visit): State<Visit>, upgrade: WebSocketUpgrade) -> Response {
    let Some(nonce) = nonce() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let Visit { server, from, share, permit } = visit;
    let task = server.tasks.token();
    upgrade
        .read_buffer_size(limits::SOCKET_BUFFER_BYTES)
        .write_buffer_size(limits::SOCKET_BUFFER_BYTES)
        .max_write_buffer_size(limits::SOCKET_UNSENT_BYTES)
        .max_message_size(limits::MESSAGE_BYTES)
        .max_frame_size(limits::MESSAGE_BYTES)
        .on_upgrade(async move |socket| {
            let post = Post {
                conn: server.conn(),
                from,
                nonce,
                share,
                hub: server.hub.clone(),
                pulse: server.pulse,
                stop: server.stop.clone(),
            };
            socket::run(socket, post).await;
            drop((task, permit));
        })
}

async fn relay(State(visit): State<Visit>, upgrade: WebSocketUpgrade) -> Response {
    let Visit { server, from, permit, .. } = visit;
    let Ok(place) = Arc::clone(&server.relays).try_acquire_owned() else { return full() };
    let Some(nonce) = nonce() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let task = server.tasks.token();
    upgrade
        .read_buffer_size(limits::RELAY_BUFFER_BYTES)
        .write_buffer_size(limits::RELAY_BUFFER_BYTES)
        .max_write_buffer_size(limits::RELAY_UNSENT_BYTES)
        .max_message_size(DATAGRAM_BYTES)
        .max_frame_size(DATAGRAM_BYTES)
        .on_upgrade(async move |socket| {
            let post = relay::Post {
                conn: server.conn(),
                from,
                nonce,
                desk: server.desk.clone(),
                pulse: server.pulse,
                stop: server.stop.clone(),
            };
            relay::run(socket, post).await;
            drop((task, permit, place));
        })
}

/// Closing the connection, too: one that is kept alive would hold a place.
fn full() -> Response {
    tracing::warn!(limit = limits::RELAYS, "relay refused: all places are taken");
    (StatusCode::SERVICE_UNAVAILABLE, [(header::CONNECTION, "close")], "all relay places are taken\n").into_response()
}

fn nonce() -> Option<Nonce> {
    let mut nonce = Nonce::default();
    match getrandom::fill(&mut nonce) {
        Ok(()) => Some(nonce),
        Err(error) => {
            tracing::error!(%error, "the operating system gives no random bytes");
            None
        }
    }
}

impl Server {
    fn conn(&self) -> ConnId {
        ConnId(self.connections.fetch_add(1, Ordering::Relaxed))
    }
}
