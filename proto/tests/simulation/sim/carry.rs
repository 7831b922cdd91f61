//! Connections: how they open, carry frames in order, lose them, and end.

use std::time::{Duration, Instant};

use crate::signal::Route;
use crate::ways::{Change, Load, Way};

use super::BULK;
use super::agenda::{At, Event, Told};
use super::check::Check;
use super::wire::{Frame, Phase};
use super::world::World;

/// Stream frames that a connection takes before it is full.
const IN_FLIGHT: usize = 16;
/// A handshake that does not come through gives up after so many tries.
const TRIES: u32 = 12;

impl World {
    /// Which end of a connection belongs to that half.
    pub(super) fn end_of(&self, connection: usize, half: usize) -> usize {
        let ends = &self.connections[connection].ends;
        let ours = ends.iter().position(|end| end.half == half && end.phase != Phase::Absent);
        ours.expect("a half asks for connections that it made")
    }

    /// Both descriptions are there.
    pub(super) fn shakes(&mut self, ours: usize, answered: usize) {
        if ours != answered {
            return;
        }
        let slow = self.luck.chance(self.weather.handshake_slow);
        let wait = if slow { self.luck.ms(300, 5_000) } else { self.luck.ms(2, 100) };
        self.after(wait, Event::Handshake { connection: ours, tries: 0 });
    }

    /// Packets of the handshake travel once more.
    pub(super) fn handshake(&mut self, connection: usize, tries: u32) {
        let present = self.connections[connection].ends.iter().all(|end| end.phase == Phase::Made);
        if !present || tries == TRIES {
            // whoever still waits is told by the deadline
            return;
        }
        if [0, 1].iter().any(|end| self.is_dumb(connection, *end)) {
            let wait = self.luck.ms(200, 1_000);
            return self.after(wait, Event::Handshake { connection, tries: tries + 1 });
        }
        let first = self.luck.index(2);
        if self.luck.chance(self.weather.handshake_fails) {
            for end in [0, 1] {
                if self.luck.chance(500) {
                    let wait = self.luck.ms(0, 3_000);
                    self.after(wait, Event::Fails { connection, end });
                }
            }
            return;
        }
        self.after(Duration::ZERO, Event::Opens { connection, end: first });
        if !self.luck.chance(self.weather.handshake_half) {
            let wait = self.luck.ms(0, self.connections[connection].latency_ms);
            self.after(wait, Event::Opens { connection, end: 1 - first });
        }
    }

    /// The hello is done at one end.
    pub(super) fn opens(&mut self, connection: usize, end: usize) -> Check {
        let (at, generation) = self.place(connection, end);
        if self.connections[connection].ends[end].phase != Phase::Made {
            return Ok(());
        }
        self.connections[connection].ends[end].phase = Phase::Open;
        self.connections[connection].opened_at.get_or_insert(self.now);
        self.tell(at, generation, Told::Open);
        let half = &self.halves[at.half];
        let pair = (half.node.min(half.other), half.node.max(half.other));
        if self.flaps_until.get(&pair).is_some_and(|until| *until > self.now) {
            if self.luck.chance(500) {
                let wait = self.luck.ms(0, 20);
                self.after(wait, Event::Fails { connection, end });
            } else {
                self.connections[connection].ends[end].mute_since = Some(self.now);
            }
        }
        for frame in std::mem::take(&mut self.connections[connection].ends[end].early) {
            self.arrives(connection, 1 - end, frame)?;
        }
        Ok(())
    }

    fn place(&self, connection: usize, end: usize) -> (At, crate::id::Generation) {
        let connection = &self.connections[connection];
        (At { half: connection.ends[end].half, kind: connection.kind }, connection.generation)
    }

    /// One end is over; the other hears of it, or not.
    pub(super) fn ends(&mut self, connection: usize, end: usize) {
        let now = self.now;
        let was = std::mem::replace(&mut self.connections[connection].ends[end].phase, Phase::Closed);
        if was == Phase::Closed {
            return;
        }
        let (at, generation) = self.place(connection, end);
        self.tells(|| format!("half {}: end of {generation} (connection {connection}, end {end})", at.half));
        self.connections[connection].ends[end].closed_at = Some(now);
        self.tell(at, generation, Told::Ended);
        if !self.luck.chance(self.weather.notice_lost) && !self.is_cut(connection, end) {
            self.travels(connection, end, (Frame::Closed, now));
        }
    }

