//! Which zone counts in each pool of agents: taken from whoever brings it, for it is signed, and passed on to everybody.

use meshproof_proto::epoch::{Epoch, EpochError, EpochNotice};
use meshproof_proto::id::Name;
use meshproof_proto::identity::UnixSeconds;
use meshproof_proto::rendezvous::ToPeer;
use thiserror::Error;

use super::Rooms;

/// Why an epoch was not taken.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NotTaken {
    #[error("it holds no epoch")]
    Unreadable,
    #[error("it is of mesh `{0}`, which is not served here")]
    OtherMesh(Name),
    #[error(transparent)]
    Refused(EpochError),
}

impl Rooms {
    /// Takes an epoch that is new and proved, and tells everybody in its mesh. Gives it, if it was new.
    ///
    /// # Errors
    /// It does not hold, a higher one of its pool is known, or it is of no mesh here.
    pub fn take_epoch(&mut self, notice: &EpochNotice, now: UnixSeconds) -> Result<Option<Epoch>, NotTaken> {
        let mesh = notice.claims().ok_or(NotTaken::Unreadable)?;
        let Some(room) = self.rooms.get_mut(&mesh) else { return Err(NotTaken::OtherMesh(mesh)) };
        if !room.epochs.learn(notice, &room.trust, now).map_err(NotTaken::Refused)? {
            return Ok(None);
        }
        let epoch = notice.verify(&room.trust, now).map_err(NotTaken::Refused)?;
        let everybody = room.conns_with_epochs();
        self.broadcast(everybody, ToPeer::Epochs(vec![notice.clone()]));
        Ok(Some(epoch))
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::identity::{Grant, Key, Role, Token};
    use meshproof_proto::rendezvous::ToServer;
    use meshproof_proto::version::Version;

    use super::super::tests::{NONCE, Peer, ROOT, Scene, drain, name};
    use super::super::{ConnId, Input, Output};
    use super::*;

    fn said((role, mesh, root): (Role, &str, u8), number: u64, zone: &str) -> EpochNotice {
        let token = Token::issue(&Key::from_seed([root; 32]), [90; 32], |token| Grant {
            mesh: name(mesh),
            names: "*".to_owned(),
            role,
            capabilities: [].into(),
            not_after: UnixSeconds(1_000),
            token,
        });
        let epoch = Epoch { mesh: name(mesh), pool: name("shop"), number, zone: name(zone) };
        EpochNotice::sign(&token, &name("zones"), &epoch)
    }

    fn of_dev(number: u64, zone: &str) -> EpochNotice {
        said((Role::ZoneOperator, "dev", ROOT), number, zone)
    }

    /// Who was told which epochs.
    fn told(outputs: Vec<Output>) -> Vec<(Vec<ConnId>, Vec<EpochNotice>)> {
        let told = outputs.into_iter().filter_map(|output| match output {
            Output::Send { to, message: ToPeer::Epochs(notices) } => Some((to, notices)),
            _ => None,
        });
        told.collect()
    }

    #[test]
    fn everybody_in_the_mesh_is_told_a_higher_epoch_and_newcomers_before_their_welcome() {
        let mut scene = Scene::new();
        scene.join(1, &Peer::new(10, "dev"));
        scene.join(2, &Peer::new(11, "prod"));
        let taken = scene.rooms.take_epoch(&of_dev(1, "a"), scene.now.unix).expect("it holds");
        assert_eq!(
            taken.map(|epoch| epoch.to_string()),
            Some("zone a is the active one of pool shop since epoch 1".to_owned())
        );
        assert_eq!(told(drain(&mut scene.rooms, scene.now)), [(vec![ConnId(1)], vec![of_dev(1, "a")])]);
        assert_eq!(scene.rooms.take_epoch(&of_dev(1, "a"), scene.now.unix), Ok(None), "nothing new");
        scene.rooms.take_epoch(&of_dev(2, "b"), scene.now.unix).expect("it is higher");
        drain(&mut scene.rooms, scene.now);
        let outputs = scene.join(3, &Peer::new(12, "dev"));
        let place = |wanted: fn(&ToPeer) -> bool| {
            outputs.iter().position(|output| matches!(output, Output::Send { message, .. } if wanted(message)))
        };
        let (epochs, welcome) = (
            place(|message| matches!(message, ToPeer::Epochs(_))),
            place(|message| matches!(message, ToPeer::Welcome { .. })),
        );
        assert!(epochs.is_some() && epochs < welcome, "{outputs:?}");
        assert_eq!(told(outputs), [(vec![ConnId(3)], vec![of_dev(2, "b")])]);
    }

    #[test]
    fn what_is_lower_not_of_this_root_or_not_a_zone_operators_is_refused_and_nobody_hears_of_it() {
        let mut scene = Scene::new();
        scene.join(1, &Peer::new(10, "dev"));
        scene.rooms.take_epoch(&of_dev(2, "b"), scene.now.unix).expect("it holds");
        drain(&mut scene.rooms, scene.now);
        let mut changed = of_dev(3, "a");
        changed.epoch.text = changed.epoch.text.replace("\"a\"", "\"c\"");
        let mut garbled = of_dev(3, "a");
        garbled.epoch.text = "{".to_owned();
        for (notice, why) in [
            (of_dev(1, "a"), "epoch 1 of pool `shop` is over, its epoch is 2"),
            (of_dev(2, "a"), "epoch 2 of pool `shop` is that of zone `b` already, not of `a`"),
            (said((Role::ZoneOperator, "dev", 99), 3, "a"), "the grant is not signed by the key it names"),
            (said((Role::Agent, "dev", ROOT), 3, "a"), "is said by a zone operator"),
            (said((Role::ZoneOperator, "test", ROOT), 3, "a"), "of mesh `test`, which is not served here"),
            (changed, "the epoch is not signed by the key it names"),
            (garbled, "holds no epoch"),
        ] {
            let refused = scene.rooms.take_epoch(&notice, scene.now.unix).expect_err("it is refused").to_string();
            assert!(refused.contains(why), "{refused}");
        }
        assert_eq!(told(drain(&mut scene.rooms, scene.now)), []);
    }

    #[test]
    fn a_peer_of_an_older_version_is_told_no_epochs() {
        let mut scene = Scene::new();
        scene.rooms.take_epoch(&of_dev(1, "a"), scene.now.unix).expect("it holds");
        let peer = Peer::new(10, "dev");
        scene.put(1, Input::Connected { nonce: NONCE });
        let ToServer::Register { mesh, chain, proof, .. } = peer.register(&NONCE) else { panic!("it registers") };
        let older = ToServer::Register { protocol: Version { major: 1, minor: 0 }, mesh, chain, proof };
        assert_eq!(told(scene.say(1, older)), []);
        scene.rooms.take_epoch(&of_dev(2, "b"), scene.now.unix).expect("it is higher");
        assert_eq!(told(drain(&mut scene.rooms, scene.now)), []);
    }
}
