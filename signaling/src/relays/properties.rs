//! What holds whatever the peers do.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::tests::{PATIENCE, pair, relays};
use super::*;
use crate::rooms::tests::Peer;

static PEERS: LazyLock<Vec<Peer>> = LazyLock::new(|| (10..13).map(|seed| Peer::new(seed, "dev")).collect());

#[derive(Clone, Debug)]
enum Step {
    Connect,
    /// From this peer to that, for this generation.
    Ask(usize, usize, u64),
    Disconnect,
    Pass(Duration),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        4 => Just(Step::Connect),
        8 => (0..3_usize, 0..3_usize, 0..2_u64).prop_map(|(from, to, generation)| Step::Ask(from, to, generation)),
        2 => Just(Step::Disconnect),
        1 => (0..8_u64).prop_map(|seconds| Step::Pass(Duration::from_secs(seconds))),
    ];
    prop::collection::vec((0..8_u64, step), 0..60)
}

/// What the sockets know; each slot holds one at a time.
struct World {
    relays: Relays,
    now: Now,
    made: u64,
    slots: BTreeMap<u64, ConnId>,
    /// Of the sockets that are open, what each asked for and since when.
    asked: BTreeMap<ConnId, Option<(PeerId, PeerId, u64)>>,
    partners: BTreeMap<ConnId, ConnId>,
}

impl World {
    fn step(&mut self, slot: u64, step: Step) {
        match (step, self.slots.get(&slot).copied()) {
            (Step::Pass(time), _) => {
                self.now.instant += time;
                self.relays.handle_timeout(self.now.instant);
            }
            (Step::Connect, former) => {
                former.into_iter().for_each(|conn| self.gone(conn));
                let conn = ConnId(self.made);
                self.made += 1;
                self.slots.insert(slot, conn);
                self.asked.insert(conn, None);
                self.relays.handle(conn, Input::Connected { nonce: [1; 32] }, self.now);
            }
            (Step::Ask(from, to, generation), Some(conn)) => {
                let request = pair(&PEERS[from], &[1; 32], PEERS[to].id(), generation);
                if let Some(asked @ None) = self.asked.get_mut(&conn) {
                    *asked = Some((PEERS[from].id(), PEERS[to].id(), generation));
                }
                self.relays.handle(conn, Input::Message(request), self.now);
            }
            (Step::Disconnect, Some(conn)) => self.gone(conn),
            (Step::Ask(..) | Step::Disconnect, None) => {}
        }
        self.deliver();
    }

    /// The socket ends, and with it the one it is joined to.
    fn gone(&mut self, conn: ConnId) {
        for end in [Some(conn), self.partners.remove(&conn)].into_iter().flatten() {
            self.partners.remove(&end);
            self.asked.remove(&end);
            self.relays.handle(end, Input::Disconnected, self.now);
        }
    }

    fn deliver(&mut self) {
        while let Some(output) = self.relays.poll_output() {
            match output {
                Output::Send { to, .. } => {
                    assert!(self.asked.contains_key(&to), "{to:?} is told something and is closed")
                }
                Output::Close { conn, .. } => {
                    assert!(self.asked.contains_key(&conn), "{conn:?} is closed twice");
                    self.gone(conn);
                }
                Output::Join { ends: [first, second] } => {
                    let [one, other] = [first, second].map(|end| self.asked[&end].expect("it asked"));
                    assert_eq!(one, (other.1, other.0, other.2), "they name each other");
                    for (end, partner) in [(first, second), (second, first)] {
                        assert_eq!(self.partners.insert(end, partner), None, "joined twice");
                    }
                }
            }
        }
    }

    /// Nothing is kept of sockets that are gone, and nobody waits for one that is there.
    fn check(&self) {
        assert_eq!(self.relays.conns.keys().collect::<Vec<_>>(), self.asked.keys().collect::<Vec<_>>());
        let halves = self.asked.values().flatten().count();
        assert_eq!(self.relays.halves.len(), halves);
        assert_eq!(self.relays.shares.values().sum::<usize>(), halves);
        for (half, conn) in &self.relays.halves {
            let meets = self.relays.halves.contains_key(&half.other());
            assert_eq!(self.partners.contains_key(conn), meets, "{half:?}");
        }
        let alone = self.asked.len() - self.partners.len();
        assert_eq!(self.relays.deadlines.len(), alone, "who is not joined has a deadline");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn halves_meet_when_they_name_each_other_and_nothing_is_left_behind(steps in steps()) {
        let mut world = World {
            relays: relays(),
            now: Now { instant: Instant::now(), unix: UnixSeconds(900) },
            made: 0,
            slots: BTreeMap::new(),
            asked: BTreeMap::new(),
            partners: BTreeMap::new(),
        };
        for (slot, step) in steps {
            world.step(slot, step);
            world.check();
        }
        world.now.instant += PATIENCE.request + PATIENCE.partner;
        world.relays.handle_timeout(world.now.instant);
        world.deliver();
        world.check();
        prop_assert_eq!(world.asked.len(), world.partners.len(), "who is not joined is gone in the end");
    }
}
