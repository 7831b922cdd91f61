//! One WebRTC connection: an ICE, DTLS and SCTP association whose channels were agreed before the offer.
//!
//! A [`Connection`] is one generation of one connection kind of a link, made to be thrown away: it never restarts
//! ICE, never renegotiates, never opens or closes a single channel. Its descriptions carry their candidates, so one
//! offer and one answer are all the signaling there is. When it fails, its owner closes it and makes the next one.
//!
//! Only this file and its folder name the `webrtc` and `rtc` crates. What they know about them:
//! - the kernel's socket buffers decide the speed, and the stack leaves them small: `socket` enlarges them;
//! - the driver writes before it handles events, so each step of the set-up waits for its next timer (200 ms) unless
//!   something wakes it: [`Connection::next_event`] does, every 2 ms, until the channels are open;
//! - it loses messages that arrive just as an association opens: `incoming` keeps the peer from sending any;
//! - a peer connection that is dropped unclosed leaks its socket and its task: `Peer` never lets that happen;
//! - when the owner does not take events, 256 messages wait in a channel's queue and 256 more in the stack; then the
//!   connection stops reading and SCTP throttles the peer: nothing is lost and nothing grows.

mod incoming;
mod relayed;
mod rounds;
mod setup;
mod socket;
mod types;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use meshproof_proto::links::LinkPath;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Interval;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::peer_connection::transport::DtlsTransport;
use webrtc::peer_connection::{
    PeerConnection, RTCIceCandidate, RTCIceCandidateType, RTCPeerConnectionState, RTCSessionDescription,
};

use crate::relay::Carrying;
use incoming::{Incoming, Side};
use rounds::Rounds;
use setup::Prepared;
use types::{MAX_CANDIDATES, MAX_DESCRIPTION_BYTES};

pub use meshproof_proto::ice::IceServer;
pub use relayed::Carriage;
pub use types::{
    ChannelSpec, IncomingMessage, MAX_MESSAGE_BYTES, Reliability, RtcConfig, RtcError, RtcEvent, SelectedPath,
    SendError,
};
pub use wire::Wire;

/// How often the stack's driver is woken until the channels are open.
const WAKE_EVERY: Duration = Duration::from_millis(2);

/// Wakes after our own opening, so that our last words of the handshake are not late for the peer.
const WAKES_AFTER_OPEN: u32 = 25;

/// A connection, from its first description to its end. Its owner reads its events until the last one, and closes it.
pub struct Connection {
    peer: Peer,
    channels: Channels,
    /// Never locked: the mutex only makes the connection `Sync`, which the stack's futures are not.
    incoming: Mutex<Incoming>,
    states: watch::Receiver<RTCPeerConnectionState>,
    /// Of a relayed connection: its pipe's end, which is also its own.
    relay_end: Option<watch::Receiver<Carrying>>,
    phase: watch::Sender<Phase>,
    /// Both descriptions are known, so there is a handshake to hurry.
    described: AtomicBool,
    /// A channel has ended, and with it, soon, the connection.
    closed: bool,
    waker: Interval,
    wakes_left: u32,
    local_fingerprint: [u8; 32],
    local_sockets: Vec<SocketAddr>,
    rounds: Arc<Rounds>,
}

type Channels = Arc<[(u16, Arc<dyn DataChannel>)]>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Ended,
}

impl Connection {
    /// Makes a connection over UDP and its offer, with the candidates inside. Dropping the future closes what it had begun.
    ///
    /// # Errors
    ///
    /// No address, no channel or no candidate, or the stack refused.
    pub async fn offer(config: &RtcConfig, channels: &[ChannelSpec]) -> Result<(Self, String), RtcError> {
        Self::offer_over(Carriage::Udp, config, channels).await
    }