    /// Puts a frame on a connection.
    pub(super) fn sends(&mut self, connection: usize, from: usize, frame: Frame) {
        let now = self.now;
        let cut = self.is_cut(connection, from);
        let end = &mut self.connections[connection].ends[from];
        if end.phase != Phase::Open || end.mute_since.is_some() {
            return;
        }
        if cut || !end.stalled.is_empty() {
            end.stalled.push_back(frame);
        } else {
            self.travels(connection, from, (frame, now));
        }
    }

    fn travels(&mut self, connection: usize, from: usize, (frame, leaves): (Frame, Instant)) {
        let longest = self.connections[connection].latency_ms;
        let latency = self.luck.ms(longest / 2, longest);
        let end = &mut self.connections[connection].ends[from];
        if end.mute_since.is_some() {
            return;
        }
        end.last_arrival = end.last_arrival.max(leaves + latency);
        let due = end.last_arrival;
        self.at(due, Event::Frame { connection, from, frame });
    }

    /// The path from one node to another is back: what waited is sent again after a while.
    pub(super) fn flushes_paths(&mut self, from: usize, to: usize) {
        for connection in 0..self.connections.len() {
            for end in [0, 1] {
                let half = &self.halves[self.connections[connection].ends[end].half];
                let direct = self.connections[connection].route == Route::Direct;
                if half.node != from || half.other != to || !direct {
                    continue;
                }
                let again = self.now + self.luck.ms(0, 1_000);
                let stalled = std::mem::take(&mut self.connections[connection].ends[end].stalled);
                if !stalled.is_empty() {
                    self.connections[connection].ends[end].flushed_at = Some(self.now);
                }
                for frame in stalled {
                    self.travels(connection, end, (frame, again));
                }
            }
        }
    }

    /// Whether packets from that end do not pass. The relay knows nothing of cuts.
    pub(super) fn is_cut(&self, connection: usize, from: usize) -> bool {
        if self.connections[connection].route == Route::Relayed {
            return false;
        }
        let half = &self.halves[self.connections[connection].ends[from].half];
        self.cuts.get(&(half.node, half.other)).is_some_and(|(_, until)| *until > self.now)
    }

    /// Whether no packet leaves that end, for whatever reason.
    fn is_dumb(&self, connection: usize, from: usize) -> bool {
        let end = &self.connections[connection].ends[from];
        let half = &self.halves[end.half];
        let sleeps = !half.alive || self.nodes[half.node].paused_until > self.now;
        sleeps || end.mute_since.is_some() || self.is_cut(connection, from)
    }

    /// A frame is there.
    pub(super) fn arrives(&mut self, connection: usize, from: usize, frame: Frame) -> Check {
        let to = 1 - from;
        let (at, generation) = self.place(connection, to);
        match self.connections[connection].ends[to].phase {
            Phase::Open => {}
            Phase::Made if matches!(frame, Frame::Closed) => {}
            Phase::Made => {
                self.connections[connection].ends[to].early.push(frame);
                return Ok(());
            }
            Phase::Absent | Phase::Closed => return Ok(()),
        }
        match frame {
            Frame::Beat => {
                self.sends(connection, to, Frame::BeatAnswer);
                if at.kind >= BULK {
                    self.streams.iter_mut().for_each(|stream| stream.flushes(at.half));
                    return self.pumps(at.half);
                }
                Ok(())
            }
            Frame::BeatAnswer => {
                self.tell(at, generation, Told::Answered);
                Ok(())
            }
            Frame::Signal(signal) | Frame::Forwarded(signal) => self.signaled(signal),
            Frame::Forward(signal) => {
                self.passes_on(at, signal);
                Ok(())
            }
            Frame::Bye => {
                self.tell(at, generation, Told::Bye);
                Ok(())
            }
            Frame::Closed => {
                self.ends(connection, to);
                Ok(())
            }
            Frame::Open { stream }
            | Frame::Data { stream, .. }
            | Frame::Fin { stream, .. }
            | Frame::Ack { stream, .. } => {
                self.connections[connection].ends[from].in_flight -= 1;
                self.streamed(at.half, stream, frame)?;
                self.pumps(at.half)?;
                self.pumps(self.connections[connection].ends[from].half)
            }
        }
    }

