//! What the root keys said: [taken](crate::context::Context::learn) from whoever brings it, passed on to everybody, and acted on
//! at once.

use meshproof_proto::id::PeerId;
use meshproof_proto::identity::Identity;
use meshproof_proto::rendezvous::ToServer;

use super::Node;
use crate::api::MeshEvent;
use crate::context::now_unix;
use crate::link::Command;

impl Node {
    /// There is more. Peers whose tokens are no longer good are not known from now on, and links to them end.
    pub(super) async fn learned(&mut self) {
        let (news, list) = {
            let trust = self.trust.borrow_and_update();
            (trust.news(), trust.list())
        };
        tracing::info!(list, roots = news.successions.len() + 1, "the root said more");
        if let Err(error) = self.context.check(&self.context.chain) {
            tracing::error!(%error, "this peer is no longer welcome");
        }
        self.tell_links(|| Command::News);
        for server in &self.servers {
            let news = ToServer::News { mesh: self.context.mesh.clone(), news: news.clone() };
            // one that is away or busy hears of it when we register again
            let _ = server.out.try_send(news);
        }
        self.forget_unwelcome().await;
        self.tell(MeshEvent::News(news)).await;
    }

    /// Peers whose tokens are no longer good are not in the mesh any more.
    pub(super) async fn forget_unwelcome(&mut self) {
        let unwelcome: Vec<PeerId> = {
            let (trust, now) = (self.context.trust.borrow(), now_unix());
            let gone = |identity: &Identity| trust.admits(&identity.issued, now).is_err();
            self.tables.roster.iter().filter(|entry| gone(entry.value())).map(|entry| *entry.key()).collect()
        };
        for peer in unwelcome {
            if let Some((_, identity)) = self.tables.roster.remove(&peer) {
                self.tell(MeshEvent::PeerLeft(identity)).await;
            }
        }
    }
}