    /// Makes the connection over UDP that answers `offer`, and the answer, with the candidates inside.
    ///
    /// # Errors
    ///
    /// As for [`offer`](Self::offer), and for an offer that cannot be read or does not fit.
    pub async fn answer(config: &RtcConfig, channels: &[ChannelSpec], offer: &str) -> Result<(Self, String), RtcError> {
        Self::answer_over(Carriage::Udp, config, channels, offer).await
    }

    /// As [`offer`](Self::offer), over `carriage`; the answer must be over the same.
    ///
    /// # Errors
    ///
    /// As for [`offer`](Self::offer).
    pub async fn offer_over(
        carriage: Carriage,
        config: &RtcConfig,
        channels: &[ChannelSpec],
    ) -> Result<(Self, String), RtcError> {
        let prepared = Prepared::new(config, channels, carriage).await?;
        let offer = prepared.peer.get().create_offer(None).await;
        prepared.describe(offer.map_err(stack("make an offer"))?, Side::Offerer).await
    }

    /// As [`answer`](Self::answer), over `carriage`.
    ///
    /// # Errors
    ///
    /// As for [`answer`](Self::answer).
    pub async fn answer_over(
        carriage: Carriage,
        config: &RtcConfig,
        channels: &[ChannelSpec],
        offer: &str,
    ) -> Result<(Self, String), RtcError> {
        let offer = RTCSessionDescription::offer(checked(offer)?).map_err(stack("read the offer"))?;
        let prepared = Prepared::new(config, channels, carriage).await?;
        let peer = prepared.peer.get();
        peer.set_remote_description(offer).await.map_err(stack("take the offer"))?;
        let answer = peer.create_answer(None).await.map_err(stack("make an answer"))?;
        let (connection, answer) = prepared.describe(answer, Side::Answerer).await?;
        connection.described.store(true, Ordering::Release);
        Ok((connection, answer))
    }

    /// Gives the answer to the connection that made the offer.
    ///
    /// # Errors
    ///
    /// The answer cannot be read, or does not fit the offer, or is the second one.
    pub async fn accept_answer(&self, answer: &str) -> Result<(), RtcError> {
        let answer = RTCSessionDescription::answer(checked(answer)?).map_err(stack("read the answer"))?;
        let taken = self.peer.get().set_remote_description(answer).await;
        taken.map_err(stack("take the answer"))?;
        self.described.store(true, Ordering::Release);
        Ok(())
    }

    /// The next event; `None` after the last. Dropping the future loses nothing.
    ///
    /// It must be awaited from the beginning, for it is also what hurries the handshake on, and without long pauses: a
    /// reader that pauses until the window is shut gets the next messages after SCTP's retransmission time-out (1 s,
    /// doubling), and a minute of it ends the association.
    pub async fn next_event(&mut self) -> Option<RtcEvent> {
        loop {
            let phase = *self.phase.borrow();
            let hurry = match phase {
                Phase::Opening => self.described.load(Ordering::Acquire),
                Phase::Open => self.wakes_left > 0,
                Phase::Ended => return None,
            };
            let incoming = self.incoming.get_mut().unwrap_or_else(PoisonError::into_inner);
            // In this order: what had arrived before the end is told before the end.
            let event = tokio::select! {
                biased;
                (channel, event) = incoming.next() => self.channel_event(channel, event),
                () = std::future::ready(()), if self.closed => Some(RtcEvent::Closed),
                changed = self.states.changed() => match changed {
                    Ok(()) => ending(*self.states.borrow_and_update()),
                    Err(_) => Some(RtcEvent::Closed),
                },
                ended = relayed::ended(&mut self.relay_end) => Some(ended),
                _ = self.waker.tick(), if hurry => {
                    self.wake(phase).await;
                    None
                }
            };
            match event {
                Some(RtcEvent::Open) => self.phase.send_replace(Phase::Open),
                Some(RtcEvent::Failed(_) | RtcEvent::Closed) => self.phase.send_replace(Phase::Ended),
                Some(RtcEvent::Message(_)) => Phase::Open,
                None => continue,
            };
            return event;
        }
    }

