//! One end of a relayed connection: asks for its other half, then carries datagrams until either end goes.
//!
//! It reads a datagram only when the other end has taken the ones before, so a slow reader is felt by its sender, through
//! TCP, and by nobody else; there is nothing to overrun.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use meshproof_proto::rendezvous::{RELAY_PARTNER_GONE, ToRelay};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::desk::{Arrival, Joint, Order};
use crate::limits;
use crate::relays::{CloseReason, Input};
use crate::rooms::{ConnId, Nonce};
use crate::socket::{Pulse, short};

/// What a socket is given by the server.
pub(crate) struct Post {
    pub(crate) conn: ConnId,
    pub(crate) from: SocketAddr,
    pub(crate) nonce: Nonce,
    pub(crate) desk: mpsc::Sender<Arrival>,
    pub(crate) pulse: Pulse,
    pub(crate) stop: CancellationToken,
}

/// Why a socket's work is over.
enum Ending {
    /// The peer said that it closes; it waits for our answer.
    Closed,
    /// The stream ended.
    Gone,
    /// Not a WebSocket frame, or one that has no business here.
    Broken(String),
    Silent,
    /// The peer takes nothing.
    Stuck,
    Told(CloseReason),
    /// The other end went, and everything it had sent was passed on.
    Partner,
    Stopped,
}

type Sink = SplitSink<WebSocket, Message>;
type Stream = SplitStream<WebSocket>;

/// Serves the socket until its end, which the desk hears of before the closing takes its time.
pub(crate) async fn run(socket: WebSocket, post: Post) {
    let (orders_in, mut orders) = mpsc::channel(limits::RELAY_ORDERS);
    let Post { conn, from, nonce, desk, pulse, stop } = post;
    if desk.send(Arrival::Opened { conn, from, nonce, orders: orders_in }).await.is_err() {
        return;
    }
    let (mut sink, mut stream) = socket.split();
    let mut serving = Serving { conn, desk: &desk, pulse, ping: pings(pulse.ping_every) };
    let ending = tokio::select! {
        biased;
        () = stop.cancelled() => Ending::Stopped,
        ending = serving.serve(&mut sink, &mut stream, &mut orders) => match ending {
            // whose partner was only the first to hear of it
            Ending::Partner if stop.is_cancelled() => Ending::Stopped,
            ending => ending,
        },
    };
    // fails only when the desk stopped, and then everyone is gone
    let _ = desk.send(Arrival::Heard { conn, input: Input::Disconnected }).await;
    if !matches!(ending, Ending::Gone | Ending::Stuck) {
        tokio::select! {
            () = close(sink, stream, farewell(&ending)) => {}
            () = tokio::time::sleep(limits::CLOSE_GRACE) => {}
            () = async { stop.cancelled().await; tokio::time::sleep(limits::STOP_GRACE).await } => {}
        }
    }
}

struct Serving<'a> {
    conn: ConnId,
    desk: &'a mpsc::Sender<Arrival>,
    pulse: Pulse,
    ping: Interval,
}

impl Serving<'_> {
    async fn serve(&mut self, sink: &mut Sink, stream: &mut Stream, orders: &mut mpsc::Receiver<Order>) -> Ending {
        let Joint { to, from } = match self.introduce(sink, stream, orders).await {
            Ok(joint) => joint,
            Err(ending) => return ending,
        };
        let silence = self.pulse.silence;
        tokio::select! {
            ending = self.write(sink, from) => ending,
            ending = read(stream, to, silence) => ending,
            ending = told(orders) => ending,
        }
    }

    /// Until the other half is there.
    async fn introduce(
        &mut self,
        sink: &mut Sink,
        stream: &mut Stream,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<Joint, Ending> {
        let mut heard_at = Instant::now();
        loop {
            let message = tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Say(text)) => Message::Text(text),
                    Some(Order::Join(text, joint)) => {
                        within(self.pulse.silence, sink.send(Message::Text(text))).await?;
                        return Ok(joint);
                    }
                    Some(Order::Close(reason)) => return Err(Ending::Told(reason)),
                    None => return Err(Ending::Stopped),
                },
                frame = stream.next() => {
                    heard_at = Instant::now();
                    self.hear(frame).await?;
                    continue;
                }
                () = tokio::time::sleep_until(heard_at + self.pulse.silence) => return Err(Ending::Silent),
                _ = self.ping.tick() => Message::Ping(Bytes::new()),
            };
            within(self.pulse.silence, sink.send(message)).await?;
        }
    }

    async fn hear(&self, frame: Option<Result<Message, axum::Error>>) -> Result<(), Ending> {
        let input = match received(frame)? {
            Message::Text(text) => match serde_json::from_str::<ToRelay>(&text) {
                Ok(message) => Input::Message(message),
                Err(error) => Input::Unreadable(error.to_string()),
            },
            Message::Binary(_) => Input::Unreadable("JSON text was expected, bytes came".to_owned()),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return Ok(()),
        };
        let arrival = Arrival::Heard { conn: self.conn, input };
        self.desk.send(arrival).await.map_err(|_| Ending::Stopped)
    }

    /// What is there is written together, and then flushed.
    async fn write(&mut self, sink: &mut Sink, mut from: mpsc::Receiver<Bytes>) -> Ending {
        let silence = self.pulse.silence;
        loop {
            let message = tokio::select! {
                datagram = from.recv() => match datagram {
                    Some(datagram) => Message::Binary(datagram),
                    None => return Ending::Partner,
                },
                _ = self.ping.tick() => Message::Ping(Bytes::new()),
            };
            if let Err(ending) = within(silence, sink.feed(message)).await {
                return ending;
            }
            while let Ok(datagram) = from.try_recv() {
                if let Err(ending) = within(silence, sink.feed(Message::Binary(datagram))).await {
                    return ending;
                }
            }
            if let Err(ending) = within(silence, sink.flush()).await {
                return ending;
            }
        }
    }
}

