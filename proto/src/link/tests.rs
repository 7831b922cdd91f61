//! Two machines and a wire between them that can be cut.

use std::time::{Duration, Instant};

use super::*;

struct Pair {
    machines: [Machine; 2],
    now: Instant,
    /// Whether signals and frames pass.
    wire: bool,
    /// Whether packets pass between the two without the relay.
    direct: bool,
    /// Whether there is a server that relays.
    relay: bool,
    /// The relayed ones among the generations.
    relayed: std::collections::BTreeSet<Generation>,
    beats: usize,
}

impl Pair {
    fn new() -> Self {
        let (low, high) = (PeerId([1; 32]), PeerId([2; 32]));
        let machines = [Machine::new(&low, &high, Seed::new(1)), Machine::new(&high, &low, Seed::new(2))];
        Self {
            machines,
            now: Instant::now(),
            wire: true,
            direct: true,
            relay: true,
            relayed: Default::default(),
            beats: 0,
        }
    }

    fn want(&mut self, side: usize) {
        self.machines[side].handle(Input::Want, self.now);
        self.settle();
    }

    /// Carries outputs to the other side until nothing is left.
    fn settle(&mut self) {
        let mut quiet = 0;
        let mut side = 0;
        while quiet < 2 {
            quiet = if self.carry(side) { 0 } else { quiet + 1 };
            side = 1 - side;
        }
    }

    fn carry(&mut self, side: usize) -> bool {
        let Some(output) = self.machines[side].poll_output() else { return false };
        let inputs = match output {
            Output::MakeOffer { generation, route: Route::Relayed } if !self.relay => {
                vec![(side, Input::NoRelay { generation })]
            }
            Output::MakeOffer { generation, route } => {
                if route == Route::Relayed {
                    self.relayed.insert(generation);
                }
                vec![(1 - side, Input::Offer { generation, route, sdp: "offer".to_owned() })]
            }
            Output::MakeAnswer { generation, .. } => {
                let answer = Input::Answer { generation, offer: Digest::of(b"offer"), sdp: "answer".to_owned() };
                vec![(1 - side, answer)]
            }
            Output::TakeAnswer { generation, .. } if self.passes(generation) => {
                (0..2).map(|side| (side, Input::Open { generation })).collect()
            }
            Output::TakeAnswer { .. } => Vec::new(),
            Output::AskOffer { generation } => vec![(1 - side, Input::PleaseOffer { generation })],
            Output::Beat { generation } => {
                self.beats += 1;
                if self.passes(generation) { vec![(1 - side, Input::Heard { generation })] } else { Vec::new() }
            }
            Output::Close { generation, reason } => vec![(1 - side, Input::Broken { generation, reason })],
            Output::Changed(_) => Vec::new(),
        };
        if self.wire {
            for (to, input) in inputs {
                self.machines[to].handle(input, self.now);
            }
        }
        true
    }

    fn passes(&self, generation: Generation) -> bool {
        self.direct || self.relayed.contains(&generation)
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.machines.iter().filter_map(Machine::poll_timeout).min().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            for machine in &mut self.machines {
                machine.handle_timeout(self.now);
            }
            self.settle();
        }
        self.now = end;
    }

    fn up(&self) -> [Option<u64>; 2] {
        [0, 1].map(|side: usize| match self.machines[side].state() {
            State::Up { generation } => Some(generation.0),
            _ => None,
        })
    }
}

#[test]
fn whoever_wants_it_both_sides_come_up_in_the_same_generation() {
    for side in [0, 1] {
        let mut pair = Pair::new();
        pair.want(side);
        assert_eq!(pair.up(), [Some(1), Some(1)], "wanted by side {side}");
    }
}

#[test]
fn both_wanting_at_once_makes_one_connection() {
    let mut pair = Pair::new();
    for machine in &mut pair.machines {
        machine.handle(Input::Want, pair.now);
    }
    pair.settle();
    assert_eq!(pair.up(), [Some(1), Some(1)]);
}

#[test]
fn an_idle_link_lives_on_heartbeats() {
    let mut pair = Pair::new();
    pair.want(0);
    pair.pass(Duration::from_secs(60));
    assert_eq!(pair.up(), [Some(1), Some(1)]);
    assert!((200..260).contains(&pair.beats), "{} beats in a minute", pair.beats);
}

#[test]
fn a_cut_is_noticed_and_healed_by_a_newer_generation() {
    let mut pair = Pair::new();
    pair.want(1);
    pair.wire = false;
    pair.pass(Duration::from_secs(3));
    assert!(pair.machines.iter().all(|machine| matches!(machine.state(), State::Suspect { .. })));
    pair.pass(Duration::from_secs(7));
    pair.wire = true;
    pair.pass(Duration::from_secs(5));
    let [left, right] = pair.up();
    assert_eq!(left, right);
    assert!(left.is_some(), "{:?} {:?}", pair.machines[0].state(), pair.machines[1].state());
}

#[test]
fn a_long_cut_is_a_lost_link_that_still_comes_back() {
    let mut pair = Pair::new();
    pair.want(0);
    pair.wire = false;
    pair.pass(Duration::from_secs(40));
    assert!(pair.machines.iter().all(|machine| *machine.state() == State::Lost));
    pair.wire = true;
    pair.pass(Duration::from_secs(5));
    let [left, right] = pair.up();
    assert!(left.is_some() && left == right);
}