    /// Sends on any channel of this connection; cheap to clone.
    pub fn sender(&self) -> Sender {
        Sender { channels: Arc::clone(&self.channels), phase: self.phase.subscribe(), rounds: Arc::clone(&self.rounds) }
    }

    /// SHA-256 of the certificate this side presents in DTLS.
    pub fn local_fingerprint(&self) -> [u8; 32] {
        self.local_fingerprint
    }

    /// SHA-256 of the certificate that the peer *presented* in DTLS, whatever its description said; `None` before.
    pub async fn remote_fingerprint(&self) -> Option<[u8; 32]> {
        let certificates = self.dtls().await?.get_remote_certificates().await.ok()?;
        Some(Sha256::digest(certificates.first()?).into())
    }

    /// The path that ICE selected; `None` before.
    pub async fn path(&self) -> Option<SelectedPath> {
        let ice = self.dtls().await?.ice_transport();
        let pair = ice.get_selected_candidate_pair().await.ok()??;
        let over_turn = [pair.local(), pair.remote()].map(|end| end.typ == RTCIceCandidateType::Relay);
        Some(SelectedPath {
            kind: match (&self.relay_end, over_turn.contains(&true)) {
                (Some(_), _) => LinkPath::Relayed,
                (None, true) => LinkPath::Turn,
                (None, false) => LinkPath::Direct,
            },
            local: candidate_address(pair.local())?,
            remote: candidate_address(pair.remote())?,
        })
    }

    /// The UDP sockets of this connection.
    pub fn local_sockets(&self) -> &[SocketAddr] {
        &self.local_sockets
    }

    /// Tells the peer and frees everything; it takes about 100 ms at most, and completes even if it is dropped.
    pub async fn close(self) {
        self.phase.send_replace(Phase::Ended);
        self.peer.close().await;
    }

    async fn dtls(&self) -> Option<Arc<dyn DtlsTransport>> {
        Some(self.peer.get().sctp().await?.transport())
    }

    async fn wake(&mut self, phase: Phase) {
        if phase == Phase::Open {
            self.wakes_left -= 1;
        }
        // Any call that reaches the driver wakes it; this one sets what is already set. A channel that is closed by
        // now says so in its events.
        if let Some((_, channel)) = self.channels.first() {
            let _ = channel.set_buffered_amount_low_threshold(0).await;
        }
    }

    fn channel_event(&mut self, channel: u16, event: Option<DataChannelEvent>) -> Option<RtcEvent> {
        match event {
            Some(DataChannelEvent::OnOpen) => Some(RtcEvent::Open),
            Some(DataChannelEvent::OnMessage(message)) => {
                Some(RtcEvent::Message(IncomingMessage { channel, bytes: message.data.freeze() }))
            }
            Some(DataChannelEvent::OnError) => Some(RtcEvent::Failed(format!("channel {channel} failed"))),
            // The channels may still hold what came before it: what is there by now is told first.
            Some(DataChannelEvent::OnClose) | None => {
                self.closed = true;
                None
            }
            // Closing is followed by closed, and nobody asked for the buffer's levels.
            Some(_) => None,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("phase", &*self.phase.borrow())
            .field("local_sockets", &self.local_sockets)
            .finish_non_exhaustive()
    }
}

/// Sends on the channels of one connection.
#[derive(Clone)]
pub struct Sender {
    channels: Channels,
    phase: watch::Receiver<Phase>,
    rounds: Arc<Rounds>,
}

impl Sender {
    /// Hands a message to the channel. Waits until the connection is open, and while more than the send
    /// buffer is unacknowledged; the wait ends when the connection is closed. A future dropped while it waits
    /// has sent nothing or all.
    ///
    /// That it was taken does not mean that it arrived: what a closed connection had not delivered is lost.
    ///
    /// # Errors
    ///
    /// The connection ended, the message is too large, or there is no such channel.
    pub async fn send(&self, channel: u16, message: Bytes) -> Result<(), SendError> {
        let bytes = message.len();
        if bytes > MAX_MESSAGE_BYTES {
            return Err(SendError::TooLarge { bytes });
        }
        let target = self.channel(channel)?;
        self.opened().await?;
        target.send(BytesMut::from(message)).await.map_err(|_| SendError::Closed)?;
        self.rounds.sent();
        Ok(())
    }

