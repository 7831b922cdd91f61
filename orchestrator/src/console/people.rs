//! The other people in a mesh, who sit at consoles like this one. What they tell each other goes from console to console.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::future::join_all;
use meshproof_mesh::LinkUp;
use meshproof_mesh::rpc::RpcTransport;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Identity, Role};
use meshproof_proto::limits::{CALLS_IN_FLIGHT, PERSON_LINE_BYTES};
use meshproof_proto::rpc::{Refusal, Room, RoomClient, RoomNews, RoomRequest, RoomResponse};
use tarpc::context::{self, Context};
use tarpc::server::{BaseChannel, Channel as _};
use tarpc::{ClientMessage, Response};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::limits::ANSWER_WITHIN;

/// Something that another person said or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub by: Name,
    pub news: RoomNews,
}

/// Whether somebody of this role sits at a console.
pub(crate) fn is_person(role: Role) -> bool {
    matches!(role, Role::OperatorConsole | Role::Observer)
}

/// Those who are here, and where what they say goes.
#[derive(Debug)]
pub(super) struct People {
    heard: mpsc::Sender<Heard>,
    of: BTreeMap<PeerId, Person>,
}

#[derive(Debug)]
struct Person {
    client: RoomClient,
    _listening: AbortOnDropHandle<()>,
}

impl People {
    pub(super) fn new(heard: mpsc::Sender<Heard>) -> Self {
        Self { heard, of: BTreeMap::new() }
    }

    /// A link to a console. One that only looks does not answer.
    pub(super) fn linked(&mut self, up: LinkUp) {
        let (client, server) = up.rpc.split::<RoomRequest, RoomResponse, RoomRequest, RoomResponse>();
        let client = RoomClient::new(tarpc::client::Config::default(), client).spawn();
        let peer = up.peer.peer;
        let _listening = listen(server, up.peer, self.heard.clone());
        self.of.insert(peer, Person { client, _listening });
    }

    pub(super) fn left(&mut self, peer: &PeerId) {
        self.of.remove(peer);
    }

    /// Whether everybody of the roster who sits at a console is linked.
    pub(super) fn are_all(&self, roster: &[Identity]) -> bool {
        roster.iter().filter(|peer| is_person(peer.role)).all(|peer| self.of.contains_key(&peer.peer))
    }

    /// Tells everybody, and gives how many heard it.
    pub(super) fn tell(&self, news: &RoomNews) -> impl Future<Output = usize> + use<> {
        let telling: Vec<_> = self.of.values().map(|person| (person.client.clone(), news.clone())).collect();
        let telling = telling.into_iter().map(|(client, news)| async move {
            let heard = timeout(ANSWER_WITHIN, client.hear(context::current(), news)).await;
            matches!(heard, Ok(Ok(Ok(()))))
        });
        async move { join_all(telling).await.into_iter().filter(|heard| *heard).count() }
    }
}

/// What comes from somebody who tells us things.
pub(crate) type Told = RpcTransport<Response<RoomResponse>, ClientMessage<RoomRequest>>;

/// Hears what the caller says, until it is dropped.
pub(crate) fn listen(told: Told, caller: Identity, heard: mpsc::Sender<Heard>) -> AbortOnDropHandle<()> {
    let ear = Ear { caller, heard };
    AbortOnDropHandle::new(tokio::spawn(async move {
        let channel = BaseChannel::with_defaults(told).max_concurrent_requests(CALLS_IN_FLIGHT);
        channel.execute(Room::serve(ear)).for_each_concurrent(None, |call| call).await;
    }))
}

/// Hears what one of them says.
#[derive(Clone, Debug)]
struct Ear {
    caller: Identity,
    heard: mpsc::Sender<Heard>,
}

impl Room for Ear {
    async fn hear(self, _: Context, news: RoomNews) -> Result<(), Refusal> {
        if !is_person(self.caller.role) {
            let needed = vec![Role::OperatorConsole, Role::Observer];
            return Err(Refusal::NeedsRole { call: "hear".to_owned(), role: self.caller.role, needed });
        }
        let bytes = match &news {
            RoomNews::Said(text) => text.len(),
            RoomNews::Did { line, outcome } => line.len() + outcome.len(),
        };
        if bytes > 2 * PERSON_LINE_BYTES {
            return Err(Refusal::Failed(format!("{bytes} bytes are more than a line has")));
        }
        // Who says more than can be shown is not heard, and holds nobody up.
        let heard = self.heard.try_send(Heard { by: self.caller.name, news });
        heard.map_err(|_| Refusal::Failed("too much is said at once".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use meshproof_proto::identity::{Issued, UnixSeconds};

    use super::*;

    fn caller(role: Role) -> Identity {
        let issued = Issued { token: PeerId([8; 32]), root: PeerId([9; 32]), not_after: UnixSeconds(0) };
        let name = "console-anna".parse().expect("a name");
        Identity { peer: PeerId([1; 32]), name, role, capabilities: BTreeSet::new(), issued }
    }

    #[tokio::test]
    async fn people_hear_each_other_and_nobody_else_and_nobody_who_floods() {
        let (heard, mut said) = mpsc::channel(1);
        let hear = |role, text: &str| {
            let ear = Ear { caller: caller(role), heard: heard.clone() };
            ear.hear(context::current(), RoomNews::Said(text.to_owned()))
        };
        for role in [Role::Agent, Role::Orchestrator, Role::ZoneOperator] {
            let refused = hear(role, "hi").await.expect_err("no person");
            assert!(refused.to_string().contains("is for an operator console or an observer"), "{refused}");
        }
        hear(Role::Observer, "hi").await.expect("a person");
        hear(Role::OperatorConsole, "hi again").await.expect_err("nobody has read the first");
        let first = said.recv().await.expect("it was said");
        assert_eq!((first.by.as_str(), first.news), ("console-anna", RoomNews::Said("hi".to_owned())));
        hear(Role::OperatorConsole, &"x".repeat(3 * PERSON_LINE_BYTES)).await.expect_err("too long");
    }
}