    fn streamed(&mut self, half: usize, number: usize, frame: Frame) -> Check {
        let stream = &mut self.streams[number];
        if stream.reset {
            return Ok(());
        }
        match frame {
            Frame::Open { .. } => {
                let highest = &mut self.halves[half].peer_highest;
                // below the highest number that the peer opened, what is unknown is over
                if highest.is_none_or(|highest| highest < number) {
                    *highest = Some(number);
                    stream.opens();
                }
                Ok(())
            }
            Frame::Data { offset, bytes, .. } => stream.data(offset, bytes),
            Frame::Fin { offset, .. } => stream.fin(offset),
            Frame::Ack { received, limit, .. } => stream.ack(received, limit),
            Frame::Beat
            | Frame::BeatAnswer
            | Frame::Signal(_)
            | Frame::Forward(_)
            | Frame::Forwarded(_)
            | Frame::Bye
            | Frame::Closed => Ok(()),
        }
    }

    /// The ways of a half changed.
    pub(super) fn heeds(&mut self, half: usize, change: Change) -> Check {
        match change {
            Change::GoOn => {}
            Change::Rewind => self.streams.iter_mut().for_each(|stream| stream.rewinds(half)),
        }
        self.pumps(half)
    }

    /// Sends what the streams of a half have to send, on the ways that carry them. Any of them may be the first to ask.
    pub(super) fn pumps(&mut self, half: usize) -> Check {
        let mut ways: Vec<Way> = self.halves[half].ways.iter().collect();
        if ways.len() > 1 {
            let first = self.luck.index(ways.len());
            ways.rotate_left(first);
        }
        for way in ways {
            self.fills(half, way)?;
        }
        Ok(())
    }

    /// Gives a way what it may take. One that was replaced asks as well, until it ends.
    fn fills(&mut self, half: usize, way: Way) -> Check {
        let kind = BULK + usize::from(way.stripe);
        let carriers = self.halves[half].tracks[kind]
            .carriers
            .range(..=way.generation)
            .map(|(generation, carrier)| (Way { stripe: way.stripe, generation: *generation }, *carrier));
        for (way, carrier) in carriers.collect::<Vec<_>>() {
            let load = self.halves[half].ways.load(way);
            if load != Load::Nothing {
                self.fills_one(half, (way, load), carrier)?;
            }
        }
        Ok(())
    }

    fn fills_one(&mut self, half: usize, (way, load): (Way, Load), carrier: usize) -> Check {
        let end = self.end_of(carrier, half);
        for stream in 0..self.streams.len() {
            if self.streams[stream].from != half && self.streams[stream].to != half {
                continue;
            }
            while self.connections[carrier].ends[end].phase == Phase::Open
                && self.connections[carrier].ends[end].in_flight < IN_FLIGHT
                && let Some(frame) = self.streams[stream].next_frame(half, load)?
            {
                self.tells(|| format!("half {half} on {way:?}: {}", frame.brief()));
                self.connections[carrier].ends[end].in_flight += 1;
                self.sends(carrier, end, frame);
            }
        }
        Ok(())
    }

    /// A stream's writer and reader do something.
    pub(super) fn works(&mut self, stream: usize) -> Check {
        let working = &mut self.streams[stream];
        if working.is_done() {
            return Ok(());
        }
        working.begun = true;
        working.works(&mut self.luck)?;
        if self.luck.chance(self.weather.lies) {
            working.hears_lies(&mut self.luck)?;
        }
        // a liar may have ended it
        if working.is_done() {
            return Ok(());
        }
        let (from, to) = (working.from, working.to);
        self.pumps(from)?;
        self.pumps(to)?;
        let stops = self.luck.chance(10) && !self.judge.is_calm();
        let wait = if stops { self.luck.ms(1_000, 5_000) } else { self.luck.ms(5, 250) };
        self.after(wait, Event::Works { stream });
        Ok(())
    }
}
