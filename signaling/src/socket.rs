//! One WebSocket: reads messages to the hub, writes what the hub queued, pings, and notices silence.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use meshproof_proto::allowance::Allowance;
use meshproof_proto::rendezvous::ToServer;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::hub::{Arrival, Inbox, Outgoing, queue};
use crate::limits;
use crate::rooms::{CloseReason, ConnId, Input, Nonce};
use crate::sources::Share;

/// How a peer is known to be alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    pub(crate) ping_every: Duration,
    pub(crate) silence: Duration,
}

/// What a socket is given by the server.
pub(crate) struct Post {
    pub(crate) conn: ConnId,
    pub(crate) from: SocketAddr,
    pub(crate) nonce: Nonce,
    pub(crate) share: Arc<Share>,
    pub(crate) hub: mpsc::Sender<Arrival>,
    pub(crate) pulse: Pulse,
    pub(crate) stop: CancellationToken,
}

/// Why a socket's work is over.
enum Ending {
    /// The peer said that it closes; it waits for our answer.
    Closed,
    /// The stream ended.
    Gone,
    /// tungstenite refused what came: too large, not UTF-8, not a WebSocket frame.
    Broken(String),
    Silent,
    /// The peer takes nothing.
    Stuck,
    Told(CloseReason),
    Stopped,
}

/// Serves the socket until its end, which the hub hears of before the closing takes its time.
pub(crate) async fn run(socket: WebSocket, post: Post) {
    let Post { conn, from, nonce, share, hub, pulse, stop } = post;
    let (outbox, mut inbox) = queue(from);
    if hub.send(Arrival::Opened { conn, nonce, outbox }).await.is_err() {
        return;
    }
    let (mut sink, mut stream) = socket.split();
    let overrun = inbox.overrun.clone();
    let ending = tokio::select! {
        biased;
        () = stop.cancelled() => Ending::Stopped,
        () = overrun.cancelled() => Ending::Stuck,
        ending = write(&mut sink, &mut inbox, pulse) => ending,
        ending = read(&mut stream, Ear { conn, hub: &hub, pulse, share: &share }) => ending,
    };
    // fails only when the hub stopped, and then everyone is gone
    let _ = hub.send(Arrival::Heard { conn, input: Input::Disconnected }).await;
    if !matches!(ending, Ending::Gone | Ending::Stuck) {
        tokio::select! {
            () = close(sink, stream, farewell(&ending)) => {}
            () = tokio::time::sleep(limits::CLOSE_GRACE) => {}
            () = async { stop.cancelled().await; tokio::time::sleep(limits::STOP_GRACE).await } => {}
        }
    }
}

/// What reading needs to know.
struct Ear<'a> {
    conn: ConnId,
    hub: &'a mpsc::Sender<Arrival>,
    pulse: Pulse,
    share: &'a Share,
}

/// Reading on is also what flushes tungstenite's answers to the peer's pings: it only queues them. Only who says more than it may
/// is not read for a while, and waits in its own TCP.
async fn read(stream: &mut SplitStream<WebSocket>, ear: Ear<'_>) -> Ending {
    let mut allowance = Allowance::new(limits::SOCKET_MESSAGES, std::time::Instant::now());
    loop {
        let message = match timeout(ear.pulse.silence, stream.next()).await {
            Err(_) => return Ending::Silent,
            Ok(None) => return Ending::Gone,
            Ok(Some(Ok(Message::Close(_)))) => return Ending::Closed,
            Ok(Some(Err(error))) => return Ending::Broken(error.to_string()),
            Ok(Some(Ok(message))) => message,
        };
        let (input, cost) = match &message {
            Message::Text(text) => heard(text),
            Message::Binary(_) => (Some(Input::Unreadable("JSON text was expected, bytes came".to_owned())), 1),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => (None, 1),
        };
        let now = std::time::Instant::now();
        let wait = allowance.take(cost, now).max(ear.share.hear(cost, now));
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let Some(input) = input else { continue };
        if ear.hub.send(Arrival::Heard { conn: ear.conn, input }).await.is_err() {
            return Ending::Stopped;
        }
    }
}

/// What was said, and what it costs.
fn heard(text: &str) -> (Option<Input>, u32) {
    let units = u32::try_from(1 + text.len() / limits::MESSAGE_UNIT_BYTES).unwrap_or(u32::MAX);
    match serde_json::from_str::<ToServer>(text) {
        Ok(message @ ToServer::News { .. }) => (Some(Input::Message(message)), units + limits::NEWS_UNITS),
        Ok(message) => (Some(Input::Message(message)), units),
        Err(error) => (Some(Input::Unreadable(error.to_string())), units),
    }
}

async fn write(sink: &mut SplitSink<WebSocket, Message>, inbox: &mut Inbox, pulse: Pulse) -> Ending {
    let mut ping = interval_at(Instant::now() + pulse.ping_every, pulse.ping_every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (message, _share) = tokio::select! {
            outgoing = inbox.queue.recv() => match outgoing {
                Some(Outgoing::Text(text, share)) => (Message::Text(text), Some(share)),
                Some(Outgoing::Close(reason)) => return Ending::Told(reason),
                None => return Ending::Stopped,
            },
            _ = ping.tick() => (Message::Ping(Default::default()), None),
        };
        match timeout(pulse.silence, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ending::Gone,
            Err(_) => return Ending::Stuck,
        }
    }
}

/// What the peer reads last; none for one that closed by itself or is not there.
fn farewell(ending: &Ending) -> Option<CloseFrame> {
    let (code, reason) = match ending {
        Ending::Closed | Ending::Gone | Ending::Stuck => return None,
        Ending::Broken(error) => (close_code::PROTOCOL, error.as_str()),
        Ending::Silent => (close_code::POLICY, "no sign of life; answer pings"),
        Ending::Told(CloseReason::Refused) => (close_code::POLICY, "refused for the reason sent before"),
        Ending::Told(CloseReason::Replaced) => (close_code::POLICY, "the same peer registered on a newer socket"),
        Ending::Told(CloseReason::Left) => (close_code::NORMAL, "goodbye"),
        Ending::Stopped => (close_code::AWAY, "the signaling server stops; register again later"),
    };
    Some(CloseFrame { code, reason: short(reason) })
}

/// A control frame holds 125 bytes, two of them for the code.
pub(crate) fn short(reason: &str) -> Utf8Bytes {
    let end = (0..=reason.len().min(123)).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    Utf8Bytes::from(&reason[..end])
}

/// Reads to the end: the peer's answer, or tungstenite's to the peer, which only a read sends off.
async fn close(
    mut sink: SplitSink<WebSocket, Message>,
    mut stream: SplitStream<WebSocket>,
    farewell: Option<CloseFrame>,
) {
    if let Some(frame) = farewell
        && sink.send(Message::Close(Some(frame))).await.is_err()
    {
        return;
    }
    while let Some(Ok(_)) = stream.next().await {}
}
