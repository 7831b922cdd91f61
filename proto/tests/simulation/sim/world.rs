//! The world: its peers, its clock, and what happens next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use crate::id::{Generation, PeerId};
use crate::link::{Input, Machine};
use crate::ways::Ways;

use super::agenda::{At, Due, Event};
use super::check::{Broken, Check, hold};
use super::judge::Judge;
use super::luck::Luck;
use super::streams::Stream;
use super::weather::{self, Size, Weather};
use super::wire::Connection;
use super::witness::Witness;
use super::{BULK, Offers, Passed, Signaling};

/// A healed world is watched for so long; some for longer, because a bad habit may be a slow one.
const WATCH: Duration = Duration::from_secs(3);
const LONG_WATCH: Duration = Duration::from_secs(25);

/// A hundred times what a world usually needs.
const MOST_EVENTS: u64 = 1_000_000;

/// A process that can stand still, die and come again under a new id.
#[derive(Debug)]
pub struct Node {
    pub id: PeerId,
    pub alive: bool,
    pub paused_until: Instant,
    /// Who the others are, as far as it was told.
    pub knows: Vec<Option<PeerId>>,
    /// What came while it stood still.
    waiting: Vec<Event>,
}

/// One kind of connection of a link, as its owner holds it.
#[derive(Debug)]
pub struct Track {
    pub machine: Machine,
    pub witness: Witness,
    pub timer: Option<Instant>,
    /// Descriptions that are being made and still wanted.
    pub making: BTreeSet<Generation>,
    /// Our offer that waits for its answer.
    pub offered: Option<(Generation, usize)>,
    pub carriers: BTreeMap<Generation, usize>,
}

/// A link as one of its two peers holds it.
#[derive(Debug)]
pub struct Half {
    pub node: usize,
    pub other: usize,
    pub me: PeerId,
    pub peer: PeerId,
    /// Its owner lives and has not forgotten it.
    pub alive: bool,
    pub tracks: Vec<Track>,
    /// The bulk connections that carry streams.
    pub ways: Ways,
    /// The highest stream that the peer opened.
    pub peer_highest: Option<usize>,
    /// When the last of what connections told arrives.
    pub told_at: Instant,
}

