//! A link to one peer: the shell around pure machines, one for control and one for each bulk connection.
//!
//! One task owns the link. It feeds what happens into [`Machine`](meshproof_proto::link::Machine)s and does what they say: makes
//! connections, seals and opens signals, starts and stops carriers. Everything slow (making a description, closing) runs
//! beside it and reports back.

mod actor;
mod errands;
mod making;
mod news;
mod opening;
mod pace;
mod signals;
mod status;
mod stripes;
mod track;

use std::sync::Arc;
use std::sync::Mutex;

use meshproof_proto::frame::EventFrame;
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::{Issued, Signed};
use meshproof_proto::signal::{ConnectionKind, Signal};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use crate::api::{LinkInfo, Loss, MeshEvent};
use crate::carrier::{Counters, EventsWay};
use crate::context::Context;
use crate::datagrams::Datagrams;
use crate::node::Tables;
use crate::streams::Mux;

pub(crate) use actor::LinkTask;

/// What a link is told to do.
#[derive(Debug)]
pub(crate) enum Command {
    Want(ConnectionKind),
    /// A signal of the peer, its signature checked, and the signaling server that carried it, if one did.
    Signal(Box<Signal>, Option<usize>),
    SignalingBack,
    /// This machine got addresses, or lost some.
    AddressesChanged,
    /// Ask the peer to pass this signal on.
    Forward {
        to: PeerId,
        signal: Signed,
    },
    /// Pass this signal of another peer on to the peer.
    Forwarded {
        from: PeerId,
        signal: Signed,
    },
    /// The root keys said more, or a token ended.
    News,
    /// The peer will not come back: end, for that reason.
    Forget(Loss),
    /// Tell the peer why it is not welcome any more, and end.
    Refuse(Loss),
    /// Say goodbye and end.
    Leave,
}

/// What a link asks of the node, or tells it.
#[derive(Debug)]
pub(crate) enum ToNode {
    /// Have a signal carried to the peer; by that signaling server, if it must be that one.
    Carry { to: PeerId, signal: Signed, server: Option<usize> },
    /// A peer wants a signal passed on.
    Forward { from: PeerId, to: PeerId, signal: Signed },
    /// A signal came by way of another peer.
    Forwarded { from: PeerId, signal: Signed },
    /// The link to that peer is not up any more.
    Down(PeerId),
    /// The link's task ends.
    Ended(PeerId),
}

/// The link as others hold it.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// What the peer joined with.
    pub issued: Issued,
    pub commands: mpsc::Sender<Command>,
    pub mux: Arc<Mux>,
    pub datagrams: Arc<Datagrams>,
    pub counters: Arc<Counters>,
    pub info: Arc<Mutex<LinkInfo>>,
    /// The way for event batches, while the control connection is up.
    pub events: watch::Receiver<Option<EventsWay>>,
}

/// What a link needs from the peer it belongs to.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub context: Arc<Context>,
    pub events: mpsc::Sender<MeshEvent>,
    pub node: mpsc::Sender<ToNode>,
    pub tables: Arc<Tables>,
}

impl Link {
    /// Tells the link something that must not get lost. Nobody waits meanwhile: a link that its peer or its user keeps busy takes it when
    /// it can, and holds up no other. False when the link has ended.
    pub(crate) fn tell(&self, command: Command, tasks: &TaskTracker) -> bool {
        match self.commands.try_send(command) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(command)) => {
                let commands = self.commands.clone();
                tasks.spawn(async move { drop(commands.send(command).await) });
                true
            }
        }
    }

    /// Sends a batch or an acknowledgement over the current control connection.
    pub(crate) async fn send_events(&self, frame: &EventFrame) -> Result<(), crate::api::NoLink> {
        let way = self.events.borrow().clone().ok_or(crate::api::NoLink)?;
        if way.send(frame).await { Ok(()) } else { Err(crate::api::NoLink) }
    }
}
