//! What the task that owns a link does: performs what its machines say, and tells them what comes.

use crate::id::Generation;
use crate::limits;
use crate::link::{Input, Output, State};
use crate::signal::Route;
use crate::ways::Way;

use super::agenda::{At, Description, Event, Told};
use super::check::Check;
use super::wire::{self, Body, Connection, End, Frame, Phase, Signal};
use super::world::World;
use super::{CONTROL, stripe};

impl World {
    pub(super) fn performs(&mut self, at: At, output: Output) -> Check {
        match output {
            Output::MakeOffer { generation, route } => self.makes(at, Description { generation, route, offer: None }),
            Output::MakeAnswer { generation, route, sdp } => {
                self.makes(at, Description { generation, route, offer: Some(wire::read_sdp(&sdp)) });
            }
            Output::TakeAnswer { generation, offer, sdp } => {
                let offered = self.halves[at.half].tracks[at.kind]
                    .offered
                    .take_if(|(ours, number)| *ours == generation && wire::digest(*number) == offer);
                if let Some((_, ours)) = offered {
                    self.halves[at.half].tracks[at.kind].carriers.insert(generation, ours);
                    self.shakes(ours, wire::read_sdp(&sdp));
                }
            }
            Output::AskOffer { generation } => self.signals(at, generation, Body::PleaseOffer),
            Output::Close { generation, reason } => {
                self.closes(at, generation);
                if reason == "replaced" && self.luck.chance(500) {
                    // the attaching of the new one, which follows, must do as well
                    return Ok(());
                }
                return self.detaches(at, generation);
            }
            Output::Beat { generation } => self.beats(at, generation),
            Output::Changed(state) => return self.changed(at, &state),
        }
        Ok(())
    }

    fn changed(&mut self, at: At, state: &State) -> Check {
        let Some(stripe) = stripe(at.kind) else { return self.control_changed(at.half, state) };
        let ways = &mut self.halves[at.half].ways;
        let change = match state {
            State::Up { generation } => ways.attach(Way { stripe, generation: *generation }),
            State::Suspect { .. } => ways.suspect(stripe),
            State::Idle | State::Connecting | State::Lost => return Ok(()),
        };
        self.heeds(at.half, change)
    }

    fn control_changed(&mut self, half: usize, state: &State) -> Check {
        match state {
            State::Lost => self.resets_streams(half),
            // after a goodbye, where the real link's task ends, the half stays for a peer that comes back
            State::Suspect { .. } | State::Idle => {}
            State::Connecting | State::Up { .. } => return Ok(()),
        }
        // the node hears of it when the link's task has time
        self.after(std::time::Duration::ZERO, Event::Down { half });
        Ok(())
    }

    fn detaches(&mut self, at: At, generation: Generation) -> Check {
        let Some(stripe) = stripe(at.kind) else { return Ok(()) };
        let change = self.halves[at.half].ways.detach(Way { stripe, generation });
        self.heeds(at.half, change)
    }

    fn makes(&mut self, at: At, description: Description) {
        self.halves[at.half].tracks[at.kind].making.insert(description.generation);
        let slow = self.luck.chance(self.weather.making_slow);
        let wait = if slow { self.luck.ms(500, 6_000) } else { self.luck.ms(1, 30) };
        self.after(wait, Event::Made { at, description });
    }

    /// A description is there; nobody may want it any more.
    pub(super) fn made(&mut self, at: At, description: Description) -> Check {
        let now = self.now;
        let Description { generation, route, offer } = description;
        if !self.halves[at.half].tracks[at.kind].making.remove(&generation) || !self.halves[at.half].alive {
            return Ok(());
        }
        // a relayed connection is made at the signaling server
        if route == Route::Relayed && self.is_signaling_away() {
            return self.steps(at, Some(Input::NoRelay { generation }));
        }
        if self.luck.chance(self.weather.making_fails) {
            return self.steps(at, Some(Input::Broken { generation, reason: "could not be made".to_owned() }));
        }
        match offer {
            None => {
                let ends = [End::new(at.half, Phase::Made, now), End::new(at.half, Phase::Absent, now)];
                let number = self.connects((at.kind, route), generation, ends);
                self.halves[at.half].tracks[at.kind].offered = Some((generation, number));
                self.signals(at, generation, Body::Offer { route, sdp: wire::sdp(number) });
            }
            Some(offer) => {
                let number = self.answers(at, generation, offer);
                self.halves[at.half].tracks[at.kind].carriers.insert(generation, number);
                let body = Body::Answer { offer: wire::digest(offer), sdp: wire::sdp(number) };
                self.signals(at, generation, body);
            }
        }
        Ok(())
    }

    /// The answering end; of a connection of its own when another answered the offer before, which never opens.
    fn answers(&mut self, at: At, generation: Generation, offer: usize) -> usize {
        let end = End::new(at.half, Phase::Made, self.now);
        if self.connections[offer].ends[1].phase == Phase::Absent {
            self.connections[offer].ends[1] = end;
            return offer;
        }
        let ends = [End::new(at.half, Phase::Absent, self.now), end];
        self.connects((at.kind, self.connections[offer].route), generation, ends)
    }

    fn connects(&mut self, (kind, route): (usize, Route), generation: Generation, ends: [End; 2]) -> usize {
        let slow = if self.luck.chance(300) { 3 } else { 1 };
        let latency_ms = slow * (1 + self.luck.below(self.weather.latency_ms));
        self.connections.push(Connection { kind, route, generation, latency_ms, opened_at: None, ends });
        self.connections.len() - 1
    }

