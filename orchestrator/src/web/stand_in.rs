//! Who stands in for a page where no UDP passes between it and its peers: a peer in this process, with a key of its own and the
//! page's grant. It carries frames and does nothing of its own accord, but to hear what people say to it; so agents judge what the page
//! asks for by the same rights.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures::{SinkExt as _, StreamExt as _};
use meshproof_mesh::rpc::{RpcTransport, read_call};
use meshproof_mesh::{Mesh, MeshEvent};
use meshproof_proto::codec::Codec;
use meshproof_proto::frame::{ControlFrame, Piece};
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Identity, Role};
use meshproof_proto::rpc::{AgentRequest, AgentResponse, RoomRequest, RoomResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tarpc::{ClientMessage, Response};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use super::limits::{CALLS, TELL_EVERY, WAITING};
use super::wire::ToPage;
use crate::console::{Heard, is_person, listen};
use crate::mesh_file::MeshFile;

/// One that goes on until it is dropped.
pub(super) struct StandIn {
    frames: mpsc::Sender<(PeerId, ControlFrame)>,
    _leaves: DropGuard,
}

type Called<Asked, Answer> = RpcTransport<ClientMessage<Asked>, Response<Answer>>;

/// The page that somebody stands in for.
pub(super) struct Page {
    /// Its own key, with which it is in the mesh, too.
    pub(super) peer: PeerId,
    pub(super) to_page: mpsc::Sender<ToPage>,
    /// Where goes what people say to it.
    pub(super) heard: mpsc::Sender<Heard>,
}

impl StandIn {
    /// Joins the mesh.
    ///
    /// # Errors
    /// It cannot; in words.
    pub(super) fn join((file, name): (&MeshFile, Name), addresses: Vec<IpAddr>, page: Page) -> Result<Self, String> {
        let config = file.config(name, addresses).map_err(|error| error.to_string())?;
        let (mesh, events) = Mesh::join(config).map_err(|error| error.to_string())?;
        let (frames, of_page) = mpsc::channel(WAITING);
        let stop = CancellationToken::new();
        let carrying = Carrying { mesh, page, calls: BTreeMap::new() };
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
    page: Page,
    /// Where calls to an agent or a person go.
    calls: BTreeMap<PeerId, Way>,
}

struct Way {
    calls: mpsc::Sender<Vec<u8>>,
    _calling: AbortOnDropHandle<()>,
    /// Of a person, who calls back.
    _listening: Option<AbortOnDropHandle<()>>,
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
            MeshEvent::PeerJoined(peer) if self.is_wanted(&peer) => self.mesh.connect(peer.peer).await,
            MeshEvent::LinkUp(up) if self.is_wanted(&up.peer) => {
                let peer = up.peer.peer;
                let way = if up.peer.role == Role::Agent {
                    let (agent, _) = up.rpc.split::<AgentRequest, AgentResponse, AgentRequest, AgentResponse>();
                    self.way(peer, agent, None)
                } else {
                    let (person, told) = up.rpc.split::<RoomRequest, RoomResponse, RoomRequest, RoomResponse>();
                    self.way(peer, person, Some(listen(told, up.peer, self.page.heard.clone())))
                };
                self.calls.insert(peer, way);
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

    /// Agents and people, but for the page itself.
    fn is_wanted(&self, peer: &Identity) -> bool {
        peer.role == Role::Agent || is_person(peer.role) && peer.peer != self.page.peer
    }

    fn way<Asked, Answer>(
        &self,
        peer: PeerId,
        other: Called<Asked, Answer>,
        listening: Option<AbortOnDropHandle<()>>,
    ) -> Way
    where
        Asked: Serialize + DeserializeOwned + Send + Unpin + 'static,
        Answer: Serialize + DeserializeOwned + Send + Unpin + 'static,
    {
        let (calls, called) = mpsc::channel(CALLS);
        let calling = tokio::spawn(call(peer, other, (called, self.page.to_page.clone())));
        Way { calls, _calling: AbortOnDropHandle::new(calling), _listening: listening }
    }

    /// Links that a call can take now.
    async fn tell_links(&self) {
        let links = self.mesh.links().into_iter().filter(|link| self.calls.contains_key(&link.peer));
        let _ = self.page.to_page.send(ToPage::StandIn(Ok(links.map(Into::into).collect()))).await;
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
                let _ = self.page.to_page.send(ToPage::Frame { peer, frame: answer }).await;
            }
            // between the page and its own links
            _ => {}
        }
    }
}

/// Calls one agent or person on behalf of the page, in whole messages: the socket to the page cuts none.
async fn call<Asked, Answer>(
    peer: PeerId,
    mut other: Called<Asked, Answer>,
    (mut called, to_page): (mpsc::Receiver<Vec<u8>>, mpsc::Sender<ToPage>),
) where
    Asked: Serialize + DeserializeOwned + Unpin,
    Answer: Serialize + DeserializeOwned + Unpin,
{
    loop {
        tokio::select! {
            Some(call) = called.recv() => match read_call(Codec::Json, &call) {
                Ok(call) => {
                    if other.send(call).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let frame = ControlFrame::Refuse(format!("a call cannot be taken: {error}"));
                    let _ = to_page.send(ToPage::Frame { peer, frame }).await;
                }
            },
            reply = other.next() => {
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
