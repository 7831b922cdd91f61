//! Tests, one after the other: stubs that start anew, watches, the steady state, steps until one fails, `after` in any case, the
//! healing and judging of faults, the steady state again, and the wait for quiet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::event::{Evidence, StubCall, StubError};
use meshproof_proto::id::Name;
use meshproof_proto::order::StepKey;
use meshproof_proto::verdict::Verdict;

use super::ahead::Ahead;
use super::api::{FirstFailure, Output};
use super::blame::Blame;
use super::limits::BEGIN_DEADLINE;
use super::machine::{Phase, Run};
use super::side::{Go, Lane, Lanes};
use super::stepping::{Begun, Running, Spot, Wait};
use super::watching::{Causes, Watch};
use crate::plan::compiled::{Service, Test};
use crate::record::{Ending, Happening};

/// A test that is going on.
#[derive(Debug)]
pub(super) struct Testing {
    /// Of the plan's tests.
    pub(super) index: usize,
    began: Instant,
    /// The test's own timeout; `after` has the bounds of its steps.
    until: Instant,
    stage: Stage,
    /// Steps that have begun and not ended: one, or several side by side.
    pub(super) running: Vec<Running>,
    /// Steps that were ordered and have not had their turn.
    pub(super) ahead: Ahead,
    /// What is looked at all the time.
    pub(super) watches: Vec<Running>,
    /// What was asked of whom last.
    pub(super) causes: Causes,
    /// Whether all of `steps` ended well: only then are faults judged, for only then did they have their chance.
    pub(super) completed: bool,
    /// Since when a person holds it, and before which step.
    pub(super) stands: Option<(Instant, Spot)>,
}

/// Where a test is. `usize` is the next one's index.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Agents have not said yet that their stubs start anew.
    Opening {
        waiting: BTreeSet<Name>,
        until: Instant,
    },
    /// Until everything that is to be watched is watched.
    Watching,
    /// Until the programs of all members have started.
    Launching,
    Steady(usize),
    Steps(usize),
    /// Branch beside branch.
    Side(Lanes),
    /// Until it is known how members went.
    Members,
    After(usize),
    /// Until no fault is left.
    Healing,
    SteadyAfter(usize),
    Settling,
    /// Until every watch has had its last look.
    LastLook,
    /// Until the programs of all members have ended.
    Dismissing,
}

/// What a test needs to know to go on.
#[derive(Clone, Copy)]
struct Circumstances {
    /// Nothing more is asked of the services, but `after`.
    ended_early: bool,
    no_faults: bool,
    /// A person lets no step begin.
    held: bool,
    members: Circle,
}

/// The members of groups.
#[derive(Clone, Copy)]
enum Circle {
    /// There are none.
    None,
    /// Their programs are being started or ended.
    Moving,
    /// It is not known yet how they went.
    Open,
    /// It is known.
    Decided,
}

/// What a test does next.
enum Next {
    /// Something has to happen first.
    Nothing,
    /// It is at another stage now.
    Stage,
    Watch,
    Step(Spot),
    /// A person holds it before this step.
    Stand(Spot),
    /// It was ordered before its turn, and the test goes no further.
    Abandon(Spot),
    /// Side by side with a step that failed.
    CancelRest,
    Launch,
    Judge,
    Heal,
    EndWatches,
    Dismiss,
    Leave,
}

impl Testing {
    fn new(index: usize, now: Instant, (timeout, stubs_at): (Duration, BTreeSet<Name>)) -> Self {
        let stage = Stage::Opening { waiting: stubs_at, until: now + BEGIN_DEADLINE };
        Self {
            index,
            began: now,
            until: now + timeout,
            stage,
            running: Vec::new(),
            ahead: Ahead::default(),
            watches: Vec::new(),
            causes: Causes::default(),
            completed: false,
            stands: None,
        }
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        let test = self.has_timeout().then_some(self.until);
        let opening = match &self.stage {
            Stage::Opening { until, .. } => Some(*until),
            _ => None,
        };
        let watches = self.watches.iter().filter(|watch| watch.wait != Wait::Watch(Watch::Looking));
        let running = self.running.iter().chain(watches).map(|running| running.until);
        running.chain(self.running.iter().filter_map(Running::turn_awaited)).chain(test).chain(opening).min()
    }

