//! A signaling server, two peers, and the connection between them that goes through the server.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use meshproof_mesh::proxy::Proxies;
use meshproof_mesh::relay::{self, Caller, Carried, PipeEnd, RelayError, RelayPipe};
use meshproof_mesh::rtc::{Carriage, ChannelSpec, Connection, IncomingMessage, Reliability, RtcConfig, RtcEvent};
use meshproof_proto::id::{Generation, Name, PeerId};
use meshproof_proto::identity::{Capability, Chain, Grant, Key, Role, Token, UnixSeconds};
use meshproof_proto::signal::ConnectionKind;
use meshproof_proto::version::PROTOCOL;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub const CHANNELS: &[ChannelSpec] = &[
    ChannelSpec { id: 0, label: "control", reliability: Reliability::ReliableOrdered },
    ChannelSpec { id: 1, label: "datagram", reliability: Reliability::UnorderedNoRetransmit },
];

/// Far more than any wait here needs, so that a hang is a failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

fn root() -> Key {
    Key::from_seed([1; 32])
}

pub fn mesh() -> Name {
    "dev".parse().expect("a good name")
}

/// A running signaling server; stops when dropped.
pub struct Server {
    pub url: String,
    pub stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}/mesh", listener.local_addr().expect("bound"));
        let stop = CancellationToken::new();
        let config = meshproof_signaling::Config::new(vec![(mesh(), root().public())]);
        tokio::spawn(meshproof_signaling::serve(listener, config, stop.clone()));
        Self { url, stop }
    }
}

/// A peer of the mesh.
pub struct Peer {
    pub key: Key,
    pub chain: Chain,
    pub mesh: Name,
    pub proxies: Proxies,
    pub authorities: meshproof_mesh::tls::Authorities,
    pub tasks: TaskTracker,
}

impl Peer {
    pub fn new(seed: u8) -> Self {
        let key = Key::from_seed([seed; 32]);
        let token = Token::issue(&root(), [200; 32], |token| Grant {
            mesh: mesh(),
            names: "peer-*".to_owned(),
            role: Role::Agent,
            capabilities: Capability::ALL.into(),
            not_after: UnixSeconds(1 << 40),
            token,
        });
        let name = format!("peer-{seed}").parse().expect("a good name");
        let chain = token.claim(&name, key.public());
        Self {
            key,
            chain,
            mesh: mesh(),
            proxies: Proxies::Direct,
            authorities: Default::default(),
            tasks: TaskTracker::new(),
        }
    }

    pub fn id(&self) -> PeerId {
        self.key.public()
    }

    /// Our half of the control connection to `peer`; the other may not be there yet.
    pub fn half(&self, url: &str, peer: PeerId, generation: u64) -> RelayPipe {
        let caller = Caller {
            mesh: self.mesh.clone(),
            key: self.key.clone(),
            chain: self.chain.clone(),
            protocol: PROTOCOL,
            proxies: self.proxies.clone(),
            authorities: self.authorities.clone(),
            tasks: self.tasks.clone(),
        };
        let carried = Carried { peer, kind: ConnectionKind::Control, generation: Generation(generation) };
        relay::open(caller, url, carried)
    }

    /// Why our half is not opened.
    pub async fn refusal(&self, url: &str, peer: PeerId) -> Arc<RelayError> {
        let mut half = self.half(url, peer, 1);
        match tokio::time::timeout(PATIENCE, half.joined()).await.expect("the relay does not hang") {
            Err(PipeEnd::Unopened(error)) => error,
            other => panic!("it should be refused, not {other:?}"),
        }
    }
}

/// Both halves of one connection.
pub fn halves(url: &str, left: &Peer, right: &Peer) -> (RelayPipe, RelayPipe) {
    (left.half(url, right.id(), 1), right.half(url, left.id(), 1))
}

/// A connection over two halves, open on both sides.
pub async fn connected((at_left, at_right): (RelayPipe, RelayPipe)) -> (Connection, Connection) {
    // as an agent has them: of no use here, and not tried
    let config = RtcConfig { addresses: vec!["127.0.0.1".parse().expect("an address")], ..RtcConfig::default() };
    let offering = Connection::offer_over(Carriage::Relay(at_left), &config, CHANNELS);
    let (mut left, offer) = offering.await.expect("an offer");
    let answering = Connection::answer_over(Carriage::Relay(at_right), &config, CHANNELS, &offer);
    let (mut right, answer) = answering.await.expect("an answer");
    left.accept_answer(&answer).await.expect("the answer fits");
    let (at_left, at_right) = tokio::join!(event(&mut left), event(&mut right));
    assert_eq!((at_left, at_right), (RtcEvent::Open, RtcEvent::Open));
    (left, right)
}

pub async fn event(connection: &mut Connection) -> RtcEvent {
    let event = tokio::time::timeout(PATIENCE, connection.next_event()).await;
    event.expect("an event comes in time").expect("the connection has not ended")
}

pub async fn message(connection: &mut Connection) -> IncomingMessage {
    match event(connection).await {
        RtcEvent::Message(message) => message,
        other => panic!("expected a message, got {other:?}"),
    }
}

/// Message number `number`, of `size` bytes that are not all the same.
pub fn numbered(number: u64, size: usize) -> Bytes {
    let mut message = BytesMut::zeroed(size);
    for (place, byte) in message.iter_mut().enumerate() {
        *byte = (place as u64 ^ number).to_le_bytes()[0];
    }
    message[..8].copy_from_slice(&number.to_be_bytes());
    message.freeze()
}

/// Sends so many bytes from one end to the other, as fast as they go, and compares them.
pub async fn transfer(from: &Connection, to: &mut Connection, bytes: usize) {
    const SIZE: usize = meshproof_mesh::rtc::MAX_MESSAGE_BYTES;
    let (sender, messages) = (from.sender(), bytes.div_ceil(SIZE) as u64);
    let sending = tokio::spawn(async move {
        for number in 0..messages {
            sender.send(0, numbered(number, SIZE)).await.expect("sent");
        }
    });
    for number in 0..messages {
        assert_eq!(message(to).await.bytes, numbered(number, SIZE), "message {number}");
    }
    sending.await.expect("the sender is done");
}

pub async fn close(left: Connection, right: Connection) {
    tokio::join!(left.close(), right.close());
}
