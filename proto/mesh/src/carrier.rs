//! One generation of one connection of a link, from its first description to its end.
//!
//! A carrier owns its [`Connection`] and always closes it. It does the signed hello, answers heartbeats, and moves frames
//! between the data channels and the link's queues; what is urgent (heartbeats, the hello) does not wait behind data.

mod ahead;
mod handshake;
mod packing;
mod reader;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use meshproof_proto::codec::Codec;
use meshproof_proto::frame::{BulkFrame, ControlFrame, DATAGRAM_CHANNEL, EVENTS_CHANNEL, EventFrame, MAIN_CHANNEL};
use meshproof_proto::id::{Generation, PeerId};
use meshproof_proto::identity::{Identity, Signed};
use meshproof_proto::limits;
use meshproof_proto::signal::ConnectionKind;
use meshproof_proto::trust::RootNews;
use meshproof_proto::version::Version;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use ahead::{Ahead, Width};
use packing::Packing;

use crate::context::Context;
use crate::datagrams::Datagrams;
use crate::limits::{EVENT_BATCHES, GOODBYE};
use crate::rpc::{RpcInbox, RpcPort};
use crate::rtc::{ChannelSpec, Connection, Reliability, RtcEvent, SelectedPath, Sender};
use crate::streams::{Incoming, Mux, Way};

/// The channels of a connection of that kind.
pub(crate) fn channels(kind: ConnectionKind) -> [ChannelSpec; 2] {
    let main = |label| ChannelSpec { id: MAIN_CHANNEL, label, reliability: Reliability::ReliableOrdered };
    match kind {
        ConnectionKind::Control => [
            main("control"),
            ChannelSpec { id: EVENTS_CHANNEL, label: "events", reliability: Reliability::ReliableOrdered },
        ],
        ConnectionKind::Bulk(_) => [
            main("bulk"),
            ChannelSpec { id: DATAGRAM_CHANNEL, label: "datagram", reliability: Reliability::UnorderedNoRetransmit },
        ],
    }
}

/// What a carrier tells its link.
#[derive(Debug)]
pub(crate) enum Told {
    /// The signed hello is done.
    Open(Opened),
    /// The beat of that number came back.
    Answered {
        number: u64,
    },
    Signal(Signed),
    /// The peer wants a signal of its own passed on to another peer.
    Forward {
        to: PeerId,
        signal: Signed,
    },
    /// The peer passes a signal of another peer on to us.
    Forwarded {
        from: PeerId,
        signal: Signed,
    },
    /// What the root keys said, says the peer.
    News(RootNews),
    Events {
        frame: EventFrame,
        bytes: usize,
    },
    Stream(Incoming),
    /// The peer leaves on purpose.
    Bye,
    /// It is over. Always the last.
    Ended {
        reason: String,
    },
}

/// A connection whose signed hello is done.
#[derive(Debug)]
pub(crate) struct Opened {
    pub path: Option<SelectedPath>,
    /// What both speak.
    pub speaks: Version,
    /// Present on a control connection.
    pub rpc: Option<RpcPort>,
}

/// What identifies a carrier, beside what it says.
pub(crate) type FromCarrier = (ConnectionKind, Generation, Told);

/// What a carrier is made for.
#[derive(Clone)]
pub(crate) struct Purpose {
    pub context: Arc<Context>,
    pub peer: Identity,
    pub kind: ConnectionKind,
    pub generation: Generation,
    /// How its frames are written.
    pub codec: Codec,
    pub mux: Arc<Mux>,
    pub datagrams: Arc<Datagrams>,
    pub counters: Arc<Counters>,
    pub tell: mpsc::Sender<FromCarrier>,
}

/// Payload bytes of a link, but for those of its streams.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub sent: AtomicU64,
    pub received: AtomicU64,
}

impl Counters {
    /// Everything that a link sent and received, its streams included.
    pub(crate) fn with(&self, mux: &Mux) -> (u64, u64) {
        let (sent, received) = mux.bytes();
        (sent + self.sent.load(Ordering::Relaxed), received + self.received.load(Ordering::Relaxed))
    }
}