    /// Whether the test's own timeout counts now.
    fn has_timeout(&self) -> bool {
        // A person takes the time they take.
        let excused = |running: &Running| matches!(running.wait, Wait::Cancelled | Wait::Person);
        let cancelled = self.running.iter().any(excused);
        matches!(self.stage, Stage::Steady(_) | Stage::Steps(_) | Stage::Side(_) | Stage::Members)
            && !cancelled
            && self.stands.is_none()
    }

    /// The same where steps run side by side; none: they do not.
    fn next_beside(&mut self, now: Circumstances) -> Option<Next> {
        let index = self.index;
        let Stage::Side(lanes) = &mut self.stage else { return None };
        let go = match (!now.ended_early, now.held) {
            (false, _) => Go::NoFurther,
            (true, true) => Go::Held,
            (true, false) => Go::On,
        };
        Some(match lanes.next(&self.running, go) {
            Lane::Step(at) => Next::Step(Spot::Steps(index, at)),
            Lane::Stand(at) => Next::Stand(Spot::Steps(index, at)),
            Lane::Wait => Next::Nothing,
            Lane::Cancel => Next::CancelRest,
            Lane::Over(end) => {
                self.stage = Stage::Steps(end);
                Next::Stage
            }
        })
    }

    /// The same where it is about the members of groups; none: it is not.
    fn next_of_members(&mut self, now: Circumstances) -> Option<Next> {
        let go_on = !now.ended_early;
        let (next, stage) = match (&self.stage, now.members) {
            (_, Circle::None) => return None,
            (Stage::Launching, Circle::Moving) if go_on => return Some(Next::Nothing),
            (Stage::Launching, _) => (Next::Stage, Stage::Steady(0)),
            (Stage::Members, Circle::Decided) if go_on => (Next::Judge, Stage::After(0)),
            (Stage::Members, _) if go_on => return Some(Next::Nothing),
            (Stage::Members, _) => (Next::Stage, Stage::After(0)),
            (Stage::LastLook, _) if self.watches.is_empty() => (Next::Dismiss, Stage::Dismissing),
            (Stage::Dismissing, Circle::Moving) => return Some(Next::Nothing),
            (Stage::Dismissing, _) => return Some(Next::Leave),
            _ => return None,
        };
        if stage == Stage::After(0) {
            self.completed = go_on;
        }
        self.stage = stage;
        Some(next)
    }