/// Reads the next datagram when the other end has room for it.
async fn read(stream: &mut Stream, to: mpsc::Sender<Bytes>, silence: Duration) -> Ending {
    loop {
        let frame = match timeout(silence, stream.next()).await {
            Ok(frame) => frame,
            Err(_) => return Ending::Silent,
        };
        match received(frame) {
            Ok(Message::Binary(datagram)) => {
                if to.send(datagram).await.is_err() {
                    // the other end went; the writer passes on what it left, and ends
                    std::future::pending::<()>().await;
                }
            }
            Ok(Message::Text(_)) => return Ending::Broken("bytes were expected, text came".to_owned()),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) => {}
            Err(ending) => return ending,
        }
    }
}

/// A message, or the end that it is.
fn received(frame: Option<Result<Message, axum::Error>>) -> Result<Message, Ending> {
    match frame {
        None => Err(Ending::Gone),
        Some(Err(error)) => Err(Ending::Broken(error.to_string())),
        Some(Ok(Message::Close(_))) => Err(Ending::Closed),
        Some(Ok(message)) => Ok(message),
    }
}

/// The order to close; there is no other for a socket that is joined.
async fn told(orders: &mut mpsc::Receiver<Order>) -> Ending {
    loop {
        match orders.recv().await {
            Some(Order::Close(reason)) => return Ending::Told(reason),
            Some(Order::Say(_) | Order::Join(..)) => {}
            // forgotten with its partner: the pipe's end is near
            None => std::future::pending().await,
        }
    }
}

async fn within(silence: Duration, sending: impl Future<Output = Result<(), axum::Error>>) -> Result<(), Ending> {
    match timeout(silence, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ending::Gone),
        Err(_) => Err(Ending::Stuck),
    }
}

fn pings(every: Duration) -> Interval {
    let mut ping = interval_at(Instant::now() + every, every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping
}

/// What the peer reads last; none for one that closed by itself or is not there.
fn farewell(ending: &Ending) -> Option<CloseFrame> {
    let (code, reason) = match ending {
        Ending::Closed | Ending::Gone | Ending::Stuck => return None,
        Ending::Broken(error) => (close_code::PROTOCOL, error.as_str()),
        Ending::Silent => (close_code::POLICY, "no sign of life; answer pings"),
        Ending::Told(CloseReason::Refused) => (close_code::POLICY, "refused for the reason sent before"),
        Ending::Told(CloseReason::Replaced) => (close_code::POLICY, "the same peer asked again on a newer socket"),
        Ending::Partner => (RELAY_PARTNER_GONE, "the other end closed"),
        Ending::Stopped => (close_code::AWAY, "the signaling server stops; try again later"),
    };
    Some(CloseFrame { code, reason: short(reason) })
}

/// Reads to the end: the peer's answer, or tungstenite's to the peer, which only a read sends off.
async fn close(mut sink: Sink, mut stream: Stream, farewell: Option<CloseFrame>) {
    if let Some(frame) = farewell
        && sink.send(Message::Close(Some(frame))).await.is_err()
    {
        return;
    }
    while let Some(Ok(_)) = stream.next().await {}
}
