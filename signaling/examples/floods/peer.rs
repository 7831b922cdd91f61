//! A peer that speaks to the server through a plain WebSocket.

use std::net::{IpAddr, SocketAddr};

use futures::{SinkExt as _, StreamExt as _};
use meshproof_proto::id::{Digest, Name, PeerId};
use meshproof_proto::identity::{Capability, Grant, Key, Role, Signed, Token, UnixSeconds};
use meshproof_proto::rendezvous::{REGISTER_LABEL, ToPeer, ToServer};
use meshproof_proto::version::PROTOCOL;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// A mesh at a server, the address that one comes from, and the root key that a token for it is made with.
#[derive(Clone)]
pub struct Place {
    pub url: String,
    pub mesh: Name,
    pub from: [u8; 4],
    pub root: u8,
}

impl Place {
    pub fn new(url: &str, number: usize) -> Self {
        Self { url: url.to_owned(), mesh: mesh(number), from: [127, 0, 0, 1], root: 1 }
    }
}

pub fn mesh(number: usize) -> Name {
    format!("mesh-{number}").parse().expect("a good name")
}

/// What lets peers into a mesh.
pub struct Entry(Token);

impl Entry {
    pub fn new(place: &Place) -> Self {
        Self(Token::issue(&Key::from_seed([place.root; 32]), [200; 32], |token| Grant {
            mesh: place.mesh.clone(),
            names: "peer-*".to_owned(),
            role: Role::Agent,
            capabilities: Capability::ALL.into(),
            not_after: UnixSeconds(1 << 40),
            token,
        }))
    }
}

/// A connection from the place's address.
pub async fn connect(place: &Place) -> Option<TcpStream> {
    let server: SocketAddr = place.url.strip_prefix("ws://")?.strip_suffix("/mesh")?.parse().ok()?;
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((IpAddr::from(place.from), 0).into()).ok()?;
    let stream = socket.connect(server).await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

pub struct Socket {
    key: Key,
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Registers, and is welcome.
    pub async fn join(place: &Place, number: usize) -> Self {
        let mut socket =
            Self::register(place, (&Entry::new(place), number)).await.expect("the server takes a connection");
        let welcome = socket.hear().await;
        assert!(matches!(welcome, Some(ToPeer::Welcome { .. })), "not welcome: {welcome:?}");
        socket
    }

    /// Becomes a WebSocket, and says nothing.
    pub async fn upgrade(place: &Place, number: usize) -> Option<Self> {
        let stream = connect(place).await?;
        let (stream, _) = tokio_tungstenite::client_async(&place.url, stream).await.ok()?;
        let key = Key::from_seed(Digest::of(&[b"instance".as_slice(), &number.to_le_bytes()].concat()).0);
        Some(Self { key, stream })
    }

    /// Says who it is; `None` where no connection is taken.
    pub async fn register(place: &Place, (entry, number): (&Entry, usize)) -> Option<Self> {
        let mut socket = Self::upgrade(place, number).await?;
        let Some(ToPeer::Challenge { nonce, .. }) = socket.hear().await else { return None };
        let name = format!("peer-{number}").parse().expect("a good name");
        let chain = Box::new(entry.0.claim(&name, socket.key.public()));
        let proof = socket.key.sign(REGISTER_LABEL, &nonce);
        socket.say(&ToServer::Register { protocol: PROTOCOL, mesh: place.mesh.clone(), chain, proof }).await?;
        Some(socket)
    }

    pub fn id(&self) -> PeerId {
        self.key.public()
    }

    pub async fn say(&mut self, message: &ToServer) -> Option<()> {
        let text = serde_json::to_string(message).expect("plain data");
        self.stream.send(Message::text(text)).await.ok()
    }

    /// The next message; `None` at the end.
    pub async fn hear(&mut self) -> Option<ToPeer> {
        loop {
            match self.stream.next().await?.ok()? {
                Message::Text(text) => return serde_json::from_str(&text).ok(),
                Message::Ping(_) | Message::Pong(_) => self.stream.flush().await.ok()?,
                Message::Binary(_) | Message::Close(_) | Message::Frame(_) => return None,
            }
        }
    }

    /// A small signal; the server does not look inside.
    pub async fn signal(&mut self, to: PeerId) {
        let signal = Signed { text: "x".repeat(1_000), signature: vec![0; 64] };
        self.say(&ToServer::Signal { to, signal }).await.expect("the server reads");
    }

    pub async fn signalled(&mut self) {
        loop {
            match self.hear().await {
                Some(ToPeer::Signal { .. }) => return,
                Some(_) => {}
                None => panic!("the server closed the socket of an honest peer"),
            }
        }
    }

    pub async fn leave(mut self) {
        let _ = self.say(&ToServer::Leave).await;
        while self.hear().await.is_some() {}
    }

    /// Ends without a word, and without a port that waits for its packets.
    pub fn cut(self) {
        let _ = self.stream.get_ref().set_zero_linger();
    }
}
