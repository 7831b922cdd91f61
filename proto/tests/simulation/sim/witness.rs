//! Watches one machine from outside: what goes in, what comes out, and whether the one follows from the other.
//!
//! A witness knows the contract of [`Machine`] and nothing of its inside. It keeps its own account of the connections that
//! the machine had made and closed, and of the times at which something is due.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::id::Generation;
use crate::limits;
use crate::link::{Input, Machine, Output, State};
use crate::signal::Route;

use super::check::{Check, hold};

/// Attempts within [`STORM_TIME`] that no sequence of faults may exceed.
const STORM: usize = 60;
const STORM_TIME: Duration = Duration::from_secs(10);

/// No honest peer has seen so many generations; there must be room above what is asked.
const BOAST: Generation = Generation(u64::MAX / 2);

/// Why the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Time,
    Want,
    Drop,
    Offer(Generation, Route),
    Answer(Generation),
    Ask(Generation),
    Open(Generation),
    Heard(Generation),
    Broken(Generation),
    NoRelay(Generation),
    SignalingBack,
}

impl From<&Input> for Cause {
    fn from(input: &Input) -> Self {
        match input {
            Input::Want => Self::Want,
            Input::Drop => Self::Drop,
            Input::Offer { generation, route, .. } => Self::Offer(*generation, *route),
            Input::Answer { generation, .. } => Self::Answer(*generation),
            Input::PleaseOffer { generation } => Self::Ask(*generation),
            Input::Open { generation } => Self::Open(*generation),
            Input::Heard { generation } => Self::Heard(*generation),
            Input::Broken { generation, .. } => Self::Broken(*generation),
            Input::NoRelay { generation } => Self::NoRelay(*generation),
            Input::SignalingBack => Self::SignalingBack,
        }
    }
}

/// A connection in use.
#[derive(Clone, Copy, Debug)]
struct Open {
    generation: Generation,
    route: Route,
    since: Instant,
    /// When the direct way was tried last.
    tried: Instant,
    life: Instant,
    beat: Instant,
    /// It was heard after the time that silence would have taken to show.
    proven: bool,
}

/// A connection that is being made.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    generation: Generation,
    route: Route,
    began: Instant,
}

/// What is under way without a connection being made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pending {
    Nothing,
    Asked(Instant),
    /// After so many failures in a row, the last one then.
    Waiting(Instant, u32),
}

/// The account of one machine.
#[derive(Debug)]
pub struct Witness {
    offers: bool,
    wanted: bool,
    /// The highest generation that was made or asked above.
    seen: Generation,
    /// What the next attempt must try.
    route_due: Route,
    attempt: Option<Attempt>,
    open: Option<Open>,
    pending: Pending,
    failures: u32,
    down_since: Option<Instant>,
    state: State,
    begun: VecDeque<Instant>,
    cause: Cause,
    answers_taken: usize,
    /// The attempt and the connection when this step began.
    attempt_before: Option<Generation>,
    open_before: Option<Generation>,
}

impl Witness {
    pub fn new(offers: super::Offers) -> Self {
        Self {
            offers: offers == super::Offers::We,
            wanted: false,
            seen: Generation(0),
            route_due: Route::Direct,
            attempt: None,
            open: None,
            pending: Pending::Nothing,
            failures: 0,
            down_since: None,
            state: State::Idle,
            begun: VecDeque::new(),
            cause: Cause::Drop,
            answers_taken: 0,
            attempt_before: None,
            open_before: None,
        }
    }

    /// The machine is about to run.
    pub fn begins(&mut self, cause: Cause, now: Instant) {
        self.cause = cause;
        self.answers_taken = 0;
        self.attempt_before = self.attempt.map(|attempt| attempt.generation);
        self.open_before = self.open.map(|open| open.generation);
        match cause {
            Cause::Want => self.wanted = true,
            Cause::Drop => {
                self.wanted = false;
                self.pending = Pending::Nothing;
                self.down_since = None;
            }
            Cause::Heard(generation) => {
                if let Some(open) = self.open.as_mut().filter(|open| open.generation == generation) {
                    open.life = now;
                    if open.since + limits::SUSPECT_AFTER <= now {
                        open.proven = true;
                        self.failures = 0;
                    }
                }
            }
            _ => {}
        }
    }

