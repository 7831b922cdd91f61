//! What the orchestrator does itself: processes, sync points, pauses.

use std::collections::BTreeSet;

use meshproof_proto::id::Name;
use meshproof_proto::matcher::Actual;
use meshproof_proto::order::Save;
use meshproof_proto::sync::{Barrier, Quorum};
use serde_json::Value;

use super::super::code::Code;
use super::super::compiled::{Conduct, Does, ProcessChange, ProcessStep, StateOf, Step, SyncChange, SyncStep};
use super::super::diagnostic::Diagnostic;
use super::super::model::{self, OF_EACH, ProcessVerb, SyncVerb, Verb, Word};
use super::super::source::Spanned;
use super::Compiler;
use super::lookups::Scope;
use super::steps::Place;
use super::verbs::plain;

impl Compiler<'_> {
    pub(super) fn conduct(
        &mut self,
        step: &model::Step,
        conduct: &model::Conduct,
        (place, scope): (&Place<'_>, &Scope<'_>),
    ) -> Option<Conduct> {
        match conduct {
            // Written out before anything is compiled.
            model::Conduct::Parallel(_) | model::Conduct::Repeat(_) => None,
            model::Conduct::Pause(text) => {
                self.look_text(&text.value, text.span, scope);
                Some(Conduct::Pause(text.value.clone()))
            }
            model::Conduct::Process(verb, service) => self.process(step, (*verb, service), place),
            model::Conduct::KillZone(zone) => self.names.zone(zone).then(|| Conduct::KillZone(zone.value.clone())),
            model::Conduct::Churn(churn) => self.churn(step, churn).map(|churn| Conduct::Churn(Box::new(churn))),
            model::Conduct::Sync(verb) => self.sync(step, verb, (place, scope)),
        }
    }

    fn process(&self, step: &model::Step, (verb, word): (ProcessVerb, &Word), place: &Place<'_>) -> Option<Conduct> {
        if verb == ProcessVerb::KillAgent {
            let service = self.names.service_name(word)?;
            return Some(Conduct::Process(ProcessStep { service, what: ProcessChange::KillAgent }));
        }
        let service = self.own_service(word)?;
        let what = match verb {
            ProcessVerb::Kill | ProcessVerb::KillAgent => ProcessChange::Kill,
            ProcessVerb::Thaw => ProcessChange::Thaw,
            ProcessVerb::Freeze => ProcessChange::Freeze(match &step.lasts {
                Some(lasts) => Some(self.settled.duration(lasts)?),
                None => None,
            }),
            ProcessVerb::Restart => {
                let ready = self.ready.get(&service).cloned().flatten();
                ProcessChange::Restart(ready.map(|ready| Box::new(Step { key: place.key.clone(), ..ready })))
            }
        };
        Some(Conduct::Process(ProcessStep { service, what }))
    }

    /// A service that the run starts: only its processes are ours.
    fn own_service(&self, word: &Word) -> Option<Name> {
        let service = self.names.service(word)?;
        if service.processes.is_empty() {
            let message = format!("`{}` runs already, so its processes are not this run's", word.value);
            let problem = Diagnostic::new(Code::Choice, word.span, message);
            self.cx.report(problem.label(service.name.span, "here is no `exec`").expected("a service with `exec`"));
            return None;
        }
        super::name(&service.name.value)
    }

    /// `expect: { process: … }`
    pub(super) fn state(&mut self, step: &model::Step, service: &Word, scope: &Scope<'_>) -> Option<Conduct> {
        self.look_checks(step, scope);
        Some(Conduct::State { of: StateOf::Service(self.own_service(service)?), checks: step.checks.clone() })
    }

    /// `expect: { fault: … }`
    pub(super) fn course(&mut self, step: &model::Step, fault: &Word, scope: &Scope<'_>) -> Option<Conduct> {
        self.look_checks(step, scope);
        let known = self.names.begins(fault);
        known.then(|| Conduct::State { of: StateOf::Fault(fault.value.clone()), checks: step.checks.clone() })
    }

    /// What the expectations of a step look up.
    pub(super) fn look_checks(&mut self, step: &model::Step, scope: &Scope<'_>) {
        // what the agent knows of each answer
        let agent: &[&str] = match &step.verb.value {
            Verb::Stream(_) => &["record", "index"],
            Verb::Load(_) => &["index"],
            _ => scope.agent,
        };
        let of_each = Scope { agent, ..scope.clone() };
        for check in &step.checks {
            let scope = if check.field.starts_with(OF_EACH) { &of_each } else { scope };
            self.look_matcher(&check.matcher, check.span, scope);
        }
    }

    fn sync(
        &mut self,
        step: &model::Step,
        verb: &SyncVerb,
        (place, scope): (&Place<'_>, &Scope<'_>),
    ) -> Option<Conduct> {
        let member = match &step.at {
            Some(at) => self.names.service_name(at)?.to_string(),
            None => format!("test {}", place.test),
        };
        self.look_checks(step, scope);
        let what = match verb {
            SyncVerb::Signal(name) => SyncChange::Signal(name.value.clone()),
            SyncVerb::Barrier(barrier) => SyncChange::Barrier(self.barrier(barrier)?),
            SyncVerb::Publish { topic, value } => {
                self.look_value(&value.value, value.span, scope);
                SyncChange::Publish { topic: topic.value.clone(), value: value.value.clone() }
            }
            SyncVerb::Subscribe { topic, count } => {
                let count = count.as_ref().map_or(Some(1), |count| self.settled.count(count))?;
                SyncChange::Subscribe { topic: topic.value.clone(), count: usize::try_from(count).ok()? }
            }
        };
        let save = |save: &model::Save| {
            let kept = Save { name: save.name.value.clone(), path: save.path.value.clone() };
            Spanned::new(kept, save.name.span.to(save.path.span))
        };
        let saves = step.saves.iter().map(save).collect();
        Some(Conduct::Sync(SyncStep { member, what, checks: step.checks.clone(), saves }))
    }

    fn barrier(&self, barrier: &model::Barrier) -> Option<Barrier> {
        let of: BTreeSet<String> = match &barrier.of {
            None => self.names.services().map(|name| name.to_string()).collect(),
            Some(of) => of.iter().flat_map(|word| self.names.members(word)).map(|name| name.to_string()).collect(),
        };
        let quorum = match &barrier.quorum {
            None => Quorum::Share(100.0),
            Some(quorum) => self.quorum(quorum, of.len())?,
        };
        Some(Barrier { name: barrier.name.value.clone(), of, quorum, on_loss: barrier.on_loss })
    }

    /// How many of so many.
    pub(super) fn quorum(&self, quorum: &model::Quorum, of: usize) -> Option<Quorum> {
        match quorum {
            model::Quorum::Share(share) => Some(Quorum::Share(self.settled.percent(share)?.value())),
            model::Quorum::Count(count) => {
                let needed = usize::try_from(count.value).unwrap_or(usize::MAX);
                if needed > of && of > 0 {
                    let message = format!("{needed} of {of} can never come");
                    self.cx.report(Diagnostic::new(Code::OutOfRange, count.span, message));
                    return None;
                }
                Some(Quorum::Count(needed))
            }
        }
    }
}

