//! Steps: who acts, on whom, how long.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::order::Save;
use serde_json::{Map, Value};

use super::super::code::Code;
use super::super::compiled::{Ask, Does, FaultStep, Group, Heal, Step};
use super::super::diagnostic::Diagnostic;
use super::super::limits::{DEFAULT_PAUSE, DEFAULT_READY, DEFAULT_WITHIN};
use super::super::model::{self, FaultUse, Verb, Word};
use super::super::source::Spanned;
use super::Compiler;
use super::lookups::Scope;

/// Where a step stands.
pub(super) struct Place<'p> {
    /// Empty for readiness.
    pub(super) test: &'p str,
    /// `3`, `after.0`, `ready.shop`.
    pub(super) key: String,
    /// The service that the step is about without saying so: of readiness.
    pub(super) beside: Option<&'p Word>,
    pub(super) group: Option<Group>,
    pub(super) locals: Arc<Map<String, Value>>,
}

impl Compiler<'_> {
    pub(super) fn step(&mut self, step: &model::Step, place: &Place<'_>, scope: &mut Scope<'_>) -> Option<Step> {
        if let Some(when) = &step.when {
            self.look_text(&when.value, when.span, scope);
        }
        let spread = self.spread(step, place, scope);
        let does = match &spread {
            None => self.does(step, place, scope),
            Some(spread) => {
                let first = spread.as_ref().and_then(|spread| spread.asks.first());
                first.map(|ask| Does::Ask(Box::new(ask.clone())))
            }
        };
        if let Some(saved) = scope.saved.as_mut().filter(|_| !step.saves.is_empty()) {
            Rc::make_mut(saved).extend(step.saves.iter().map(|save| save.name.value.clone()));
        }
        let usual =
            if let Verb::Conduct(model::Conduct::Pause(_)) = step.verb.value { DEFAULT_PAUSE } else { DEFAULT_WITHIN };
        let within = step.within.as_ref().and_then(|within| self.settled.duration(within)).unwrap_or(usual);
        let eventually = step
            .eventually
            .as_ref()
            .and_then(|given| self.settled.duration(given).map(|time| Spanned::new(time, given.span)));
        // of a load it bounds one call, and the calls begin one after the other
        let within = within + does.as_ref().map_or(Duration::ZERO, super::load::lasts);
        // Readiness is waited for: a service that starts is not ready at once.
        let ready = place.beside.map(|_| Spanned::new(DEFAULT_READY, step.verb.span));
        Some(Step {
            key: place.key.clone(),
            span: step.span,
            verb: step.verb.span,
            id: step.id.as_ref().map(|id| id.value.clone()),
            title: step.name.as_ref().map_or_else(|| super::verbs::title(step), |name| name.value.clone()),
            within,
            eventually: eventually.or(ready),
            when: step.when.clone(),
            optional: step.optional,
            idempotent: step.idempotent,
            group: place.group,
            locals: Arc::clone(&place.locals),
            own: place.beside.and_then(|service| super::name(&service.value)),
            does: does?,
            spread: spread.flatten().map(Arc::new),
        })
    }

    fn does(&mut self, step: &model::Step, place: &Place<'_>, scope: &Scope<'_>) -> Option<Does> {
        match &step.verb.value {
            Verb::Http(_)
            | Verb::Tcp(_)
            | Verb::Grpc(_)
            | Verb::Ws(_)
            | Verb::Exec(_)
            | Verb::Stream(_)
            | Verb::Load(_) => {
                let work = self.work(step, place, scope)?;
                Some(Does::Ask(Box::new(self.ask(step, work, scope))))
            }
            Verb::Conduct(conduct) => self.conduct(step, conduct, (place, scope)).map(Does::Conduct),
            Verb::Expect(model::World::Process(service)) => self.state(step, service, scope).map(Does::Conduct),
            Verb::Expect(model::World::Fault(fault)) => self.course(step, fault, scope).map(Does::Conduct),
            Verb::Expect(model::World::Log(log)) if log.value == "*" && place.beside.is_some() => {
                let message = "a service is ready by its own word, not by that of all";
                self.cx.report(Diagnostic::new(Code::Check, log.span, message).expected("a log of this service"));
                None
            }
            Verb::Expect(world) => self.world(step, world, scope),
            Verb::Stub(used) => {
                let work = self.stub_work(used, scope)?;
                Some(Does::Ask(Box::new(self.ask(step, work, scope))))
            }
            Verb::Fault(used) => {
                let lasts = step.lasts.as_ref().and_then(|lasts| self.settled.duration(lasts));
                let prove = step
                    .prove
                    .as_ref()
                    .and_then(|given| self.settled.percent(given).map(|share| Spanned::new(share.value(), given.span)));
                let fault = match used {
                    FaultUse::Drawn(draw) => return self.draw(draw, (step, place), (lasts, prove)).map(Does::Draw),
                    FaultUse::Named(name) => self.fault(&name.value, self.names.fault(name)?)?,
                    FaultUse::Inline(fault) => self.fault(&inline_name(step, place), fault)?,
                };
                Some(Does::Fault(FaultStep { fault, lasts, prove }))
            }
            Verb::Heal(model::Heal::All) => Some(Does::Heal(Heal::All)),
            Verb::Heal(model::Heal::Named(names)) => {
                let known = names.iter().filter(|name| self.names.heals(name));
                Some(Does::Heal(Heal::Named(known.map(|name| name.value.clone()).collect())))
            }
            Verb::Collect(artefacts) => Some(Does::Collect(artefacts.iter().map(|artefact| artefact.value).collect())),
            Verb::Say(text) => {
                self.look_text(&text.value, text.span, scope);
                Some(Does::Say(text.value.clone()))
            }
        }
    }

    /// Work with its checks and saves.
    pub(super) fn ask(&mut self, step: &model::Step, work: super::verbs::Work, scope: &Scope<'_>) -> Ask {
        let scope = Scope { at: Some(work.at.clone()), ..scope.clone() };
        self.look_checks(step, &scope);
        let save = |save: &model::Save| {
            let kept = Save { name: save.name.value.clone(), path: save.path.value.clone() };
            Spanned::new(kept, save.name.span.to(save.path.span))
        };
        Ask {
            at: work.at,
            target: work.target,
            action: work.action,
            parts: work.parts,
            checks: step.checks.clone(),
            saves: step.saves.iter().map(save).collect(),
        }
    }
}

/// The name under which a fault written in place can be healed.
pub(super) fn inline_name(step: &model::Step, place: &Place<'_>) -> String {
    step.id.as_ref().map_or_else(|| format!("{}.{}", place.test, place.key), |id| id.value.clone())
}