    /// The machine says that.
    pub fn said(&mut self, output: &Output, now: Instant) -> Check {
        match output {
            Output::MakeOffer { generation, route } => {
                hold!(self.offers, "the lower id offers", "an offer of the higher id");
                if !self.upgrades(*route, now) {
                    self.takes_turns(*route)?;
                    self.begun(now)?;
                }
                self.made((*generation, *route), now)
            }
            Output::MakeAnswer { generation, route, .. } => {
                hold!(!self.offers, "the lower id offers", "an answer of the lower id");
                let fits = self.cause == Cause::Offer(*generation, *route);
                hold!(fits, "answers follow offers", "an answer in {generation} after {:?}", self.cause);
                self.made((*generation, *route), now)
            }
            Output::TakeAnswer { generation, .. } => {
                let fits = self.cause == Cause::Answer(*generation) && self.attempt_before == Some(*generation);
                hold!(fits, "an answer fits its attempt", "{generation} taken after {:?}, {self:?}", self.cause);
                self.answers_taken += 1;
                Ok(())
            }
            Output::AskOffer { generation } => {
                hold!(!self.offers, "the lower id offers", "the lower id asks");
                hold!(self.attempt.is_none(), "one attempt at a time", "asks during {:?}", self.attempt);
                hold!(*generation == self.seen, "an ask tells what was seen", "{generation}, seen {}", self.seen);
                self.begun(now)?;
                self.pending = Pending::Asked(now);
                Ok(())
            }
            Output::Close { generation, .. } => self.closed(*generation, now),
            Output::Beat { generation } => self.beat(*generation, now),
            Output::Changed(state) => self.changed(state, now),
        }
    }

    /// An attempt of our own begins: was it time for it?
    fn begun(&mut self, now: Instant) -> Check {
        let up = matches!(self.state, State::Up { .. });
        let asked = matches!(self.cause, Cause::Ask(_));
        hold!(!up || asked, "a link that works is left alone", "an attempt while {:?}", self.state);
        hold!(self.wanted || asked, "nothing is made that nobody wants", "an attempt after {:?}", self.cause);
        if self.cause == Cause::Time {
            match self.pending {
                Pending::Waiting(since, failures) => {
                    let soonest = since + window(failures) / 2;
                    hold!(soonest <= now, "retries wait", "{:?} after failure {failures}", now - since);
                }
                Pending::Asked(since) => {
                    let waited = now - since;
                    hold!(waited >= limits::RETRY_LONGEST, "retries wait", "asked again after {waited:?}");
                }
                Pending::Nothing => {}
            }
        }
        if self.begun.len() == STORM {
            self.begun.pop_front();
        }
        self.begun.push_back(now);
        let storm = self.begun.len() == STORM && self.begun.front().is_some_and(|first| now - *first < STORM_TIME);
        hold!(!storm, "attempts are bounded", "{STORM} attempts within {STORM_TIME:?}");
        Ok(())
    }

    /// A trial of the direct way beside a relayed one that works.
    fn upgrades(&mut self, route: Route, now: Instant) -> bool {
        let up = matches!(self.state, State::Up { .. });
        let Some(open) = self.open.as_mut().filter(|open| up && open.route == Route::Relayed) else { return false };
        let due = route == Route::Direct && self.cause == Cause::Time && open.tried + limits::UPGRADE_EVERY <= now;
        if due {
            open.tried = now;
        }
        due
    }

    /// What worked last is tried first, and what came to nothing not twice in a row.
    fn takes_turns(&self, route: Route) -> Check {
        hold!(route == self.route_due, "routes take turns", "{route:?}, due was {:?}", self.route_due);
        Ok(())
    }

    fn made(&mut self, (generation, route): (Generation, Route), now: Instant) -> Check {
        hold!(self.attempt.is_none(), "one attempt at a time", "{generation} during {:?}", self.attempt);
        hold!(generation > self.seen, "generations rise", "{generation} after {}", self.seen);
        if let Cause::Ask(above) = self.cause {
            hold!(generation > above, "generations rise", "{generation}, asked above {above}");
        }
        if matches!(self.cause, Cause::Ask(_) | Cause::Offer(..)) {
            self.wanted = true;
        }
        self.seen = generation;
        self.attempt = Some(Attempt { generation, route, began: now });
        self.pending = Pending::Nothing;
        Ok(())
    }

