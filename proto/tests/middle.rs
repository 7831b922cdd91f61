//! A signaling server that is the enemy: it sees every signal, and swaps, replays, crosses, changes, rolls back and withholds.
//!
//! Ten thousand tries, each against two honest peers that want a link to each other and would have one if the server were honest
//! (the same world without an attack makes one each time). What DTLS does is modelled by its one promise: whoever presents a
//! certificate holds its key. Real DTLS under the same attacks is in `proto/mesh/tests/middle.rs`.

use std::time::Instant;

use meshproof_proto::codec::Codec;
use meshproof_proto::hello::{Party, Transcript};
use meshproof_proto::id::{Digest, Generation, PeerId};
use meshproof_proto::identity::{Key, Signed, UnixSeconds};
use meshproof_proto::link::{Input, Machine, Output};
use meshproof_proto::seed::Seed;
use meshproof_proto::signal::{ConnectionKind, Route, Signal, SignalBody};

const TRIES: u64 = 10_000;
const NOW: UnixSeconds = UnixSeconds(1_000);
const KIND: ConnectionKind = ConnectionKind::Control;

#[derive(Clone, Copy, Debug)]
enum Attack {
    /// The fingerprint in a description is the server's own.
    SwapFingerprint,
    /// A description of a former life of the link comes again, in the place of the new one.
    ReplayOld,
    /// What was said to one peer is given to another.
    CrossLinks,
    /// Candidates of the server's own are added.
    InjectCandidates,
    /// The number is changed, so that an old description looks new or a new one old.
    ChangeGeneration,
    /// The server signs with a key of its own, in the name of a peer.
    Forge,
    /// The server stands in the middle of two DTLS sessions and passes hello and proof on.
    StandBetween,
    /// An answer is taken from another offer.
    SwapAnswers,
    /// Nothing is passed on, or only one way.
    Withhold,
}

const ATTACKS: [Attack; 9] = [
    Attack::SwapFingerprint,
    Attack::ReplayOld,
    Attack::CrossLinks,
    Attack::InjectCandidates,
    Attack::ChangeGeneration,
    Attack::Forge,
    Attack::StandBetween,
    Attack::SwapAnswers,
    Attack::Withhold,
];

/// An honest peer's end of a link. Its certificate of each generation is the digest of what it says then.
struct Peer {
    key: Key,
    peer: PeerId,
    machine: Machine,
    /// The description of ours in use, by generation.
    described: Option<(Generation, String)>,
    /// The certificate that the other side has to present.
    expected: Option<(Generation, [u8; 32])>,
}

fn certificate(sdp: &str) -> [u8; 32] {
    let line = sdp.lines().find_map(|line| line.strip_prefix("a=fingerprint:")).unwrap_or(sdp);
    Digest::of(line.as_bytes()).0
}

impl Peer {
    fn new(key: Key, peer: PeerId, seed: Seed) -> Self {
        let machine = Machine::new(&key.public(), &peer, seed);
        Self { key, peer, machine, described: None, expected: None }
    }

    fn describe(&mut self, generation: Generation, luck: &mut Seed) -> String {
        let sdp = format!("v=0\na=fingerprint:{:016x}{:016x}\na=candidate:1\n", luck.below(u64::MAX), generation.0);
        self.described = Some((generation, sdp.clone()));
        sdp
    }

    fn seal(&self, generation: Generation, body: SignalBody) -> Signed {
        let signal = Signal {
            mesh: "dev".parse().expect("a name"),
            from: self.key.public(),
            to: self.peer,
            kind: KIND,
            codec: Codec::Bincode,
            generation,
            expires: UnixSeconds(NOW.0 + 30),
            body,
        };
        signal.seal(&self.key)
    }

    /// Takes what the server says comes from the other side, as the mesh does.
    fn hear(&mut self, signed: &Signed, now: Instant) {
        let Ok(signal) = Signal::open(signed, &self.peer, &self.key.public(), NOW) else { return };
        let generation = signal.generation;
        let input = match signal.body {
            SignalBody::Offer { sdp } => Input::Offer { generation, route: Route::Direct, sdp },
            SignalBody::RelayedOffer { sdp } => Input::Offer { generation, route: Route::Relayed, sdp },
            SignalBody::Answer { offer, sdp } => Input::Answer { generation, offer, sdp },
            SignalBody::PleaseOffer => Input::PleaseOffer { generation },
        };
        self.machine.handle(input, now);
    }

