//! STUN and TURN servers, told to those who come, and again before their credentials end.

use meshproof_proto::id::PeerId;
use meshproof_proto::limits::ICE_CREDENTIALS;
use meshproof_proto::rendezvous::ToPeer;

use super::{ConnId, Now, Rooms};

impl Rooms {
    pub(super) fn tell_servers(&mut self, conn: ConnId, peer: &PeerId, now: Now) {
        let servers = self.ice.servers(peer, now.unix);
        self.send(conn, ToPeer::Ice(servers));
        self.renew.get_or_insert(now.instant + ICE_CREDENTIALS / 2);
    }

    /// Tells everybody new credentials. While anybody is left, it is done again.
    pub(super) fn renew_credentials(&mut self, now: Now) {
        self.renew = None;
        let members: Vec<_> = self.rooms.values().flat_map(|room| room.members_with_ice()).collect();
        for (conn, peer) in members {
            self.tell_servers(conn, &peer, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use meshproof_proto::version::Version;

    use super::super::tests::{NONCE, Peer, Scene, drain};
    use super::super::{Input, Output, ToServer};
    use super::*;
    use crate::ice::Ice;

    fn scene() -> Scene {
        let ice = Ice::new(vec!["turn:t:3478".to_owned()], Some(b"north".to_vec())).expect("a good one");
        let Scene { rooms, now } = Scene::new();
        Scene { rooms: rooms.with_ice(ice), now }
    }

    /// Who is told of which user of the TURN server.
    fn told(outputs: &[Output]) -> Vec<(ConnId, String)> {
        let told = outputs.iter().filter_map(|output| match output {
            Output::Send { to, message: ToPeer::Ice(servers) } => Some((to[0], servers[0].username.clone())),
            _ => None,
        });
        told.collect()
    }

    #[test]
    fn who_comes_is_told_servers_before_its_welcome_and_again_before_its_credentials_end() {
        let mut scene = scene();
        let (a, b) = (Peer::new(10, "dev"), Peer::new(11, "prod"));
        let outputs = scene.join(1, &a);
        assert_eq!(told(&outputs), [(ConnId(1), format!("4500:{}", a.id()))]);
        let place = |wanted: fn(&ToPeer) -> bool| {
            outputs.iter().position(|output| matches!(output, Output::Send { message, .. } if wanted(message)))
        };
        let (ice, welcome) = (
            place(|message| matches!(message, ToPeer::Ice(_))),
            place(|message| matches!(message, ToPeer::Welcome { .. })),
        );
        assert!(ice < welcome, "{outputs:?}");
        scene.join(2, &b);
        scene.now.instant += ICE_CREDENTIALS / 2 - Duration::from_millis(1);
        scene.now.unix.0 += 50;
        scene.rooms.handle_timeout(scene.now);
        assert_eq!(told(&drain(&mut scene.rooms, scene.now)), []);
        scene.now.instant += Duration::from_millis(1);
        assert!(scene.rooms.poll_timeout().is_some_and(|due| due <= scene.now.instant));
        scene.rooms.handle_timeout(scene.now);
        let again = told(&drain(&mut scene.rooms, scene.now));
        assert_eq!(again, [(ConnId(1), format!("4550:{}", a.id())), (ConnId(2), format!("4550:{}", b.id()))]);
    }

    #[test]
    fn a_peer_of_an_older_version_is_told_no_servers() {
        let mut scene = scene();
        let peer = Peer::new(10, "dev");
        scene.put(1, Input::Connected { nonce: NONCE });
        let ToServer::Register { mesh, chain, proof, .. } = peer.register(&NONCE) else { panic!("it registers") };
        let older = ToServer::Register { protocol: Version { major: 1, minor: 0 }, mesh, chain, proof };
        let outputs = scene.say(1, older);
        assert!(outputs.iter().any(|output| matches!(output, Output::Send { message: ToPeer::Welcome { .. }, .. })));
        assert_eq!(told(&outputs), []);
        scene.now.instant += ICE_CREDENTIALS;
        scene.rooms.handle_timeout(scene.now);
        assert_eq!(told(&drain(&mut scene.rooms, scene.now)), []);
    }
}
