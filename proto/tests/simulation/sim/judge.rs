//! What the world as a whole must have come to, looked at a few times a second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::limits;
use crate::link::State;
use crate::signal::Route;

use super::agenda::Event;
use super::check::{Broken, Check, hold};
use super::wire::Phase;
use super::world::World;
use super::{BULK, CONTROL, Kinds};

/// From the end of the last fault until every link is up: silence until noticed, an attempt that is doomed until its
/// deadline, a wait, and an attempt that works.
const HEALED_WITHIN: Duration = Duration::from_secs(12);
/// From then until every stream is complete.
const COMPLETE_WITHIN: Duration = Duration::from_secs(40);
/// Frames that were on their way when a path ended: latency, a retransmission, the link's queue.
const ON_THE_WAY: Duration = Duration::from_secs(2);
/// A relayed link tries the direct way once in a while. One trial may lose its answer, in band, when control is replaced.
const DIRECT_WITHIN: Duration = Duration::from_secs(20 + 20 + 6);
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub struct Judge {
    calm_at: Instant,
    /// Faults whose effect comes later move this.
    moved_at: Instant,
    /// How long the world is watched after it healed.
    watch: Duration,
    /// Since when every link is up and nothing is under way, and how many connections were made until then.
    resting_since: Option<(Instant, usize)>,
    healed_after: Option<Duration>,
    /// A link was relayed after the last fault.
    was_relayed: bool,
    /// Since when the two sides of a link use different connections.
    apart_since: BTreeMap<(usize, usize, usize), Instant>,
    awake_since: Vec<Instant>,
    /// Connections made when the world had to be healed; later ones were not needed.
    made: Option<usize>,
    over: bool,
    calm: bool,
}

/// How many of the links are up, both sides in the same connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Up {
    All,
    Some,
}

impl Judge {
    /// The world calms down then, and is watched for so long after it healed.
    pub fn new(calm_at: Instant, watch: Duration) -> Self {
        Self {
            calm_at,
            moved_at: calm_at,
            watch,
            resting_since: None,
            healed_after: None,
            was_relayed: false,
            apart_since: BTreeMap::new(),
            awake_since: Vec::new(),
            made: None,
            over: false,
            calm: false,
        }
    }

    pub fn calm_at(&self) -> Instant {
        self.calm_at
    }

    /// Faults are over.
    pub fn calms(&mut self) {
        self.calm = true;
    }

    pub fn is_calm(&self) -> bool {
        self.calm
    }

    /// Something strikes the world until then.
    pub fn moved(&mut self, until: Instant) {
        self.moved_at = self.moved_at.max(until);
    }

    /// How long healing took, when there is nothing more to see.
    pub fn verdict(&self) -> Option<Duration> {
        self.healed_after.filter(|_| self.over)
    }
}

impl World {
    pub(super) fn judges(&mut self) -> Check {
        let (now, nodes) = (self.now, self.nodes.len());
        self.judge.awake_since.resize(nodes, now);
        for node in 0..nodes {
            if self.nodes[node].paused_until > now || !self.nodes[node].alive {
                self.judge.awake_since[node] = now;
            }
        }
        for half in 0..self.halves.len() {
            if self.halves[half].alive {
                self.silence_is_noticed(half)?;
            }
        }
        let mut up = Up::All;
        for (node, other) in self.pairs().into_iter().filter(|(node, other)| node < other) {
            for kind in [CONTROL, BULK] {
                if !self.sides_agree((node, other), kind)? {
                    up = Up::Some;
                }
            }
        }
        if self.judge.calm {
            self.heals_in_time(up)?;
        }
        self.after(LOOK_EVERY, Event::Judge);
        Ok(())
    }

    /// A connection on which one direction is dead is not called up for long.
    fn silence_is_noticed(&self, half: usize) -> Check {
        let held = &self.halves[half];
        for kind in [CONTROL, BULK] {
            let State::Up { generation } = held.tracks[kind].machine.state() else { continue };
            let Some(carrier) = held.tracks[kind].carriers.get(generation) else { continue };
            let since = self.dead_since(*carrier);
            // a process that stood still answers old beats when it wakes
            let awake = self.judge.awake_since[held.node].max(self.judge.awake_since[held.other]);
            let Some(since) = since.map(|since| since.max(awake)) else { continue };
            let late = self.now > since + limits::SUSPECT_AFTER + ON_THE_WAY;
            hold!(!late, "silence is noticed", "half {half} kind {kind} is up, dead for {:?}", self.now - since);
        }
        Ok(())
    }

    /// Since when nothing passes in one direction at least.
    fn dead_since(&self, carrier: usize) -> Option<Instant> {
        let ends = &self.connections[carrier].ends;
        let muted = ends.iter().filter_map(|end| end.mute_since);
        let closed = ends.iter().filter_map(|end| end.closed_at);
        let direct = self.connections[carrier].route == Route::Direct;
        let cut = ends.iter().filter(|_| direct).filter_map(|end| {
            let half = &self.halves[end.half];
            self.cuts.get(&(half.node, half.other)).filter(|(_, until)| *until > self.now).map(|(since, _)| *since)
        });
        let since = muted.chain(closed).chain(cut).min()?;
        ends.iter().filter_map(|end| end.flushed_at).chain([since]).max()
    }