    /// Does what the machine says; gives the signals to be carried.
    fn act(&mut self, luck: &mut Seed) -> Vec<Signed> {
        let mut said = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::MakeOffer { generation, .. } => {
                    let sdp = self.describe(generation, luck);
                    said.push(self.seal(generation, SignalBody::Offer { sdp }));
                }
                Output::MakeAnswer { generation, sdp, .. } => {
                    self.expected = Some((generation, certificate(&sdp)));
                    let offer = Digest::of(sdp.as_bytes());
                    let sdp = self.describe(generation, luck);
                    said.push(self.seal(generation, SignalBody::Answer { offer, sdp }));
                }
                Output::TakeAnswer { generation, offer, sdp } => {
                    let ours = self
                        .described
                        .as_ref()
                        .filter(|(at, ours)| *at == generation && Digest::of(ours.as_bytes()) == offer);
                    if ours.is_some() {
                        self.expected = Some((generation, certificate(&sdp)));
                    }
                }
                Output::AskOffer { generation } => said.push(self.seal(generation, SignalBody::PleaseOffer)),
                Output::Close { .. } | Output::Beat { .. } | Output::Changed(_) => {}
            }
        }
        said
    }

    fn presents(&self) -> Option<(Generation, [u8; 32])> {
        self.described.as_ref().map(|(generation, sdp)| (*generation, certificate(sdp)))
    }
}

struct World {
    luck: Seed,
    now: Instant,
    offers: Peer,
    answers: Peer,
    /// The server's own.
    enemy: Key,
    /// What honest peers said in former lives of the link and to others, all of it well signed.
    recorded: Vec<Signed>,
}

impl World {
    fn new(number: u64) -> Self {
        let mut luck = Seed::new(number);
        let mut keys: Vec<Key> = (0..4)
            .map(|_| {
                let mut seed = [0; 32];
                seed.chunks_mut(8).for_each(|part| part.copy_from_slice(&luck.below(u64::MAX).to_le_bytes()));
                Key::from_seed(seed)
            })
            .collect();
        let enemy = keys.pop().expect("four");
        keys.sort_by_key(Key::public);
        let [low, high, third] = <[Key; 3]>::try_from(keys).unwrap_or_else(|_| panic!("three"));
        let (a, b) = (low.public(), high.public());
        let mut former = Peer::new(low.clone(), b, Seed::new(number + 1));
        let mut elsewhere = Peer::new(low.clone(), third.public(), Seed::new(number + 2));
        let mut recorded = Vec::new();
        for generation in 1..4 {
            let sdp = former.describe(Generation(generation), &mut luck);
            recorded.push(former.seal(Generation(generation), SignalBody::Offer { sdp }));
            let sdp = elsewhere.describe(Generation(generation), &mut luck);
            recorded.push(elsewhere.seal(Generation(generation), SignalBody::Offer { sdp }));
        }
        let mut offers = Peer::new(low, b, Seed::new(number + 3));
        let mut answers = Peer::new(high, a, Seed::new(number + 4));
        let now = Instant::now();
        // the link had three lives before
        offers.machine.handle(Input::PleaseOffer { generation: Generation(3) }, now);
        answers
            .machine
            .handle(Input::Offer { generation: Generation(3), route: Route::Direct, sdp: "v=0".into() }, now);
        answers.machine.handle(Input::Broken { generation: Generation(3), reason: "over".into() }, now);
        while answers.machine.poll_output().is_some() {}
        answers.described = None;
        Self { luck, now, offers, answers, enemy, recorded }
    }

    /// Carries signals until nobody has more to say; the server does to each what `attack` says, or nothing.
    fn run(&mut self, attack: Option<Attack>) {
        self.offers.machine.handle(Input::Want, self.now);
        self.answers.machine.handle(Input::Want, self.now);
        for _ in 0..6 {
            for signed in self.offers.act(&mut self.luck) {
                for told in self.carried(attack, signed) {
                    self.answers.hear(&told, self.now);
                }
            }
            for signed in self.answers.act(&mut self.luck) {
                for told in self.carried(attack, signed) {
                    self.offers.hear(&told, self.now);
                }
            }
        }
    }