/// A link's hold on one of its carriers.
#[derive(Debug)]
pub(crate) struct Carrier {
    urgent: mpsc::Sender<Outgoing>,
    events: mpsc::Sender<Outgoing>,
    stop: CancellationToken,
    linger: Arc<AtomicBool>,
    codec: Codec,
    /// The addresses that its sockets are bound to.
    local: Vec<IpAddr>,
}

/// Where events go, and how they are written there.
#[derive(Clone, Debug)]
pub(crate) struct EventsWay {
    codec: Codec,
    queue: mpsc::Sender<Outgoing>,
}

impl EventsWay {
    /// False when there is no such way any more.
    pub(crate) async fn send(&self, frame: &EventFrame) -> bool {
        match Outgoing::new(self.codec, EVENTS_CHANNEL, frame) {
            Some(out) => self.queue.send(out).await.is_ok(),
            None => false,
        }
    }
}

/// A message for a channel.
#[derive(Debug)]
pub(crate) struct Outgoing {
    channel: u16,
    bytes: Bytes,
}

impl Outgoing {
    pub(crate) fn new<T: Serialize>(codec: Codec, channel: u16, frame: &T) -> Option<Self> {
        encoded(codec, frame).map(|bytes| Self { channel, bytes: bytes.into() })
    }
}

/// A frame as bytes that fit a message.
fn encoded<T: Serialize>(codec: Codec, frame: &T) -> Option<Vec<u8>> {
    match codec.encode(frame) {
        Ok(bytes) if bytes.len() <= limits::MESSAGE_BYTES => Some(bytes),
        Ok(bytes) => {
            tracing::error!(bytes = bytes.len(), "a frame is larger than a message may be and was not sent");
            None
        }
        Err(error) => {
            tracing::error!(%error, "a frame was not sent");
            None
        }
    }
}

impl Carrier {
    /// Takes a connection over and runs it until it ends or is stopped.
    pub(crate) fn start(connection: Connection, purpose: Purpose) -> Self {
        let (urgent, urgent_out) = mpsc::channel(limits::FRAME_QUEUE);
        let (events, events_out) = mpsc::channel(EVENT_BATCHES);
        let stop = CancellationToken::new();
        let local = connection.local_sockets().iter().map(SocketAddr::ip).collect();
        let carrier = Self { urgent, events, stop: stop.clone(), linger: Arc::default(), codec: purpose.codec, local };
        let queues = Queues { urgent: urgent_out, events: events_out };
        let (linger, urgent, heard) = (Arc::clone(&carrier.linger), carrier.urgent.clone(), CancellationToken::new());
        let lead = Lead { stop, linger, urgent, heard };
        let tasks = purpose.context.tasks.clone();
        tasks.spawn(run(connection, purpose, queues, lead));
        carrier
    }

    /// Asks for a heartbeat.
    pub(crate) fn beat(&self, kind: ConnectionKind, number: u64) {
        let frame = match kind {
            ConnectionKind::Control => Outgoing::new(self.codec, MAIN_CHANNEL, &ControlFrame::Beat(number)),
            ConnectionKind::Bulk(_) => Outgoing::new(self.codec, MAIN_CHANNEL, &BulkFrame::Beat(number)),
        };
        self.urge(frame);
    }

    /// Sends a signal, of ours or of others, on a control connection; false when that is not possible now.
    pub(crate) fn signal(&self, frame: &ControlFrame) -> bool {
        let frame = Outgoing::new(self.codec, MAIN_CHANNEL, frame);
        frame.is_some_and(|frame| self.urgent.try_send(frame).is_ok())
    }

    /// Says goodbye to the peer, and from now on waits a moment for the peer to close first: what is unsent at a close is lost.
    pub(crate) fn bye(&self) {
        self.linger.store(true, Ordering::Release);
        self.urge(Outgoing::new(self.codec, MAIN_CHANNEL, &ControlFrame::Bye));
    }

