//! A peer that the mesh admitted: its token is good, its signals are signed, it knows the protocol. What it says then is
//! up to the test.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use meshproof_mesh::Mesh;
use meshproof_mesh::rtc::{ChannelSpec, Connection, Reliability, RtcConfig, RtcEvent};
use meshproof_proto::codec::Codec;
use meshproof_proto::frame::{BulkFrame, ControlFrame, EVENTS_CHANNEL, MAIN_CHANNEL};
use meshproof_proto::hello::{Hello, Party, Transcript};
use meshproof_proto::id::{Digest, Generation, PeerId};
use meshproof_proto::identity::{Chain, Key, Token, UnixSeconds};
use meshproof_proto::rendezvous::{REGISTER_LABEL, ToPeer, ToServer};
use meshproof_proto::signal::{ConnectionKind, Signal, SignalBody};
use meshproof_proto::version::{PROTOCOL, Version};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::common::{World, name};

/// Which description is the hostile peer's: the lower id offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Offers,
    Answers,
}

pub struct Hostile {
    pub name: String,
    pub key: Key,
    pub chain: Chain,
    pub victim: PeerId,
    /// What it says that it speaks.
    pub protocol: Version,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    offered: Generation,
}

/// An answer to the victim's beats waits behind this much of a flood and no more, or a slow machine would take the flood for silence.
const SEND_BUFFER: usize = 16 * 1024;

pub fn config() -> RtcConfig {
    RtcConfig {
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        send_buffer: Some(SEND_BUFFER),
        ..RtcConfig::default()
    }
}

