//! What persons have done beside a run, from their consoles: steps, faults, words.
//!
//! Nobody but its orchestrator commands a run, and nothing here takes a run over. So an order has to be of the run, plan and term that
//! are there now, and the run is told who asked for what before it is done: whoever reads the journal sees why a check did not hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::event::{Fact, Outcome, StepResult};
use meshproof_proto::id::Name;
use meshproof_proto::limits::PERSON_LINE_BYTES;
use meshproof_proto::order::{Action, Authority, FaultOrder, FaultReport, StepOrder};
use meshproof_proto::rpc::{LogLines, LogQuery, LogText, Refusal, SteerOrder};
use tokio::task::{Id, JoinError, JoinSet};

use super::orders::reply;
use super::run::Run;
use super::{Session, guard, setup};
use crate::evidence::masked;
use crate::limits;
use crate::service::{Answer, Asked};

/// What was asked for and goes on.
#[derive(Debug, Default)]
pub(super) struct Tending {
    running: JoinSet<StepResult>,
    asked: HashMap<Id, Waiting>,
    /// Faults that persons began.
    faults: BTreeSet<String>,
}

#[derive(Debug)]
struct Waiting {
    by: Name,
    id: String,
    began: Instant,
    answer: Answer<StepResult>,
}

/// A step that a person asked for has ended.
#[derive(Debug)]
pub(super) struct Answered {
    fact: Fact,
    result: StepResult,
    answer: Answer<StepResult>,
}

impl Tending {
    /// The next one; waits for ever while none runs.
    pub(super) async fn ended(&mut self) -> Answered {
        loop {
            let Some(ended) = self.running.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
            if let Some(waiting) = self.asked.remove(&id) {
                let result = ended.map_or_else(|error| broken(&error, waiting.began), |(_, result)| result);
                return waiting.with(result);
            }
        }
    }

    /// Gives up everything that runs, and answers.
    pub(super) async fn close(&mut self) -> Vec<Fact> {
        self.running.abort_all();
        let mut facts = Vec::new();
        while !self.running.is_empty() {
            let Answered { fact, result, answer } = self.ended().await;
            facts.push(fact);
            reply(answer, Ok(result));
        }
        facts
    }
}

impl Waiting {
    fn with(self, result: StepResult) -> Answered {
        let Self { by, id, answer, .. } = self;
        let (outcome, duration_ms) = (result.outcome.clone(), result.duration_ms);
        Answered { fact: Fact::Answered { by, id, outcome, duration_ms }, result, answer }
    }
}

fn broken(error: &JoinError, began: Instant) -> StepResult {
    let outcome = if error.is_cancelled() {
        Outcome::Unknown { message: "the run ended before this did".to_owned() }
    } else {
        tracing::error!(%error, "what a person asked for ended badly");
        Outcome::Error { message: format!("a bug in the agent: {error}") }
    };
    let duration_ms = began.elapsed().as_secs_f64() * 1e3;
    StepResult { outcome, duration_ms, tries: 1, saved: BTreeMap::new(), evidence: Vec::new() }
}

impl Session {
    /// The run, if this is about the run that is here now.
    pub(super) fn beside(&mut self, offered: &Authority) -> Result<&mut Run, Refusal> {
        let run = self.run.as_mut().ok_or_else(|| Refusal::NoSuchRun(offered.run.to_string()))?;
        guard::admit_beside(&run.authority, offered)?;
        Ok(run)
    }

    pub(super) fn steer(&mut self, order: &SteerOrder, by: Name) -> Result<(), Refusal> {
        self.beside(&order.authority)?.steer(order, by)
    }

    pub(super) fn say(&mut self, text: &str, by: Name) -> Result<(), Refusal> {
        let no_run = || Refusal::Failed("no run goes on here that would keep it".to_owned());
        self.run.as_mut().ok_or_else(no_run)?.say(text, by)
    }

    /// Lines that were read so far; the reader is woken by every line that is written.
    pub(super) fn log_lines(&mut self, query: &LogQuery) -> Result<LogLines, Refusal> {
        let no_run = || Refusal::Failed("no run goes on at this agent, so it reads no logs".to_owned());
        self.run.as_mut().ok_or_else(no_run)?.log_lines(query)
    }
}