    fn closed(&mut self, generation: Generation, now: Instant) -> Check {
        let cause = self.cause;
        if let Some(Attempt { began, route, .. }) = self.attempt.filter(|running| running.generation == generation) {
            let late = cause == Cause::Time && began + limits::HANDSHAKE_DEADLINE <= now;
            let doomed = matches!(cause, Cause::Ask(seen) if seen >= generation)
                || matches!(cause, Cause::Offer(newer, _) if newer > generation);
            let impossible = cause == Cause::NoRelay(generation) && route == Route::Relayed;
            let ends = late || doomed || impossible || cause == Cause::Drop || cause == Cause::Broken(generation);
            hold!(ends, "a close has a cause", "attempt {generation} closed after {cause:?}");
            self.attempt = None;
            if !matches!(self.state, State::Up { .. }) && cause != Cause::Drop && !matches!(cause, Cause::Offer(..)) {
                self.route_due = route.other();
            }
            // nothing was tried where nobody relays, so the other way's turn comes without a wait
            if !doomed && !impossible {
                self.failed(now);
            }
            return Ok(());
        }
        let open = self.open.filter(|open| open.generation == generation);
        let Some(open) = open else {
            hold!(false, "what is closed was open", "{generation} closed after {cause:?}, {self:?}");
            return Ok(());
        };
        let replaced = matches!(cause, Cause::Open(newer) if newer > generation);
        let ends = replaced || cause == Cause::Drop || cause == Cause::Broken(generation);
        hold!(ends, "a close has a cause", "connection {generation} closed after {cause:?}");
        self.open = None;
        if cause == Cause::Broken(generation) && !open.proven {
            self.failed(now);
        }
        Ok(())
    }

    /// One more failure in a row; the next attempt waits, unless something is under way.
    fn failed(&mut self, now: Instant) {
        let up = self.open.is_some() && matches!(self.state, State::Up { .. });
        if self.wanted && !up && self.attempt.is_none() && self.pending == Pending::Nothing {
            self.pending = Pending::Waiting(now, self.failures);
            self.failures += 1;
        }
    }

    fn beat(&mut self, generation: Generation, now: Instant) -> Check {
        let open = self.open.as_mut().filter(|open| open.generation == generation);
        let Some(open) = open else {
            hold!(false, "beats go out on what is open", "a beat in {generation}");
            return Ok(());
        };
        hold!(now - open.beat >= limits::HEARTBEAT, "beats keep their time", "{:?} after the last", now - open.beat);
        open.beat = now;
        Ok(())
    }

    fn changed(&mut self, state: &State, now: Instant) -> Check {
        hold!(self.state != *state, "a change changes something", "{state:?} again");
        let cause = self.cause;
        match state {
            State::Idle => hold!(cause == Cause::Drop, "states follow events", "idle after {cause:?}"),
            State::Connecting => {
                hold!(self.state == State::Idle, "states follow events", "connecting from {:?}", self.state);
            }
            State::Up { generation } => self.came_up(*generation, now)?,
            State::Suspect { .. } => {
                let before = matches!(self.state, State::Up { .. } | State::Suspect { .. });
                hold!(before, "states follow events", "suspect from {:?}", self.state);
                let silent = |open: Open| cause == Cause::Time && open.life + limits::SUSPECT_AFTER <= now;
                let broken = self.open_before.is_some_and(|open| cause == Cause::Broken(open));
                let silent = self.open.is_some_and(silent);
                hold!(broken || silent, "suspicion has a cause", "after {cause:?}, {:?}", self.open);
                self.down_since.get_or_insert(now);
                if silent && self.open.is_some_and(|open| !open.proven) {
                    self.state = state.clone();
                    self.failed(now);
                }
            }
            State::Lost => {
                let long = self.down_since.is_some_and(|since| since + limits::LINK_LOST <= now);
                hold!(long, "lost after its time", "down since {:?}", self.down_since.map(|since| now - since));
            }
        }
        self.state = state.clone();
        Ok(())
    }

    fn came_up(&mut self, generation: Generation, now: Instant) -> Check {
        let opened = self.cause == Cause::Open(generation) && self.attempt_before == Some(generation);
        let heard = self.cause == Cause::Heard(generation) && self.open_before == Some(generation);
        hold!(opened || heard, "up is what opened", "{generation} after {:?}, {self:?}", self.cause);
        if opened {
            hold!(self.open.is_none(), "nothing stays open", "{:?} beside {generation}", self.open);
            let route = self.attempt.take().map_or(Route::Direct, |attempt| attempt.route);
            self.route_due = route;
            self.open = Some(Open { generation, route, since: now, tried: now, life: now, beat: now, proven: false });
        }
        self.pending = Pending::Nothing;
        self.down_since = None;
        Ok(())
    }

