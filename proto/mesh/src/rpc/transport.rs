//! One direction of RPC as the `Stream` and `Sink` that tarpc wants.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{Sink, Stream};
use meshproof_proto::codec::{Codec, CodecError};
use meshproof_proto::frame::ControlFrame;
use meshproof_proto::limits;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::pieces;

/// A tarpc transport over a link's control connection.
pub struct RpcTransport<Out, In> {
    out: PollSender<ControlFrame>,
    waiting: VecDeque<ControlFrame>,
    inbox: mpsc::Receiver<Vec<u8>>,
    faults: mpsc::Sender<RpcTransportError>,
    side: Side,
    codec: Codec,
    items: PhantomData<fn(Out) -> In>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// Where frames go, and where it is told what the peer did wrong.
type Outlets = (mpsc::Sender<ControlFrame>, mpsc::Sender<RpcTransportError>);

/// Why a transport ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RpcTransportError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("the connection is closed")]
    Closed,
    /// tarpc would panic on it: see the traps of the stack.
    #[error("a call's deadline of {0:?} is over the limit of {limit:?}", limit = limits::RPC_DEADLINE)]
    Deadline(std::time::Duration),
}

impl<Out, In> fmt::Debug for RpcTransport<Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcTransport").field("side", &self.side).finish_non_exhaustive()
    }
}

impl<Out, In> RpcTransport<Out, In> {
    pub(super) fn client(codec: Codec, (out, faults): Outlets, inbox: mpsc::Receiver<Vec<u8>>) -> Self {
        let out = PollSender::new(out);
        Self { out, waiting: VecDeque::new(), inbox, faults, side: Side::Client, codec, items: PhantomData }
    }

    pub(super) fn server(codec: Codec, outlets: Outlets, inbox: mpsc::Receiver<Vec<u8>>) -> Self {
        Self { side: Side::Server, ..Self::client(codec, outlets, inbox) }
    }

    /// tarpc ends without a word over a message that it cannot take, and the link would go on without it.
    fn checked(&self, bytes: &[u8]) -> Result<In, RpcTransportError>
    where
        In: DeserializeOwned,
    {
        let read = match self.side {
            Side::Server => read_call(self.codec, bytes),
            Side::Client => Ok(self.codec.decode(bytes)?),
        };
        read.inspect_err(|error: &RpcTransportError| drop(self.faults.try_send(error.clone())))
    }

