//! What holds for a whole test, addressed to the agents that look.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::id::Name;
use meshproof_proto::order::Action;

use super::super::compiled::{Does, Settle, Step};
use super::super::limits::{DEFAULT_SETTLE, DEFAULT_WITHIN};
use super::super::model::{self, Verb, World};
use super::super::source::Spanned;
use super::Compiler;
use super::lookups::Scope;
use super::verbs::{Work, title};

impl Compiler<'_> {
    /// Each as one step for every agent that has to look.
    pub(super) fn always(&mut self, test: &model::Test) -> Vec<Step> {
        let mut steps = Vec::new();
        for (at, step) in test.always.iter().enumerate() {
            for work in self.watches(step) {
                let key = format!("always.{at}.{}", work.at);
                let title = step.name.as_ref().map_or_else(|| title(step), |name| name.value.clone());
                // Nothing is saved yet when the watching begins.
                let scope = Scope { saved: Some(Rc::default()), ..Scope::default() };
                let ask = Does::Ask(Box::new(self.ask(step, work, &scope)));
                let optional = step.optional;
                steps.push(Step {
                    optional,
                    id: step.id.as_ref().map(|id| id.value.clone()),
                    ..plain(key, (step.span, step.verb.span), title, ask)
                });
            }
        }
        steps
    }

    fn watches(&self, step: &model::Step) -> Vec<Work> {
        let watch = |work: Work| {
            let action = match work.action {
                Action::ExpectLog { log } => Action::WatchLog { log },
                Action::ExpectStub { stub, route } => Action::WatchStub { stub, route },
                Action::ExpectMetric { metric, labels } => Action::WatchMetric { metric, labels },
                other => other,
            };
            Work { action, ..work }
        };
        let found: Vec<Work> = match &step.verb.value {
            Verb::Expect(World::Log(log)) if log.value == "*" => {
                let everywhere = self.names.agents().map(|service| Spanned::new(service.to_string(), log.span));
                everywhere.filter_map(|service| self.log(&service)).collect()
            }
            Verb::Expect(World::Log(log)) => self.log(log).into_iter().collect(),
            Verb::Expect(World::Stub(stub, order)) => self.stub_calls(stub, order).into_iter().collect(),
            Verb::Expect(World::Metric(metric, labels)) => self.metric(metric, labels).into_iter().collect(),
            _ => Vec::new(),
        };
        found.into_iter().map(watch).collect()
    }

    pub(super) fn settle(&mut self, settle: &model::Settle) -> Option<Step> {
        let quiet = self.settled.duration(&settle.quiet)?;
        let within = settle.within.as_ref().map_or(Some(DEFAULT_SETTLE), |within| self.settled.duration(within))?;
        let agents: Vec<Name> = self.names.agents().collect();
        let does = Does::Settle(Settle { quiet, agents });
        let title = format!("settle, quiet for {quiet:?}");
        Some(Step { within, ..plain("settle".to_owned(), (settle.span, settle.span), title, does) })
    }
}

/// The steady state's steps again, under keys of their own.
pub(super) fn once_more(steady: &[Step]) -> Vec<Step> {
    let again = |step: &Step| Step { key: step.key.replacen("steady.", "steady-after.", 1), ..step.clone() };
    steady.iter().map(again).collect()
}

fn plain(
    key: String,
    (span, verb): (super::super::source::Span, super::super::source::Span),
    title: String,
    does: Does,
) -> Step {
    Step {
        key,
        span,
        verb,
        id: None,
        title,
        within: DEFAULT_WITHIN,
        eventually: None::<Spanned<Duration>>,
        when: None,
        optional: false,
        idempotent: false,
        group: None,
        locals: Arc::default(),
        own: None,
        does,
        spread: None,
    }
}
