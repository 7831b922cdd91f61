//! The mesh as a page is in it: agents that are called through the page's own links.
//!
//! Lines of a page are read here, and what they come to is worded here, by the code of the chat. But the calls between are
//! the page's: each goes to the page, over its link to the agent, and back. So agents see the page, with its key and its grant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::{SinkExt as _, StreamExt as _};
use meshproof_proto::codec::Codec;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::rpc::{AgentClient, AgentRequest, AgentResponse, RoomNews};
use tarpc::{ClientMessage, Request, Response};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use super::limits::{CALLS, LINKED_WITHIN};
use super::wire::ToPage;
use crate::console::Silent;
use crate::console::meant::meant;
use crate::mesh_file::MeshFile;

/// A page in its mesh; cheap to clone.
#[derive(Clone, Debug)]
pub struct Through {
    name: Name,
    file: MeshFile,
    to_page: mpsc::Sender<ToPage>,
    linked: Arc<Mutex<Linked>>,
    /// How many there have been so far, for whoever waits for one.
    links: watch::Sender<u64>,
    opened: Instant,
}

#[derive(Debug, Default)]
struct Linked {
    agents: BTreeMap<PeerId, Agent>,
    /// What was told and not yet heard.
    telling: BTreeMap<u64, oneshot::Sender<usize>>,
    told: u64,
}

#[derive(Debug)]
struct Agent {
    name: Name,
    client: AgentClient,
    replies: mpsc::Sender<(u64, String)>,
    _calling: AbortOnDropHandle<()>,
}

/// Where the calls of a client come out, and replies go in.
type Far = tarpc::transport::channel::Channel<ClientMessage<AgentRequest>, Response<AgentResponse>>;

impl Through {
    pub(super) fn new(name: Name, file: MeshFile, to_page: mpsc::Sender<ToPage>) -> Self {
        Self { name, file, to_page, linked: Arc::default(), links: watch::Sender::default(), opened: Instant::now() }
    }

    /// What the page is called in the mesh.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The mesh, as its file says it.
    #[must_use]
    pub fn file(&self) -> &MeshFile {
        &self.file
    }

    /// The agents that these words mean: a name, a pattern, a group, or `all`.
    #[must_use]
    pub fn agents_named(&self, wanted: &str) -> Vec<(Name, AgentClient)> {
        meant(wanted, self.linked().agents.values().map(|agent| (&agent.name, agent.client.clone())))
    }

    /// The names of the agents that are linked.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.agents_named("all").into_iter().map(|(name, _)| name.to_string()).collect()
    }

    /// Waits until the agents that ought to be there are linked; a page that was opened just now has its time for that.
    pub async fn settle(&self) {
        let mut links = self.links.subscribe();
        let all = async {
            let is_there = |agent: &Name| self.linked().agents.values().any(|linked| linked.name == *agent);
            while !self.file.agents.iter().all(is_there) && links.changed().await.is_ok() {}
        };
        let left = LINKED_WITHIN.saturating_sub(self.opened.elapsed());
        let _ = tokio::time::timeout(left, all).await;
    }

    /// Agents that ought to be there and are not linked.
    pub(crate) fn missing(&self) -> Vec<Silent> {
        let linked = self.linked();
        let is_linked = |agent: &&Name| linked.agents.values().any(|linked| linked.name == **agent);
        let missing = self.file.agents.iter().filter(|agent| !is_linked(agent));
        let why = "the page has no link to it; the topology says more";
        missing.map(|name| Silent { name: name.clone(), why: why.to_owned() }).collect()
    }

    /// Why an agent of that name does not answer; none when nobody knows of one.
    #[must_use]
    pub fn why_missing(&self, name: &str) -> Option<String> {
        self.missing().into_iter().find(|silent| silent.name.as_str() == name).map(|silent| silent.why)
    }

    /// Tells the other people; gives how many heard it.
    pub async fn tell(&self, news: &RoomNews) -> usize {
        let (heard, counted) = oneshot::channel();
        let number = {
            let mut linked = self.linked();
            linked.told += 1;
            let number = linked.told;
            linked.telling.insert(number, heard);
            number
        };
        if self.to_page.send(ToPage::Tell { number, news: news.clone() }).await.is_err() {
            return 0;
        }
        let counted = tokio::time::timeout(2 * crate::console::limits::ANSWER_WITHIN, counted).await;
        self.linked().telling.remove(&number);
        counted.ok().and_then(Result::ok).unwrap_or(0)
    }

    /// The page has a link to an agent. It may say so again: calls that are on their way go on.
    pub(super) fn link(&self, peer: PeerId, name: Name) {
        if self.linked().agents.contains_key(&peer) {
            return;
        }
        let (near, far) = tarpc::transport::channel::bounded(CALLS);
        let client = AgentClient::new(tarpc::client::Config::default(), near).spawn();
        let (replies, replied) = mpsc::channel(CALLS);
        let calling = AbortOnDropHandle::new(tokio::spawn(call(peer, far, (replied, self.to_page.clone()))));
        self.linked().agents.insert(peer, Agent { name, client, replies, _calling: calling });
        self.links.send_modify(|links| *links += 1);
    }

    pub(super) fn unlink(&self, peer: &PeerId) {
        self.linked().agents.remove(peer);
    }

    /// The reply of an agent to that call. One that nobody waits for is dropped.
    pub(super) fn did(&self, peer: &PeerId, call: u64, reply: String) {
        if let Some(agent) = self.linked().agents.get(peer) {
            let _ = agent.replies.try_send((call, reply));
        }
    }

    /// So many have heard it.
    pub(super) fn told(&self, number: u64, heard: usize) {
        if let Some(counted) = self.linked().telling.remove(&number) {
            let _ = counted.send(heard);
        }
    }

    fn linked(&self) -> MutexGuard<'_, Linked> {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands calls to the page, and its replies back, while anybody calls.
async fn call(
    peer: PeerId,
    mut far: Far,
    (mut replied, to_page): (mpsc::Receiver<(u64, String)>, mpsc::Sender<ToPage>),
) {
    loop {
        let word = tokio::select! {
            asked = far.next() => match asked {
                Some(Ok(ClientMessage::Request(request))) => match asked_of_page(peer, &request) {
                    Some(word) => word,
                    None => continue,
                },
                Some(Ok(ClientMessage::Cancel { request_id, .. })) => ToPage::Undo { peer, call: request_id },
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
            Some((call, reply)) = replied.recv() => {
                // what cannot be read is not answered, and its caller's time runs out
                if let Ok(reply) = Codec::Json.decode::<Response<AgentResponse>>(reply.as_bytes())
                    && far.send(Response { request_id: call, ..reply }).await.is_err()
                {
                    return;
                }
                continue;
            }
        };
        if to_page.send(word).await.is_err() {
            return;
        }
    }
}

fn asked_of_page(peer: PeerId, request: &Request<AgentRequest>) -> Option<ToPage> {
    let within = request.context.deadline.saturating_duration_since(Instant::now());
    let text = Codec::Json.encode(&request.message).ok().and_then(|text| String::from_utf8(text).ok())?;
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    Some(ToPage::Do { peer, call: request.id, within_ms, request: text })
}
