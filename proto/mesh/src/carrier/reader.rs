//! What comes in on an open connection.

use std::sync::atomic::Ordering;
use std::time::Instant;

use meshproof_proto::allowance::Allowance;
use meshproof_proto::codec::CodecError;
use meshproof_proto::frame::{BulkFrame, ControlFrame, DATAGRAM_CHANNEL, EVENTS_CHANNEL, EventFrame, MAIN_CHANNEL};
use meshproof_proto::signal::ConnectionKind;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc;

use super::{Lead, Outgoing, Purpose, RpcInbox, Told, packing};
use crate::limits::BEATS_ANSWERED;
use crate::rpc::{Assembler, RpcDoors, RpcTransportError};
use crate::rtc::{Connection, IncomingMessage, RtcEvent};

/// Why reading ended.
#[derive(Debug, Error)]
enum ReadError {
    #[error("a frame cannot be read: {0}")]
    Codec(#[from] CodecError),
    #[error("{0}")]
    NeverEnding(#[from] crate::rpc::NeverEnding),
    #[error("a frame came that has no place there")]
    Misplaced,
    #[error(transparent)]
    Packed(#[from] packing::UnpackError),
    #[error("the peer refused: {0}")]
    Refused(String),
    #[error("the link is gone")]
    LinkGone,
    /// Closing at once tells the peer that its goodbye arrived.
    #[error("the peer left")]
    Left,
}

/// Reads until the connection ends; gives the reason.
pub(super) async fn read(
    connection: &mut Connection,
    purpose: &Purpose,
    inbox: Option<RpcInbox>,
    lead: &Lead,
) -> String {
    let (inbox, mut faults) = inbox.map(|inbox| (inbox.doors, inbox.faults)).unzip();
    let mut reader = Reader {
        purpose,
        inbox,
        lead,
        calls: Assembler::default(),
        replies: Assembler::default(),
        beats: Allowance::new(BEATS_ANSWERED, Instant::now()),
    };
    loop {
        let event = tokio::select! {
            event = connection.next_event() => event,
            fault = next_fault(&mut faults) => return format!("an RPC message cannot be taken: {fault}"),
        };
        let result = match event {
            Some(RtcEvent::Message(message)) => reader.message(message).await,
            Some(RtcEvent::Open) => Ok(()),
            Some(RtcEvent::Failed(reason)) => return reason,
            Some(RtcEvent::Closed) | None => return "the peer closed it".to_owned(),
        };
        if let Err(error) = result {
            return error.to_string();
        }
    }
}

/// What the service or the client could not take. Nothing comes once nobody serves and nobody calls.
async fn next_fault(faults: &mut Option<mpsc::Receiver<RpcTransportError>>) -> RpcTransportError {
    match faults {
        Some(receiver) => match receiver.recv().await {
            Some(fault) => fault,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

struct Reader<'a> {
    purpose: &'a Purpose,
    inbox: Option<RpcDoors>,
    lead: &'a Lead,
    calls: Assembler,
    replies: Assembler,
    beats: Allowance,
}

impl Reader<'_> {
    async fn message(&mut self, message: IncomingMessage) -> Result<(), ReadError> {
        match (self.purpose.kind, message.channel) {
            (ConnectionKind::Control, MAIN_CHANNEL) => {
                self.purpose.counters.received.fetch_add(message.bytes.len() as u64, Ordering::Relaxed);
                for frame in packing::unpacked(self.purpose.codec, &message.bytes)? {
                    self.control(frame).await?;
                }
                Ok(())
            }
            (ConnectionKind::Control, EVENTS_CHANNEL) => {
                self.purpose.counters.received.fetch_add(message.bytes.len() as u64, Ordering::Relaxed);
                let frame: EventFrame = self.purpose.codec.decode(&message.bytes)?;
                self.tell(Told::Events { frame, bytes: message.bytes.len() }).await
            }
            (ConnectionKind::Bulk(_), MAIN_CHANNEL) => self.bulk(self.purpose.codec.decode(&message.bytes)?).await,
            (ConnectionKind::Bulk(_), DATAGRAM_CHANNEL) => {
                self.purpose.counters.received.fetch_add(message.bytes.len() as u64, Ordering::Relaxed);
                self.purpose.datagrams.received(message.bytes, &self.purpose.context.inboxes);
                Ok(())
            }
            (ConnectionKind::Control | ConnectionKind::Bulk(_), _) => Err(ReadError::Misplaced),
        }
    }

    async fn control(&mut self, frame: ControlFrame) -> Result<(), ReadError> {
        match frame {
            ControlFrame::Call(piece) => {
                if let (Some(call), Some(inbox)) = (self.calls.piece(piece)?, &self.inbox) {
                    let _ = inbox.calls.send(call).await;
                }
                Ok(())
            }
            ControlFrame::Reply(piece) => {
                if let (Some(reply), Some(inbox)) = (self.replies.piece(piece)?, &self.inbox) {
                    let _ = inbox.replies.send(reply).await;
                }
                Ok(())
            }
            ControlFrame::Beat(number) => {
                self.answer(&ControlFrame::BeatAnswer(number));
                Ok(())
            }
            ControlFrame::BeatAnswer(number) => self.tell(Told::Answered { number }).await,
            ControlFrame::Signal(signal) => self.tell(Told::Signal(signal)).await,
            ControlFrame::Forward { to, signal } => self.tell(Told::Forward { to, signal }).await,
            ControlFrame::Forwarded { from, signal } => self.tell(Told::Forwarded { from, signal }).await,
            ControlFrame::News(news) => self.tell(Told::News(news)).await,
            ControlFrame::Bye => {
                self.tell(Told::Bye).await?;
                Err(ReadError::Left)
            }
            ControlFrame::Refuse(reason) => Err(ReadError::Refused(reason)),
            ControlFrame::Hello(_) | ControlFrame::Proof(_) => Err(ReadError::Misplaced),
        }
    }

    async fn bulk(&mut self, frame: BulkFrame) -> Result<(), ReadError> {
        self.lead.heard.cancel();
        match frame {
            BulkFrame::Beat(number) => {
                self.answer(&BulkFrame::BeatAnswer(number));
                self.purpose.mux.flush_acks();
                Ok(())
            }
            BulkFrame::BeatAnswer(number) => self.tell(Told::Answered { number }).await,
            BulkFrame::Refuse(reason) => Err(ReadError::Refused(reason)),
            BulkFrame::Hello(_) | BulkFrame::Proof(_) => Err(ReadError::Misplaced),
            BulkFrame::Open { .. }
            | BulkFrame::Data { .. }
            | BulkFrame::Fin { .. }
            | BulkFrame::Ack { .. }
            | BulkFrame::Reset { .. } => match self.purpose.mux.frame(frame) {
                Some(stream) => self.tell(Told::Stream(stream)).await,
                None => Ok(()),
            },
        }
    }

    fn answer<T: Serialize>(&mut self, answer: &T) {
        if self.beats.take_now(Instant::now())
            && let Some(frame) = Outgoing::new(self.purpose.codec, MAIN_CHANNEL, answer)
        {
            let _ = self.lead.urgent.try_send(frame);
        }
    }

    async fn tell(&self, told: Told) -> Result<(), ReadError> {
        let from = (self.purpose.kind, self.purpose.generation, told);
        self.purpose.tell.send(from).await.map_err(|_| ReadError::LinkGone)
    }
}
