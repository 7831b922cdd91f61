//! A link to one peer: the shell around two pure machines, one for control and one for bulk.
//!
//! One task owns the link. It feeds what happens into [`Machine`]s and does what they say: makes connections, seals and opens
//! signals, starts and stops carriers. Everything slow (making a description) runs beside it and reports back.

mod actor;
mod making;
mod pace;
mod track;

use std::sync::Arc;
use std::sync::Mutex;

use meshproof_proto::frame::EventFrame;
use meshproof_proto::identity::Signed;
use meshproof_proto::signal::{ConnectionKind, Signal};
use tokio::sync::{mpsc, watch};

use crate::api::{LinkInfo, MeshEvent};
use crate::carrier::{Counters, Outgoing};
use crate::context::Context;
use crate::streams::Mux;

pub(crate) use actor::LinkTask;

/// What a link is told to do.
#[derive(Debug)]
pub(crate) enum Command {
    Want(ConnectionKind),
    /// A signal of the peer, its signature checked.
    Signal(Box<Signal>),
    SignalingBack,
    /// Say goodbye and end.
    Leave,
}

/// The link as others hold it.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub commands: mpsc::Sender<Command>,
    pub mux: Arc<Mux>,
    pub counters: Arc<Counters>,
    pub info: Arc<Mutex<LinkInfo>>,
    /// The way for event batches, while the control connection is up.
    pub events: watch::Receiver<Option<mpsc::Sender<Outgoing>>>,
}

/// What a link needs from the peer it belongs to.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub context: Arc<Context>,
    pub events: mpsc::Sender<MeshEvent>,
    /// Signals for a peer, to be carried by a signaling server.
    pub signals: mpsc::Sender<(meshproof_proto::id::PeerId, Signed)>,
}

impl Link {
    /// Sends a batch or an acknowledgement over the current control connection.
    pub(crate) async fn send_events(&self, frame: &EventFrame) -> Result<(), crate::api::NoLink> {
        let way = self.events.borrow().clone().ok_or(crate::api::NoLink)?;
        let out = Outgoing::new(meshproof_proto::frame::EVENTS_CHANNEL, frame).ok_or(crate::api::NoLink)?;
        way.send(out).await.map_err(|_| crate::api::NoLink)
    }
}