    /// Goes to the next stage, or says what the one it is at has to do.
    fn next(&mut self, test: &Test, now: Circumstances) -> Next {
        let index = self.index;
        let go_on = !now.ended_early;
        if let Some(next) = self.next_beside(now) {
            return next;
        }
        if !self.running.is_empty() {
            return Next::Nothing;
        }
        if let Some(next) = self.next_of_members(now) {
            return next;
        }
        let (next, stage) = match self.stage {
            Stage::Opening { ref waiting, .. } if !waiting.is_empty() && go_on => return Next::Nothing,
            Stage::Opening { .. } if go_on => (Next::Watch, Stage::Watching),
            Stage::Opening { .. } => (Next::Stage, Stage::After(0)),
            Stage::Watching if go_on && self.watches.iter().any(|watch| watch.wait != Wait::Watch(Watch::Looking)) => {
                return Next::Nothing;
            }
            Stage::Watching if go_on && !matches!(now.members, Circle::None) => (Next::Launch, Stage::Launching),
            Stage::Watching => (Next::Stage, Stage::Steady(0)),
            Stage::Steady(next) if go_on && next < test.steady.len() => {
                (Next::Step(Spot::Steady(index, next)), Stage::Steady(next + 1))
            }
            Stage::Steady(_) => (Next::Stage, Stage::Steps(0)),
            Stage::Steps(next) if go_on && test.steps.get(next).is_some_and(|step| step.group.is_some()) => {
                (Next::Stage, Stage::Side(Lanes::of(&test.steps, next)))
            }
            Stage::Steps(next) if go_on && next < test.steps.len() => {
                (Next::Step(Spot::Steps(index, next)), Stage::Steps(next + 1))
            }
            Stage::Steps(next) if self.ahead.is_next(next) => {
                (Next::Abandon(Spot::Steps(index, next)), Stage::Steps(next + 1))
            }
            Stage::Steps(_) if go_on && !matches!(now.members, Circle::None) => (Next::Stage, Stage::Members),
            Stage::Steps(_) => {
                self.completed = go_on;
                (Next::Stage, Stage::After(0))
            }
            Stage::After(next) if next < test.after.len() => {
                (Next::Step(Spot::After(index, next)), Stage::After(next + 1))
            }
            Stage::After(_) => (Next::Heal, Stage::Healing),
            Stage::Healing if now.no_faults => (Next::Stage, Stage::SteadyAfter(0)),
            Stage::Healing => return Next::Nothing,
            Stage::SteadyAfter(next) if go_on && next < test.steady_after.len() => {
                (Next::Step(Spot::SteadyAfter(index, next)), Stage::SteadyAfter(next + 1))
            }
            Stage::SteadyAfter(_) if go_on && test.settle.is_some() => {
                (Next::Step(Spot::Settle(index)), Stage::Settling)
            }
            Stage::SteadyAfter(_) | Stage::Settling => (Next::EndWatches, Stage::LastLook),
            Stage::LastLook if self.watches.is_empty() => return Next::Leave,
            Stage::LastLook | Stage::Side(_) | Stage::Launching | Stage::Members | Stage::Dismissing => {
                return Next::Nothing;
            }
        };
        match next {
            // what its agent has been told already takes its turn
            Next::Step(spot) if now.held && !matches!(spot, Spot::Steps(_, at) if self.ahead.is_at_its_agent(at)) => {
                return Next::Stand(spot);
            }
            _ => self.stage = stage,
        }
        next
    }
}

impl Testing {
    /// So long was not the test's own time.
    pub(super) fn excuse(&mut self, paused: Duration) {
        self.until += paused;
    }

    /// Nobody did anything for so long.
    pub(super) fn stood_still(&mut self, lasted: Duration) {
        self.excuse(lasted);
        self.watches.iter_mut().for_each(|watch| watch.until += lasted);
        if let Stage::Opening { until, .. } = &mut self.stage {
            *until += lasted;
        }
    }

    /// So much of what was excused was not needed.
    pub(super) fn excuse_no_more(&mut self, unused: Duration) {
        self.until -= unused;
    }

    pub(super) fn take_running(&mut self, fits: impl Fn(&Running) -> bool) -> Option<Running> {
        let at = self.running.iter().position(fits)?;
        Some(self.running.remove(at))
    }
}

impl Run {
    /// Begins the test with this index, or the end of the run.
    pub(super) fn begin_test(&mut self, index: usize) {
        let Some(test) = self.plan.tests.get(index) else { return self.close() };
        if self.stopped.is_some() {
            return self.close();
        }
        let (id, timeout) = (test.id.clone(), test.timeout);
        // programs that ask which test it is, and stubs
        let is_told = |service: &&Service| service.member.is_some();
        let members = self.plan.services.iter().filter(is_told).map(|service| service.agent().clone());
        let stubs_at: BTreeSet<Name> = self.plan.stubs.iter().map(|stub| stub.at.clone()).chain(members).collect();
        self.scope.forget_saved();
        self.measured = Default::default();
        if index > 0 {
            self.sync_anew();
        }
        self.phase = Phase::Testing(Box::new(Testing::new(index, self.now, (timeout, stubs_at.clone()))));
        self.record(Happening::TestBegan { test: id.clone() });
        for agent in stubs_at {
            self.push(Output::BeginTest { agent, test: id.clone() });
        }
    }

