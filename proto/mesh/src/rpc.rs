//! tarpc over a link: typed transports over frames.
//!
//! A control connection carries calls both ways: a `Call` frame goes to the receiver's service, a `Reply` to the caller's
//! client. Messages larger than a frame travel in several. A transport lives as long as its connection.

mod pieces;
mod transport;

use meshproof_proto::frame::ControlFrame;
use tarpc::{ClientMessage, Response};
use tokio::sync::mpsc;

pub use transport::{RpcTransport, RpcTransportError};

pub(crate) use pieces::{Assembler, NeverEnding};

/// Both directions of RPC over one generation of a link.
#[derive(Debug)]
pub struct RpcPort {
    calls_in: mpsc::Receiver<Vec<u8>>,
    replies_in: mpsc::Receiver<Vec<u8>>,
    frames_out: mpsc::Sender<ControlFrame>,
}

/// Where a connection puts the messages it received.
#[derive(Debug)]
pub(crate) struct RpcInbox {
    pub calls: mpsc::Sender<Vec<u8>>,
    pub replies: mpsc::Sender<Vec<u8>>,
}

impl RpcPort {
    pub(crate) fn new(frames_out: mpsc::Sender<ControlFrame>) -> (Self, RpcInbox) {
        let (calls, calls_in) = mpsc::channel(meshproof_proto::limits::CALLS_IN_FLIGHT * 2);
        let (replies, replies_in) = mpsc::channel(meshproof_proto::limits::CALLS_IN_FLIGHT * 2);
        (Self { calls_in, replies_in, frames_out }, RpcInbox { calls, replies })
    }

    /// The transport for a client of the peer's service, and the one for our own service.
    #[allow(clippy::type_complexity, reason = "the pair is taken apart at once")]
    pub fn split<TheirReq, TheirResp, OurReq, OurResp>(
        self,
    ) -> (
        RpcTransport<ClientMessage<TheirReq>, Response<TheirResp>>,
        RpcTransport<Response<OurResp>, ClientMessage<OurReq>>,
    ) {
        let client = RpcTransport::client(self.frames_out.clone(), self.replies_in);
        let server = RpcTransport::server(self.frames_out, self.calls_in);
        (client, server)
    }
}
