//! What each input does, case by case.

use meshproof_proto::identity::{Capability, Chain, Grant, Issued, Key, Role, Token};
use meshproof_proto::limits::{PEERS_PER_MESH, ROSTER_BYTES};
use meshproof_proto::trust::{CrossSigned, Revoked};
use meshproof_proto::version::Version;

use super::*;
use crate::limits;
use crate::vetting::json_bytes;

const WITHIN: Duration = Duration::from_secs(5);
pub(super) const NONCE: Nonce = [7; 32];
pub(super) const ROOT: u8 = 1;

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a good name")
}

/// An instance with the token of a mesh whose root is made from `ROOT`.
pub(crate) struct Peer {
    pub(crate) key: Key,
    pub(crate) chain: Chain,
    pub(crate) mesh: Name,
}

impl Peer {
    pub(crate) fn new(seed: u8, mesh: &str) -> Self {
        Self::under(ROOT, seed, mesh)
    }

    fn under(root: u8, seed: u8, mesh: &str) -> Self {
        Self::with(&token(root, 200, mesh), seed, mesh)
    }

    fn with(token: &Token, seed: u8, mesh: &str) -> Self {
        let key = Key::from_seed([seed; 32]);
        let chain = token.claim(&name(&format!("peer-{seed}")), key.public());
        Self { key, chain, mesh: name(mesh) }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.key.public()
    }

    pub(super) fn register(&self, nonce: &Nonce) -> ToServer {
        ToServer::Register {
            protocol: PROTOCOL,
            mesh: self.mesh.clone(),
            chain: Box::new(self.chain.clone()),
            proof: self.key.sign(REGISTER_LABEL, nonce),
        }
    }
}

fn token(root: u8, seed: u8, mesh: &str) -> Token {
    Token::issue(&Key::from_seed([root; 32]), [seed; 32], |token| Grant {
        mesh: name(mesh),
        names: "*".to_owned(),
        role: Role::Agent,
        capabilities: Capability::ALL.into(),
        not_after: UnixSeconds(1_000),
        token,
    })
}

fn issued() -> Issued {
    Issued { token: PeerId([200; 32]), root: PeerId([ROOT; 32]), not_after: UnixSeconds(1_000) }
}

fn rooms() -> Rooms {
    let root = Key::from_seed([ROOT; 32]).public();
    Rooms::new([(name("dev"), root), (name("prod"), root)], WITHIN)
}

/// What is to be done; claims are looked into at once.
pub(super) fn drain(rooms: &mut Rooms, now: Now) -> Vec<Output> {
    let mut outputs = Vec::new();
    while let Some(output) = rooms.poll_output() {
        match output {
            Output::Vet { conn, claim } => vet(rooms, (conn, claim), now),
            other => outputs.push(other),
        }
    }
    outputs
}

pub(super) fn vet(rooms: &mut Rooms, (conn, claim): (ConnId, Box<Claim>), now: Now) {
    let result = claim.vet(rooms.trust(&claim.mesh).as_deref(), now.unix);
    rooms.handle(conn, Input::Vetted { claim, result }, now);
}

/// The rooms at a moment that does not move by itself.
pub(super) struct Scene {
    pub(super) rooms: Rooms,
    pub(super) now: Now,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self { rooms: rooms(), now: Now { instant: Instant::now(), unix: UnixSeconds(900) } }
    }

    pub(super) fn put(&mut self, conn: u64, input: Input) -> Vec<Output> {
        self.rooms.handle(ConnId(conn), input, self.now);
        drain(&mut self.rooms, self.now)
    }

    pub(super) fn say(&mut self, conn: u64, message: ToServer) -> Vec<Output> {
        self.put(conn, Input::Message(message))
    }

    fn pass(&mut self, time: Duration) -> Vec<Output> {
        self.now.instant += time;
        self.now.unix.0 += time.as_secs();
        self.rooms.handle_timeout(self.now);
        drain(&mut self.rooms, self.now)
    }

    pub(super) fn join(&mut self, conn: u64, peer: &Peer) -> Vec<Output> {
        self.put(conn, Input::Connected { nonce: NONCE });
        self.say(conn, peer.register(&NONCE))
    }

    /// What a newcomer that says this is told before its connection closes.
    fn refusal(&mut self, conn: u64, message: ToServer) -> String {
        self.put(conn, Input::Connected { nonce: NONCE });
        refused(conn, self.say(conn, message))
    }
}

