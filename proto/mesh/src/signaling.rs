//! The client of one signaling server: registers, and tells what the server says. It comes back by itself.
//!
//! Below it is the [`Line`], a socket that knows when the server is silent. A [`Passage`] is one for a peer that cannot make a socket
//! itself.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use meshproof_proto::backoff::Backoff;
use meshproof_proto::limits;
use meshproof_proto::rendezvous::{REGISTER_LABEL, ToPeer, ToServer};
use meshproof_proto::version::Version;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::{self, Message, protocol::WebSocketConfig};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::proxy::{self, ConnectError, Proxies};
use crate::tls::Authorities;

/// Connecting and registering, all in all.
const REGISTER_WITHIN: Duration = Duration::from_secs(5);

/// The server pings every two seconds: two are missed by then, and the third is late. Six seconds are promised until it is noticed.
const SILENCE: Duration = Duration::from_millis(5_500);

/// What a client tells the node. `server` is its index in the configuration.
#[derive(Debug)]
pub(crate) struct FromServer {
    pub server: usize,
    pub news: News,
}

#[derive(Debug)]
pub(crate) enum News {
    Up,
    Down {
        reason: String,
        /// See [`crate::MeshEvent::SignalingDown`].
        wrong_way: bool,
    },
    /// The server refused this peer. It is asked again, but seldom: its owner may tell it otherwise.
    Refused {
        reason: String,
    },
    Message(ToPeer),
}

/// One server's client.
pub(crate) struct Client {
    pub context: Arc<Context>,
    pub server: usize,
    pub url: String,
    pub outgoing: mpsc::Receiver<ToServer>,
    pub news: mpsc::Sender<FromServer>,
    pub stop: CancellationToken,
}

/// A socket, and when it last showed a sign of life. What we say meanwhile is none: a kernel takes it for long after the path
/// is cut.
#[derive(Debug)]
struct Line {
    socket: proxy::Socket,
    heard_at: Instant,
}