    /// Has what waits in the stack go on its way; it may, where it goes through a TURN server.
    pub(crate) fn hurry(&self) {
        self.rounds.sent();
    }

    /// Bytes that were given to the channel and that the peer has not acknowledged.
    ///
    /// # Errors
    ///
    /// The connection ended, or there is no such channel.
    pub async fn unacknowledged(&self, channel: u16) -> Result<usize, SendError> {
        self.channel(channel)?.outstanding_bytes().await.map_err(|_| SendError::Closed)
    }

    fn channel(&self, channel: u16) -> Result<&dyn DataChannel, SendError> {
        let found = self.channels.iter().find(|(id, _)| *id == channel);
        found.map(|(_, channel)| channel.as_ref()).ok_or(SendError::UnknownChannel { channel })
    }

    async fn opened(&self) -> Result<(), SendError> {
        let phase = *self.phase.borrow();
        let phase = match phase {
            Phase::Open | Phase::Ended => phase,
            Phase::Opening => {
                let mut changes = self.phase.clone();
                let settled = changes.wait_for(|phase| *phase != Phase::Opening).await;
                settled.map_or(Phase::Ended, |phase| *phase)
            }
        };
        if phase == Phase::Open { Ok(()) } else { Err(SendError::Closed) }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("phase", &*self.phase.borrow()).finish_non_exhaustive()
    }
}

/// Owns the stack's peer connection. However it ends, the peer connection is closed, on a task that completes.
struct Peer(Option<Arc<dyn PeerConnection>>);

impl Peer {
    fn get(&self) -> &dyn PeerConnection {
        self.0.as_deref().expect("only close and drop take the peer connection")
    }

    async fn close(mut self) {
        if let Some(peer) = self.0.take() {
            let closing = tokio::spawn(async move { peer.close().await });
            if let Ok(Err(error)) = closing.await {
                tracing::warn!(%error, "a peer connection did not close: its socket may be leaked");
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let Some(peer) = self.0.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                tracing::warn!("a connection was dropped before it was closed: closing it now");
                runtime.spawn(async move { peer.close().await });
            }
            Err(_) => {
                tracing::warn!("a connection was dropped outside the runtime: its socket is leaked")
            }
        }
    }
}

fn ending(state: RTCPeerConnectionState) -> Option<RtcEvent> {
    match state {
        RTCPeerConnectionState::Failed => Some(RtcEvent::Failed("no path to the peer".to_owned())),
        RTCPeerConnectionState::Closed => Some(RtcEvent::Closed),
        // Disconnected may heal; whoever waits for the link's heartbeat knows better when to give up.
        _ => None,
    }
}

fn stack<E: Into<Box<dyn std::error::Error + Send + Sync>>>(action: &'static str) -> impl Fn(E) -> RtcError {
    move |source| RtcError::Stack { action, source: source.into() }
}

/// A description from outside, if it may be given to the stack.
fn checked(description: &str) -> Result<String, RtcError> {
    let bytes = description.len();
    if bytes > MAX_DESCRIPTION_BYTES {
        return Err(RtcError::DescriptionTooLong { bytes });
    }
    match candidates(description) {
        candidates if candidates > MAX_CANDIDATES => Err(RtcError::TooManyCandidates { candidates }),
        _ => Ok(description.to_owned()),
    }
}

fn candidates(description: &str) -> usize {
    description.lines().filter(|line| line.starts_with("a=candidate:")).count()
}

fn candidate_address(candidate: &RTCIceCandidate) -> Option<SocketAddr> {
    Some(SocketAddr::new(candidate.address.parse().ok()?, candidate.port))
}
