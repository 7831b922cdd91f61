//! The machine itself: its state, what comes in, what goes out. What each part of a run does stands in the files beside.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::event::{Evidence, Fact};
use meshproof_proto::id::Name;
use meshproof_proto::verdict::{Exit, Verdict};

use super::api::{Abort, Input, Output, Setup};
use super::churning::Churning;
use super::faults::Faults;
use super::measured::Measured;
use super::members::Members;
use super::processes::Processes;
use super::programs::Everybody;
use super::scope::Scope;
use super::spreading::Turns;
use super::startup::Starting;
use super::steering::Hold;
use super::syncing::Syncing;
use super::tally::Tally;
use super::testing::Testing;
use super::zones::Zones;
use crate::plan::{Plan, Source};
use crate::record::Happening;

/// One run of a plan.
#[derive(Debug)]
pub struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) source: Arc<Source>,
    pub(super) setup: Setup,
    pub(super) scope: Scope,
    /// Of the input that is being handled.
    pub(super) now: Instant,
    pub(super) began: Instant,
    pub(super) phase: Phase,
    pub(super) faults: Faults,
    pub(super) tally: Tally,
    /// Streams ordered so far; the next one's number.
    pub(super) streams: u64,
    /// Agents that are gone, and why.
    pub(super) lost: BTreeMap<Name, String>,
    /// Agents that are gone and may be back, since when, and how they went.
    pub(super) down: BTreeMap<Name, (Instant, String)>,
    /// Agents at which no step begins for want of space, since when.
    pub(super) stalled: BTreeMap<Name, Instant>,
    /// Services that ended by themselves.
    pub(super) dead: BTreeSet<Name>,
    /// Stubs whose unexpected calls were said already, by test: callers tend to try again.
    pub(super) unexpected: BTreeSet<(Option<String>, String)>,
    pub(super) processes: Processes,
    pub(super) zones: Zones,
    pub(super) sync: Syncing,
    pub(super) members: Members,
    pub(super) churning: Churning,
    pub(super) measured: Measured,
    pub(super) everybody: Everybody,
    /// How the program of a member ended, until its exit code is told.
    pub(super) last_words: BTreeMap<Name, (String, Vec<Evidence>)>,
    pub(super) hold: Hold,
    /// Of the members of groups, for work that any of them may do.
    pub(super) turns: Turns,
    /// Why no further step or test begins.
    pub(super) stopped: Option<String>,
    out: VecDeque<Output>,
}

/// Where a run is.
#[derive(Debug)]
pub(super) enum Phase {
    /// The environment is being made.
    Waiting,
    Starting(Starting),
    Testing(Box<Testing>),
    /// Everything that was started is being ended.
    Closing {
        until: Instant,
    },
    Over,
}

impl Run {
    /// A run that says what it expects, and waits for its environment. The source is the plan's own.
    #[must_use]
    pub fn new(plan: Arc<Plan>, source: Arc<Source>, setup: Setup, now: Instant) -> Self {
        let tally = Tally::new(&plan);
        let mut run = Self {
            scope: Scope::new(&plan, &setup.plan_dir, &setup.authority.run.0),
            now,
            began: now,
            phase: Phase::Waiting,
            faults: Faults::default(),
            tally,
            streams: 0,
            lost: BTreeMap::new(),
            down: BTreeMap::new(),
            stalled: BTreeMap::new(),
            churning: Churning::default(),
            turns: Turns::new(),
            dead: BTreeSet::new(),
            unexpected: BTreeSet::new(),
            processes: Processes::default(),
            zones: Zones::default(),
            sync: Syncing::default(),
            members: Members::default(),
            measured: Measured::default(),
            everybody: Everybody::of(&plan),
            last_words: BTreeMap::new(),
            hold: Hold::default(),
            stopped: None,
            out: VecDeque::new(),
            plan,
            source,
            setup,
        };
        run.record(Happening::RunBegan {
            run: run.setup.authority.run.clone(),
            plan: run.plan.name.to_string(),
            file: run.source.path().to_owned(),
            digest: run.plan.digest,
            seed: run.setup.seed,
            term: run.setup.authority.term,
        });
        let tests = run.plan.tests.iter().map(|test| test.id.clone()).collect();
        run.record(Happening::Expected { steps: run.tally.expected(), tests });
        run
    }

    /// Takes what happened.
    pub fn handle(&mut self, input: Input, now: Instant) {
        self.now = now;
        match input {
            Input::Begin(setting) => self.begin(*setting),
            Input::Broken { what, at, evidence } => self.broken(what, at, evidence),
            Input::ServiceStarted { service } => self.service_started(&service),
            Input::ServiceNotStarted { service, reason } => self.service_not_started(&service, &reason),
            Input::ServiceEnded { service, how, evidence } => self.service_ended(&service, &how, evidence),
            Input::Fact { agent, fact } => self.fact(&agent, fact),
            Input::TestBegun { agent, test } => self.test_begun(&agent, &test),
            Input::TestRefused { agent, test, reason } => self.test_refused(&agent, &test, &reason),
            Input::StepRefused { key, reason } => self.step_refused(&key, &reason),
            Input::FaultActive { agent, serial, .. } => self.fault_active(&agent, serial),
            Input::FaultRefused { agent, serial, reason, .. } => self.fault_refused(&agent, serial, &reason),
            Input::FaultHealed { agent, serial, report } => self.faults.answered(&agent, serial, report),
            // The fault may have ended just before; if its report does not come, its deadline speaks.
            Input::HealRefused { agent, serial, reason } => self.faults.heal_refused(&agent, serial, reason),
            Input::ServiceLeft { service, code } => self.service_left(&service, code),
            Input::ProcessesChanged { key, result } => self.processes_changed(&key, result),
            Input::Resumed { key, result } => self.resumed(&key, result),
            Input::Collected { key, files } => self.collected(&key, files),
            Input::AgentDown { agent, how } => self.agent_down(&agent, &how),
            Input::AgentBack { agent } => self.agent_back(&agent),
            Input::AgentLost { agent, reason } => self.agent_lost(agent, reason),
            Input::StoodStill { lasted_ms } => self.stood_still(Duration::from_millis(lasted_ms)),
            Input::Abort(abort) => self.abort(abort),
            Input::TornDown { problems } => self.torn_down(problems),
            Input::ZoneKilled { key, services, result, .. } => self.zone_killed(&key, services, result),
        }
        self.advance();
    }

