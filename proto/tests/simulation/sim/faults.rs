//! What strikes the world, and how it passes.

use std::time::{Duration, Instant};

use crate::id::{Generation, PeerId};
use crate::link::{Input, State};
use crate::signal::Route;

use super::agenda::{At, Event};
use super::check::Check;
use super::weather::Fault;
use super::wire::{Body, Frame, Phase, Signal};
use super::world::World;
use super::{BULK, CONTROL, Signaling};

impl World {
    pub(super) fn strikes(&mut self, fault: Fault) -> Check {
        self.tells(|| format!("{fault:?}"));
        match fault {
            Fault::Cut { from, to, time } => self.cuts(from, to, time),
            Fault::CutBoth { nodes: [left, right], time } => {
                self.cuts(left, right, time);
                self.cuts(right, left, time);
            }
            Fault::SignalingAway { time } => {
                self.signaling_back_at = self.signaling_back_at.max(self.until(time));
                self.at(self.signaling_back_at, Event::SignalingBack);
                self.ends_relayed();
            }
            Fault::SignalingGone => {
                self.signaling = Signaling::Gone;
                self.ends_relayed();
            }
            Fault::Silence { from, to, kind } => self.silences(from, to, kind),
            Fault::Break { at, other, kind } => {
                if let Some((carrier, end)) = self.present(at, other, kind) {
                    self.ends(carrier, end);
                }
            }
            Fault::Flap { nodes: [left, right], time } => {
                let until = self.until(time);
                self.flaps_until.insert((left.min(right), left.max(right)), until);
            }
            Fault::Pause { node, time } => {
                let until = self.until(time);
                self.nodes[node].paused_until = self.nodes[node].paused_until.max(until);
            }
            Fault::Kill { node, time } => self.kills(node, time),
            Fault::Leave { node, other, time } => return self.leaves((node, other), time),
            Fault::Forget { node, other } => return self.forgets(node, other),
            Fault::Boast { node, other } => self.boasts(node, other),
        }
        Ok(())
    }

    /// Faults end when the world calms down.
    fn until(&self, time: Duration) -> Instant {
        (self.now + time).min(self.judge.calm_at())
    }

    fn cuts(&mut self, from: usize, to: usize, time: Duration) {
        let until = self.until(time);
        let cut = self.cuts.entry((from, to)).or_insert((self.now, until));
        if cut.1 <= self.now {
            *cut = (self.now, until);
        }
        cut.1 = cut.1.max(until);
        let until = cut.1;
        self.at(until, Event::Heals { from, to });
    }

    pub(super) fn heals(&mut self, from: usize, to: usize) {
        if self.cuts.get(&(from, to)).is_some_and(|(_, until)| *until <= self.now) {
            self.cuts.remove(&(from, to));
            self.flushes_paths(from, to);
        }
    }

    /// The connection that a node uses for that, and its end there.
    pub(super) fn present(&self, node: usize, other: usize, kind: usize) -> Option<(usize, usize)> {
        let half = self.half_of(node, other)?;
        let carrier = *self.halves[half].tracks[kind].carriers.values().next_back()?;
        Some((carrier, self.end_of(carrier, half)))
    }

    /// With the signaling server go the connections that it carried, and both ends hear of it.
    fn ends_relayed(&mut self) {
        for connection in 0..self.connections.len() {
            if self.connections[connection].route == Route::Relayed {
                for end in [0, 1] {
                    let wait = self.luck.ms(0, 200);
                    self.after(wait, Event::Fails { connection, end });
                }
            }
        }
    }

    fn silences(&mut self, from: usize, to: usize, kind: usize) {
        if let Some((carrier, end)) = self.present(from, to, kind) {
            self.connections[carrier].ends[end].mute_since.get_or_insert(self.now);
        }
    }