/// The channels that the victim expects on a connection of that kind.
pub fn channels(kind: ConnectionKind) -> [ChannelSpec; 2] {
    let reliable = |id, label| ChannelSpec { id, label, reliability: Reliability::ReliableOrdered };
    match kind {
        ConnectionKind::Control => [reliable(MAIN_CHANNEL, "control"), reliable(EVENTS_CHANNEL, "events")],
        ConnectionKind::Bulk(_) => [
            reliable(MAIN_CHANNEL, "bulk"),
            ChannelSpec { id: 1, label: "datagram", reliability: Reliability::UnorderedNoRetransmit },
        ],
    }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

pub fn encoded(frame: &impl Serialize) -> Bytes {
    Codec::Bincode.encode(frame).expect("it can be written").into()
}

/// Payload bytes that came over the link of that name.
pub fn received(mesh: &Mesh, from: &str) -> u64 {
    mesh.links().into_iter().find(|link| link.name == from).expect("linked").bytes_received
}

impl Hostile {
    pub async fn register(world: &World, who: &str, victim: PeerId, part: Part) -> Self {
        Self::register_with(&world.token(who, 66), who, (world, victim), part).await
    }

    /// Registers with a token of the test's own.
    pub async fn register_with(token: &Token, who: &str, (world, victim): (&World, PeerId), part: Part) -> Self {
        // each is a new instance, also under an old name
        static MADE: AtomicU64 = AtomicU64::new(0);
        let made = || MADE.fetch_add(1, Ordering::Relaxed);
        let mut keys = std::iter::repeat_with(|| Key::from_seed(Digest::of(&made().to_le_bytes()).0));
        let fits = |key: &Key| (key.public() < victim) == (part == Part::Offers);
        let key = keys.find(fits).expect("one key of a few is on either side");
        let chain = token.claim(&name(who), key.public());
        let (socket, _) = tokio_tungstenite::connect_async(&world.url).await.expect("the server is there");
        let mut hostile =
            Self { name: who.to_owned(), key, chain, victim, protocol: PROTOCOL, socket, offered: Generation(0) };
        let Some(ToPeer::Challenge { nonce, .. }) = hostile.receive().await else { panic!("a challenge comes first") };
        let register = ToServer::Register {
            protocol: PROTOCOL,
            mesh: name("dev"),
            chain: Box::new(hostile.chain.clone()),
            proof: hostile.key.sign(REGISTER_LABEL, &nonce),
        };
        hostile.say(&register).await;
        let welcome = hostile.receive().await;
        assert!(matches!(welcome, Some(ToPeer::Welcome { .. })), "{welcome:?}");
        hostile
    }

    /// What the server says next; `None` when it closed the socket.
    pub async fn receive(&mut self) -> Option<ToPeer> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(text.as_str()).expect("the server's words")),
                Message::Close(_) => return None,
                _ => self.socket.flush().await.ok()?,
            }
        }
    }

    /// Answers the server's pings and never ends: a flood may take longer on a busy machine than the server bears silence, and a link
    /// is given up once its peer has left.
    pub async fn stays(&mut self) {
        while self.receive().await.is_some() {}
        std::future::pending().await
    }

    async fn say(&mut self, word: &ToServer) {
        let text = serde_json::to_string(word).expect("plain data");
        // a server that has enough of us closes the socket
        let _ = self.socket.send(Message::text(text)).await;
    }

    pub fn signal_of(&self, kind: ConnectionKind, generation: Generation, body: SignalBody) -> Signal {
        Signal {
            mesh: name("dev"),
            from: self.key.public(),
            to: self.victim,
            kind,
            codec: Codec::Bincode,
            generation,
            expires: UnixSeconds(now() + 30),
            body,
        }
    }

    /// Sends a signal, signed as it should be.
    pub async fn signal(&mut self, signal: &Signal) {
        let signed = signal.seal(&self.key);
        self.send(signed).await;
    }

    pub async fn send(&mut self, signal: meshproof_proto::identity::Signed) {
        let to = self.victim;
        self.say(&ToServer::Signal { to, signal }).await;
    }

    /// The victim's next signal about a connection of that kind.
    pub async fn heard(&mut self, kind: ConnectionKind) -> Signal {
        loop {
            let word = self.receive().await.expect("the server keeps us");
            let ToPeer::Signal { from, signal } = word else { continue };
            let signal = Signal::open(&signal, &from, &self.key.public(), UnixSeconds(now())).expect("it is signed");
            if signal.kind == kind {
                return signal;
            }
        }
    }

    /// Gets a connection through DTLS, honestly.
    pub async fn connect(&mut self, kind: ConnectionKind) -> Line {
        let offers = self.key.public() < self.victim;
        let (mut connection, generation) = if offers { self.offer(kind).await } else { self.answer(kind).await };
        let opened = connection.next_event().await;
        assert_eq!(opened, Some(RtcEvent::Open));
        Line { connection, kind, generation }
    }

    async fn offer(&mut self, kind: ConnectionKind) -> (Connection, Generation) {
        self.offered = self.offered.next();
        let generation = self.offered;
        let (connection, sdp) = Connection::offer(&config(), &channels(kind)).await.expect("an offer");
        let offer = self.signal_of(kind, generation, SignalBody::Offer { sdp });
        self.signal(&offer).await;
        loop {
            let answer = self.heard(kind).await;
            if let (SignalBody::Answer { sdp, .. }, true) = (answer.body, answer.generation == generation) {
                connection.accept_answer(&sdp).await.expect("an honest answer");
                return (connection, generation);
            }
        }
    }

    async fn answer(&mut self, kind: ConnectionKind) -> (Connection, Generation) {
        let ask = self.signal_of(kind, Generation(0), SignalBody::PleaseOffer);
        self.signal(&ask).await;
        loop {
            let offer = self.heard(kind).await;
            let SignalBody::Offer { sdp } = offer.body else { continue };
            let (connection, answer) = Connection::answer(&config(), &channels(kind), &sdp).await.expect("an answer");
            let body = SignalBody::Answer { offer: Digest::of(sdp.as_bytes()), sdp: answer };
            let answer = self.signal_of(kind, offer.generation, body);
            self.signal(&answer).await;
            return (connection, offer.generation);
        }
    }

    /// The hello that an honest peer would send.
    pub fn hello(&self) -> Hello {
        Hello { protocol: self.protocol, chain: self.chain.clone(), nonce: [7; 32] }
    }

    /// A connection with its hello done, honestly.
    pub async fn admitted(&mut self, kind: ConnectionKind) -> Line {
        let mut line = self.connect(kind).await;
        let hello = self.hello();
        line.say_hello(&hello).await;
        let theirs = line.their_hello().await;
        let proof = line.transcript(self, &hello, &theirs).await.prove(&self.key);
        line.say_proof(proof).await;
        let proved = line.next_message().await.expect("the victim proves itself");
        assert_eq!(proved[0], 1, "a proof is the second variant of either kind of frame");
        line
    }
}

