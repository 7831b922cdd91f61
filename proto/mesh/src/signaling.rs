//! The client of one signaling server: registers, and tells what the server says. It comes back by itself.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use meshproof_proto::backoff::Backoff;
use meshproof_proto::limits;
use meshproof_proto::rendezvous::{REGISTER_LABEL, ToPeer, ToServer};
use meshproof_proto::version::Version;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message, protocol::WebSocketConfig};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::proxy::{self, ConnectError};

/// Connecting and registering, all in all.
const REGISTER_WITHIN: Duration = Duration::from_secs(5);

/// The server pings every two seconds; silence for this long is a dead socket.
const SILENCE: Duration = Duration::from_secs(6);

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
    },
    /// Final: the server refused this peer.
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

type Socket = proxy::Socket;

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

/// A server that took us in, and what it speaks.
struct Registered {
    socket: Socket,
    welcome: ToPeer,
    server: Version,
}

impl Client {
    /// Runs until stopped or refused.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::of_links(self.context.seed());
        loop {
            let ended = match self.register().await {
                Ok(Registered { socket, welcome, server }) => {
                    backoff.reset();
                    self.tell(News::Up).await;
                    self.tell(News::Message(welcome)).await;
                    self.serve(socket, server).await
                }
                Err(ended) => ended,
            };
            let reason = ended.to_string();
            match ended {
                Ended::Left => return,
                Ended::Refused(_) | Ended::Incompatible(_) => return self.tell(News::Refused { reason }).await,
                _ => self.tell(News::Down { reason }).await,
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.after_failure()) => {}
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
        let config = WebSocketConfig::default()
            .read_buffer_size(8 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(limits::SIGNAL_BYTES * 8)
            .max_message_size(Some(limits::ROSTER_BYTES))
            .max_frame_size(Some(limits::ROSTER_BYTES));
        let mut socket = proxy::connect(&self.url, (&self.context.proxies, &self.context.authorities), config).await?;
        let ToPeer::Challenge { protocol, nonce } = receive(&mut socket).await? else { return Err(Ended::OutOfOrder) };
        self.context.protocol.check(protocol)?;
        let news = self.context.trust.borrow().news();
        if !news.is_empty() && protocol.has_news() {
            // our chain may need it
            send(&mut socket, &ToServer::News { mesh: self.context.mesh.clone(), news }).await?;
        }
        let register = ToServer::Register {
            protocol: self.context.protocol,
            mesh: self.context.mesh.clone(),
            chain: Box::new(self.context.chain.clone()),
            proof: self.context.key.sign(REGISTER_LABEL, &nonce),
        };
        send(&mut socket, &register).await?;
        loop {
            match receive(&mut socket).await? {
                ToPeer::News(news) => self.tell(News::Message(ToPeer::News(news))).await,
                welcome @ ToPeer::Welcome { .. } => return Ok(Registered { socket, welcome, server: protocol }),
                ToPeer::Refused { reason } => return Err(Ended::Refused(reason)),
                _ => return Err(Ended::OutOfOrder),
            }
        }
    }

    async fn serve(&mut self, mut socket: Socket, server: Version) -> Ended {
        let mut addresses = self.context.addresses.clone();
        // one that is not of those that connections use is not missed when they change
        let local = proxy::local_addr(&socket).map(|local| local.ip()).ok();
        let local = local.filter(|local| self.context.has_address(*local));
        loop {
            tokio::select! {
                received = receive(&mut socket) => match received {
                    Ok(ToPeer::Refused { reason }) => return Ended::Refused(reason),
                    Ok(message) => self.tell(News::Message(message)).await,
                    Err(ended) => return ended,
                },
                Some(message) = self.outgoing.recv() => {
                    if matches!(message, ToServer::News { .. }) && !server.has_news() {
                        continue;
                    }
                    if let Err(ended) = send(&mut socket, &message).await {
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
                        send(&mut socket, &ToServer::Leave).await?;
                        socket.close(None).await?;
                        Ok::<_, Ended>(())
                    };
                    let _ = timeout(Duration::from_millis(200), leaving).await;
                    return Ended::Left;
                }
            }
        }
    }
}

async fn send(socket: &mut Socket, message: &ToServer) -> Result<(), Ended> {
    let text = serde_json::to_string(message)?;
    Ok(socket.send(Message::text(text)).await?)
}

/// The next message. Flushes after every frame, because tungstenite only queues the pongs it owes.
async fn receive(socket: &mut Socket) -> Result<ToPeer, Ended> {
    loop {
        // each frame is a sign of life, the server's pings above all
        let frame = timeout(SILENCE, socket.next()).await.map_err(|_| Ended::Timeout(SILENCE))?;
        let frame = frame.ok_or(Ended::Closed)??;
        match frame {
            Message::Text(text) => return Ok(serde_json::from_str(text.as_str())?),
            Message::Close(_) => return Err(Ended::Closed),
            Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => socket.flush().await?,
        }
    }
}