fn send(conn: u64, message: ToPeer) -> Output {
    Output::Send { to: vec![ConnId(conn)], message }
}

fn close(conn: u64, reason: CloseReason) -> Output {
    Output::Close { conn: ConnId(conn), reason }
}

pub(super) fn refused(conn: u64, outputs: Vec<Output>) -> String {
    match <[Output; 2]>::try_from(outputs).expect("a reason and a close") {
        [Output::Send { to, message: ToPeer::Refused { reason } }, closed] => {
            assert_eq!((to, closed), (vec![ConnId(conn)], close(conn, CloseReason::Refused)));
            reason
        }
        other => panic!("refused and closed was expected, not {other:?}"),
    }
}

pub(super) fn signal(text: &str) -> Signed {
    Signed { text: text.to_owned(), signature: vec![1, 2, 3] }
}

#[test]
fn a_newcomer_is_challenged_welcomed_with_those_before_it_and_announced_to_them() {
    let mut scene = Scene::new();
    let (a, b, c) = (Peer::new(10, "dev"), Peer::new(11, "dev"), Peer::new(12, "prod"));
    let challenge = send(1, ToPeer::Challenge { protocol: PROTOCOL, nonce: NONCE.to_vec() });
    assert_eq!(scene.put(1, Input::Connected { nonce: NONCE }), [challenge]);
    assert_eq!(scene.say(1, a.register(&NONCE)), [send(1, ToPeer::Welcome { peers: vec![] })]);
    assert_eq!(scene.join(9, &c), [send(9, ToPeer::Welcome { peers: vec![] })], "another mesh sees nobody");
    assert_eq!(
        scene.join(2, &b),
        [
            send(2, ToPeer::Welcome { peers: vec![a.chain.clone()] }),
            send(1, ToPeer::Joined { chain: Box::new(b.chain.clone()) }),
        ]
    );
}

#[test]
fn who_leaves_or_loses_its_connection_is_gone_for_the_others() {
    let mut scene = Scene::new();
    let (a, b) = (Peer::new(10, "dev"), Peer::new(11, "dev"));
    scene.join(1, &a);
    scene.join(2, &b);
    let left = send(1, ToPeer::Left { peer: b.id() });
    assert_eq!(scene.say(2, ToServer::Leave), [left.clone(), close(2, CloseReason::Left)]);
    assert_eq!(scene.put(2, Input::Disconnected), [], "and only once");
    scene.join(3, &b);
    assert_eq!(scene.put(3, Input::Disconnected), [left]);
}

#[test]
fn signals_go_unread_to_registered_peers_of_the_same_mesh_and_nowhere_else() {
    let mut scene = Scene::new();
    let (a, b, c) = (Peer::new(10, "dev"), Peer::new(11, "dev"), Peer::new(12, "prod"));
    for (conn, peer) in [(1, &a), (2, &b), (3, &c)] {
        scene.join(conn, peer);
    }
    let nonsense = signal("not even JSON");
    let to_b = ToServer::Signal { to: b.id(), signal: nonsense.clone() };
    assert_eq!(scene.say(1, to_b), [send(2, ToPeer::Signal { from: a.id(), signal: nonsense.clone() })]);
    let to_c = ToServer::Signal { to: c.id(), signal: nonsense };
    assert_eq!(scene.say(1, to_c), [send(1, ToPeer::Undeliverable { to: c.id() })]);
}