    /// Hands waiting frames to the connection until none is left.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RpcTransportError>> {
        while !self.waiting.is_empty() {
            ready!(self.out.poll_reserve(cx)).map_err(|_| RpcTransportError::Closed)?;
            if let Some(frame) = self.waiting.pop_front() {
                self.out.send_item(frame).map_err(|_| RpcTransportError::Closed)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<Out, In: DeserializeOwned> Stream for RpcTransport<Out, In> {
    type Item = Result<In, RpcTransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(bytes) = ready!(self.inbox.poll_recv(cx)) else { return Poll::Ready(None) };
        Poll::Ready(Some(self.checked(&bytes)))
    }
}

impl<Out: Serialize, In> Sink<Out> for RpcTransport<Out, In> {
    type Error = RpcTransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.drain(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, item: Out) -> Result<(), Self::Error> {
        let message = self.codec.encode(&item)?;
        let (side, codec) = (self.side, self.codec);
        self.waiting.extend(pieces::cut(codec, &message).map(|piece| match side {
            Side::Client => ControlFrame::Call(piece),
            Side::Server => ControlFrame::Reply(piece),
        }));
        Ok(())
    }

    /// Waits for room like `poll_ready` does: tarpc spins for ever over a sink that is flushed but never ready.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.drain(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(self.drain(cx))?;
        self.out.close();
        Poll::Ready(Ok(()))
    }
}

/// Reads what a client has sent.
///
/// # Errors
/// It cannot be read, or asks for a deadline that is beyond the limit.
pub fn read_call<Call: DeserializeOwned>(codec: Codec, bytes: &[u8]) -> Result<Call, RpcTransportError> {
    match codec {
        Codec::Bincode => check_deadline(bytes)?,
        Codec::Json => check_deadline_in_text(bytes)?,
    }
    Ok(codec.decode(bytes)?)
}

/// tarpc turns a request's deadline into `Instant::now() + deadline`, which panics when it is huge; so it is looked at first.
/// A request begins with its variant and the deadline.
fn check_deadline(bytes: &[u8]) -> Result<(), RpcTransportError> {
    const REQUEST: u32 = 0;
    match Codec::Bincode.decode_front::<(u32, std::time::Duration)>(bytes) {
        Ok(((REQUEST, deadline), _)) if deadline > limits::RPC_DEADLINE => Err(RpcTransportError::Deadline(deadline)),
        // a cancel has no deadline, and what cannot be read is refused by the decoder
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The same of a request in JSON, where the deadline has a name and no place.
fn check_deadline_in_text(bytes: &[u8]) -> Result<(), RpcTransportError> {
    #[derive(serde::Deserialize)]
    enum Message {
        Request { context: Until },
    }
    #[derive(serde::Deserialize)]
    struct Until {
        deadline: std::time::Duration,
    }
    match Codec::Json.decode(bytes) {
        Ok(Message::Request { context: Until { deadline } }) if deadline > limits::RPC_DEADLINE => {
            Err(RpcTransportError::Deadline(deadline))
        }
        // a cancel has no deadline, and what cannot be read is refused by the decoder
        Ok(Message::Request { .. }) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What tarpc writes for a request, with a deadline that tarpc itself would never send.
    fn request(deadline: Duration) -> Vec<u8> {
        let trace = (0_u128, 0_u64, 0_u8);
        Codec::Bincode.encode(&(0_u32, deadline, trace, 7_u64, "hi")).expect("small")
    }

    #[test]
    fn a_deadline_that_would_panic_in_tarpc_is_refused_before_tarpc_sees_it() {
        assert!(check_deadline(&request(Duration::from_secs(10))).is_ok());
        for huge in [Duration::MAX, Duration::from_secs(3_600 * 24 * 800)] {
            assert!(matches!(check_deadline(&request(huge)), Err(RpcTransportError::Deadline(_))));
        }
    }

    #[test]
    fn a_deadline_in_json_is_refused_as_any_other() {
        let request = |deadline: u64| {
            format!(
                r#"{{"Request":{{"context":{{"deadline":{{"secs":{deadline},"nanos":0}},"trace_context":{{"trace_id":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"span_id":0,"sampling_decision":"Unsampled"}}}},"id":7,"message":"hi"}}}}"#
            )
        };
        let read = |text: &str| read_call::<ClientMessageOfText>(Codec::Json, text.as_bytes());
        let taken = read(&request(10)).expect("what a browser writes");
        assert!(matches!(taken, tarpc::ClientMessage::Request(request) if request.message == "hi"));
        for huge in [u64::MAX, 3_600 * 24 * 800] {
            assert!(matches!(read(&request(huge)), Err(RpcTransportError::Deadline(_))));
        }
    }

    #[test]
    fn the_deadline_stands_where_the_check_looks_for_it() {
        let mut context = tarpc::context::current();
        context.deadline = std::time::Instant::now() + Duration::from_secs(30);
        let message = Codec::Bincode.encode(&(0_u32, context, 1_u64, "hi".to_owned())).expect("small");
        let real: ClientMessageOfText = Codec::Bincode.decode(&message).expect("tarpc's own layout");
        assert!(matches!(real, tarpc::ClientMessage::Request(_)));
        let ((variant, deadline), _) = Codec::Bincode.decode_front::<(u32, Duration)>(&message).expect("a request");
        assert_eq!(variant, 0);
        assert!(deadline > Duration::from_secs(29) && deadline <= Duration::from_secs(30));
    }

    type ClientMessageOfText = tarpc::ClientMessage<String>;
}
