//! What to do next for a run.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::desired::{self, Account};
use super::namespace_of;
use super::observe::{JobSeen, NamespaceSeen, Observed};
use crate::kinds::{MeshRun, MeshRunStatus, Phase, Verdict, condition};
use crate::limits;
use crate::objects::{Key, Kind, Object, covers};
use crate::pool::Happened;

/// One thing to do. They are done in order, and what fails ends the plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Apply(Object),
    Delete(Key),
    /// The run's own object, whose finalizer then sees to its namespace.
    DeleteRun,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// As it should be once all is done.
    pub status: MeshRunStatus,
    pub happened: Vec<Happened>,
    pub look_again: Duration,
}

/// What has become of the run, in one word and in several.
struct Turn {
    phase: Phase,
    verdict: Option<Verdict>,
    reason: &'static str,
    message: String,
    actions: Vec<Action>,
}

impl Turn {
    fn to(phase: Phase, reason: &'static str, message: impl Into<String>) -> Self {
        Self { phase, verdict: None, reason, message: message.into(), actions: Vec::new() }
    }

    fn with(self, actions: Vec<Action>) -> Self {
        Self { actions, ..self }
    }

    fn verdict(self, verdict: Verdict) -> Self {
        Self { verdict: Some(verdict), ..self }
    }
}

/// Decides, for a run that is not being deleted.
pub fn plan(run: &MeshRun, observed: &Observed, account: Option<&Account>, now: Timestamp) -> Plan {
    let turn =
        if observed.status.phase.is_over() { over(run, observed, now) } else { going(run, observed, account, now) };
    let status = status(run, observed, &turn, now);
    let happened = if status.phase == observed.status.phase { Vec::new() } else { happened(&turn) };
    Plan { look_again: look_again(run, &status, now), actions: turn.actions, status, happened }
}

fn going(run: &MeshRun, observed: &Observed, account: Option<&Account>, now: Timestamp) -> Turn {
    if let Some(why) = desired::refuse(run) {
        return Turn::to(Phase::Failed, "Invalid", why).verdict(Verdict::Error);
    }
    if run.spec.abort {
        return Turn::to(Phase::Aborted, "Aborted", "as was asked for").with(ended(observed));
    }
    if deadline(run, &observed.status).is_some_and(|deadline| now >= deadline) {
        let message = format!("it took longer than {} s", run.spec.active_deadline_seconds.unwrap_or_default());
        return Turn::to(Phase::Failed, "DeadlineExceeded", message).verdict(Verdict::Error).with(ended(observed));
    }
    let was_there = observed.status.phase == Phase::Running;
    match observed.namespace {
        NamespaceSeen::Going => return lost("NamespaceGone", "somebody deleted its namespace"),
        NamespaceSeen::None if was_there => return lost("NamespaceGone", "its namespace is no longer there"),
        NamespaceSeen::None | NamespaceSeen::There => {}
    }
    match &observed.job {
        None if was_there => lost("OrchestratorGone", "the orchestrator's Job is no longer there"),
        None => prepare(run, observed, account),
        Some(JobSeen::Going) => Turn::to(Phase::Running, "Running", "the orchestrator conducts the plan"),
        Some(JobSeen::Broken { why }) => lost("OrchestratorLost", why.clone()),
        Some(JobSeen::Exited { code, .. }) => exited(observed, *code),
    }
}

/// The orchestrator may have done anything: nobody knows.
fn lost(reason: &'static str, message: impl Into<String>) -> Turn {
    Turn::to(Phase::Failed, reason, message).verdict(Verdict::Unknown)
}

fn prepare(run: &MeshRun, observed: &Observed, account: Option<&Account>) -> Turn {
    let missing: Vec<String> =
        observed.sources.iter().filter(|(_, source)| source.is_none()).map(|(key, _)| key.to_string()).collect();
    if !missing.is_empty() {
        let message = format!("not there: {}", missing.join(", "));
        return Turn::to(Phase::Pending, "SourceMissing", message);
    }
    let mut wanted = desired::fence(run, account);
    wanted.extend(desired::copies(run, &observed.sources));
    wanted.push(desired::pool(run));
    let is_ready = observed.pool.as_ref().is_some_and(|pool| pool.is_ready);
    if is_ready {
        wanted.push(desired::job(run));
    }
    let have = |key: &Key| match key.kind {
        // it is kept apart
        Kind::Namespace => observed.namespace == NamespaceSeen::There,
        _ => false,
    };
    let is_so = |object: &Object| {
        have(&object.key) || observed.objects.get(&object.key).is_some_and(|have: &Value| covers(have, &object.body))
    };
    let actions = wanted.iter().filter(|object| !is_so(object)).cloned().map(Action::Apply).collect();
    let agents = observed.pool.clone().unwrap_or_default().agents;
    let message = format!("{} of {} agents are ready", agents.ready, agents.desired);
    Turn::to(Phase::Preparing, if is_ready { "Starting" } else { "AgentsMissing" }, message).with(actions)
}

