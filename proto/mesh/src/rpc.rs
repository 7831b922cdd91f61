//! tarpc over a link: typed transports over frames.
//!
//! A control connection carries calls both ways: a `Call` frame goes to the receiver's service, a `Reply` to the caller's
//! client. Messages larger than a frame travel in several. A transport lives as long as its connection.

mod failure;
mod pieces;
mod transport;

use meshproof_proto::codec::Codec;
use meshproof_proto::frame::ControlFrame;
use tarpc::{ClientMessage, Response};
use tokio::sync::mpsc;

use crate::limits::CALLS_WAITING;

pub use failure::CallFailure;
pub use transport::{RpcTransport, RpcTransportError, read_call};

pub(crate) use pieces::{Assembler, NeverEnding};

#[cfg(test)]
mod tests;

/// Both directions of RPC over one generation of a link.
#[derive(Debug)]
pub struct RpcPort {
    calls_in: mpsc::Receiver<Vec<u8>>,
    replies_in: mpsc::Receiver<Vec<u8>>,
    frames_out: mpsc::Sender<ControlFrame>,
    faults: mpsc::Sender<RpcTransportError>,
    codec: Codec,
}

/// What a connection needs of its RPC.
#[derive(Debug)]
pub(crate) struct RpcInbox {
    pub doors: RpcDoors,
    /// What the peer sent that no service and no client can take: the end of its connection.
    pub faults: mpsc::Receiver<RpcTransportError>,
}

/// Where a connection puts the messages it received.
#[derive(Debug)]
pub(crate) struct RpcDoors {
    pub calls: mpsc::Sender<Vec<u8>>,
    pub replies: mpsc::Sender<Vec<u8>>,
}

impl RpcPort {
    pub(crate) fn new(codec: Codec, frames_out: mpsc::Sender<ControlFrame>) -> (Self, RpcInbox) {
        let (calls, calls_in) = mpsc::channel(CALLS_WAITING);
        let (replies, replies_in) = mpsc::channel(CALLS_WAITING);
        let (faults, faults_out) = mpsc::channel(1);
        let inbox = RpcInbox { doors: RpcDoors { calls, replies }, faults: faults_out };
        (Self { calls_in, replies_in, frames_out, faults, codec }, inbox)
    }

    /// The transport for a client of the peer's service, and the one for our own service.
    #[allow(clippy::type_complexity, reason = "the pair is taken apart at once")]
    pub fn split<TheirReq, TheirResp, OurReq, OurResp>(
        self,
    ) -> (
        RpcTransport<ClientMessage<TheirReq>, Response<TheirResp>>,
        RpcTransport<Response<OurResp>, ClientMessage<OurReq>>,
    ) {
        let client = RpcTransport::client(self.codec, (self.frames_out.clone(), self.faults.clone()), self.replies_in);
        let server = RpcTransport::server(self.codec, (self.frames_out, self.faults), self.calls_in);
        (client, server)
    }
}