    /// What the receiver gets in the place of a signal.
    fn carried(&mut self, attack: Option<Attack>, signed: Signed) -> Vec<Signed> {
        let (enemy, luck) = (self.enemy.clone(), &mut self.luck);
        let mut changed = signed.clone();
        match attack {
            None => return vec![signed],
            // those are passed on: the attack comes with DTLS
            Some(Attack::StandBetween) => return vec![signed],
            Some(Attack::SwapFingerprint) => {
                let own = format!("a=fingerprint:{:032x}", luck.below(u64::MAX));
                let at = changed.text.find("a=fingerprint:");
                at.inspect(|at| changed.text.replace_range(*at..at + own.len().min(changed.text.len() - at), &own));
            }
            Some(Attack::ReplayOld) => {
                let count = self.recorded.len() as u64;
                let some = (0..3).map(|_| luck.below(count) as usize).collect::<Vec<_>>();
                return some.into_iter().map(|index| self.recorded[index].clone()).collect();
            }
            Some(Attack::CrossLinks) => {
                let elsewhere: Vec<Signed> = self.recorded.iter().skip(1).step_by(2).cloned().collect();
                return elsewhere;
            }
            Some(Attack::InjectCandidates) => {
                let own = format!("a=candidate:1 1 udp 1 10.0.0.{} 9 typ host\\r\\n", luck.below(255));
                changed.text = changed.text.replacen("a=candidate:1\\n", &own, 1);
            }
            Some(Attack::ChangeGeneration) => {
                let other = format!("\"generation\":{}", luck.below(u64::MAX));
                let old = (1..=9).map(|number| format!("\"generation\":{number}"));
                old.for_each(|old| changed.text = changed.text.replace(&old, &other));
            }
            Some(Attack::Forge) => {
                let label = ["signal", "hello", "grant", "register"][luck.below(4) as usize];
                changed.signature = enemy.sign(label, changed.text.as_bytes());
            }
            Some(Attack::SwapAnswers) => {
                let digest = Digest([luck.below(255) as u8; 32]);
                let text = serde_json::to_string(&digest).expect("a digest");
                if let Some(at) = changed.text.find("\"offer\":\"") {
                    let from = at + "\"offer\":".len();
                    let end = from + text.len().min(changed.text.len() - from);
                    changed.text.replace_range(from..end, &text);
                }
            }
            Some(Attack::Withhold) => return if luck.below(3) == 0 { Vec::new() } else { self.recorded[..1].to_vec() },
        }
        if changed == signed && attack.is_some() { Vec::new() } else { vec![changed] }
    }

    /// Whether both sides would come to trust one connection, over DTLS that the server may end itself.
    fn session(&mut self, attack: Option<Attack>) -> bool {
        let between = matches!(attack, Some(Attack::StandBetween));
        let own = Digest::of(&self.luck.below(u64::MAX).to_le_bytes()).0;
        let (Some((generation, at_a)), Some((other, at_b))) = (self.offers.expected, self.answers.expected) else {
            return false;
        };
        let (Some((_, of_a)), Some((_, of_b))) = (self.offers.presents(), self.answers.presents()) else {
            return false;
        };
        // DTLS ends at whoever answers the datagrams, and fails unless that presents the certificate of the description
        let (seen_by_a, seen_by_b) = if between { (own, own) } else { (of_b, of_a) };
        let dtls = seen_by_a == at_a && seen_by_b == at_b && generation == other;
        // the enemy passes hello and proof on, whatever DTLS said, as if a fingerprint had been taken for its own
        let (na, nb) = ([1; 32], [2; 32]);
        let party = |key: &Key, nonce, certificate| Party { peer: key.public(), nonce, certificate };
        let (a, b) = (&self.offers.key, &self.answers.key);
        let at_a = Transcript { signer: party(a, na, of_a), other: party(b, nb, seen_by_a), kind: KIND, generation };
        let at_b = Transcript { signer: party(b, nb, of_b), other: party(a, na, seen_by_b), kind: KIND, generation };
        let believed = [
            at_a.mirrored().verify(&at_b.prove(b)).is_ok(),
            at_b.mirrored().verify(&at_a.prove(a)).is_ok(),
            at_a.mirrored().verify(&at_b.prove(&self.enemy)).is_ok(),
        ];
        if between {
            // not even with DTLS won
            return believed.contains(&true);
        }
        dtls && believed[0] && believed[1]
    }
}

fn first_seed() -> u64 {
    std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_128)
}

#[test]
fn an_honest_server_brings_two_peers_together_in_every_one_of_these_worlds() {
    for number in first_seed()..first_seed() + 500 {
        let mut world = World::new(number);
        world.run(None);
        assert!(world.session(None), "SEED={number}");
    }
}

#[test]
fn a_hostile_server_gets_no_session_in_ten_thousand_tries() {
    let mut sessions = 0;
    for number in 0..TRIES {
        let seed = first_seed() + number;
        let attack = ATTACKS[(number % ATTACKS.len() as u64) as usize];
        let mut world = World::new(seed);
        world.run(Some(attack));
        if world.session(Some(attack)) {
            eprintln!("SEED={seed}: {attack:?} made a session");
            sessions += 1;
        }
    }
    println!("{TRIES} tries from SEED={}, {sessions} sessions", first_seed());
    assert_eq!(sessions, 0);
}

#[test]
fn a_hostile_server_that_lets_go_has_lost_nothing_but_time() {
    for number in 0..500 {
        let attack = ATTACKS[(number % ATTACKS.len() as u64) as usize];
        let mut world = World::new(first_seed() + number);
        world.run(Some(attack));
        // its deadline passes, and the next attempt is carried
        for _ in 0..40 {
            world.now += std::time::Duration::from_secs(1);
            for peer in [&mut world.offers, &mut world.answers] {
                peer.machine.handle_timeout(world.now);
            }
            world.run(None);
            if world.session(None) {
                break;
            }
        }
        assert!(world.session(None), "SEED={}: {attack:?}", first_seed() + number);
    }
}