    /// Does the next thing of the test, if none is going on; whether something was done.
    pub(super) fn advance_test(&mut self) -> bool {
        let plan = Arc::clone(&self.plan);
        let members = self.circle();
        let Phase::Testing(testing) = &mut self.phase else { return false };
        let test = &plan.tests[testing.index];
        let ended_early = self.stopped.is_some() || self.tally.is_blamed(&test.id);
        // what ends early because of a failure is held too: somebody may want to look around first
        let held = self.hold.holds() && self.stopped.is_none();
        let now = Circumstances { ended_early, no_faults: self.faults.all_over(), held, members };
        match testing.next(test, now) {
            Next::Nothing => return false,
            Next::Stand(spot) => {
                self.stand(spot);
                return false;
            }
            Next::Stage => {}
            Next::Watch => self.begin_watches(),
            Next::Step(spot) => self.begin_in_test(spot),
            Next::Abandon(spot) => self.abandon_step(spot),
            Next::CancelRest => self.cancel_step("a step beside it has failed"),
            Next::Heal => {
                self.thaw_all();
                self.faults.give_schedules_up(|_| true);
                self.heal_faults(|_, _| true);
            }
            Next::EndWatches => self.end_watches(),
            Next::Launch => self.launch_members(),
            Next::Judge => self.judge_members(),
            Next::Dismiss => self.dismiss_members(),
            Next::Leave => self.leave_test(),
        }
        true
    }

    fn waits_for_members(&self) -> bool {
        matches!(&self.phase, Phase::Testing(testing) if testing.stage == Stage::Members)
    }

    fn circle(&self) -> Circle {
        match self.everybody.groups().next() {
            None => Circle::None,
            Some(_) if !self.members.are_settled() => Circle::Moving,
            Some(_) if self.waits_for_members() && self.members_are_decided() => Circle::Decided,
            Some(_) => Circle::Open,
        }
    }

    fn begin_in_test(&mut self, spot: Spot) {
        self.stand_no_more();
        self.hold.begins();
        if let Begun::Waiting(running) = self.begin_step(spot)
            && let Phase::Testing(testing) = &mut self.phase
        {
            testing.running.push(*running);
            self.catch_up();
        }
    }

    fn leave_test(&mut self) {
        let Phase::Testing(testing) = &self.phase else { return };
        let (index, began, completed) = (testing.index, testing.began, testing.completed);
        if completed {
            self.judge_faults();
        }
        self.faults.over.clear();
        self.faults.schedules.clear();
        let test = self.plan.tests[index].id.clone();
        let verdict = self.tally.close(&test);
        let duration_ms = self.now.saturating_duration_since(began).as_secs_f64() * 1000.0;
        self.record(Happening::TestEnded { test, verdict, duration_ms });
        if verdict != Verdict::Pass && self.setup.first_failure == FirstFailure::Stop {
            self.stop("a test has not passed, and the first failure is the last");
        }
        self.begin_test(index + 1);
    }

    /// Takes the running step with this key out, if it waits for that.
    pub(super) fn take_running(&mut self, key: &StepKey, waits: impl Fn(&Running) -> bool) -> Option<Box<Running>> {
        let fits = |running: &Running| running.info.key == *key && waits(running);
        match &mut self.phase {
            Phase::Testing(testing) => testing.take_running(fits).map(Box::new),
            Phase::Starting(starting) => starting.take_running(fits),
            Phase::Waiting | Phase::Closing { .. } | Phase::Over => None,
        }
    }