fn exited(observed: &Observed, code: i64) -> Turn {
    // the exit codes of `meshproof run`
    let verdict = match code {
        0 => Verdict::Pass,
        1 | 6 | 7 | 9 => Verdict::Fail,
        _ => Verdict::Error,
    };
    let message = format!("the orchestrator ended with exit code {code}");
    let turn = Turn::to(Phase::Finished, "Finished", message).verdict(verdict);
    // what has failed stays as it is, to be looked at
    match verdict {
        Verdict::Pass => turn.with(pool_ends(observed)),
        Verdict::Fail | Verdict::Unknown | Verdict::Error => turn,
    }
}

fn pool_ends(observed: &Observed) -> Vec<Action> {
    observed.objects.keys().filter(|key| key.kind == Kind::MeshPool).cloned().map(Action::Delete).collect()
}

/// Nothing of the run goes on. The orchestrator first, which tells its agents.
fn ended(observed: &Observed) -> Vec<Action> {
    let jobs = observed.objects.keys().filter(|key| key.kind == Kind::Job).cloned().map(Action::Delete);
    jobs.chain(pool_ends(observed)).collect()
}

/// It stays as it is until its time to live is over; what was to end and has not is ended.
fn over(run: &MeshRun, observed: &Observed, now: Timestamp) -> Turn {
    let known = observed.status.conditions.iter().find(|condition| condition.type_ == "Complete");
    let message = known.map(|known| known.message.clone()).unwrap_or_default();
    let turn = Turn { verdict: observed.status.verdict, ..Turn::to(observed.status.phase, reason_of(known), message) };
    if expiry(run, &observed.status).is_some_and(|expiry| now >= expiry) {
        return turn.with(vec![Action::DeleteRun]);
    }
    match (observed.status.phase, observed.status.verdict) {
        (Phase::Aborted, _) => turn.with(ended(observed)),
        (Phase::Finished, Some(Verdict::Pass)) => turn.with(pool_ends(observed)),
        _ if turn.reason == "DeadlineExceeded" => turn.with(ended(observed)),
        _ => turn,
    }
}

/// A reason is kept as it was said.
fn reason_of(known: Option<&crate::kinds::Condition>) -> &'static str {
    const ALL: [&str; 8] = [
        "Invalid",
        "Aborted",
        "DeadlineExceeded",
        "NamespaceGone",
        "OrchestratorGone",
        "OrchestratorLost",
        "Finished",
        "Over",
    ];
    let is_it = |reason: &&&str| known.is_some_and(|known| known.reason == ***reason);
    ALL.iter().find(is_it).copied().unwrap_or("Over")
}

fn deadline(run: &MeshRun, status: &MeshRunStatus) -> Option<Timestamp> {
    let seconds = run.spec.active_deadline_seconds?;
    Some(status.started_at.as_ref()?.0 + Duration::from_secs(u64::try_from(seconds).ok()?))
}

fn expiry(run: &MeshRun, status: &MeshRunStatus) -> Option<Timestamp> {
    let seconds = run.spec.ttl_seconds_after_finished?;
    Some(status.finished_at.as_ref()?.0 + Duration::from_secs(u64::try_from(seconds).ok()?))
}

fn status(run: &MeshRun, observed: &Observed, turn: &Turn, now: Timestamp) -> MeshRunStatus {
    let second = || Time(Timestamp::from_second(now.as_second()).expect("it was a time before"));
    let before = &observed.status;
    let is_over = turn.phase.is_over();
    let report = match &observed.job {
        Some(JobSeen::Exited { pod, .. }) if !pod.is_empty() => Some(format!("log of pod {}/{pod}", namespace_of(run))),
        _ => before.report.clone(),
    };
    let mut status = MeshRunStatus {
        observed_generation: run.metadata.generation,
        phase: turn.phase,
        verdict: turn.verdict,
        namespace: Some(namespace_of(run)),
        agents: observed.pool.as_ref().map_or(before.agents, |pool| pool.agents),
        report,
        started_at: before.started_at.clone().or_else(|| Some(second())),
        finished_at: before.finished_at.clone().or_else(|| is_over.then(second)),
        conditions: before.conditions.clone(),
    };
    let new = ("Complete", is_over, turn.reason, turn.message.clone());
    condition(&mut status.conditions, new, run.metadata.generation.unwrap_or_default(), now);
    status
}

fn happened(turn: &Turn) -> Vec<Happened> {
    let (is_warning, reason) = match (turn.phase, turn.verdict) {
        (Phase::Pending, _) => (true, "SourceMissing"),
        (Phase::Preparing, _) => (false, "Preparing"),
        (Phase::Running, _) => (false, "Running"),
        (Phase::Finished, Some(Verdict::Pass)) => (false, "Passed"),
        (Phase::Finished, _) => (true, "NotPassed"),
        (Phase::Failed, _) => (true, turn.reason),
        (Phase::Aborted, _) => (true, "Aborted"),
    };
    vec![Happened { is_warning, reason, note: turn.message.clone() }]
}

fn look_again(run: &MeshRun, status: &MeshRunStatus, now: Timestamp) -> Duration {
    let moment = if status.phase.is_over() { expiry(run, status) } else { deadline(run, status) };
    let wait = moment.and_then(|moment| Duration::try_from(moment - now).ok()).unwrap_or(limits::LOOK_AGAIN);
    // a Secret that is missing is not watched
    let longest = if status.phase == Phase::Pending { limits::SOURCE_MISSING } else { limits::LOOK_AGAIN };
    wait.clamp(limits::LOOK_SOONEST, longest)
}
