//! What the root of a mesh said: taken from whoever brings it, for it is signed, and passed on to everybody.

use std::sync::Arc;

use meshproof_proto::id::Name;
use meshproof_proto::rendezvous::ToPeer;
use meshproof_proto::trust::RootNews;

use super::{ConnId, Output, Refusal, Rooms};

impl Rooms {
    /// Takes what is new; peers whose tokens are no longer good have to go.
    pub(super) fn learn(&mut self, from: ConnId, mesh: &Name, news: &RootNews) -> Result<(), Refusal> {
        let room = self.rooms.get_mut(mesh).ok_or_else(|| Refusal::UnknownMesh(mesh.clone()))?;
        if !Arc::make_mut(&mut room.trust).learn(news).map_err(Refusal::Trust)? {
            return Ok(());
        }
        let (news, revoked) = (room.trust.news(), room.revoked());
        for (conn, error) in revoked {
            self.refuse(conn, &Refusal::Trust(error));
        }
        let everybody = self.rooms.get(mesh).map(|room| room.conns_with_news()).unwrap_or_default();
        self.broadcast(everybody.into_iter().filter(|conn| *conn != from).collect(), ToPeer::News(news.clone()));
        self.outputs.push_back(Output::Learned { mesh: mesh.clone(), news });
        Ok(())
    }
}
