//! What programs of the service find here: sync points of the run, and what they are in it. On loopback, for the machine's own processes.
//!
//! One listener, two manners of speaking: HTTP with JSON below a path that nobody can guess ([`http`]), and Testground's protocol over a
//! WebSocket at the root ([`testground`]). Whatever is asked is an event of the run and is answered by whoever commands it, so an answer
//! is the same after a take-over; an agent that dies takes the connections of its programs with it, and they ask again. Members that share
//! the agent each have a listener and a token of their own ([`members`]).

mod http;
mod influx;
mod members;
mod network;
mod requests;
mod testground;

pub(crate) use members::Apis;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::HEXLOWER;
use meshproof_proto::sync::Answer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::limits;
use crate::network::Links;
use requests::Requests;

/// The API of one member, or of the service beside this agent. Dropping it closes it.
#[derive(Debug)]
struct Api {
    shared: Arc<Shared>,
    url: String,
    _accepting: AbortOnDropHandle<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    requests: Requests,
    /// What stands before the path of each call.
    token: String,
    /// The run, and this service's part in it.
    about: Mutex<serde_json::Value>,
    /// Where there is a data network.
    links: Option<Arc<Links>>,
}

impl Shared {
    fn links(&self) -> Result<&Links, String> {
        self.links.as_deref().ok_or_else(|| "there is no data network here; a plan with `network` has one".to_owned())
    }
}

impl Api {
    /// Listens where it did `before`, if it did.
    async fn open(
        (about, port): (serde_json::Value, Option<u16>),
        (before, links): (Option<&str>, Option<Arc<Links>>),
        requests: Requests,
    ) -> io::Result<Self> {
        let (at, token) = match before.and_then(parts) {
            Some(before) => before,
            None => ((Ipv4Addr::LOCALHOST, port.unwrap_or_default()).into(), fresh_token()?),
        };
        let listener = TcpListener::bind(at).await?;
        let url = format!("http://{}/{token}", listener.local_addr()?);
        let shared = Arc::new(Shared { requests, token, about: Mutex::new(about), links });
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, Arc::clone(&shared))));
        Ok(Self { shared, url, _accepting: accepting })
    }

    fn answer(&self, answer: Answer) {
        self.shared.requests.answered(answer);
    }

    /// A test begins: programs that ask see which, and the network is as the plan says.
    fn begin_test(&self, test: &str) {
        self.shared.links.iter().for_each(|links| links.make(None));
        if let Ok(mut about) = self.shared.about.lock() {
            about["test"] = test.into();
        }
    }
}

/// Address and token of a URL that was given out.
fn parts(url: &str) -> Option<(SocketAddr, String)> {
    let (address, token) = url.strip_prefix("http://")?.split_once('/')?;
    Some((address.parse().ok()?, token.to_owned()))
}

fn fresh_token() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(HEXLOWER.encode(&bytes))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(limits::API_CONNECTIONS));
    let mut open = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                open.spawn(async move {
                    serve(stream, shared).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // out of descriptors: without a pause this would be a busy loop
                tracing::warn!(%error, "a connection of a program could not be taken");
                tokio::time::sleep(limits::POLL_FIRST).await;
            }
        }
    }
}

/// A WebSocket is asked for by its header, which is looked for without taking a byte.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    match tokio::time::timeout(limits::API_HEAD, wants_socket(&stream)).await {
        Ok(Some(true)) => testground::serve(stream, &shared).await,
        Ok(Some(false)) => http::serve(stream, shared).await,
        // it left, or never said what it wants
        Ok(None) | Err(_) => {}
    }
}

/// Whether the first request asks for a WebSocket at the root; none: there is no request.
async fn wants_socket(stream: &TcpStream) -> Option<bool> {
    let mut head = vec![0; limits::API_HEAD_BYTES];
    let mut seen = 0;
    loop {
        let length = stream.peek(&mut head).await.ok()?;
        let text = head.get(..length)?.to_ascii_lowercase();
        let at_root = |text: &[u8]| text.starts_with(b"get / ");
        let is_whole = text.windows(4).any(|end| end == b"\r\n\r\n");
        match length {
            0 => return None,
            6.. if !at_root(&text) => return Some(false),
            _ if is_whole => return Some(text.windows(9).any(|word| word == b"websocket")),
            length if length == head.len() => return Some(false),
            length if length == seen => tokio::time::sleep(Duration::from_millis(1)).await,
            length => seen = length,
        }
    }
}