impl Run {
    /// Does the step; its end is answered and told.
    pub(super) fn act(&mut self, mut order: StepOrder, asked: Asked, answer: Answer<StepResult>) {
        let id = order.key.step.clone();
        if let Err(refusal) = self.may_act(&mut order).and_then(|()| self.ask_for(&asked, &id)) {
            return reply(answer, Err(refusal));
        }
        let work = match self.working() {
            Ok(work) => work,
            Err(refusal) => return reply(answer, Err(refusal)),
        };
        // What the run's steps left open is theirs.
        work.beside.connections.forget();
        let beside = Arc::clone(&work.beside);
        let running = work.tending.running.spawn(async move { crate::steps::ask_step(&order, &beside).await });
        let waiting = Waiting { by: asked.by, id, began: Instant::now(), answer };
        work.tending.asked.insert(running.id(), waiting);
    }

    fn may_act(&mut self, order: &mut StepOrder) -> Result<(), Refusal> {
        let tunnels = self.initialized.tunnels.clone();
        self.put_in_identities(order)?;
        let work = self.working()?;
        if work.tending.running.len() >= limits::ASKED_AT_ONCE {
            return Err(Refusal::Failed(format!("{} steps of persons run here; wait for one", limits::ASKED_AT_ONCE)));
        }
        if !suits(&order.action) {
            let what =
                "only a plan does this: a person's step is a call, a program, or a look at logs, stubs or metrics";
            return Err(Refusal::Failed(what.to_owned()));
        }
        let longest = order.within_ms.max(order.eventually_ms.unwrap_or_default());
        if Duration::from_millis(longest) > limits::ASKED_WITHIN {
            return Err(Refusal::Failed(format!("a person's step takes {:?} at most", limits::ASKED_WITHIN)));
        }
        if let Some(target) = order.action.target_mut() {
            // Whatever address came with it: only services of the run are called.
            target.address = setup::address(&target.label, &tunnels, &work.service)?;
        }
        Ok(())
    }

    /// A person knows what an identity is called, and this agent has it, if a step of the plan uses it here.
    fn put_in_identities(&self, order: &mut StepOrder) -> Result<(), Refusal> {
        for wanted in order.action.held_mut().into_iter().filter(|held| held.text.is_empty()) {
            let key = || self.confided.iter().find(|(name, _)| *name == wanted.name).map(|(_, key)| key);
            let text = self.certificates.get(&wanted.name).map(String::as_str).or_else(key);
            let Some(text) = text else {
                let why = "an agent has the identities of its service and of the plan's steps that it does";
                return Err(Refusal::Failed(format!("`{}` is not at this agent: {why}", wanted.name)));
            };
            wanted.text = text.to_owned();
        }
        Ok(())
    }

    /// Begins the fault, and tells who wanted it.
    pub(super) fn disturb(&mut self, order: FaultOrder, asked: Asked, answer: Answer<()>) {
        let name = order.fault.clone();
        match self.may_disturb(&order).and_then(|()| self.ask_for(&asked, &name)) {
            Ok(()) => {
                if let Ok(work) = self.working() {
                    work.tending.faults.insert(name);
                }
                self.begin_fault(order, answer);
            }
            Err(refusal) => reply(answer, Err(refusal)),
        }
    }

    fn may_disturb(&mut self, order: &FaultOrder) -> Result<(), Refusal> {
        let work = self.working()?;
        if Duration::from_millis(order.lease_ms) > limits::ASKED_LEASE {
            return Err(Refusal::Failed(format!("a person's fault lasts {:?} at most", limits::ASKED_LEASE)));
        }
        // A name that persons have used is theirs until the run's end.
        let is_theirs = work.tending.faults.contains(&order.fault);
        if work.faults.active().contains(&order.fault) && !is_theirs {
            return Err(Refusal::Failed(format!("a fault `{}` of the run is active; take another name", order.fault)));
        }
        if !is_theirs && work.tending.faults.len() >= limits::FAULTS_ACTIVE {
            return Err(Refusal::Failed("so many faults were begun by persons here; no more are taken".to_owned()));
        }
        Ok(())
    }