    fn kills(&mut self, node: usize, time: Duration) {
        if !self.nodes[node].alive {
            return;
        }
        self.nodes[node].alive = false;
        self.nodes[node].paused_until = self.now;
        for half in 0..self.halves.len() {
            if self.halves[half].node == node && self.halves[half].alive {
                self.halves[half].alive = false;
                self.resets_streams(half);
            }
        }
        for connection in &mut self.connections {
            for end in &mut connection.ends {
                if self.halves[end.half].node == node && end.phase != Phase::Closed {
                    end.phase = Phase::Closed;
                    end.closed_at = Some(self.now);
                }
            }
        }
        let back = self.until(time);
        let peer = self.nodes[node].id;
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let wait = self.luck.ms(10, 6_000);
            self.after(wait, Event::Misses { node: other, peer });
        }
        self.at(back, Event::Respawns { node });
    }

    pub(super) fn respawns(&mut self, node: usize) {
        let id = self.new_id();
        self.nodes[node].id = id;
        self.nodes[node].knows.fill(None);
        self.nodes[node].alive = true;
        self.tells(|| format!("node {node} is back as {id}"));
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            for (node, other) in [(node, other), (other, node)] {
                let wait = self.luck.ms(10, 2_000);
                self.after(wait, Event::Learns { node, other });
            }
        }
        self.judge.moved(self.now + Duration::from_secs(2));
    }

    /// A node is told by signaling who is there.
    pub(super) fn learns(&mut self, node: usize, other: usize) -> Check {
        if self.is_signaling_away() {
            let wait = self.signaling_back_at - self.now + self.luck.ms(10, 500);
            self.after(wait, Event::Learns { node, other });
            self.judge.moved(self.now + wait);
            return Ok(());
        }
        if !self.nodes[node].alive {
            return Ok(());
        }
        self.nodes[node].knows[other] = Some(self.nodes[other].id);
        for half in 0..self.halves.len() {
            if self.halves[half].node == node && self.halves[half].other == other {
                self.considers(half)?;
            }
        }
        self.wants(node, other)
    }

    /// A node is told by signaling that a peer left.
    pub(super) fn misses(&mut self, node: usize, peer: PeerId) -> Check {
        if self.is_signaling_away() {
            return Ok(());
        }
        for known in self.nodes[node].knows.iter_mut().filter(|known| **known == Some(peer)) {
            *known = None;
        }
        match self.halves.iter().position(|half| half.alive && half.node == node && half.peer == peer) {
            Some(half) => self.considers(half),
            None => Ok(()),
        }
    }

    /// A link that is not up and whose peer will not come back is given up.
    pub(super) fn considers(&mut self, half: usize) -> Check {
        let held = &self.halves[half];
        let told = !self.is_signaling_away();
        let listed = told && self.nodes[held.other].alive && self.nodes[held.other].id == held.peer;
        let state = held.tracks[CONTROL].machine.state();
        if !held.alive || listed || matches!(state, State::Up { .. }) {
            return Ok(());
        }
        let replaced = self.nodes[held.node].knows[held.other].is_some_and(|known| known != held.peer);
        let waits = matches!(state, State::Lost | State::Idle | State::Connecting);
        if replaced || (told && waits) { self.retires(half) } else { Ok(()) }
    }

    /// The link's owner has no more use for it.
    fn retires(&mut self, half: usize) -> Check {
        self.judge.ends_link();
        self.resets_streams(half);
        self.drops(half)?;
        self.nothing_is_being_made(half)?;
        self.halves[half].alive = false;
        Ok(())
    }

    pub(super) fn wants(&mut self, node: usize, other: usize) -> Check {
        if !self.nodes[node].alive || self.nodes[node].knows[other] != Some(self.nodes[other].id) {
            return Ok(());
        }
        let half = match self.half_of(node, other) {
            Some(half) => half,
            None => self.begins_half(node, other),
        };
        let eager = node < other || self.luck.chance(500);
        if eager || self.judge.is_calm() {
            for kind in 0..self.kinds {
                // stripes come when there is much to send
                let idle = kind > BULK && !self.judge.is_calm() && self.luck.chance(300);
                if !idle {
                    self.steps(At { half, kind }, Some(Input::Want))?;
                }
            }
        }
        Ok(())
    }

    fn leaves(&mut self, (node, other): (usize, usize), time: Duration) -> Check {
        let Some(half) = self.half_of(node, other) else { return Ok(()) };
        if let Some((carrier, end)) = self.present(node, other, CONTROL) {
            self.sends(carrier, end, Frame::Bye);
        }
        self.resets_streams(half);
        self.drops(half)?;
        let back = self.until(time);
        self.at(back, Event::Wants { node, other });
        Ok(())
    }

    fn forgets(&mut self, node: usize, other: usize) -> Check {
        let Some(half) = self.half_of(node, other) else { return Ok(()) };
        self.retires(half)?;
        self.wants(node, other)
    }

    fn boasts(&mut self, node: usize, other: usize) {
        let (from, to) = (self.nodes[node].id, self.nodes[other].id);
        let generation = Generation(u64::MAX - self.luck.below(3));
        let kind = self.luck.index(self.kinds);
        self.after(Duration::ZERO, Event::Signal(Signal { from, to, kind, generation, body: Body::PleaseOffer }));
    }

    pub(super) fn signaling_is_back(&mut self) -> Check {
        if self.is_signaling_away() {
            return Ok(());
        }
        for half in 0..self.halves.len() {
            // a process that stands still hears of it later; here it does not at all, which is harder
            let asleep = self.nodes[self.halves[half].node].paused_until > self.now;
            if self.halves[half].alive && !asleep {
                for kind in 0..self.kinds {
                    self.steps(At { half, kind }, Some(Input::SignalingBack))?;
                }
            }
        }
        Ok(())
    }

    /// From now on nothing goes wrong by itself, and every link is wanted.
    pub(super) fn calms(&mut self) -> Check {
        self.tells(|| "calm".to_owned());
        self.weather.calm();
        self.judge.calms();
        for (node, other) in self.pairs() {
            let wait = self.luck.ms(0, 100);
            self.after(wait, Event::Wants { node, other });
        }
        Ok(())
    }
}