#[derive(Debug)]
pub struct World {
    pub talks: bool,
    pub luck: Luck,
    pub weather: Weather,
    /// How many kinds of connection a link has: control and bulk ones.
    pub kinds: usize,
    began: Instant,
    pub now: Instant,
    events: u64,
    queue: BinaryHeap<Reverse<Due>>,
    pub nodes: Vec<Node>,
    pub halves: Vec<Half>,
    pub connections: Vec<Connection>,
    pub streams: Vec<Stream>,
    /// Until when packets do not pass from one node to another, and since when.
    pub cuts: BTreeMap<(usize, usize), (Instant, Instant)>,
    pub flaps_until: BTreeMap<(usize, usize), Instant>,
    pub signaling: Signaling,
    pub signaling_back_at: Instant,
    pub judge: Judge,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut luck = Luck::new(seed);
        let now = Instant::now();
        let gone = luck.chance(50);
        let nodes = if gone || luck.chance(150) { 3 } else { 2 };
        let kinds = match luck.below(10) {
            0 => 1,
            1..6 => 1 + BULK,
            _ => 2 + BULK + luck.index(3),
        };
        let weather = Weather::of(&mut luck);
        let (faults, span) = if gone {
            weather::faults_without_signaling(&mut luck, kinds)
        } else {
            weather::faults(&mut luck, Size { nodes, kinds })
        };
        let mut world = Self {
            talks: false,
            weather,
            kinds,
            began: now,
            now,
            events: 0,
            queue: BinaryHeap::new(),
            nodes: Vec::new(),
            halves: Vec::new(),
            connections: Vec::new(),
            streams: Vec::new(),
            cuts: BTreeMap::new(),
            flaps_until: BTreeMap::new(),
            signaling: Signaling::Comes,
            signaling_back_at: now,
            judge: Judge::new(now + span, if luck.chance(100) { LONG_WATCH } else { WATCH }),
            luck,
        };
        for _ in 0..nodes {
            let id = world.new_id();
            let knows = vec![None; nodes];
            world.nodes.push(Node { id, alive: true, paused_until: now, knows, waiting: Vec::new() });
        }
        for (node, other) in world.pairs() {
            let after = world.luck.ms(0, 500);
            world.after(after, Event::Learns { node, other });
        }
        for (at, fault) in faults {
            world.after(at, Event::Fault(fault));
        }
        world.after(span, Event::Calm);
        world.after(Duration::from_millis(250), Event::Judge);
        world
    }

    /// Random, and new each time.
    pub fn new_id(&mut self) -> PeerId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.luck.below(u64::MAX).to_be_bytes());
        PeerId(id)
    }

    pub fn pairs(&self) -> Vec<(usize, usize)> {
        let count = self.nodes.len();
        (0..count)
            .flat_map(|node| (0..count).filter(move |other| *other != node).map(move |other| (node, other)))
            .collect()
    }

    pub fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now + wait, event);
    }

    pub fn at(&mut self, at: Instant, event: Event) {
        self.events += 1;
        self.queue.push(Reverse(Due { at, number: self.events, event: Box::new(event) }));
    }

    pub fn is_signaling_away(&self) -> bool {
        self.signaling == Signaling::Gone || self.signaling_back_at > self.now
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.began
    }

    /// Prints what happens, when somebody wants to know.
    pub fn tells(&self, what: impl FnOnce() -> String) {
        if self.talks {
            println!("{:>12.6} {}", self.elapsed().as_secs_f64(), what());
        }
    }

    pub fn runs(&mut self) -> Result<Passed, Broken> {
        while let Some(Reverse(due)) = self.queue.pop() {
            self.now = due.at;
            hold!(self.events < MOST_EVENTS, "time is used up", "{} events", self.events);
            if let Some(node) = self.happens_at(&due.event)
                && self.sleeps(node)
            {
                self.waits(node, *due.event);
                continue;
            }
            self.happens(*due.event)?;
            if let Some(healed) = self.judge.verdict() {
                return Ok(Passed { events: self.events, healed });
            }
        }
        unreachable!("the judge always comes again")
    }

    fn sleeps(&self, node: usize) -> bool {
        self.nodes[node].paused_until > self.now || !self.nodes[node].waiting.is_empty()
    }

    /// What comes to a process that stands still is taken in order when it goes on.
    fn waits(&mut self, node: usize, event: Event) {
        let sleeper = &mut self.nodes[node];
        sleeper.waiting.push(event);
        if sleeper.waiting.len() == 1 {
            let awake = sleeper.paused_until;
            self.at(awake, Event::Awakes { node });
        }
    }

    fn awakes(&mut self, node: usize) {
        let until = self.nodes[node].paused_until;
        if until > self.now {
            return self.at(until, Event::Awakes { node });
        }
        for event in std::mem::take(&mut self.nodes[node].waiting) {
            self.at(self.now, event);
        }
    }

    /// The process that must run for the event to happen.
    fn happens_at(&self, event: &Event) -> Option<usize> {
        let half = match event {
            Event::Timer(at) | Event::Made { at, .. } | Event::Told { at, .. } => at.half,
            Event::Opens { connection, end } | Event::Fails { connection, end } => {
                self.connections[*connection].ends[*end].half
            }
            Event::Frame { connection, from, .. } => self.connections[*connection].ends[1 - from].half,
            Event::Signal(signal) => return self.nodes.iter().position(|node| node.id == signal.to),
            Event::Works { stream } => self.streams[*stream].from,
            Event::Down { half } => *half,
            Event::Learns { node, .. } | Event::Misses { node, .. } | Event::Wants { node, .. } => return Some(*node),
            Event::Handshake { .. }
            | Event::Fault(_)
            | Event::Heals { .. }
            | Event::SignalingBack
            | Event::Awakes { .. }
            | Event::Respawns { .. }
            | Event::Calm
            | Event::Judge => return None,
        };
        Some(self.halves[half].node)
    }

    fn happens(&mut self, event: Event) -> Check {
        match event {
            Event::Timer(at) => self.wakes(at),
            Event::Made { at, description } => self.made(at, description),
            Event::Signal(signal) => self.signaled(signal),
            Event::Handshake { connection, tries } => {
                self.handshake(connection, tries);
                Ok(())
            }
            Event::Opens { connection, end } => self.opens(connection, end),
            Event::Fails { connection, end } => {
                self.ends(connection, end);
                Ok(())
            }
            Event::Frame { connection, from, frame } => self.arrives(connection, from, frame),
            Event::Told { at, generation, told } => self.told(at, generation, told),
            Event::Works { stream } => self.works(stream),
            Event::Fault(fault) => self.strikes(fault),
            Event::Heals { from, to } => {
                self.heals(from, to);
                Ok(())
            }
            Event::SignalingBack => self.signaling_is_back(),
            Event::Awakes { node } => {
                self.awakes(node);
                Ok(())
            }
            Event::Respawns { node } => {
                self.respawns(node);
                Ok(())
            }
            Event::Misses { node, peer } => self.misses(node, peer),
            Event::Down { half } => self.considers(half),
            Event::Learns { node, other } => self.learns(node, other),
            Event::Wants { node, other } => self.wants(node, other),
            Event::Calm => self.calms(),
            Event::Judge => self.judges(),
        }
    }

    /// The link that a node holds to the present instance of another.
    pub fn half_of(&self, node: usize, other: usize) -> Option<usize> {
        let (me, peer) = (self.nodes[node].id, self.nodes[other].id);
        self.halves.iter().rposition(|half| half.alive && half.me == me && half.peer == peer)
    }

    /// Begins a link at a node.
    pub fn begins_half(&mut self, node: usize, other: usize) -> usize {
        let (me, peer) = (self.nodes[node].id, self.nodes[other].id);
        let offers = if me < peer { Offers::We } else { Offers::They };
        let tracks = (0..self.kinds).map(|_kind| Track {
            machine: Machine::new(&me, &peer, self.luck.seed()),
            witness: Witness::new(offers),
            timer: None,
            making: BTreeSet::new(),
            offered: None,
            carriers: BTreeMap::new(),
        });
        let tracks = tracks.collect();
        let (ways, told_at) = (Ways::default(), self.now);
        let half = Half { node, other, me, peer, alive: true, tracks, ways, peer_highest: None, told_at };
        self.halves.push(half);
        let new = self.halves.len() - 1;
        self.tells(|| format!("half {new}: node {node} ({me}) begins its link to node {other}, {offers:?} offer"));
        if let Some(peers) = self.half_of(other, node) {
            self.begins_streams(new, peers);
        }
        new
    }

    fn begins_streams(&mut self, left: usize, right: usize) {
        if self.kinds <= BULK {
            return;
        }
        let mut after = Duration::ZERO;
        for _ in 0..self.luck.below(4) {
            let (from, to) = if self.luck.chance(500) { (left, right) } else { (right, left) };
            let number = self.streams.len();
            let stream = Stream::new(number, from, to, &mut self.luck);
            self.streams.push(stream);
            // their numbers say in which order they are opened
            after += self.luck.ms(0, 1_000);
            self.after(after, Event::Works { stream: number });
        }
    }

    /// Lets a machine handle an input, or the time, and does what it says.
    pub fn steps(&mut self, at: At, input: Option<Input>) -> Check {
        let now = self.now;
        let track = &mut self.halves[at.half].tracks[at.kind];
        let cause = input.as_ref().map_or(super::witness::Cause::Time, super::witness::Cause::from);
        track.witness.begins(cause, now);
        match input {
            Some(input) => track.machine.handle(input, now),
            None => track.machine.handle_timeout(now),
        }
        let mut outputs = Vec::new();
        while let Some(output) = track.machine.poll_output() {
            track.witness.said(&output, now)?;
            outputs.push(output);
        }
        let settled = track.witness.settles(&track.machine, now);
        if self.talks && (!outputs.is_empty() || settled.is_err()) {
            self.tells(|| format!("half {} kind {}: {cause:?} -> {outputs:?}", at.half, at.kind));
        }
        settled?;
        for output in outputs {
            self.performs(at, output)?;
        }
        self.arms(at);
        Ok(())
    }

    fn arms(&mut self, at: At) {
        let track = &mut self.halves[at.half].tracks[at.kind];
        let Some(wake) = track.machine.poll_timeout().map(|wake| wake.max(self.now)) else { return };
        if track.timer.is_none_or(|timer| wake < timer) {
            track.timer = Some(wake);
            self.at(wake, Event::Timer(at));
        }
    }

    fn wakes(&mut self, at: At) -> Check {
        let half = &mut self.halves[at.half];
        let track = &mut half.tracks[at.kind];
        if track.timer.is_none_or(|timer| timer > self.now) {
            return Ok(());
        }
        track.timer = None;
        if !half.alive {
            return Ok(());
        }
        if track.machine.poll_timeout().is_some_and(|due| due <= self.now) {
            return self.steps(at, None);
        }
        self.arms(at);
        Ok(())
    }
}
