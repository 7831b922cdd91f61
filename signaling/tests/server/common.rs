//! A real server on loopback, and peers that speak to it through plain WebSockets.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Capability, Chain, Grant, Key, Role, Token, UnixSeconds};
use meshproof_proto::rendezvous::{REGISTER_LABEL, ToPeer, ToServer};
use meshproof_proto::version::{PROTOCOL, Version};
use meshproof_signaling::{Config, serve};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer unless it hangs.
pub const HANG: Duration = Duration::from_secs(20);

pub fn mesh() -> Name {
    "dev".parse().expect("a good name")
}

pub fn root() -> PeerId {
    Key::from_seed([1; 32]).public()
}

/// A running server; stops when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub task: JoinHandle<std::io::Result<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(Config::new(vec![(mesh(), root())])).await
    }

    pub async fn with(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, config, stop.clone()));
        Self { address, stop, task }
    }

    /// A socket that has answered nothing yet, and the nonce it was challenged with.
    pub async fn challenge(&self) -> (Socket, Vec<u8>) {
        self.challenge_at([127, 0, 0, 1]).await
    }

    /// The same for one that comes from that address.
    pub async fn challenge_at(&self, from: [u8; 4]) -> (Socket, Vec<u8>) {
        let mut socket = Socket::over(self.connect(from).await, &format!("ws://{}/mesh", self.address)).await;
        match socket.hear().await {
            ToPeer::Challenge { protocol: PROTOCOL, nonce } => (socket, nonce),
            other => panic!("a challenge comes first, not {other:?}"),
        }
    }

    /// A connection that has said nothing yet.
    pub async fn connect(&self, from: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("all of 127.0.0.0/8 is this machine");
        socket.connect(self.address).await.expect("the server listens")
    }

    /// A registered peer and who was there before.
    pub async fn join(&self, peer: &Peer) -> (Socket, Vec<Chain>) {
        self.join_at([127, 0, 0, 1], peer).await
    }

    pub async fn join_at(&self, from: [u8; 4], peer: &Peer) -> (Socket, Vec<Chain>) {
        let (mut socket, nonce) = self.challenge_at(from).await;
        socket.say(&peer.register(&nonce)).await;
        match socket.hear().await {
            ToPeer::Welcome { peers } => (socket, peers),
            other => panic!("not welcome: {other:?}"),
        }
    }

    /// Why this registration, made from the nonce, is refused.
    pub async fn refusal(&self, message: impl FnOnce(&[u8]) -> ToServer) -> String {
        let (mut socket, nonce) = self.challenge().await;
        socket.say(&message(&nonce)).await;
        match socket.hear().await {
            ToPeer::Refused { reason } => {
                socket.end().await;
                reason
            }
            other => panic!("it should be refused, not {other:?}"),
        }
    }
}

/// An instance and its chain.
pub struct Peer {
    pub key: Key,
    pub chain: Chain,
}

impl Peer {
    pub fn new(seed: u8) -> Self {
        Self::under(1, seed)
    }

    /// With a token of the root made from this seed.
    pub fn under(root: u8, seed: u8) -> Self {
        let key = Key::from_seed([seed; 32]);
        let token = Token::issue(&Key::from_seed([root; 32]), [200; 32], |token| Grant {
            mesh: mesh(),
            names: "peer-*".to_owned(),
            role: Role::Agent,
            capabilities: Capability::ALL.into(),
            not_after: UnixSeconds(1 << 40),
            token,
        });
        let name = format!("peer-{seed}").parse().expect("a good name");
        Self { chain: token.claim(&name, key.public()), key }
    }

    pub fn id(&self) -> PeerId {
        self.key.public()
    }

    pub fn register(&self, nonce: &[u8]) -> ToServer {
        self.register_as(PROTOCOL, nonce)
    }

    pub fn register_as(&self, protocol: Version, nonce: &[u8]) -> ToServer {
        let proof = self.key.sign(REGISTER_LABEL, nonce);
        ToServer::Register { protocol, mesh: mesh(), chain: Box::new(self.chain.clone()), proof }
    }
}

/// A peer's end of a socket.
pub struct Socket(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// To the server at the other end of a connection.
    pub async fn over(stream: TcpStream, url: &str) -> Self {
        let opening = tokio_tungstenite::client_async(url, MaybeTlsStream::Plain(stream)).await;
        Self(opening.expect("the server speaks WebSocket").0)
    }

    pub async fn say(&mut self, message: &ToServer) {
        let text = serde_json::to_string(message).expect("plain data");
        self.0.send(Message::text(text)).await.expect("the server reads");
    }

    /// The next message; pings are answered on the way.
    pub async fn hear(&mut self) -> ToPeer {
        loop {
            match self.next().await {
                Some(Message::Text(text)) => return serde_json::from_str(&text).expect("a message of the protocol"),
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("a message was expected, not {other:?}"),
            }
        }
    }

    /// Waits for the server to close; with its close frame if one arrived. Nothing else may come before.
    pub async fn end(&mut self) -> Option<CloseFrame> {
        loop {
            match self.next().await {
                Some(Message::Close(frame)) => return frame,
                None => return None,
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                Some(other) => panic!("the end was expected, not {other:?}"),
            }
        }
    }

    /// `None` at the end, however it comes.
    async fn next(&mut self) -> Option<Message> {
        tokio::time::timeout(HANG, self.0.next()).await.expect("the server does not hang")?.ok()
    }
}