#[test]
fn registering_again_replaces_the_former_connection_unnoticed_by_the_others() {
    let mut scene = Scene::new();
    let (a, b) = (Peer::new(10, "dev"), Peer::new(11, "dev"));
    scene.join(1, &a);
    scene.join(2, &b);
    let welcome = send(3, ToPeer::Welcome { peers: vec![a.chain.clone()] });
    assert_eq!(scene.join(3, &b), [close(2, CloseReason::Replaced), welcome]);
    assert_eq!(scene.put(2, Input::Disconnected), [], "the former connection's end is not the peer's");
    let to_b = ToServer::Signal { to: b.id(), signal: signal("{}") };
    assert_eq!(scene.say(1, to_b), [send(3, ToPeer::Signal { from: a.id(), signal: signal("{}") })]);

    let renamed = Peer { chain: token(ROOT, 200, "dev").claim(&name("renamed"), b.id()), ..b };
    let joined = send(1, ToPeer::Joined { chain: Box::new(renamed.chain.clone()) });
    assert_eq!(scene.join(4, &renamed).last(), Some(&joined), "a changed chain is told");
}

#[test]
fn another_version_is_refused_with_both_versions_and_the_side_to_upgrade() {
    let mut scene = Scene::new();
    for (major, older) in [(0, "peer"), (2, "server")] {
        let mut message = Peer::new(10, "dev").register(&NONCE);
        if let ToServer::Register { protocol, .. } = &mut message {
            *protocol = Version { major, minor: 7 };
        }
        let reason = scene.refusal(u64::from(major), message);
        assert_eq!(
            reason,
            format!("the peer speaks protocol {major}.7, the signaling server {PROTOCOL}; upgrade the {older}")
        );
    }
}

#[test]
fn refusals_name_the_cause_and_what_to_do() {
    let mut scene = Scene::new();
    let a = Peer::new(10, "dev");
    let foreign = Peer::under(2, 10, "dev");
    let unknown = Peer::new(10, "staging");
    let misplaced = Peer { mesh: name("prod"), ..Peer::new(10, "dev") };
    let thief = Peer { key: Key::from_seed([99; 32]), ..Peer::new(10, "dev") };
    let wordy = Peer { chain: token(ROOT, 200, &"m".repeat(63)).claim(&name("a"), a.id()), ..Peer::new(10, "dev") };
    let cases = [
        (foreign.register(&NONCE), "use a token of the root key that the signaling server has for it"),
        (unknown.register(&NONCE), "mesh `staging` is not served here; check"),
        (misplaced.register(&NONCE), "the grant is for mesh `dev`, this is mesh `prod`; use a token of this mesh"),
        (wordy.register(&NONCE), "use a token of this mesh"),
        (thief.register(&NONCE), "the proof is not the instance key's signature"),
        (a.register(&[8; 32]), "sign the newest nonce"),
        (ToServer::Signal { to: a.id(), signal: signal("{}") }, "register first"),
    ];
    for (conn, (message, expected)) in (1..).zip(cases) {
        let reason = scene.refusal(conn, message);
        assert!(reason.contains(expected), "{reason}");
    }
    scene.now.unix = UnixSeconds(5_000);
    let reason = scene.refusal(90, a.register(&NONCE));
    assert!(reason.contains("ask for a new one: `meshproof mesh invite`, or compare the clocks"), "{reason}");
}

