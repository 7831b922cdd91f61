//! Who stands in for a page where no UDP passes between it and its peers: a peer in this process, with a key of its own and the
//! page's grant. It carries frames and does nothing of its own accord; so agents judge what the page asks for by the same rights.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures::{SinkExt as _, StreamExt as _};
use meshproof_mesh::rpc::{RpcTransport, read_call};
use meshproof_mesh::{Mesh, MeshEvent};
use meshproof_proto::codec::Codec;
use meshproof_proto::frame::{ControlFrame, Piece};
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::Role;
use meshproof_proto::rpc::{AgentRequest, AgentResponse};
use tarpc::{ClientMessage, Response};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use super::limits::{CALLS, TELL_EVERY, WAITING};
use super::wire::ToPage;
use crate::mesh_file::MeshFile;

/// One that goes on until it is dropped.
pub(super) struct StandIn {
    frames: mpsc::Sender<(PeerId, ControlFrame)>,
    _leaves: DropGuard,
}

type Called = RpcTransport<ClientMessage<AgentRequest>, Response<AgentResponse>>;

impl StandIn {
    /// Joins the mesh.
    ///
    /// # Errors
    /// It cannot; in words.
    pub(super) fn join(
        (file, name): (&MeshFile, Name),
        addresses: Vec<IpAddr>,
        to_page: mpsc::Sender<ToPage>,
    ) -> Result<Self, String> {
        let config = file.config(name, addresses).map_err(|error| error.to_string())?;
        let (mesh, events) = Mesh::join(config).map_err(|error| error.to_string())?;
        let (frames, of_page) = mpsc::channel(WAITING);
        let stop = CancellationToken::new();
        let carrying = Carrying { mesh, to_page, calls: BTreeMap::new() };
        tokio::spawn(carrying.run(events, of_page, stop.clone()));
        Ok(Self { frames, _leaves: stop.drop_guard() })
    }

    /// A frame of the page for a peer.
    pub(super) async fn frame(&self, peer: PeerId, frame: ControlFrame) {
        let _ = self.frames.send((peer, frame)).await;
    }
}

struct Carrying {
    mesh: Mesh,
    to_page: mpsc::Sender<ToPage>,
    /// Where calls to an agent go.
    calls: BTreeMap<PeerId, Way>,
}

struct Way {
    calls: mpsc::Sender<Vec<u8>>,
    _calling: AbortOnDropHandle<()>,
}

impl Carrying {
    async fn run(
        mut self,
        mut events: mpsc::Receiver<MeshEvent>,
        mut of_page: mpsc::Receiver<(PeerId, ControlFrame)>,
        stop: CancellationToken,
    ) {
        let mut tells = tokio::time::interval(TELL_EVERY);
        loop {
            tokio::select! {
                Some(event) = events.recv() => self.take(event).await,
                Some((peer, frame)) = of_page.recv() => self.frame(peer, frame).await,
                _ = tells.tick() => self.tell_links().await,
                () = stop.cancelled() => break,
            }
        }
        let taking = async { while events.recv().await.is_some() {} };
        tokio::select! {
            () = self.mesh.leave() => {}
            () = taking => {}
        }
    }

    async fn take(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::PeerJoined(peer) if peer.role == Role::Agent => self.mesh.connect(peer.peer).await,
            MeshEvent::LinkUp(up) if up.peer.role == Role::Agent => {
                let (agent, _) = up.rpc.split::<AgentRequest, AgentResponse, AgentRequest, AgentResponse>();
                let (calls, called) = mpsc::channel(CALLS);
                let peer = up.peer.peer;
                let calling = AbortOnDropHandle::new(tokio::spawn(call(peer, agent, (called, self.to_page.clone()))));
                self.calls.insert(peer, Way { calls, _calling: calling });
                self.tell_links().await;
            }
            MeshEvent::LinkLost { peer, .. } => {
                self.calls.remove(&peer.peer);
                self.tell_links().await;
            }
            MeshEvent::LinkSuspect { .. } => self.tell_links().await,
            _ => {}
        }
    }

    /// Links that a call can take now.
    async fn tell_links(&self) {
        let links = self.mesh.links().into_iter().filter(|link| self.calls.contains_key(&link.peer));
        let _ = self.to_page.send(ToPage::StandIn(Ok(links.map(Into::into).collect()))).await;
    }

    async fn frame(&mut self, peer: PeerId, frame: ControlFrame) {
        match frame {
            ControlFrame::Call(piece) => {
                if let Some(way) = self.calls.get(&peer) {
                    // more calls than a link takes are not answered, as on a link
                    let _ = way.calls.try_send(piece.bytes);
                }
            }
            ControlFrame::Beat(number) => {
                let answer = ControlFrame::BeatAnswer(number);
                let _ = self.to_page.send(ToPage::Frame { peer, frame: answer }).await;
            }
            // between the page and its own links
            _ => {}
        }
    }
}

/// Calls one agent on behalf of the page, in whole messages: the socket to the page cuts none.
async fn call(peer: PeerId, mut agent: Called, (mut called, to_page): (mpsc::Receiver<Vec<u8>>, mpsc::Sender<ToPage>)) {
    loop {
        tokio::select! {
            Some(call) = called.recv() => match read_call(Codec::Json, &call) {
                Ok(call) => {
                    if agent.send(call).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let frame = ControlFrame::Refuse(format!("a call cannot be taken: {error}"));
                    let _ = to_page.send(ToPage::Frame { peer, frame }).await;
                }
            },
            reply = agent.next() => {
                let Some(Ok(reply)) = reply else { return };
                let Ok(bytes) = Codec::Json.encode(&reply) else { continue };
                let frame = ControlFrame::Reply(Piece { last: true, bytes });
                if to_page.send(ToPage::Frame { peer, frame }).await.is_err() {
                    return;
                }
            }
        }
    }
}
