//! What happens on sockets and in the mesh while a claim is looked into.

use meshproof_proto::identity::Key;
use meshproof_proto::trust::Revoked;

use super::tests::{NONCE, Peer, ROOT, Scene, drain, refused, signal, vet};
use super::*;

/// What a socket does while its claim is looked into.
fn claiming(scene: &mut Scene, conn: u64, peer: &Peer) -> (ConnId, Box<Claim>) {
    scene.put(conn, Input::Connected { nonce: NONCE });
    scene.rooms.handle(ConnId(conn), Input::Message(peer.register(&NONCE)), scene.now);
    match scene.rooms.poll_output() {
        Some(Output::Vet { conn, claim }) => (conn, claim),
        other => panic!("a claim is to be looked into, not {other:?}"),
    }
}

#[test]
fn nobody_waits_for_a_claim_that_is_looked_into_and_one_whose_socket_went_registers_nobody() {
    let mut scene = Scene::new();
    let (a, b, c) = (Peer::new(10, "dev"), Peer::new(11, "dev"), Peer::new(12, "dev"));
    let slow = claiming(&mut scene, 1, &a);
    scene.join(2, &b);
    assert_eq!(scene.join(3, &c).len(), 2, "a welcome, and the other hears of it");
    scene.put(1, Input::Disconnected);
    vet(&mut scene.rooms, slow, scene.now);
    assert_eq!(drain(&mut scene.rooms, scene.now), [], "nobody hears of it");
    assert_eq!(scene.rooms.poll_timeout(), Some(scene.now.instant + TOKENS_LOOK), "no deadline but the next look");
}

#[test]
fn a_claim_is_held_against_what_the_root_said_while_it_was_looked_into() {
    let mut scene = Scene::new();
    let peer = Peer::new(10, "dev");
    let (conn, claim) = claiming(&mut scene, 1, &peer);
    let result = claim.vet(scene.rooms.trust(&peer.mesh).as_deref(), scene.now.unix);
    assert!(result.is_ok(), "it holds so far: {result:?}");
    scene.put(2, Input::Connected { nonce: NONCE });
    let root = Key::from_seed([ROOT; 32]);
    let keys = [Key::from_seed([200; 32]).public()].into();
    let revoked = Revoked { mesh: peer.mesh.clone(), root: root.public(), number: 1, keys }.seal(&root);
    let news = RootNews { successions: vec![], revoked: Some(revoked) };
    scene.say(2, ToServer::News { mesh: peer.mesh.clone(), news });
    let told = scene.put(conn.0, Input::Vetted { claim, result });
    assert!(refused(1, told).contains("revoked"));
}

#[test]
fn whoever_claims_twice_or_speaks_before_the_answer_is_refused() {
    let mut scene = Scene::new();
    let peer = Peer::new(10, "dev");
    claiming(&mut scene, 1, &peer);
    let told = scene.say(1, peer.register(&NONCE));
    assert!(refused(1, told).contains("registered already"));
    claiming(&mut scene, 2, &peer);
    let told = scene.say(2, ToServer::Signal { to: peer.id(), signal: signal("early") });
    assert!(refused(2, told).contains("register first"));
}
