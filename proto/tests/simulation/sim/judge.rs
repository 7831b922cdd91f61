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
use super::{BULK, CONTROL, Signaling};

/// From the end of the last fault until every link is up: silence until noticed, an attempt that is doomed until its
/// deadline, a wait, and an attempt that works.
const HEALED_WITHIN: Duration = Duration::from_secs(12);
/// From then until every stream is complete.
const COMPLETE_WITHIN: Duration = Duration::from_secs(40);
/// Frames that were on their way when a path ended: latency, a retransmission, the link's queue.
const ON_THE_WAY: Duration = Duration::from_secs(2);
/// A relayed connection opens a direct one beside it: one trial was begun too early, the next one works. A trial of a bulk
/// connection may lose its answer, in band, when control is replaced at that moment.
const DIRECT_WITHIN: [Duration; 2] = [Duration::from_secs(20 + 4 + 2), Duration::from_secs(20 + 4 + 20 + 2)];
/// The offers of a link that was begun anew with the same key are too low at first, and each that is dropped costs a trial.
const TRIALS_TOO_LOW: u32 = 4;
/// When a link becomes direct, one side is there before the other, which may see the old connection end before the new one opens.
const PASSAGE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Two nodes, the lower number first, and a kind of connection.
type Key = (usize, usize, usize);

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
    /// Since when the two sides of a link use different connections.
    apart_since: BTreeMap<Key, Instant>,
    /// Since when a link is not what it should be, and the connection that both sides used last.
    down_since: BTreeMap<Key, Instant>,
    last_used: BTreeMap<Key, usize>,
    awake_since: Vec<Instant>,
    /// A link was begun anew by a process that goes on.
    began_anew: bool,
    /// How many connections there were at the last look at a healed world without relayed links; more are not needed.
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
            apart_since: BTreeMap::new(),
            down_since: BTreeMap::new(),
            last_used: BTreeMap::new(),
            awake_since: Vec::new(),
            began_anew: false,
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

    /// A process ended its link to another, and may begin it anew.
    pub fn ends_link(&mut self) {
        self.began_anew = true;
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
        for key in self.keys() {
            if !self.sides_agree(key)? {
                up = Up::Some;
            }
        }
        if self.judge.calm {
            for key in self.keys() {
                self.comes_up(key)?;
                self.becomes_direct(key)?;
            }
            for half in 0..self.halves.len() {
                self.peer_may_come_back(half)?;
            }
            self.heals_in_time(up)?;
        }
        self.after(LOOK_EVERY, Event::Judge);
        Ok(())
    }

    /// A connection on which one direction is dead is not called up for long.
    fn silence_is_noticed(&self, half: usize) -> Check {
        let held = &self.halves[half];
        for kind in 0..self.kinds {
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

    fn keys(&self) -> Vec<Key> {
        let pairs = self.pairs().into_iter().filter(|(node, other)| node < other);
        pairs.flat_map(|(node, other)| (0..self.kinds).map(move |kind| (node, other, kind))).collect()
    }

    /// Both sides use the same connection, or one notices soon. True when both do.
    fn sides_agree(&mut self, key: Key) -> Result<bool, Broken> {
        let (node, other, kind) = key;
        let (left, right) = (self.used(node, other, kind), self.used(other, node, kind));
        if left.is_none() || right.is_none() || left == right {
            self.judge.apart_since.remove(&key);
            let Some(same) = left.filter(|_| left == right) else { return Ok(false) };
            self.judge.last_used.insert(key, same);
            return Ok(true);
        }
        let since = *self.judge.apart_since.entry(key).or_insert(self.now);
        let since = since.max(self.judge.awake_since[node]).max(self.judge.awake_since[other]);
        let long = self.now > since + limits::SUSPECT_AFTER + ON_THE_WAY;
        hold!(!long, "both sides agree", "nodes {node} and {other} use {left:?} and {right:?} for kind {kind}");
        Ok(false)
    }

    /// Once the faults are over, a link that can come up does, and stays; one that becomes direct is away for a moment.
    fn comes_up(&mut self, key: Key) -> Check {
        let (node, other, kind) = key;
        let used = self.used(node, other, kind);
        let up = used.is_some() && used == self.used(other, node, kind);
        if up || !self.can_come_up((node, other)) {
            self.judge.down_since.remove(&key);
            return Ok(());
        }
        let since = *self.judge.down_since.entry(key).or_insert(self.now);
        let relayed =
            self.judge.last_used.get(&key).is_some_and(|last| self.connections[*last].route == Route::Relayed);
        let moved_at = self.judge.moved_at;
        // without signaling it matters when the peer that helps came up
        let healed_by = match self.signaling {
            Signaling::Comes => moved_at + HEALED_WITHIN,
            Signaling::Gone => moved_at.max(since) + HEALED_WITHIN,
        };
        let passes = if relayed { since + PASSAGE } else { since };
        let late = self.now > healed_by && self.now > passes;
        let ago = self.now.saturating_duration_since(moved_at);
        hold!(
            !late,
            "what is wanted comes up",
            "{key:?} is down for {:?}, {ago:?} after the last fault",
            self.now - since
        );
        Ok(())
    }

    /// Signaling is there, or control is up, or a third peer is linked to both.
    fn can_come_up(&self, (node, other): (usize, usize)) -> bool {
        let up = |node, other| {
            let used = self.used(node, other, CONTROL);
            used.is_some() && used == self.used(other, node, CONTROL)
        };
        let helps = |third: usize| third != node && third != other && up(node, third) && up(third, other);
        self.signaling == Signaling::Comes || up(node, other) || (0..self.nodes.len()).any(helps)
    }

    /// A relayed link is not content with that.
    fn becomes_direct(&self, key: Key) -> Check {
        let (node, other, kind) = key;
        let Some(used) = self.used(node, other, kind) else { return Ok(()) };
        let connection = &self.connections[used];
        let since = self.judge.moved_at.max(connection.opened_at.unwrap_or(self.now));
        let too_low = if self.judge.began_anew { limits::UPGRADE_EVERY * TRIALS_TOO_LOW } else { Duration::ZERO };
        let long = connection.route == Route::Relayed && self.now > since + DIRECT_WITHIN[kind.min(BULK)] + too_low;
        hold!(!long, "a relayed link becomes direct", "{key:?} is relayed for {:?}", self.now - since);
        Ok(())
    }

    /// Nobody waits for a peer that will not come back.
    fn peer_may_come_back(&self, half: usize) -> Check {
        let held = &self.halves[half];
        let gone = held.alive && self.nodes[held.other].id != held.peer;
        let late = gone && self.now > self.judge.moved_at + limits::SUSPECT_AFTER + ON_THE_WAY;
        let state = held.tracks[CONTROL].machine.state();
        hold!(!late, "nobody waits for the dead", "half {half} is {state:?}, its peer is gone");
        Ok(())
    }

    fn rests(&self) -> bool {
        let alive = self.halves.iter().filter(|half| half.alive);
        alive.flat_map(|half| &half.tracks).all(|track| track.witness.rests())
    }

    fn heals_in_time(&mut self, up: Up) -> Check {
        let (now, moved_at) = (self.now, self.judge.moved_at);
        let (made, relayed) = (self.connections.len(), self.is_relayed());
        if now > moved_at + HEALED_WITHIN && !relayed && up == Up::All {
            let healed = *self.judge.made.get_or_insert(made);
            hold!(made == healed, "a quiet world is left alone", "{} connections more", made - healed);
        } else if relayed {
            self.judge.made = None;
        }
        if self.cannot_heal() {
            self.judge.healed_after.get_or_insert(Duration::ZERO);
            self.judge.over = true;
            return Ok(());
        }
        if up == Up::Some || !self.rests() {
            self.judge.resting_since = None;
            return Ok(());
        }
        self.judge.resting_since.take_if(|(_, before)| *before < made);
        let (since, _) = *self.judge.resting_since.get_or_insert((now, made));
        self.judge.healed_after.get_or_insert(now.saturating_duration_since(moved_at));
        let complete = self.streams_are_complete()?;
        if complete && !relayed && now >= since + self.judge.watch {
            self.only_what_is_used_is_open()?;
            self.judge.over = true;
        }
        Ok(())
    }

    /// Signaling is gone and nobody is left to help some pair.
    fn cannot_heal(&self) -> bool {
        let late = self.now > self.judge.moved_at + HEALED_WITHIN + HEALED_WITHIN;
        late && self.pairs().into_iter().any(|pair| !self.can_come_up(pair))
    }

    /// Whether a link of the world goes through the relay.
    fn is_relayed(&self) -> bool {
        let used = self.keys().into_iter().flat_map(|(node, other, kind)| {
            [self.used(node, other, kind), self.used(other, node, kind)].into_iter().flatten()
        });
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