/// Why a socket ended.
#[derive(Debug, Error)]
enum Ended {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Socket(#[from] tungstenite::Error),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the server closed the socket")]
    Closed,
    #[error("the server sent something unreadable: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("the server did not speak the protocol")]
    OutOfOrder,
    #[error("{0}")]
    Incompatible(#[from] meshproof_proto::version::Incompatible),
    #[error("{0}")]
    Refused(String),
    #[error("this machine has lost the address")]
    AddressGone,
    #[error("this peer left")]
    Left,
}

impl Ended {
    fn is_wrong_way(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_wrong_way(),
            Self::Unreadable(_) | Self::OutOfOrder => true,
            _ => false,
        }
    }
}

/// A server that took us in, and what it speaks.
struct Registered {
    line: Line,
    welcome: ToPeer,
    server: Version,
}

impl Client {
    /// Runs until stopped.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::of_links(self.context.seed());
        let mut refusals = Backoff::of_refusals(self.context.seed());
        loop {
            let ended = match self.register().await {
                Ok(Registered { line, welcome, server }) => {
                    backoff.reset();
                    refusals.reset();
                    self.tell(News::Up).await;
                    self.tell(News::Message(welcome)).await;
                    self.serve(line, server).await
                }
                Err(ended) => ended,
            };
            let reason = ended.to_string();
            let wait = match ended {
                Ended::Left => return,
                Ended::Refused(_) | Ended::Incompatible(_) => {
                    self.tell(News::Refused { reason }).await;
                    refusals.after_failure()
                }
                ended => {
                    self.tell(News::Down { reason, wrong_way: ended.is_wrong_way() }).await;
                    backoff.after_failure()
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    async fn tell(&self, news: News) {
        let _ = self.news.send(FromServer { server: self.server, news }).await;
    }

    async fn register(&self) -> Result<Registered, Ended> {
        let registering = timeout(REGISTER_WITHIN, self.introduce());
        tokio::select! {
            result = registering => result.unwrap_or(Err(Ended::Timeout(REGISTER_WITHIN))),
            () = self.stop.cancelled() => Err(Ended::Left),
        }
    }

    async fn introduce(&self) -> Result<Registered, Ended> {
        let mut line = Line::to(&self.url, (&self.context.proxies, &self.context.authorities)).await?;
        let ToPeer::Challenge { protocol, nonce } = line.receive().await? else { return Err(Ended::OutOfOrder) };
        self.context.protocol.check(protocol)?;
        let news = self.context.trust.borrow().news();
        if !news.is_empty() && protocol.has_news() {
            // our chain may need it
            line.send(&ToServer::News { mesh: self.context.mesh.clone(), news }).await?;
        }
        let register = ToServer::Register {
            protocol: self.context.protocol,
            mesh: self.context.mesh.clone(),
            chain: Box::new(self.context.chain.clone()),
            proof: self.context.key.sign(REGISTER_LABEL, &nonce),
        };
        line.send(&register).await?;
        loop {
            match line.receive().await? {
                before @ (ToPeer::News(_) | ToPeer::Ice(_) | ToPeer::Epochs(_)) => {
                    self.tell(News::Message(before)).await
                }
                welcome @ ToPeer::Welcome { .. } => return Ok(Registered { line, welcome, server: protocol }),
                ToPeer::Refused { reason } => return Err(Ended::Refused(reason)),
                _ => return Err(Ended::OutOfOrder),
            }
        }
    }

    async fn serve(&mut self, mut line: Line, server: Version) -> Ended {
        let mut addresses = self.context.addresses.clone();
        // one that is not of those that connections use is not missed when they change
        let local = proxy::local_addr(&line.socket).map(|local| local.ip()).ok();
        let local = local.filter(|local| self.context.has_address(*local));
        loop {
            tokio::select! {
                received = line.receive() => match received {
                    Ok(ToPeer::Refused { reason }) => return Ended::Refused(reason),
                    Ok(message) => self.tell(News::Message(message)).await,
                    Err(ended) => return ended,
                },
                Some(message) = self.outgoing.recv() => {
                    if matches!(message, ToServer::News { .. }) && !server.has_news() {
                        continue;
                    }
                    if let Err(ended) = line.send(&message).await {
                        return ended;
                    }
                }
                Ok(()) = addresses.changed() => {
                    // the socket dies with its address, and without a word
                    if local.is_some_and(|local| !self.context.has_address(local)) {
                        return Ended::AddressGone;
                    }
                }
                () = self.stop.cancelled() => {
                    let leaving = async {
                        line.send(&ToServer::Leave).await?;
                        line.socket.close(None).await?;
                        Ok::<_, Ended>(())
                    };
                    let _ = timeout(Duration::from_millis(200), leaving).await;
                    return Ended::Left;
                }
            }
        }
    }
}

/// Nothing takes longer than the server may be silent: what is sent into a cut path waits for ever.
async fn within<T>(heard_at: Instant, doing: impl Future<Output = T>) -> Result<T, Ended> {
    timeout_at(heard_at + SILENCE, doing).await.map_err(|_| Ended::Timeout(SILENCE))
}

impl Line {
    async fn to(url: &str, way: (&Proxies, &Authorities)) -> Result<Self, Ended> {
        let config = WebSocketConfig::default()
            .read_buffer_size(8 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(limits::SIGNAL_BYTES * 8)
            .max_message_size(Some(limits::ROSTER_BYTES))
            .max_frame_size(Some(limits::ROSTER_BYTES));
        let socket = proxy::connect(url, way, config).await?;
        Ok(Self { socket, heard_at: Instant::now() })
    }

    async fn send(&mut self, message: &ToServer) -> Result<(), Ended> {
        self.say(serde_json::to_string(message)?).await
    }

    async fn say(&mut self, text: String) -> Result<(), Ended> {
        Ok(within(self.heard_at, self.socket.send(Message::text(text))).await??)
    }

    async fn receive(&mut self) -> Result<ToPeer, Ended> {
        Ok(serde_json::from_str(&self.text().await?)?)
    }

    /// The next message. Flushes after every frame, because tungstenite only queues the pongs it owes. Dropping the future loses nothing.
    async fn text(&mut self) -> Result<String, Ended> {
        loop {
            // each frame is a sign of life, the server's pings above all
            let frame = within(self.heard_at, self.socket.next()).await?.ok_or(Ended::Closed)??;
            self.heard_at = Instant::now();
            match frame {
                Message::Text(text) => return Ok(text.as_str().to_owned()),
                Message::Close(_) => return Err(Ended::Closed),
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {
                    within(self.heard_at, self.socket.flush()).await??;
                }
            }
        }
    }
}

/// A socket to a signaling server on behalf of a peer that says itself what is said on it: a browser, whose page may ask nobody but
/// who served it. What passes is not looked at.
#[derive(Debug)]
pub struct Passage(Line);

impl Passage {
    /// Opens it.
    ///
    /// # Errors
    /// The server cannot be reached; in words.
    pub async fn to(url: &str, proxies: &Proxies, authorities: &Authorities) -> Result<Self, String> {
        let opening = timeout(REGISTER_WITHIN, Line::to(url, (proxies, authorities))).await;
        let line = opening.unwrap_or(Err(Ended::Timeout(REGISTER_WITHIN)));
        line.map(Self).map_err(|ended| ended.to_string())
    }

    /// What the server says next. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The socket ended, or the server is silent; in words.
    pub async fn heard(&mut self) -> Result<String, String> {
        self.0.text().await.map_err(|ended| ended.to_string())
    }

    /// Says this to the server.
    ///
    /// # Errors
    /// As [`heard`](Self::heard).
    pub async fn say(&mut self, text: String) -> Result<(), String> {
        self.0.say(text).await.map_err(|ended| ended.to_string())
    }
}