    /// Ends a fault that a person began, whoever it was.
    pub(super) fn mend(&mut self, fault: &str, asked: &Asked, answer: Answer<FaultReport>) {
        let may = self.working().and_then(|work| match work.tending.faults.contains(fault) {
            true => Ok(()),
            false if work.faults.active().iter().any(|active| active == fault) => Err(Refusal::Failed(format!(
                "`{fault}` is a fault of the run: it ends with its lease, its test, or by the plan"
            ))),
            false => Err(Refusal::Unknown { what: "fault".to_owned(), name: fault.to_owned() }),
        });
        match may.and_then(|()| self.ask_for(asked, fault)) {
            Ok(()) => self.heal_fault(fault, answer),
            Err(refusal) => reply(answer, Err(refusal)),
        }
    }

    /// Tells the run what a person says.
    fn say(&mut self, text: &str, by: Name) -> Result<(), Refusal> {
        let text = self.told(text)?;
        self.push(Fact::Told { by, text });
        Ok(())
    }

    /// A person holds the run or lets it go on: the run is told, and does it.
    fn steer(&mut self, order: &SteerOrder, by: Name) -> Result<(), Refusal> {
        self.outbox.room().map_err(Refusal::Failed)?;
        let given_back = self.working()?.ahead.steer(order.how, (by.clone(), order.number));
        self.push(Fact::Steered { by, number: order.number, how: order.how, given_back });
        Ok(())
    }

    /// Who wants what is on disk before anything is done.
    fn ask_for(&mut self, Asked { by, line }: &Asked, id: &str) -> Result<(), Refusal> {
        let (line, id) = (self.told(line)?, self.told(id)?);
        self.outbox.room().map_err(Refusal::Failed)?;
        self.push(Fact::Asked { by: by.clone(), id, line });
        self.outbox.written().map_err(Refusal::Failed)
    }

    fn told(&mut self, text: &str) -> Result<String, Refusal> {
        let work = self.working()?;
        if text.len() > PERSON_LINE_BYTES {
            return Err(Refusal::Failed(format!(
                "a line has {PERSON_LINE_BYTES} bytes at most, this one {}",
                text.len()
            )));
        }
        Ok(masked(text, &work.beside.masker, PERSON_LINE_BYTES))
    }

    pub(super) fn answered(&mut self, Answered { fact, result, answer }: Answered) {
        self.push(fact);
        reply(answer, Ok(result));
    }

    fn log_lines(&mut self, query: &LogQuery) -> Result<LogLines, Refusal> {
        let beside = Arc::clone(&self.working()?.beside);
        let then = query.since_ms.and_then(|since| Instant::now().checked_sub(Duration::from_millis(since)));
        let most = usize::try_from(query.most).unwrap_or(usize::MAX);
        let last = beside.logs.last_of(&query.log, most, then).ok_or_else(|| {
            let known = beside.logs.names().join(", ");
            Refusal::Failed(format!("there is no log `{}` here; there are: {known}", query.log))
        })?;
        let mut told = LogLines { lines: Vec::new(), left_out: last.before };
        let mut bytes = 0;
        // The newest fit in any case.
        for line in last.lines.iter().rev() {
            bytes += line.log.len() + line.text.len();
            if bytes > limits::LOG_ANSWER_BYTES {
                told.left_out += 1;
                continue;
            }
            let text = masked(&line.text, &beside.masker, limits::LOG_ANSWER_BYTES);
            told.lines.push(LogText { log: line.log.to_string(), text });
        }
        told.lines.reverse();
        Ok(told)
    }
}

/// What ends by itself and changes nothing that the plan has said.
fn suits(action: &Action) -> bool {
    match action {
        Action::Http(_)
        | Action::Tcp(_)
        | Action::Grpc(_)
        | Action::Ws(_)
        | Action::Exec(_)
        | Action::ExpectLog { .. }
        | Action::ExpectStub { .. }
        | Action::ExpectMetric { .. } => true,
        Action::Stream(_)
        | Action::Load(_)
        | Action::ChangeStub { .. }
        | Action::WatchLog { .. }
        | Action::WatchStub { .. }
        | Action::WatchMetric { .. }
        | Action::Settle { .. }
        | Action::ExpectLink { .. }
        | Action::CountLog { .. } => false,
    }
}