    /// Says why the peer is no longer welcome, and from now on waits a moment for it to close first.
    pub(crate) fn refuse(&self, kind: ConnectionKind, why: &str) {
        self.linger.store(true, Ordering::Release);
        self.urge(match kind {
            ConnectionKind::Control => Outgoing::new(self.codec, MAIN_CHANNEL, &ControlFrame::Refuse(why.to_owned())),
            ConnectionKind::Bulk(_) => Outgoing::new(self.codec, MAIN_CHANNEL, &BulkFrame::Refuse(why.to_owned())),
        });
    }

    /// Where events go, one batch after the other.
    pub(crate) fn events(&self) -> EventsWay {
        EventsWay { codec: self.codec, queue: self.events.clone() }
    }

    /// Whether every address that it could use is gone.
    pub(crate) fn is_stranded(&self, context: &Context) -> bool {
        !self.local.is_empty() && !self.local.iter().any(|address| context.has_address(*address))
    }

    /// Ends the carrier.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// A full queue means a connection that does not send; the heartbeat that is missing then says so.
    fn urge(&self, frame: Option<Outgoing>) {
        if let Some(frame) = frame {
            let _ = self.urgent.try_send(frame);
        }
    }
}

/// What waits to be sent.
struct Queues {
    urgent: mpsc::Receiver<Outgoing>,
    events: mpsc::Receiver<Outgoing>,
}

/// How the parts of a carrier reach each other.
struct Lead {
    stop: CancellationToken,
    linger: Arc<AtomicBool>,
    urgent: mpsc::Sender<Outgoing>,
    /// Whether the peer has said anything since our hello was done: then its own is done as well.
    heard: CancellationToken,
}

async fn run(mut connection: Connection, purpose: Purpose, queues: Queues, lead: Lead) {
    let reason = {
        let mut life = std::pin::pin!(life(&mut connection, &purpose, queues, &lead));
        tokio::select! {
            reason = &mut life => reason,
            () = lead.stop.cancelled() => {
                if lead.linger.load(Ordering::Acquire) {
                    let _ = tokio::time::timeout(GOODBYE, life).await;
                }
                "stopped".to_owned()
            }
        }
    };
    tracing::debug!(peer = %purpose.peer.name, kind = ?purpose.kind, generation = purpose.generation.0, reason, "connection ends");
    // the peer hears of the end from the closing, so the link need not wait for it
    let (kind, generation) = (purpose.kind, purpose.generation);
    let ended = purpose.tell.send((kind, generation, Told::Ended { reason }));
    let ((), _) = tokio::join!(connection.close(), ended);
}

/// Gives the reason of the end.
async fn life(connection: &mut Connection, purpose: &Purpose, queues: Queues, lead: &Lead) -> String {
    let speaks = match handshake::shake(connection, purpose).await {
        Ok(speaks) => speaks,
        Err(error) => {
            if error.is_ours() {
                refuse(connection, purpose.codec, error.to_string()).await;
            }
            return error.to_string();
        }
    };
    let (frames, frames_out) = mpsc::channel(limits::FRAME_QUEUE);
    let (port, inbox) = match purpose.kind {
        ConnectionKind::Control => {
            let (port, inbox) = RpcPort::new(purpose.codec, frames);
            (Some(port), Some(inbox))
        }
        ConnectionKind::Bulk(_) => (None, None),
    };
    let path = connection.path().await;
    let open = Told::Open(Opened { path, speaks, rpc: port });
    if purpose.tell.send((purpose.kind, purpose.generation, open)).await.is_err() {
        return "the link is gone".to_owned();
    }
    let sender = connection.sender();
    let writing = match purpose.kind {
        ConnectionKind::Control => {
            let frames = Packing::new(frames_out, (speaks, purpose.codec));
            futures::future::Either::Left(write_control(&sender, queues, frames, purpose))
        }
        ConnectionKind::Bulk(stripe) => {
            let way = Way { stripe, generation: purpose.generation };
            let width = Width::of(path.map(|path| path.kind));
            let streams = write_bulk(&sender, queues, (&purpose.mux, way, purpose.codec), Ahead::new(width));
            let datagrams = write_datagrams(&sender, (stripe, speaks), (purpose, &lead.heard));
            futures::future::Either::Right(async {
                tokio::select! {
                    reason = streams => reason,
                    reason = datagrams => reason,
                }
            })
        }
    };
    tokio::select! {
        reason = reader::read(connection, purpose, inbox, lead) => reason,
        reason = writing => reason,
    }
}