    /// What else follows from a step's end.
    pub(super) fn after_step(&mut self, running: &Running, ending: Ending) {
        if let Spot::Ready(service) = running.spot {
            self.readiness_ended(service, ending);
        }
    }

    /// An agent's stubs start anew for this test. Answers that come late are for a test that goes on without them.
    pub(super) fn test_begun(&mut self, agent: &Name, test: &str) {
        if let Some(waiting) = self.opening_of(test) {
            waiting.remove(agent);
        }
    }

    pub(super) fn test_refused(&mut self, agent: &Name, test: &str, reason: &str) {
        if self.opening_of(test).is_some_and(|waiting| waiting.remove(agent)) {
            self.test_not_begun(&format!("the stubs of agent `{agent}` could not start anew: {reason}"));
        }
    }

    /// The agents that are waited for, if this test is just beginning.
    fn opening_of(&mut self, test: &str) -> Option<&mut BTreeSet<Name>> {
        let Phase::Testing(testing) = &mut self.phase else { return None };
        let is_it = self.plan.tests[testing.index].id == test;
        match &mut testing.stage {
            Stage::Opening { waiting, .. } if is_it => Some(waiting),
            _ => None,
        }
    }

    /// With what is left of the last test in its stubs, this one would say nothing.
    fn test_not_begun(&mut self, title: &str) {
        let Phase::Testing(testing) = &self.phase else { return };
        let at = self.plan.tests[testing.index].span;
        self.fail(Verdict::Error, Blame::new(Some(at), title));
    }

    fn opening_timeout(&mut self) {
        let Phase::Testing(testing) = &self.phase else { return };
        let Stage::Opening { waiting, until } = &testing.stage else { return };
        if *until <= self.now {
            let silent: Vec<_> = waiting.iter().map(|agent| format!("`{agent}`")).collect();
            let silent = silent.join(", ");
            self.test_not_begun(&format!("the stubs of {silent} did not start anew within {BEGIN_DEADLINE:?}"));
        }
    }

    pub(super) fn testing_timeout(&mut self) {
        self.opening_timeout();
        self.watches_timeout();
        self.turn_not_heard();
        let Phase::Testing(testing) = &mut self.phase else { return };
        if let Some(running) = testing.take_running(|running| running.until <= self.now) {
            let ending = self.step_overdue(&running);
            self.after_step(&running, ending);
            return;
        }
        if testing.has_timeout() && testing.until <= self.now {
            self.test_overdue();
        }
    }

    fn test_overdue(&mut self) {
        let plan = Arc::clone(&self.plan);
        let Phase::Testing(testing) = &mut self.phase else { return };
        if testing.stage == Stage::Members {
            // who is missing then did not go well, which the rule may allow
            testing.completed = true;
            testing.stage = Stage::After(0);
            return self.judge_members();
        }
        let test = &plan.tests[testing.index];
        let title = format!("the test's timeout of {:?} has passed", test.timeout);
        let running = testing.running.first();
        let at = running.map_or(test.span, |running| running.spot.step(&plan).verb);
        let step = running.map(|running| running.info.clone());
        self.fail(Verdict::Fail, Blame { step, ..Blame::new(Some(at), title) });
        self.cancel_step("the test's timeout has passed");
    }

    /// A stub was called. A call that nobody expected fails the test that is going on.
    pub(super) fn stub_called(&mut self, agent: &Name, call: &StubCall, error: Option<StubError>) {
        if !call.unexpected || !self.unexpected.insert((self.current_test(), call.stub.clone())) {
            return;
        }
        let plan = Arc::clone(&self.plan);
        let stub = plan.stubs.iter().find(|stub| stub.order.name == call.stub && stub.at == *agent);
        let (title, place) = title(call, error);
        let at = stub.map(|stub| match place {
            Place::Unmatched => stub.unmatched,
            Place::Stub => stub.span,
        });
        let evidence = Evidence { title: "request".to_owned(), text: call.request.clone() };
        let blame = Blame { step: self.cause(agent), ..Blame::new(at, title) };
        self.fail(Verdict::Fail, Blame { evidence: vec![evidence], ..blame });
        self.cancel_step("the test has failed");
    }

