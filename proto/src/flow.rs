//! One byte stream of a link, without the link: what is sent, what is acknowledged, what may still be sent.
//!
//! A stream belongs to the link and outlives the connections that carry it. Its sender keeps every byte until the receiver
//! acknowledged it and, when a connection that carried the stream is lost, sends again from the last acknowledged offset. The
//! receiver drops what it already has. So a replaced connection is a pause and nothing else.
//!
//! Several connections may carry one stream at once (*stripes*), each in its own order, so pieces come out of order. The
//! receiver keeps those that are ahead, within the credit that it gave, and hands bytes on in order.

mod receiving;
mod sending;

use thiserror::Error;

use crate::limits;

pub use receiving::Receiving;
pub use sending::Sending;

/// What the sender puts on the wire next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Data { offset: u64, bytes: Vec<u8> },
    Fin { offset: u64 },
}

/// The other side broke the rules of the stream; the stream is reset.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FlowError {
    #[error("bytes up to {got} were sent, {limit} were allowed")]
    OverCredit { got: u64, limit: u64 },
    #[error("more than {limit} gaps between the bytes that came", limit = limits::STREAM_GAPS)]
    TooManyGaps,
    #[error("{0} bytes were acknowledged that were never sent")]
    AckAhead(u64),
    #[error("bytes follow the end of the stream")]
    AfterFin,
    #[error("the end of the stream is at {before}, and now at {now}")]
    OtherEnd { before: u64, now: u64 },
}

#[cfg(test)]
mod tests;