/// A connection to the victim.
pub struct Line {
    pub connection: Connection,
    pub kind: ConnectionKind,
    pub generation: Generation,
}

impl Line {
    pub async fn say(&self, channel: u16, bytes: Bytes) {
        // the victim may have closed already
        let _ = self.connection.sender().send(channel, bytes).await;
    }

    pub async fn say_hello(&self, hello: &Hello) {
        let hello = Box::new(hello.clone());
        let bytes = match self.kind {
            ConnectionKind::Control => encoded(&ControlFrame::Hello(hello)),
            ConnectionKind::Bulk(_) => encoded(&BulkFrame::Hello(hello)),
        };
        self.say(MAIN_CHANNEL, bytes).await;
    }

    pub async fn say_proof(&self, proof: Vec<u8>) {
        let bytes = match self.kind {
            ConnectionKind::Control => encoded(&ControlFrame::Proof(proof)),
            ConnectionKind::Bulk(_) => encoded(&BulkFrame::Proof(proof)),
        };
        self.say(MAIN_CHANNEL, bytes).await;
    }

    pub async fn their_hello(&mut self) -> Hello {
        let message = self.next_message().await.expect("the victim greets");
        let hello = match self.kind {
            ConnectionKind::Control => match Codec::Bincode.decode(&message) {
                Ok(ControlFrame::Hello(hello)) => hello,
                other => panic!("expected a hello, got {other:?}"),
            },
            ConnectionKind::Bulk(_) => match Codec::Bincode.decode(&message) {
                Ok(BulkFrame::Hello(hello)) => hello,
                other => panic!("expected a hello, got {other:?}"),
            },
        };
        *hello
    }

    /// What a proof of ours has to cover.
    pub async fn transcript(&self, hostile: &Hostile, ours: &Hello, theirs: &Hello) -> Transcript {
        let certificate = self.connection.remote_fingerprint().await.expect("DTLS is done");
        Transcript {
            signer: Party {
                peer: hostile.key.public(),
                nonce: ours.nonce,
                certificate: self.connection.local_fingerprint(),
            },
            other: Party { peer: hostile.victim, nonce: theirs.nonce, certificate },
            kind: self.kind,
            generation: self.generation,
        }
    }

    /// `None` once the connection has ended. The victim's beats are answered, as silence would be a reason of its own.
    pub async fn next_message(&mut self) -> Option<Bytes> {
        loop {
            let message = match self.connection.next_event().await? {
                RtcEvent::Message(message) => message.bytes,
                RtcEvent::Open => panic!("it is open already"),
                RtcEvent::Failed(_) | RtcEvent::Closed => return None,
            };
            let answer = match self.kind {
                ConnectionKind::Control => match Codec::Bincode.decode(&message) {
                    Ok(ControlFrame::Beat(number)) => encoded(&ControlFrame::BeatAnswer(number)),
                    _ => return Some(message),
                },
                ConnectionKind::Bulk(_) => match Codec::Bincode.decode(&message) {
                    Ok(BulkFrame::Beat(number)) => encoded(&BulkFrame::BeatAnswer(number)),
                    _ => return Some(message),
                },
            };
            // beside the reading, which must not wait for room
            let sender = self.connection.sender();
            tokio::spawn(async move { sender.send(MAIN_CHANNEL, answer).await });
        }
    }
}
