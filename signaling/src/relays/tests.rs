//! What each input does, case by case.

use meshproof_proto::identity::Key;

use super::*;
use crate::rooms::tests::{Peer, name};

pub(super) const PATIENCE: Patience = Patience { request: Duration::from_secs(5), partner: Duration::from_secs(10) };
pub(crate) const NONCE: Nonce = [7; 32];

pub(crate) fn relays() -> Relays {
    let root = Key::from_seed([1; 32]).public();
    Relays::new([(name("dev"), root), (name("prod"), root)], PATIENCE)
}

pub(crate) fn pair(peer: &Peer, nonce: &Nonce, to: PeerId, generation: u64) -> ToRelay {
    ToRelay::Pair {
        protocol: PROTOCOL,
        mesh: peer.mesh.clone(),
        chain: Box::new(peer.chain.clone()),
        proof: peer.key.sign(RELAY_LABEL, nonce),
        to,
        kind: ConnectionKind::Control,
        generation: Generation(generation),
    }
}

/// The relays at a moment that does not move by itself.
struct Scene {
    relays: Relays,
    now: Now,
}

impl Scene {
    fn new() -> Self {
        Self { relays: relays(), now: Now { instant: Instant::now(), unix: UnixSeconds(900) } }
    }

    fn put(&mut self, conn: u64, input: Input) -> Vec<Output> {
        self.relays.handle(ConnId(conn), input, self.now);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.relays.poll_output()).collect()
    }

    fn ask(&mut self, conn: u64, message: ToRelay) -> Vec<Output> {
        self.put(conn, Input::Connected { nonce: NONCE });
        self.put(conn, Input::Message(message))
    }

    fn pass(&mut self, time: Duration) -> Vec<Output> {
        self.now.instant += time;
        self.relays.handle_timeout(self.now.instant);
        self.drain()
    }
}