    /// In band when the control connection is up, else through signaling, else through other peers.
    fn signals(&mut self, at: At, generation: Generation, body: Body) {
        let half = &self.halves[at.half];
        let signal = Signal { from: half.me, to: half.peer, kind: at.kind, generation, body };
        if self.sends_in_band(at.half, Frame::Signal(signal.clone())) {
            return;
        }
        if self.is_signaling_away() {
            return self.has_forwarded(at.half, &signal);
        }
        let times = if self.luck.chance(self.weather.signal_twice) { 2 } else { 1 };
        for _ in 0..times {
            if self.luck.chance(self.weather.signal_lost) {
                self.tells(|| format!("half {}: signal lost: {signal:?}", at.half));
                continue;
            }
            let slow = self.luck.chance(self.weather.signal_slow);
            let wait = if slow { self.luck.ms(100, 6_000) } else { self.luck.ms(1, 60) };
            self.after(wait, Event::Signal(signal.clone()));
        }
    }

    /// True when the control connection is up.
    fn sends_in_band(&mut self, half: usize, frame: Frame) -> bool {
        let control = &self.halves[half].tracks[CONTROL];
        let State::Up { generation } = control.machine.state() else { return false };
        let Some(carrier) = control.carriers.get(generation).copied() else { return false };
        let end = self.end_of(carrier, half);
        self.sends(carrier, end, frame);
        true
    }

    /// Asks peers whose links are up to pass a signal on.
    fn has_forwarded(&mut self, half: usize, signal: &Signal) {
        let (node, peer) = (self.halves[half].node, self.halves[half].peer);
        let mut asked = 0;
        for near in 0..self.halves.len() {
            let held = &self.halves[near];
            if held.alive && held.node == node && held.peer != peer && asked < limits::FORWARDERS {
                asked += usize::from(self.sends_in_band(near, Frame::Forward(signal.clone())));
            }
        }
    }

    /// A peer cannot reach another: we can, or not.
    pub(super) fn passes_on(&mut self, at: At, signal: Signal) {
        let node = self.halves[at.half].node;
        let link = self.halves.iter().position(|half| half.alive && half.node == node && half.peer == signal.to);
        if let Some(link) = link {
            self.sends_in_band(link, Frame::Forwarded(signal));
        }
    }

    /// A signal came.
    pub(super) fn signaled(&mut self, signal: Signal) -> Check {
        let node = self.nodes.iter().position(|node| node.alive && node.id == signal.to);
        let other = self.nodes.iter().position(|node| node.id == signal.from);
        let (Some(node), Some(other)) = (node, other) else { return Ok(()) };
        let half = match self.half_of(node, other) {
            Some(half) => half,
            None if self.nodes[node].knows[other] == Some(signal.from) => self.begins_half(node, other),
            None => return Ok(()),
        };
        let Signal { kind, generation, body, .. } = signal;
        let input = match body {
            Body::Offer { route, sdp } => Input::Offer { generation, route, sdp },
            Body::Answer { offer, sdp } => Input::Answer { generation, offer, sdp },
            Body::PleaseOffer => Input::PleaseOffer { generation },
        };
        self.steps(At { half, kind }, Some(input))
    }

    fn closes(&mut self, at: At, generation: Generation) {
        let track = &mut self.halves[at.half].tracks[at.kind];
        track.making.remove(&generation);
        let offered = track.offered.take_if(|(ours, _)| *ours == generation).map(|(_, number)| number);
        let carrier = track.carriers.get(&generation).copied();
        for number in offered.into_iter().chain(carrier) {
            let end = self.end_of(number, at.half);
            // its task is told to stop, and reads on until it is
            let wait = self.luck.ms(0, self.weather.queue_ms);
            self.after(wait, Event::Fails { connection: number, end });
        }
    }

    fn beats(&mut self, at: At, generation: Generation) {
        if let Some(carrier) = self.halves[at.half].tracks[at.kind].carriers.get(&generation).copied() {
            let end = self.end_of(carrier, at.half);
            self.sends(carrier, end, Frame::Beat);
        }
    }

    /// A connection has something to tell: it waits in the queue of the link's task.
    pub(super) fn tell(&mut self, at: At, generation: Generation, told: Told) {
        let wait = self.luck.ms(0, self.weather.queue_ms);
        let half = &mut self.halves[at.half];
        half.told_at = half.told_at.max(self.now + wait);
        let due = half.told_at;
        self.at(due, Event::Told { at, generation, told });
    }

    pub(super) fn told(&mut self, at: At, generation: Generation, told: Told) -> Check {
        if !self.halves[at.half].alive {
            return Ok(());
        }
        match told {
            Told::Open => {
                self.steps(at, Some(Input::Open { generation }))?;
                if *self.halves[at.half].tracks[at.kind].machine.state() != (State::Up { generation }) {
                    return Ok(());
                }
                self.beats(at, generation);
                Ok(())
            }
            Told::Answered => self.steps(at, Some(Input::Heard { generation })),
            Told::Ended => {
                self.detaches(at, generation)?;
                self.halves[at.half].tracks[at.kind].carriers.remove(&generation);
                self.steps(at, Some(Input::Broken { generation, reason: "it ended".to_owned() }))
            }
            Told::Bye => {
                let half = &self.halves[at.half];
                let (node, other) = (half.node, half.other);
                let wait = self.luck.ms(10, 1_000);
                self.after(wait, Event::Wants { node, other });
                self.judge.moved(self.now + wait);
                self.resets_streams(at.half);
                self.drops(at.half)
            }
        }
    }

    pub(super) fn drops(&mut self, half: usize) -> Check {
        for kind in 0..self.kinds {
            self.steps(At { half, kind }, Some(Input::Drop))?;
        }
        Ok(())
    }

    pub(super) fn resets_streams(&mut self, half: usize) {
        for stream in self.streams.iter_mut().filter(|stream| stream.from == half || stream.to == half) {
            stream.reset = true;
        }
    }
}
