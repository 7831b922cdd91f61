//! One kind of connection between two peers, decided purely: who offers, when a connection is suspect, what replaces it.
//!
//! A link outlives the connections (*generations*) that carry it, and there is one recovery path: a generation that is
//! silent for [`limits::SUSPECT_AFTER`] or that broke is replaced by the next. The peer with the lower id offers; the other
//! asks it to. At most one attempt is in flight, and it has a deadline. Signals of a generation that is over are dropped by
//! number. While an attempt runs, the old generation stays in use if it still works, so a false suspicion costs nothing.
//! Retries wait longer each time until a connection has lasted: one that opens and breaks at once counts as a failure.
//!
//! Attempts take turns between the two routes, beginning with the one that worked last. A relayed connection is better than
//! none and worse than a direct one, so while it is used a direct one is tried every [`limits::UPGRADE_EVERY`].

use std::time::Instant;

use crate::backoff::Backoff;
use crate::id::{Digest, Generation, PeerId};
use crate::limits;
use crate::seed::Seed;
use crate::signal::Route;

/// No honest link gets so far; above it the numbers could run out.
const HIGHEST_ASKED: Generation = Generation(u64::MAX / 2);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Somebody here wants the connection, from now on.
    Want,
    /// Nobody here wants it any more; everything is closed.
    Drop,
    /// A signal came, its signature checked.
    Offer {
        generation: Generation,
        route: Route,
        sdp: String,
    },
    Answer {
        generation: Generation,
        offer: Digest,
        sdp: String,
    },
    PleaseOffer {
        generation: Generation,
    },
    /// Both hellos of this generation are verified.
    Open {
        generation: Generation,
    },
    /// The peer answered a beat on this generation, so both directions work.
    Heard {
        generation: Generation,
    },
    /// This generation failed or closed.
    Broken {
        generation: Generation,
        reason: String,
    },
    /// The attempt is relayed, and no signaling server relays to the peer: nothing was tried.
    NoRelay {
        generation: Generation,
    },
    /// Signaling can carry signals again, so waiting for the next attempt is pointless.
    SignalingBack,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Make a connection and send its offer.
    MakeOffer { generation: Generation, route: Route },
    /// Make a connection from this offer and send the answer.
    MakeAnswer { generation: Generation, route: Route, sdp: String },
    /// Give this answer to the connection of that generation.
    TakeAnswer { generation: Generation, offer: Digest, sdp: String },
    /// Ask the peer to offer above this generation.
    AskOffer { generation: Generation },
    /// Close the connection of this generation.
    Close { generation: Generation, reason: String },
    /// Send a sign of life.
    Beat { generation: Generation },
    /// The link changed.
    Changed(State),
}

/// What a link is, for those who use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody wants it and nothing carries it.
    Idle,
    /// Wanted, not there yet.
    Connecting,
    Up {
        generation: Generation,
    },
    /// The last generation is silent or broken; another is on its way.
    Suspect {
        reason: String,
    },
    /// No working connection for [`limits::LINK_LOST`]. Attempts go on while it is wanted.
    Lost,
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    offers: bool,
    wanted: bool,
    highest: Generation,
    live: Option<Live>,
    attempt: Attempt,
    /// What the next attempt tries: what worked last, or the other one when that came to nothing.
    next_route: Route,
    /// Since when nothing works, if anything ever did.
    broken_since: Option<Instant>,
    state: State,
    backoff: Backoff,
    outputs: std::collections::VecDeque<Output>,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    generation: Generation,
    opened_at: Instant,
    heard_at: Instant,
    beat_at: Instant,
    /// When a better route is tried.
    upgrade_at: Option<Instant>,
}

impl Live {
    /// It was heard after the time that silence would have taken to show. Before that it may be one of a row that open and break.
    fn is_proven(&self) -> bool {
        self.heard_at >= self.opened_at + limits::SUSPECT_AFTER
    }
}

/// The one attempt to get a new generation.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    None,
    /// In flight until the deadline.
    Running {
        generation: Generation,
        route: Route,
        deadline: Instant,
    },
    /// Asked the peer to offer; asks again then.
    Asked {
        again_at: Instant,
    },
    /// The next one begins then.
    Waiting {
        until: Instant,
    },
}

impl Machine {
    /// The connection between `me` and `peer`. The seed is for the jitter of retries.
    pub fn new(me: &PeerId, peer: &PeerId, seed: Seed) -> Self {
        Self {
            offers: me < peer,
            wanted: false,
            highest: Generation(0),
            live: None,
            attempt: Attempt::None,
            next_route: Route::Direct,
            broken_since: None,
            state: State::Idle,
            backoff: Backoff::of_links(seed),
            outputs: std::collections::VecDeque::new(),
        }
    }