    /// The connection that a node calls up for that.
    fn used(&self, node: usize, other: usize, kind: usize) -> Option<usize> {
        let track = &self.halves[self.half_of(node, other)?].tracks[kind];
        let State::Up { generation } = track.machine.state() else { return None };
        track.carriers.get(generation).copied()
    }

    /// Both sides use the same connection, or one notices soon. True when both do.
    fn sides_agree(&mut self, (node, other): (usize, usize), kind: usize) -> Result<bool, Broken> {
        if kind == BULK && self.kinds == Kinds::Control {
            return Ok(true);
        }
        let (left, right) = (self.used(node, other, kind), self.used(other, node, kind));
        let key = (node, other, kind);
        if left.is_none() || right.is_none() || left == right {
            self.judge.apart_since.remove(&key);
            return Ok(left.is_some() && left == right);
        }
        let since = *self.judge.apart_since.entry(key).or_insert(self.now);
        let since = since.max(self.judge.awake_since[node]).max(self.judge.awake_since[other]);
        let long = self.now > since + limits::SUSPECT_AFTER + ON_THE_WAY;
        hold!(!long, "both sides agree", "nodes {node} and {other} use {left:?} and {right:?} for kind {kind}");
        Ok(false)
    }

    fn rests(&self) -> bool {
        let alive = self.halves.iter().filter(|half| half.alive);
        alive.flat_map(|half| &half.tracks).all(|track| track.witness.rests())
    }

    fn heals_in_time(&mut self, up: Up) -> Check {
        let (now, moved_at) = (self.now, self.judge.moved_at);
        let late = now > moved_at + HEALED_WITHIN;
        // a link that became direct is apart for a moment
        let was_up = self.judge.was_relayed && self.judge.healed_after.is_some();
        hold!(up == Up::All || !late || was_up, "what is wanted comes up", "{:?} after the last fault", now - moved_at);
        let made = self.connections.len();
        let relayed = self.is_relayed();
        let quiet = moved_at + HEALED_WITHIN + if self.judge.was_relayed { DIRECT_WITHIN } else { Duration::ZERO };
        self.judge.was_relayed |= relayed;
        if now > quiet {
            hold!(!relayed, "a relayed link becomes direct", "{:?} after the last fault", now - moved_at);
            let healed = *self.judge.made.get_or_insert(made);
            hold!(made == healed, "a quiet world is left alone", "{} connections more", made - healed);
        }
        if up == Up::Some || !self.rests() {
            self.judge.resting_since = None;
            return Ok(());
        }
        self.judge.resting_since.take_if(|(_, before)| *before < made);
        let (since, _) = *self.judge.resting_since.get_or_insert((now, made));
        self.judge.healed_after.get_or_insert(now.saturating_duration_since(moved_at));
        let complete = self.streams_are_complete()?;
        if complete && now >= since + self.judge.watch {
            self.only_what_is_used_is_open()?;
            self.judge.over = true;
        }
        Ok(())
    }

    /// Whether a link of the world goes through the relay.
    fn is_relayed(&self) -> bool {
        let used = self
            .pairs()
            .into_iter()
            .flat_map(|(node, other)| [CONTROL, BULK].into_iter().filter_map(move |kind| self.used(node, other, kind)));
        used.into_iter().any(|carrier| self.connections[carrier].route == Route::Relayed)
    }

    fn streams_are_complete(&self) -> Result<bool, Broken> {
        let Some(stream) = self.streams.iter().find(|stream| !stream.is_done()) else { return Ok(true) };
        let late = self.now > self.judge.moved_at + HEALED_WITHIN + COMPLETE_WITHIN;
        hold!(!late, "streams are complete", "half {} to {}: {}", stream.from, stream.to, stream.progress());
        Ok(false)
    }

    /// Every connection that was made is in use or closed.
    fn only_what_is_used_is_open(&self) -> Check {
        for (number, connection) in self.connections.iter().enumerate() {
            for end in &connection.ends {
                let left = matches!(end.phase, Phase::Made | Phase::Open);
                let half = &self.halves[end.half];
                let used = half.alive && self.used(half.node, half.other, connection.kind) == Some(number);
                hold!(!left || used, "nothing stays open", "half {}: connection {number}, {:?}", end.half, end.phase);
            }
        }
        Ok(())
    }

    /// A half whose owner has no more use for it begins nothing.
    pub(super) fn nothing_is_being_made(&self, half: usize) -> Check {
        let making = self.halves[half].tracks.iter().any(|track| !track.making.is_empty());
        hold!(!making, "nothing stays open", "half {half}: a connection is being made after the end");
        Ok(())
    }
}
