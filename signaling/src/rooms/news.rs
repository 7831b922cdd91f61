//! What the root of a mesh said: taken from whoever brings it, for it is signed, and passed on to everybody.

use std::sync::Arc;

use meshproof_proto::id::Name;
use meshproof_proto::limits::TOKENS_LOOK;
use meshproof_proto::rendezvous::ToPeer;
use meshproof_proto::trust::RootNews;

use super::{ConnId, Now, Output, Refusal, Rooms};

impl Rooms {
    /// Takes what is new; peers whose tokens are no longer good have to go.
    pub(super) fn learn(&mut self, from: ConnId, (mesh, news): (&Name, &RootNews), now: Now) -> Result<(), Refusal> {
        let room = self.rooms.get_mut(mesh).ok_or_else(|| Refusal::UnknownMesh(mesh.clone()))?;
        if !Arc::make_mut(&mut room.trust).learn(news).map_err(Refusal::Trust)? {
            return Ok(());
        }
        let (news, unwelcome) = (room.trust.news(), room.unwelcome(now.unix));
        for (conn, error) in unwelcome {
            self.refuse(conn, &Refusal::Trust(error));
        }
        let everybody = self.rooms.get(mesh).map(|room| room.conns_with_news()).unwrap_or_default();
        self.broadcast(everybody.into_iter().filter(|conn| *conn != from).collect(), ToPeer::News(news.clone()));
        self.outputs.push_back(Output::Learned { mesh: mesh.clone(), news });
        Ok(())
    }

    /// Peers whose tokens ended have to go. While anybody is left, it is looked again.
    pub(super) fn look_at_tokens(&mut self, now: Now) {
        let ended: Vec<_> = self.rooms.values().flat_map(|room| room.unwelcome(now.unix)).collect();
        for (conn, error) in ended {
            self.refuse(conn, &Refusal::Trust(error));
        }
        self.look = self.rooms.values().any(|room| !room.is_empty()).then(|| now.instant + TOKENS_LOOK);
    }
}