    /// The time of [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.sync_timeout();
        self.processes_timeout();
        self.members_timeout();
        self.churn_timeout();
        self.startup_timeout();
        self.hold_timeout();
        self.testing_timeout();
        self.faults_timeout();
        self.closing_timeout();
        self.advance();
    }

    /// What is to be done next, until there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Waiting | Phase::Over => None,
            Phase::Starting(starting) => starting.timeout(),
            Phase::Testing(testing) => testing.timeout(),
            Phase::Closing { until } => Some(*until),
        };
        let faults = if matches!(self.phase, Phase::Over) { None } else { self.faults.timeout() };
        let programs = [self.processes.timeout(), self.members.timeout(), self.churning.timeout()];
        let beside = programs.into_iter().chain([self.sync.timeout(), self.hold.timeout()]).flatten();
        let beside = beside.filter(|_| matches!(self.phase, Phase::Testing(_)));
        phase.into_iter().chain(faults).chain(beside).min()
    }

    /// Whether [`Output::Finished`] was given.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    pub(super) fn push(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(super) fn record(&mut self, what: Happening) {
        self.push(Output::Record(what));
    }

    /// Goes as far as nothing has to be waited for.
    fn advance(&mut self) {
        self.settle_faults();
        self.settle_states();
        self.settle_sync();
        while match &self.phase {
            Phase::Waiting => self.leave_waiting(),
            Phase::Starting(_) => self.advance_startup(),
            Phase::Testing(_) => self.advance_test(),
            Phase::Closing { .. } | Phase::Over => false,
        } {
            self.settle_faults();
            self.settle_states();
            self.settle_sync();
        }
        self.tell_programs();
    }

    fn service_left(&mut self, service: &Name, code: i32) {
        if let Some((how, evidence)) = self.last_words.remove(service) {
            self.member_left(service, (&how, code), evidence);
        }
        self.processes.left(service, code);
    }

    fn leave_waiting(&mut self) -> bool {
        if self.stopped.is_some() {
            self.close();
        }
        self.stopped.is_some()
    }

    fn fact(&mut self, agent: &Name, fact: Fact) {
        match fact {
            Fact::StepEnded { key, result } => self.step_reported(agent, &key, result),
            Fact::StepStarted { key } => self.step_started(agent, &key),
            Fact::StubCalled(call) => self.stub_called(agent, &call, None),
            Fact::StubErred { call, error } => self.stub_called(agent, &call, Some(error)),
            Fact::FaultEnded(report) => self.faults.reported(agent, report),
            Fact::Gap { lost } => self.gap(agent, lost),
            Fact::Stalled { .. } => self.agent_stalled(agent),
            Fact::GoesOn { .. } => self.agent_goes_on(agent),
            Fact::ProgramAsked { number, ask } => self.program_asked(agent, agent, (number, ask)),
            Fact::ProgramsAsked { asked } => self.programs_asked(agent, asked),
            Fact::Steered { by, number, how, given_back } => self.steered((&by, number), how, &given_back),
            told => debug_assert!(!heeds(&told), "{told:?}"),
        }
    }

    fn abort(&mut self, abort: Abort) {
        let (exit, why) = match abort {
            Abort::Interrupted => (Exit::Interrupted, "interrupted"),
            Abort::Terminated => (Exit::Terminated, "terminated"),
            Abort::Deadline => (Exit::Aborted, "the run's deadline has passed"),
        };
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.tally.exit(exit);
        self.tally.blame(self.current_test().as_deref(), Verdict::Unknown);
        self.record(Happening::Noted { text: format!("{why}: what was started is being ended") });
        self.stop(why);
    }

    /// No further step or test begins; `after` still does.
    pub(super) fn stop(&mut self, why: &str) {
        self.stopped.get_or_insert_with(|| why.to_owned());
        self.cancel_step(why);
    }
}

/// Whether the machine does anything with such a fact; the others are for those who read the journal.
#[must_use]
pub fn heeds(fact: &Fact) -> bool {
    match fact {
        Fact::StepStarted { .. }
        | Fact::StepEnded { .. }
        | Fact::StubCalled(_)
        | Fact::StubErred { .. }
        | Fact::FaultEnded(_)
        | Fact::Stalled { .. }
        | Fact::GoesOn { .. }
        | Fact::Steered { .. }
        | Fact::ProgramAsked { .. }
        | Fact::ProgramsAsked { .. }
        | Fact::Gap { .. } => true,
        Fact::LinkOffered { .. }
        | Fact::LinkAcknowledged { .. }
        | Fact::LinkSuspect { .. }
        | Fact::FaultBegan { .. }
        | Fact::LinkBytes { .. }
        | Fact::StubCallsUntold { .. }
        | Fact::StubPurged { .. }
        | Fact::Asked { .. }
        | Fact::Answered { .. }
        | Fact::Told { .. }
        | Fact::Sampled(_)
        | Fact::Used(_)
        | Fact::AgentUsed(_)
        | Fact::FileHeld { .. }
        | Fact::Mirrored { .. }
        | Fact::Printed { .. } => false,
    }
}
