//! What holds whatever the peers do: held against what each connection was told.

use std::collections::HashMap;
use std::sync::LazyLock;

use meshproof_proto::identity::{Chain, Key};
use proptest::prelude::*;

use super::tests::{Peer, drain, name};
use super::*;

const CONNS: u64 = 8;

static PEERS: LazyLock<Vec<Peer>> = LazyLock::new(|| {
    [(10, "dev"), (11, "dev"), (12, "dev"), (13, "prod"), (14, "prod")].map(|(seed, mesh)| Peer::new(seed, mesh)).into()
});

#[derive(Clone, Debug)]
enum Step {
    Connect,
    /// By the peer of this index, with the nonce of this connection.
    Register(usize, u64),
    Signal(usize),
    Leave,
    Disconnect,
    Pass(Duration),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        4 => Just(Step::Connect),
        6 => (0..5_usize).prop_map(|peer| Step::Register(peer, u64::MAX)),
        1 => (0..5_usize, 0..CONNS).prop_map(|(peer, nonce)| Step::Register(peer, nonce)),
        3 => (0..5_usize).prop_map(Step::Signal),
        1 => Just(Step::Leave),
        2 => Just(Step::Disconnect),
        1 => (0..4_u64).prop_map(|seconds| Step::Pass(Duration::from_secs(seconds))),
        // tokens end while somebody holds them
        1 => Just(Step::Pass(Duration::from_secs(75))),
    ];
    prop::collection::vec((0..CONNS, step), 0..40)
}

/// What a connection knows from what it was sent.
#[derive(Default)]
struct View {
    welcomed: Option<(Name, PeerId)>,
    roster: BTreeSet<PeerId>,
}

/// Slots of the test stand for connections; each new one gets a new id.
struct World {
    rooms: Rooms,
    now: Now,
    made: u64,
    slots: HashMap<u64, ConnId>,
    views: BTreeMap<ConnId, View>,
    asked: HashMap<ConnId, (Name, PeerId)>,
}

impl World {
    fn new() -> Self {
        let root = Key::from_seed([1; 32]).public();
        Self {
            rooms: Rooms::new([(name("dev"), root), (name("prod"), root)], Duration::from_secs(5)),
            now: Now { instant: Instant::now(), unix: UnixSeconds(900) },
            made: 0,
            slots: HashMap::new(),
            views: BTreeMap::new(),
            asked: HashMap::new(),
        }
    }

    fn step(&mut self, slot: u64, step: Step) {
        if let Step::Pass(time) = step {
            self.now.instant += time;
            self.now.unix.0 += time.as_secs();
            return self.rooms.handle_timeout(self.now);
        }
        if let Step::Connect = step {
            self.drop_slot(slot);
            let conn = ConnId(self.made);
            self.made += 1;
            self.slots.insert(slot, conn);
            self.views.insert(conn, View::default());
            return self.rooms.handle(conn, Input::Connected { nonce: nonce(conn) }, self.now);
        }
        let Some(conn) = self.slots.get(&slot).copied() else { return };
        let message = match step {
            Step::Register(peer, of) => {
                let (peer, signed) = (&PEERS[peer], nonce(if of == u64::MAX { conn } else { ConnId(of) }));
                if signed == nonce(conn) {
                    self.asked.insert(conn, (peer.mesh.clone(), peer.id()));
                }
                peer.register(&signed)
            }
            Step::Signal(to) => {
                let signal = Signed { text: "opaque".to_owned(), signature: vec![] };
                ToServer::Signal { to: PEERS[to].id(), signal }
            }
            Step::Leave => ToServer::Leave,
            Step::Disconnect => return self.drop_slot(slot),
            Step::Connect | Step::Pass(_) => unreachable!("handled above"),
        };
        self.rooms.handle(conn, Input::Message(message), self.now);
    }

    fn drop_slot(&mut self, slot: u64) {
        if let Some(conn) = self.slots.remove(&slot) {
            self.views.remove(&conn);
            self.rooms.handle(conn, Input::Disconnected, self.now);
        }
    }

    /// Every output goes to a connection that is open, and makes sense to it.
    fn deliver(&mut self) {
        for output in drain(&mut self.rooms, self.now) {
            match output {
                Output::Vet { .. } => panic!("claims are looked into at once"),
                Output::Learned { .. } => panic!("nobody brought news"),
                Output::Close { conn, .. } => assert!(self.views.remove(&conn).is_some(), "closed twice: {conn:?}"),
                Output::Send { to, message } => to.iter().for_each(|conn| self.told(*conn, &message)),
            }
        }
    }

    fn told(&mut self, conn: ConnId, message: &ToPeer) {
        let view = self.views.get_mut(&conn).unwrap_or_else(|| panic!("{message:?} to {conn:?}, which is closed"));
        match message {
            ToPeer::News(_) => panic!("nobody brought news"),
            ToPeer::Ice(_) => panic!("there are no servers"),
            ToPeer::Epochs(_) => panic!("nobody brought epochs"),
            ToPeer::Challenge { .. } | ToPeer::Refused { .. } => {}
            ToPeer::Welcome { peers } => {
                let asked = self.asked.get(&conn).expect("welcomed without a good proof").clone();
                assert!(view.welcomed.replace(asked).is_none(), "welcomed twice");
                view.roster = peers.iter().map(peer_of).collect();
            }
            ToPeer::Joined { chain } => assert!(view.roster.insert(peer_of(chain)), "joined twice"),
            ToPeer::Left { peer } => assert!(view.roster.remove(peer), "left without having been here"),
            ToPeer::Signal { from, .. } => {
                let me = view.welcomed.as_ref().map(|(_, peer)| peer);
                assert!(view.roster.contains(from) || me == Some(from), "a signal from a stranger");
            }
            ToPeer::Undeliverable { to } => assert!(!view.roster.contains(to), "undeliverable to a peer that is here"),
        }
    }

    /// Each registered connection knows exactly the other registered peers of its mesh.
    fn check(&self) {
        let registered: Vec<&(Name, PeerId)> = self.views.values().filter_map(|view| view.welcomed.as_ref()).collect();
        for view in self.views.values() {
            let Some((mesh, me)) = &view.welcomed else { continue };
            let others: Vec<PeerId> =
                registered.iter().filter(|(other, peer)| other == mesh && peer != me).map(|(_, peer)| *peer).collect();
            assert_eq!(view.roster, others.iter().copied().collect(), "roster of {me:?}");
            assert_eq!(view.roster.len(), others.len(), "a peer is registered twice");
        }
    }
}

fn nonce(conn: ConnId) -> Nonce {
    [u8::try_from(conn.0).expect("few connections"); 32]
}

fn peer_of(chain: &Chain) -> PeerId {
    PEERS.iter().find(|peer| peer.chain == *chain).expect("one of ours").id()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn rosters_agree_and_nothing_is_sent_to_a_closed_connection(steps in steps()) {
        let mut world = World::new();
        for (slot, step) in steps {
            world.step(slot, step);
            world.deliver();
            world.check();
        }
    }
}
