//! The task between a pipe and its WebSocket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use meshproof_proto::limits::DATAGRAM_BYTES;
use meshproof_proto::rendezvous::RELAY_PARTNER_GONE;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};

use super::RelayError;
use super::open::Socket;
use super::pipe::{Carrying, PipeEnd, PumpEnds};

/// The server pings every two seconds; silence for this long, or a write that makes no end, is a dead socket.
const SILENCE: Duration = Duration::from_secs(6);

/// Our last datagrams and the server's answer to the close: a long round trip and a resend.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

type Sink = SplitSink<Socket, Message>;

/// Opens, then carries until either end closes. The last datagrams of a connection, which tell the peer that it closed, go ahead.
pub(super) async fn run(opening: impl Future<Output = Result<Socket, RelayError>>, ends: PumpEnds) {
    let PumpEnds { mut outgoing, incoming, carrying } = ends;
    let opened = tokio::select! {
        opened = opening => opened,
        // nobody wants it any more
        () = discard(&mut outgoing) => return,
    };
    let socket = match opened {
        Ok(socket) => socket,
        Err(error) => {
            tracing::debug!(%error, "no relay");
            carrying.send_replace(Carrying::Ended(PipeEnd::Unopened(Arc::new(error))));
            return;
        }
    };
    carrying.send_replace(Carrying::Joined);
    let (mut sink, mut stream) = socket.split();
    let ended = tokio::select! {
        ended = write(&mut sink, &mut outgoing) => ended,
        ended = read(&mut stream, &incoming) => Some(ended),
    };
    drop((incoming, outgoing));
    let Some(ended) = ended else {
        // fails only when the server is gone, and then there is nobody to say goodbye to
        let closing = async {
            sink.send(Message::Close(None)).await?;
            while let Some(Ok(_)) = stream.next().await {}
            Ok::<_, tungstenite::Error>(())
        };
        let _ = timeout(CLOSE_GRACE, closing).await;
        return;
    };
    tracing::debug!(?ended, "a relay ended");
    carrying.send_replace(Carrying::Ended(ended));
    // answers the server's close
    let _ = timeout(CLOSE_GRACE, sink.close()).await;
}

/// What is sent before there is a way is lost. Ends when the pipe is dropped.
async fn discard(outgoing: &mut mpsc::Receiver<Bytes>) {
    while outgoing.recv().await.is_some() {}
}

/// Until the connection is closed (`None`) or the socket takes no more. What is there is written together, then flushed.
async fn write(sink: &mut Sink, outgoing: &mut mpsc::Receiver<Bytes>) -> Option<PipeEnd> {
    while let Some(datagram) = outgoing.recv().await {
        let mut written = within(sink.feed(Message::Binary(datagram))).await;
        while written.is_ok()
            && let Ok(datagram) = outgoing.try_recv()
        {
            written = within(sink.feed(Message::Binary(datagram))).await;
        }
        if written.is_ok() {
            written = within(sink.flush()).await;
        }
        if let Err(reason) = written {
            return Some(PipeEnd::Broken(reason));
        }
    }
    None
}

async fn within(sending: impl Future<Output = Result<(), tungstenite::Error>>) -> Result<(), String> {
    match timeout(SILENCE, sending).await {
        Ok(sent) => sent.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the server takes nothing for {SILENCE:?}")),
    }
}

/// Each frame is a sign of life, the server's pings above all; reading on is also what sends off the pongs we owe.
async fn read(stream: &mut SplitStream<Socket>, incoming: &mpsc::Sender<Bytes>) -> PipeEnd {
    loop {
        let frame = match timeout(SILENCE, stream.next()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return PipeEnd::Broken(error.to_string()),
            Ok(None) => return PipeEnd::Broken("the server closed the socket".to_owned()),
            Err(_) => return PipeEnd::Broken(format!("the server is silent for {SILENCE:?}")),
        };
        match frame {
            Message::Binary(datagram) if datagram.len() > DATAGRAM_BYTES => {
                return PipeEnd::Broken(format!("a datagram of {} bytes", datagram.len()));
            }
            Message::Binary(datagram) => {
                if incoming.send(datagram).await.is_err() {
                    // the connection is closed; the writer passes on its last words, and ends
                    std::future::pending::<()>().await;
                }
            }
            Message::Close(Some(frame)) if u16::from(frame.code) == RELAY_PARTNER_GONE => return PipeEnd::Partner,
            Message::Close(Some(frame)) => return PipeEnd::Broken(frame.reason.to_string()),
            Message::Close(None) => return PipeEnd::Broken("the server closed the socket".to_owned()),
            Message::Text(_) => return PipeEnd::Broken("bytes were expected, text came".to_owned()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}