#[test]
fn a_registered_peer_that_breaks_the_rules_is_refused_and_gone_for_the_others() {
    let b = Peer::new(11, "dev");
    let large = signal(&"x".repeat(SIGNAL_BYTES + 1));
    let cases = [
        (Input::Message(b.register(&NONCE)), "registered already; open another one"),
        (Input::Message(ToServer::Signal { to: b.id(), signal: large }), "over the limit of 65536; send fewer"),
        (Input::Unreadable("expected value".to_owned()), "not a message of protocol 1.1: expected value"),
    ];
    for (input, expected) in cases {
        let mut scene = Scene::new();
        scene.join(1, &Peer::new(10, "dev"));
        scene.join(2, &b);
        let mut outputs = scene.put(2, input);
        assert_eq!(outputs.remove(1), send(1, ToPeer::Left { peer: b.id() }));
        let reason = refused(2, outputs);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn who_does_not_register_in_time_is_refused_and_who_did_is_not() {
    let mut scene = Scene::new();
    let start = scene.now.instant;
    assert_eq!(scene.rooms.poll_timeout(), None);
    scene.put(2, Input::Connected { nonce: NONCE });
    assert_eq!(scene.rooms.poll_timeout(), Some(start + WITHIN));
    scene.join(1, &Peer::new(10, "dev"));
    assert_eq!(scene.pass(WITHIN - Duration::from_millis(1)), []);
    assert!(refused(2, scene.pass(Duration::from_millis(1))).contains("nobody registered within 5s"));
    assert_eq!(scene.say(2, Peer::new(11, "dev").register(&NONCE)), [], "too late");
}

#[test]
fn a_member_whose_token_ends_has_to_go_within_seconds_and_hears_what_to_do() {
    let mut scene = Scene::new();
    let (peer, other) = (Peer::new(10, "dev"), Peer::new(11, "prod"));
    scene.join(1, &peer);
    let minute = Duration::from_secs(60);
    for _ in 0..3 {
        assert_eq!(scene.pass(minute), [], "the token is good, by a clock that may be two minutes ahead");
    }
    scene.join(2, &other);
    assert_eq!(scene.pass(minute - Duration::from_secs(20)), [], "the last second");
    scene.now.unix.0 += 1;
    assert_eq!(scene.rooms.poll_timeout(), Some(scene.now.instant + TOKENS_LOOK));
    let outputs = scene.pass(TOKENS_LOOK);
    let (first, second) = outputs.split_at(2);
    for (conn, outputs) in [(1, first), (2, second)] {
        let reason = refused(conn, outputs.to_vec());
        assert!(reason.contains(" ended 126 s ago") && reason.contains("meshproof mesh invite"), "{reason}");
    }
    assert_eq!(scene.rooms.poll_timeout(), None, "nobody is left to look at");
    let refusal = scene.refusal(4, peer.register(&NONCE));
    assert!(refusal.contains("126 s ago"), "nor does it come in again: {refusal}");
}

#[test]
fn a_room_is_full_at_its_limit_of_peers_but_a_member_may_return() {
    let member = |conn| Member {
        conn: ConnId(conn),
        chain: Peer::new(10, "dev").chain,
        issued: issued(),
        speaks: PROTOCOL,
        bytes: 900,
    };
    let id = |number: usize| PeerId(std::array::from_fn(|at| number.to_le_bytes().get(at).copied().unwrap_or(0)));
    let mut room = Room::new(Trust::new(name("dev"), id(0)));
    for number in 0..PEERS_PER_MESH {
        assert!(room.has_place(&id(number), &member(0)));
        room.enter(id(number), member(0));
    }
    assert!(!room.has_place(&id(PEERS_PER_MESH), &member(1)));
    assert!(room.has_place(&id(3), &member(1)));
    room.leave(&id(4));
    assert!(room.has_place(&id(PEERS_PER_MESH), &member(1)));
}

#[test]
fn a_roster_never_outgrows_one_message() {
    let chain = Peer::new(10, "dev").chain;
    let bytes = json_bytes(&chain) + 1;
    let id = |number: u8| PeerId([number; 32]);
    let mut room = Room::new(Trust::new(name("dev"), id(0)));
    let share = limits::CHAINS_BYTES / 2 - bytes;
    for number in [1, 2] {
        room.enter(
            id(number),
            Member { conn: ConnId(0), chain: chain.clone(), issued: issued(), speaks: PROTOCOL, bytes: share },
        );
    }
    for number in [3, 4] {
        assert!(room.has_place(
            &id(number),
            &Member { conn: ConnId(0), chain: chain.clone(), issued: issued(), speaks: PROTOCOL, bytes }
        ));
        room.enter(
            id(number),
            Member { conn: ConnId(0), chain: chain.clone(), issued: issued(), speaks: PROTOCOL, bytes },
        );
    }
    assert!(!room.has_place(
        &id(5),
        &Member { conn: ConnId(0), chain: chain.clone(), issued: issued(), speaks: PROTOCOL, bytes }
    ));

    let honest = token(ROOT, 200, &"m".repeat(63)).claim(&name(&"n".repeat(63)), id(7));
    assert!(json_bytes(&honest) * PEERS_PER_MESH < limits::CHAINS_BYTES, "{}", json_bytes(&honest));
    let empty = serde_json::to_string(&ToPeer::Welcome { peers: vec![] }).expect("plain data");
    assert!(empty.len() + limits::CHAINS_BYTES <= ROSTER_BYTES);
}

#[test]
fn a_list_that_a_peer_brings_ends_the_registrations_of_what_it_names_and_everybody_hears_of_it() {
    let mut scene = Scene::new();
    let (a, b) = (Peer::new(10, "dev"), Peer::with(&token(ROOT, 201, "dev"), 20, "dev"));
    scene.join(1, &a);
    scene.join(2, &b);
    let root = Key::from_seed([ROOT; 32]);
    let keys = [Key::from_seed([201; 32]).public()].into();
    let revoked = Revoked { mesh: name("dev"), root: root.public(), number: 1, keys };
    let news = RootNews { successions: Vec::new(), revoked: Some(revoked.seal(&root)) };
    let say = |news: &RootNews| ToServer::News { mesh: name("dev"), news: news.clone() };
    let heard = scene.say(1, say(&news));
    let [Output::Send { message: ToPeer::Refused { reason }, .. }, ..] = &heard[..] else { panic!("{heard:?}") };
    assert!(reason.contains("was revoked (list 1)") && reason.contains("meshproof mesh invite"), "{reason}");
    assert!(heard.contains(&close(2, CloseReason::Refused)) && heard.contains(&send(1, ToPeer::Left { peer: b.id() })));
    assert_eq!(heard.last(), Some(&Output::Learned { mesh: name("dev"), news: news.clone() }));
    assert_eq!(scene.say(1, say(&news)), [], "nothing new");
    let again = scene.join(3, &b);
    assert!(matches!(&again[..], [Output::Send { message: ToPeer::Refused { .. }, .. }, _]), "{again:?}");
    // whoever comes later hears of it before it is welcome
    let c = Peer::new(30, "dev");
    let first = scene.join(4, &c).into_iter().next();
    assert_eq!(first, Some(send(4, ToPeer::News(news))));
    // and whoever would not understand it does not
    scene.put(5, Input::Connected { nonce: NONCE });
    let mut register = Peer::new(40, "dev").register(&NONCE);
    if let ToServer::Register { protocol, .. } = &mut register {
        protocol.minor = 0;
    }
    assert!(matches!(&scene.say(5, register)[0], Output::Send { message: ToPeer::Welcome { .. }, .. }));
    let forged = RootNews { revoked: Some(revoked.seal(&Key::from_seed([9; 32]))), ..RootNews::default() };
    let refused = scene.say(1, say(&forged));
    assert!(matches!(&refused[..], [Output::Send { message: ToPeer::Refused { .. }, .. }, ..]), "{refused:?}");
}

#[test]
fn a_peer_of_the_next_root_key_comes_in_with_what_both_keys_signed() {
    let mut scene = Scene::new();
    let next = Peer::under(ROOT + 1, 40, "dev");
    let keys = [ROOT, ROOT + 1].map(|seed| Key::from_seed([seed; 32]));
    let successions = vec![CrossSigned::succession(&name("dev"), &keys[0], &keys[1])];
    let news = RootNews { successions, revoked: None };
    let refused = scene.join(1, &next);
    assert!(matches!(&refused[..], [Output::Send { message: ToPeer::Refused { .. }, .. }, _]), "{refused:?}");
    scene.put(2, Input::Connected { nonce: NONCE });
    scene.say(2, ToServer::News { mesh: name("dev"), news: news.clone() });
    let heard = scene.say(2, next.register(&NONCE));
    assert_eq!(heard, [send(2, ToPeer::News(news)), send(2, ToPeer::Welcome { peers: vec![] })]);
    assert_eq!(
        scene.join(3, &Peer::new(10, "dev")).len(),
        3,
        "news, welcome, joined: tokens of the former root are good"
    );
}