/// What it does, in a line.
pub(super) fn title(conduct: &model::Conduct) -> String {
    match conduct {
        model::Conduct::Parallel(_) => "parallel".to_owned(),
        model::Conduct::Repeat(_) => "repeat".to_owned(),
        model::Conduct::Pause(text) => format!("pause: {}", plain(&text.value)),
        model::Conduct::Process(verb, service) => {
            let verb = match verb {
                ProcessVerb::Kill => "kill",
                ProcessVerb::KillAgent => "kill the agent of",
                ProcessVerb::Freeze => "freeze",
                ProcessVerb::Thaw => "thaw",
                ProcessVerb::Restart => "restart",
            };
            format!("{verb} {}", service.value)
        }
        model::Conduct::KillZone(zone) => format!("kill zone {}", zone.value),
        model::Conduct::Churn(churn) => format!("churn of {}", churn.of.value),
        model::Conduct::Sync(SyncVerb::Signal(name)) => format!("signal {}", name.value),
        model::Conduct::Sync(SyncVerb::Barrier(barrier)) => format!("barrier {}", barrier.name.value),
        model::Conduct::Sync(SyncVerb::Publish { topic, .. }) => format!("publish to {}", topic.value),
        model::Conduct::Sync(SyncVerb::Subscribe { topic, .. }) => format!("subscribe to {}", topic.value),
    }
}

/// The services whose end some step looks for.
pub(super) fn expected_ends(steps: &[Step]) -> BTreeSet<Name> {
    let ends = steps.iter().filter_map(|step| match &step.does {
        Does::Conduct(Conduct::State { of: StateOf::Service(service), checks }) => {
            checks.iter().any(speaks_of_an_end).then(|| service.clone())
        }
        _ => None,
    });
    ends.collect()
}

fn speaks_of_an_end(check: &model::Check) -> bool {
    let takes = |state: &str| check.matcher.check(&Actual::Text(state.to_owned()), &Value::Null).is_ok();
    check.field == "code" || (takes("ended") && !takes("running"))
}