/// Says why, and waits a moment for the peer to close first: what is unsent at a close is lost. A bulk frame reads the same.
async fn refuse(connection: &mut Connection, codec: Codec, why: String) {
    let Some(refusal) = Outgoing::new(codec, MAIN_CHANNEL, &ControlFrame::Refuse(why)) else { return };
    let heard = async {
        if connection.sender().send(refusal.channel, refusal.bytes).await.is_ok() {
            while let Some(RtcEvent::Message(_) | RtcEvent::Open) = connection.next_event().await {}
        }
    };
    let _ = tokio::time::timeout(GOODBYE, heard).await;
}

async fn write_control(sender: &Sender, mut queues: Queues, mut frames: Packing, purpose: &Purpose) -> String {
    loop {
        let out = tokio::select! {
            biased;
            Some(out) = queues.urgent.recv() => out,
            Some(out) = frames.next() => out,
            Some(out) = queues.events.recv() => out,
            else => return "the link is gone".to_owned(),
        };
        purpose.counters.sent.fetch_add(out.bytes.len() as u64, Ordering::Relaxed);
        if let Err(error) = sender.send(out.channel, out.bytes).await {
            return error.to_string();
        }
    }
}

async fn write_bulk(
    sender: &Sender,
    mut queues: Queues,
    (mux, way, codec): (&Mux, Way, Codec),
    mut ahead: Ahead,
) -> String {
    loop {
        let next = async {
            room(sender, mux, &mut ahead).await;
            mux.next_frame(way, ahead.width().piece()).await
        };
        let out = tokio::select! {
            biased;
            Some(out) = queues.urgent.recv() => Some(out),
            frame = next => Outgoing::new(codec, MAIN_CHANNEL, &frame),
        };
        let Some(out) = out else { continue };
        ahead.give(out.bytes.len());
        if let Err(error) = sender.send(out.channel, out.bytes).await {
            return error.to_string();
        }
    }
}

/// Waits until a way of several, or a narrow one, has room for the next piece; another takes what the stack's buffer takes.
async fn room(sender: &Sender, mux: &Mux, ahead: &mut Ahead) {
    let width = ahead.width();
    while let Some(round_trip) = mux.round_trip_of_stripes().or_else(|| width.span()) {
        // a connection that has ended says so when it is sent on
        let Ok(unacknowledged) = sender.unacknowledged(MAIN_CHANNEL).await else { return };
        if ahead.has_room(unacknowledged, round_trip, Instant::now()) {
            return;
        }
        if width == Width::Narrow {
            sender.hurry();
        }
        tokio::time::sleep(limits::STRIPE_LOOK).await;
    }
}

/// Apart from the streams, so that neither waits for the other. A datagram may overtake the end of our hello, and a peer that is
/// still waiting for that would take it for a breach; so none is sent before the peer has shown that it is past its hello.
async fn write_datagrams(
    sender: &Sender,
    (stripe, speaks): (u8, Version),
    (purpose, heard): (&Purpose, &CancellationToken),
) -> String {
    if stripe > 0 {
        return std::future::pending().await;
    }
    heard.cancelled().await;
    let datagrams = &purpose.datagrams;
    loop {
        let bytes = datagrams.next().await;
        if !speaks.has_datagrams() {
            datagrams.drop_one();
            continue;
        }
        let size = bytes.len() as u64;
        if let Err(error) = sender.send(DATAGRAM_CHANNEL, bytes).await {
            datagrams.drop_one();
            return error.to_string();
        }
        purpose.counters.sent.fetch_add(size, Ordering::Relaxed);
    }
}