fn refused(outputs: &[Output], conn: u64) -> &str {
    match outputs {
        [
            Output::Send { to, message: FromRelay::Refused { reason } },
            Output::Close { conn: closed, reason: CloseReason::Refused },
        ] if [*to, *closed] == [ConnId(conn); 2] => reason,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

fn joined(first: u64, second: u64) -> Vec<Output> {
    vec![Output::Join { ends: [ConnId(first), ConnId(second)] }]
}

#[test]
fn the_second_half_joins_the_first_and_both_places_are_free_when_one_goes() {
    let (mut scene, a, b) = (Scene::new(), Peer::new(10, "dev"), Peer::new(11, "dev"));
    assert_eq!(scene.ask(1, pair(&a, &NONCE, b.id(), 1)), []);
    assert_eq!(scene.ask(2, pair(&b, &NONCE, a.id(), 1)), joined(1, 2));
    assert_eq!(scene.put(1, Input::Disconnected), []);
    assert_eq!(format!("{:?}", scene.relays), "Relays(0 sockets, 0 halves)");
    assert_eq!(scene.put(2, Input::Disconnected), []);
    assert_eq!(scene.relays.poll_timeout(), None);
    assert!(scene.relays.shares.is_empty());
}

#[test]
fn only_halves_that_name_each_other_for_the_same_connection_meet() {
    let (mut scene, a, b, c) = (Scene::new(), Peer::new(10, "dev"), Peer::new(11, "dev"), Peer::new(12, "dev"));
    assert_eq!(scene.ask(1, pair(&a, &NONCE, b.id(), 1)), []);
    assert_eq!(scene.ask(2, pair(&b, &NONCE, a.id(), 2)), [], "another generation");
    assert_eq!(scene.ask(3, pair(&b, &NONCE, c.id(), 1)), [], "another peer");
    assert_eq!(scene.ask(4, pair(&c, &NONCE, a.id(), 1)), [], "a third party");
    let elsewhere = Peer::new(11, "prod");
    assert_eq!(scene.ask(5, pair(&elsewhere, &NONCE, a.id(), 1)), [], "the same key in another mesh");
    let ToRelay::Pair { protocol, mesh, chain, proof, to, generation, .. } = pair(&b, &NONCE, a.id(), 1);
    let kind = ConnectionKind::Bulk(0);
    let other_kind = ToRelay::Pair { protocol, mesh, chain, proof, to, kind, generation };
    assert_eq!(scene.ask(6, other_kind), [], "another kind");
    assert_eq!(scene.ask(7, pair(&b, &NONCE, a.id(), 1)), joined(1, 7));
}

#[test]
fn who_does_not_prove_itself_is_refused() {
    let (mut scene, a, b) = (Scene::new(), Peer::new(10, "dev"), Peer::new(11, "dev"));
    let outputs = scene.ask(1, pair(&a, &[8; 32], b.id(), 1));
    assert!(refused(&outputs, 1).starts_with("the proof is not"));
    let ToRelay::Pair { protocol, mesh, chain, to, kind, generation, .. } = pair(&a, &NONCE, b.id(), 1);
    let proof = a.key.sign(meshproof_proto::rendezvous::REGISTER_LABEL, &NONCE);
    let outputs = scene.ask(2, ToRelay::Pair { protocol, mesh, chain, proof, to, kind, generation });
    assert!(refused(&outputs, 2).starts_with("the proof is not"), "a registration's proof is none for a relay");
    let outputs = scene.ask(3, pair(&Peer::new(10, "nowhere"), &NONCE, b.id(), 1));
    assert!(refused(&outputs, 3).starts_with("mesh `nowhere` is not served"));
    let outputs = scene.ask(4, pair(&a, &NONCE, a.id(), 1));
    assert!(refused(&outputs, 4).starts_with("a relay has two ends"));
    assert_eq!(format!("{:?}", scene.relays), "Relays(0 sockets, 0 halves)");
}

#[test]
fn waiting_ends_for_those_who_do_not_ask_and_for_those_whose_partner_does_not_come() {
    let (mut scene, a, b) = (Scene::new(), Peer::new(10, "dev"), Peer::new(11, "dev"));
    scene.put(1, Input::Connected { nonce: NONCE });
    scene.ask(2, pair(&a, &NONCE, b.id(), 1));
    assert!(refused(&scene.pass(PATIENCE.request), 1).starts_with("nothing was asked for within 5s"));
    assert!(refused(&scene.pass(PATIENCE.request), 2).starts_with("the other end did not come within 10s"));
    scene.ask(3, pair(&a, &NONCE, b.id(), 1));
    assert_eq!(scene.ask(4, pair(&b, &NONCE, a.id(), 1)), joined(3, 4));
    assert_eq!(scene.pass(10 * PATIENCE.partner), [], "who is joined may stay");
}

#[test]
fn asking_again_replaces_the_former_half_and_parts_it_from_its_partner() {
    let (mut scene, a, b) = (Scene::new(), Peer::new(10, "dev"), Peer::new(11, "dev"));
    scene.ask(1, pair(&a, &NONCE, b.id(), 1));
    scene.ask(2, pair(&b, &NONCE, a.id(), 1));
    let replaced = Output::Close { conn: ConnId(1), reason: CloseReason::Replaced };
    assert_eq!(scene.ask(3, pair(&a, &NONCE, b.id(), 1)), [replaced]);
    assert_eq!(scene.ask(4, pair(&b, &NONCE, a.id(), 1)), joined(3, 4));
    assert!(
        refused(&scene.put(4, Input::Message(pair(&b, &NONCE, a.id(), 2))), 4).starts_with("this socket has asked")
    );
}

#[test]
fn one_peer_does_not_take_all_places() {
    let (mut scene, a, b) = (Scene::new(), Peer::new(10, "dev"), Peer::new(11, "dev"));
    let limit = limits::RELAYS_PER_PEER as u64;
    for n in 0..limit {
        assert_eq!(scene.ask(n, pair(&a, &NONCE, b.id(), n)), []);
    }
    let outputs = scene.ask(limit, pair(&a, &NONCE, b.id(), limit));
    assert!(refused(&outputs, limit).starts_with("the peer has 512 relayed connections already"));
    assert_eq!(scene.ask(limit + 1, pair(&b, &NONCE, a.id(), 0)), joined(0, limit + 1), "others have their own");
    scene.put(1, Input::Disconnected);
    assert_eq!(scene.ask(limit + 2, pair(&a, &NONCE, b.id(), limit)), [], "a place is free again");
}