    /// An agent had to drop events: whatever they said is not known.
    pub(super) fn gap(&mut self, agent: &Name, lost: u64) {
        let blame = Blame::new(None, format!("agent `{agent}` could not keep {lost} of its events"));
        self.fail(Verdict::Error, blame);
    }

    /// An agent is gone for good: what it was doing is unknown, and the run goes no further.
    pub(super) fn agent_lost(&mut self, agent: Name, reason: String) {
        if matches!(self.phase, Phase::Closing { .. } | Phase::Over) || self.lost.contains_key(&agent) {
            return;
        }
        self.record(Happening::AgentLost { name: agent.clone(), reason: reason.clone() });
        self.lost.insert(agent.clone(), reason.clone());
        self.down.remove(&agent);
        self.faults.agent_lost(&agent);
        self.watches_lost(&agent);
        let guests: Vec<Name> = self.everybody.guests(&agent).cloned().collect();
        self.sync.lose_all(guests.iter().chain([&agent]).map(Name::to_string));
        let title = lost(&agent, &guests, &reason);
        match self.take_running_of(&agent) {
            Some(running) => {
                let verb = running.spot.step(&self.plan).verb;
                let blame = Blame { step: Some(running.info.clone()), ..Blame::new(Some(verb), &title) };
                let why = "its agent was lost, it may have happened or not".to_owned();
                let ending = self.end_step(&running, Ending::Unknown, Some(why));
                self.fail(Verdict::Error, blame);
                self.after_step(&running, ending);
                self.ahead_unknown("the agent of the step before it was lost, it may have happened or not");
            }
            None => {
                let service = self.plan.services.iter().find(|service| service.name == agent);
                let at = service.map(|service| service.span);
                self.fail(Verdict::Error, Blame::new(at, &title));
            }
        }
        self.stop(&title);
    }

    fn take_running_of(&mut self, agent: &Name) -> Option<Box<Running>> {
        match &mut self.phase {
            Phase::Testing(testing) => testing.take_running(|running| running.waits_for(agent)).map(Box::new),
            Phase::Starting(starting) => starting.take_running(|running| running.waits_for(agent)),
            Phase::Waiting | Phase::Closing { .. } | Phase::Over => None,
        }
    }
}

/// Who is gone with an agent.
fn lost(agent: &Name, guests: &[Name], reason: &str) -> String {
    if guests.is_empty() {
        return format!("agent `{agent}` was lost: {reason}");
    }
    let names: Vec<&str> = guests.iter().map(Name::as_str).collect();
    format!("agent `{agent}` was lost, and with it {}: {reason}", names.join(", "))
}

/// Where the plan says what was not held to.
enum Place {
    /// What it says of unmatched calls.
    Unmatched,
    Stub,
}

/// Why a call to a stub fails the test.
fn title(call: &StubCall, error: Option<StubError>) -> (String, Place) {
    let stub = &call.stub;
    match (error, &call.route) {
        (None, _) => (format!("the stub `{stub}` got a call that no route matches"), Place::Unmatched),
        (Some(StubError::UnknownHost), _) => {
            (format!("the stub `{stub}` was asked for a host that the plan does not name"), Place::Unmatched)
        }
        (Some(StubError::NoReply), Some(route)) => {
            (format!("the stub `{stub}` cannot make the reply of its route `{route}`"), Place::Stub)
        }
        (Some(StubError::NoReply), None) => (format!("the stub `{stub}` cannot make its reply"), Place::Stub),
        (Some(StubError::Panicked), _) => (format!("the handler of the stub `{stub}` panicked"), Place::Stub),
        (Some(StubError::Unsupported), _) => {
            (format!("the stub `{stub}` got a call that it does not support"), Place::Stub)
        }
    }
}