#[test]
fn a_connection_that_lasted_is_replaced_at_once_when_it_breaks() {
    let mut pair = Pair::new();
    pair.want(0);
    pair.pass(Duration::from_secs(3));
    pair.machines[1].handle(Input::Broken { generation: Generation(1), reason: "closed".to_owned() }, pair.now);
    pair.settle();
    assert_eq!(pair.up(), [Some(2), Some(2)]);
}

#[test]
fn connections_that_break_as_soon_as_they_open_are_made_ever_more_slowly() {
    let mut pair = Pair::new();
    pair.want(0);
    let end = pair.now + Duration::from_secs(60);
    let mut generations = 0;
    while pair.now < end {
        if let [Some(generation), Some(_)] = pair.up() {
            generations = generation;
            let broken = Input::Broken { generation: Generation(generation), reason: "closed".to_owned() };
            pair.machines[1].handle(broken, pair.now);
            pair.settle();
        }
        pair.pass(Duration::from_millis(50));
    }
    assert!((20..80).contains(&generations), "{generations} connections in a minute");
}

#[test]
fn stale_signals_are_dropped_by_number() {
    let mut pair = Pair::new();
    pair.want(0);
    let now = pair.now;
    let offer = Input::Offer { generation: Generation(9), route: Route::Direct, sdp: "not yours to offer".to_owned() };
    pair.machines[1]
        .handle(Input::Offer { generation: Generation(1), route: Route::Direct, sdp: "old".to_owned() }, now);
    pair.machines[0].handle(offer, now);
    pair.machines[0].handle(Input::PleaseOffer { generation: Generation(0) }, now);
    pair.settle();
    assert_eq!(pair.up(), [Some(1), Some(1)]);
}

#[test]
fn a_dropped_link_closes_everything_and_asks_for_nothing() {
    let mut pair = Pair::new();
    pair.want(0);
    pair.wire = false;
    pair.machines[0].handle(Input::Drop, pair.now);
    let outputs: Vec<_> = std::iter::from_fn(|| pair.machines[0].poll_output()).collect();
    assert!(matches!(outputs[..], [Output::Close { .. }, Output::Changed(State::Idle)]), "{outputs:?}");
    assert_eq!(pair.machines[0].poll_timeout(), None);
}

#[test]
fn where_nothing_passes_directly_the_second_attempt_is_relayed() {
    let mut pair = Pair::new();
    pair.direct = false;
    pair.want(1);
    pair.pass(limits::HANDSHAKE_DEADLINE + limits::RETRY_LONGEST);
    assert!(matches!(pair.up(), [Some(left), Some(right)] if left == right));
    assert!(pair.machines.iter().all(|machine| matches!(machine.state(), State::Up { generation }
        if pair.relayed.contains(generation))));
}

#[test]
fn a_relayed_link_stays_up_and_becomes_direct_once_it_can() {
    let mut pair = Pair::new();
    pair.direct = false;
    pair.want(0);
    pair.pass(limits::UPGRADE_EVERY * 5 / 2);
    let [Some(relayed), Some(_)] = pair.up() else { panic!("relayed: {:?}", pair.up()) };
    assert!(pair.relayed.contains(&Generation(relayed)), "in vain it tried the direct way and stayed up");
    pair.direct = true;
    pair.pass(limits::UPGRADE_EVERY * 3 / 2);
    let [Some(direct), Some(_)] = pair.up() else { panic!("direct: {:?}", pair.up()) };
    assert!(direct > relayed && !pair.relayed.contains(&Generation(direct)));
    pair.pass(limits::UPGRADE_EVERY * 2);
    assert_eq!(pair.up(), [Some(direct), Some(direct)], "a direct link is left alone");
}

#[test]
fn where_nobody_relays_the_direct_way_is_tried_again_at_once() {
    let mut pair = Pair::new();
    (pair.direct, pair.relay) = (false, false);
    pair.want(0);
    pair.pass(limits::HANDSHAKE_DEADLINE + limits::RETRY_FIRST);
    let Attempt::Running { route, generation, .. } = pair.machines[0].attempt else { panic!("{:?}", pair.machines[0]) };
    assert_eq!((route, generation), (Route::Direct, Generation(3)), "the second was to be relayed");
    pair.direct = true;
    pair.pass(limits::HANDSHAKE_DEADLINE + limits::RETRY_LONGEST);
    assert!(matches!(pair.up(), [Some(left), Some(right)] if left == right));
}

#[test]
fn a_relayed_link_that_breaks_is_relayed_again_first() {
    let mut pair = Pair::new();
    pair.direct = false;
    pair.want(0);
    pair.pass(Duration::from_secs(10));
    let [Some(first), Some(_)] = pair.up() else { panic!("relayed: {:?}", pair.up()) };
    pair.machines[0].handle(Input::Broken { generation: Generation(first), reason: "closed".to_owned() }, pair.now);
    pair.settle();
    assert_eq!(pair.up(), [Some(first + 1), Some(first + 1)]);
    assert!(pair.relayed.contains(&Generation(first + 1)));
}