    /// What the link is now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether this generation is being attempted. A description that was made for another one is of no use any more.
    pub fn attempts(&self, generation: Generation) -> bool {
        self.running() == Some(generation)
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Machine::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let attempt = match &self.attempt {
            Attempt::None => None,
            Attempt::Running { deadline, .. } => Some(*deadline),
            Attempt::Asked { again_at } => Some(*again_at),
            Attempt::Waiting { until } => Some(*until),
        };
        let live = self.live.as_ref().map(|live| {
            let suspect_at = live.heard_at + limits::SUSPECT_AFTER;
            let upgrade_at = live.upgrade_at.filter(|_| self.attempt == Attempt::None);
            let soonest = suspect_at.min(upgrade_at.unwrap_or(suspect_at));
            if matches!(self.state, State::Up { .. }) { live.beat_at.min(soonest) } else { live.beat_at }
        });
        let lost = self.broken_since.filter(|_| self.state != State::Lost).map(|since| since + limits::LINK_LOST);
        [attempt, live, lost].into_iter().flatten().min()
    }

    /// Something happened.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Want => self.want(now),
            Input::Drop => self.drop_all(),
            Input::Offer { generation, route, sdp } => self.offered(generation, (route, sdp), now),
            Input::Answer { generation, offer, sdp } => {
                if self.running() == Some(generation) {
                    self.outputs.push_back(Output::TakeAnswer { generation, offer, sdp });
                }
            }
            Input::PleaseOffer { generation } => self.asked(generation, now),
            Input::Open { generation } => self.opened(generation, now),
            Input::Heard { generation } => self.heard(generation, now),
            Input::Broken { generation, reason } => self.broke(generation, reason, now),
            Input::NoRelay { generation } => self.without_relay(generation, now),
            Input::SignalingBack => {
                if matches!(self.attempt, Attempt::Waiting { .. } | Attempt::Asked { .. }) {
                    self.begin(now);
                }
            }
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.check_live(now);
        match self.attempt {
            Attempt::Running { generation, deadline, .. } if deadline <= now => {
                self.broke(generation, format!("no connection within {:?}", limits::HANDSHAKE_DEADLINE), now);
            }
            Attempt::Asked { again_at: at } | Attempt::Waiting { until: at } if at <= now => self.begin(now),
            _ => {}
        }
        if self.state != State::Lost && self.broken_since.is_some_and(|since| since + limits::LINK_LOST <= now) {
            self.change(State::Lost);
        }
        self.upgrade(now);
    }

    fn want(&mut self, now: Instant) {
        self.wanted = true;
        if self.live.is_none() && self.attempt == Attempt::None {
            self.change(State::Connecting);
            self.begin(now);
        }
    }

    fn drop_all(&mut self) {
        self.wanted = false;
        let running = self.running();
        for generation in self.live.take().map(|live| live.generation).into_iter().chain(running) {
            self.outputs.push_back(Output::Close { generation, reason: "not wanted any more".to_owned() });
        }
        self.attempt = Attempt::None;
        self.broken_since = None;
        self.change(State::Idle);
    }

    /// Begins the next attempt: offers, or asks the peer to.
    fn begin(&mut self, now: Instant) {
        if self.offers {
            self.offer(self.next_route, now);
        } else {
            self.attempt = Attempt::Asked { again_at: now + limits::RETRY_LONGEST };
            self.outputs.push_back(Output::AskOffer { generation: self.highest });
        }
    }

    fn offer(&mut self, route: Route, now: Instant) {
        self.highest = self.highest.next();
        let generation = self.highest;
        self.attempt = Attempt::Running { generation, route, deadline: now + limits::HANDSHAKE_DEADLINE };
        self.outputs.push_back(Output::MakeOffer { generation, route });
    }

    fn offered(&mut self, generation: Generation, (route, sdp): (Route, String), now: Instant) {
        if self.offers || generation <= self.highest {
            return;
        }
        if let Some(old) = self.running() {
            self.outputs.push_back(Output::Close { generation: old, reason: "a newer offer came".to_owned() });
        }
        self.wanted = true;
        self.highest = generation;
        self.attempt = Attempt::Running { generation, route, deadline: now + limits::HANDSHAKE_DEADLINE };
        if self.live.is_none() && self.broken_since.is_none() {
            self.change(State::Connecting);
        }
        self.outputs.push_back(Output::MakeAnswer { generation, route, sdp });
    }

    fn asked(&mut self, generation: Generation, now: Instant) {
        if !self.offers || generation > HIGHEST_ASKED || self.running().is_some_and(|running| running > generation) {
            return;
        }
        // an ask that crossed with the opening of a newer generation is stale
        if self.live.as_ref().is_some_and(|live| live.generation > generation) {
            return;
        }
        // the peer has seen that generation and asks for another: ours will not be answered, or not any more
        if let Some(doomed) = self.running() {
            self.fail(doomed, "the peer gave it up".to_owned());
        }
        self.wanted = true;
        self.highest = self.highest.max(generation);
        if self.live.is_none() && self.broken_since.is_none() {
            self.change(State::Connecting);
        }
        self.begin(now);
    }

    fn opened(&mut self, generation: Generation, now: Instant) {
        let Attempt::Running { generation: running, route, .. } = self.attempt else { return };
        if running != generation {
            return;
        }
        self.attempt = Attempt::None;
        self.broken_since = None;
        self.next_route = route;
        if let Some(old) = self.live.take() {
            self.outputs.push_back(Output::Close { generation: old.generation, reason: "replaced".to_owned() });
        }
        let upgrade_at = (self.offers && route == Route::Relayed).then_some(now + limits::UPGRADE_EVERY);
        let beat_at = now + limits::HEARTBEAT;
        self.live = Some(Live { generation, opened_at: now, heard_at: now, beat_at, upgrade_at });
        self.change(State::Up { generation });
    }

    fn heard(&mut self, generation: Generation, now: Instant) {
        let Some(live) = self.live.as_mut().filter(|live| live.generation == generation) else { return };
        live.heard_at = now;
        if live.is_proven() {
            self.backoff.reset();
        }
        if matches!(self.state, State::Suspect { .. } | State::Lost) {
            // the old generation came back before another was there
            self.broken_since = None;
            if self.running().is_none() {
                self.attempt = Attempt::None;
            }
            self.change(State::Up { generation });
        }
    }

    fn broke(&mut self, generation: Generation, reason: String, now: Instant) {
        if self.running() == Some(generation) {
            self.fail(generation, reason);
            self.retry(now);
        } else if let Some(live) = self.live.take_if(|live| live.generation == generation) {
            self.outputs.push_back(Output::Close { generation, reason: reason.clone() });
            self.suspect(live, reason, now);
        }
    }

    /// The direct way's turn comes at once: waiting gives a path time to come back, and none was tried.
    fn without_relay(&mut self, generation: Generation, now: Instant) {
        let relayed = matches!(self.attempt, Attempt::Running { route: Route::Relayed, .. });
        if self.running() != Some(generation) || !relayed {
            return;
        }
        self.fail(generation, "no signaling server relays to the peer".to_owned());
        if self.is_missed() {
            self.begin(now);
        }
    }

    /// The running attempt came to nothing.
    fn fail(&mut self, generation: Generation, reason: String) {
        self.outputs.push_back(Output::Close { generation, reason });
        // a trial of the direct way beside a relayed one that works says nothing about the latter
        if let Attempt::Running { route, .. } = std::mem::replace(&mut self.attempt, Attempt::None)
            && !matches!(self.state, State::Up { .. })
        {
            self.next_route = route.other();
        }
    }

    fn check_live(&mut self, now: Instant) {
        let Some(live) = self.live.as_mut() else { return };
        let before = *live;
        if live.beat_at <= now {
            live.beat_at = now + limits::HEARTBEAT;
            self.outputs.push_back(Output::Beat { generation: before.generation });
        }
        if before.heard_at + limits::SUSPECT_AFTER <= now && matches!(self.state, State::Up { .. }) {
            self.suspect(before, format!("silent for {:?}", limits::SUSPECT_AFTER), now);
        }
    }

    /// Tries the direct way beside a relayed one, when that is due and nothing else is under way.
    fn upgrade(&mut self, now: Instant) {
        let free = self.attempt == Attempt::None && matches!(self.state, State::Up { .. });
        let due = |live: &&mut Live| free && live.upgrade_at.is_some_and(|at| at <= now);
        if let Some(live) = self.live.as_mut().filter(due) {
            live.upgrade_at = Some(now + limits::UPGRADE_EVERY);
            self.offer(Route::Direct, now);
        }
    }

    fn suspect(&mut self, live: Live, reason: String, now: Instant) {
        self.broken_since.get_or_insert(now);
        // a lost link is not found again by breaking
        if self.state != State::Lost {
            self.change(State::Suspect { reason });
        }
        if self.attempt == Attempt::None && self.wanted {
            if live.is_proven() { self.begin(now) } else { self.retry(now) }
        }
    }

    fn retry(&mut self, now: Instant) {
        if self.is_missed() {
            self.attempt = Attempt::Waiting { until: now + self.backoff.after_failure() };
        }
    }

    fn is_missed(&self) -> bool {
        self.wanted && !matches!(self.state, State::Up { .. })
    }

    fn running(&self) -> Option<Generation> {
        match self.attempt {
            Attempt::Running { generation, .. } => Some(generation),
            Attempt::None | Attempt::Asked { .. } | Attempt::Waiting { .. } => None,
        }
    }

    fn change(&mut self, state: State) {
        if self.state != state {
            self.state = state.clone();
            self.outputs.push_back(Output::Changed(state));
        }
    }
}

#[cfg(test)]
mod tests;