    /// The machine said everything: is it where it should be, and will it wake in time?
    pub fn settles(&self, machine: &Machine, now: Instant) -> Check {
        hold!(*machine.state() == self.state, "changes are told", "{:?}, told {:?}", machine.state(), self.state);
        self.reacted(now)?;
        let up = matches!(self.state, State::Up { .. });
        hold!(!up || self.open.is_some(), "up is what opened", "up without a connection");
        let under_way = self.attempt.is_some() || self.pending != Pending::Nothing;
        hold!(!self.wanted || up || under_way, "what is wanted is under way", "nothing is, {:?}", self.state);
        let wake = machine.poll_timeout();
        if self.cause == Cause::Drop {
            let nothing = self.attempt.is_none() && self.open.is_none() && wake.is_none();
            hold!(nothing, "idle is idle", "{wake:?}, {self:?}");
        }
        if self.cause == Cause::Time {
            hold!(wake.is_none_or(|wake| wake > now), "time is used up", "due again at once, {self:?}");
        }
        for (what, at) in self.due() {
            let passed = self.cause == Cause::Time && at <= now;
            hold!(!passed, "nothing is overdue", "{what} was due {:?} ago", now - at);
            hold!(wake.is_some_and(|wake| wake <= at), "it wakes in time", "{what} will be late: {wake:?}");
        }
        Ok(())
    }

    /// Whether what happened had the effect that it must have.
    fn reacted(&self, now: Instant) -> Check {
        let attempt = self.attempt.map(|attempt| attempt.generation);
        match self.cause {
            Cause::Offer(generation, _) if !self.offers && attempt != Some(generation) => {
                let stale = generation <= self.seen;
                hold!(stale, "a new offer is answered", "{generation} is not, seen {}", self.seen);
            }
            Cause::Answer(generation) if self.attempt_before == Some(generation) => {
                hold!(self.answers_taken == 1, "an answer fits its attempt", "{generation} was not taken");
            }
            Cause::Ask(above) if self.offers && above < BOAST => {
                let stale = self.attempt_before.max(self.open_before).is_some_and(|newer| newer > above);
                hold!(stale || attempt.is_some_and(|attempt| attempt > above), "an ask is heeded", "{self:?}");
            }
            Cause::Open(generation) if self.attempt_before == Some(generation) => {
                let up = self.state == State::Up { generation };
                hold!(up, "up is what opened", "{generation} opened, {:?}", self.state);
            }
            Cause::Heard(generation) if self.open_before == Some(generation) => {
                let up = self.state == State::Up { generation };
                hold!(up, "an answered beat is life", "{generation} was heard, {:?}", self.state);
            }
            Cause::SignalingBack => {
                let waits = matches!(self.pending, Pending::Waiting(..));
                let asks = matches!(self.pending, Pending::Asked(at) if at < now);
                hold!(!waits && !asks, "nobody waits when signaling is back", "{:?}", self.pending);
            }
            _ => {}
        }
        Ok(())
    }

    /// What must have happened by when.
    fn due(&self) -> impl Iterator<Item = (&'static str, Instant)> {
        let up = matches!(self.state, State::Up { .. });
        let beat = self.open.map(|open| ("a beat", open.beat + limits::HEARTBEAT));
        let suspicion = self.open.filter(|_| up).map(|open| ("suspicion", open.life + limits::SUSPECT_AFTER));
        let attempt = self.attempt.map(|attempt| attempt.began + limits::HANDSHAKE_DEADLINE);
        let deadline = attempt.map(|at| ("the end of an attempt", at));
        let relayed = |open: &Open| open.route == Route::Relayed && self.offers && self.attempt.is_none() && up;
        let upgrade = self.open.filter(relayed).map(|open| ("a trial", open.tried + limits::UPGRADE_EVERY));
        let down = self.down_since.filter(|_| self.state != State::Lost);
        let lost = down.map(|since| ("the loss of the link", since + limits::LINK_LOST));
        let pending = match self.pending {
            Pending::Nothing => None,
            Pending::Asked(at) => Some(("another ask", at + limits::RETRY_LONGEST)),
            Pending::Waiting(since, failures) => Some(("another attempt", since + window(failures))),
        };
        [beat, suspicion, deadline, upgrade, lost, pending].into_iter().flatten()
    }

    /// Nothing is being made and nothing waits to be.
    pub fn rests(&self) -> bool {
        self.attempt.is_none() && self.pending == Pending::Nothing
    }
}

/// The longest wait after so many failures before this one.
fn window(failures: u32) -> Duration {
    limits::RETRY_FIRST.saturating_mul(1 << failures.min(16)).min(limits::RETRY_LONGEST)
}
