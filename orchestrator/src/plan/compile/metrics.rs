//! Metrics: the port where a service tells them, and who is asked for one.

use std::time::Duration;

use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{Action, Scrape, millis};

use super::super::code::Code;
use super::super::compiled::{Conduct, StateOf};
use super::super::diagnostic::{Diagnostic, quote};
use super::super::model::{Metrics, Service, Step, Word};
use super::Compiler;
use super::lookups::Scope;
use super::verbs::Work;

/// Often enough to see a peak, and no load.
const USUAL: Duration = Duration::from_secs(1);

/// More often says nothing more, and less often than this nothing at all.
const EVERY: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// What is sampled of every service's processes.
pub(in crate::plan) const SAMPLED: [&str; 3] = ["cpu", "memory", "descriptors"];

impl Compiler<'_> {
    pub(super) fn scrape(&mut self, service: &Service, metrics: &Metrics) -> Option<Scrape> {
        let port = metrics.port.as_ref().map(|port| format!("{}.{}", service.name.value, port.value));
        let span = metrics.port.as_ref().map_or(metrics.span, |port| port.span);
        let to = Word::new(port.unwrap_or_else(|| service.name.value.clone()), span);
        let endpoint = self.names.endpoint(&to, "metrics")?;
        let every = match &metrics.every {
            Some(every) => self.settled.duration(every)?,
            None => USUAL,
        };
        if let Some(given) = metrics.every.as_ref().filter(|_| !EVERY.contains(&every)) {
            let problem =
                Diagnostic::new(Code::OutOfRange, given.span, "metrics cannot be fetched so often or so seldom");
            self.cx.report(problem.expected("from 100ms to 1h"));
            return None;
        }
        Some(Scrape { port: endpoint.port, path: metrics.path.value.clone(), every_ms: millis(every) })
    }

    /// Whether programs tell it: of a group, or of a member that tells its metrics nowhere else.
    pub(super) fn is_measured(&self, metric: &Word) -> bool {
        let Some((of, name)) = metric.value.split_once('.') else { return false };
        let is_members = |service: &Service| service.member.is_some() && service.metrics.is_none();
        self.names.is_group(of) || (!SAMPLED.contains(&name) && self.names.known(of).is_some_and(is_members))
    }

    /// `group.metric` or `member.metric`, as its programs have measured it.
    pub(super) fn measured(
        &mut self,
        step: &Step,
        (metric, labels): (&Word, &[(String, Matcher)]),
        scope: &Scope<'_>,
    ) -> Option<Conduct> {
        let (of, name) = metric.value.split_once('.')?;
        self.look_checks(step, scope);
        if !labels.is_empty() {
            let message = format!("what programs of `{of}` measure has no labels");
            self.cx.report(Diagnostic::new(Code::Check, metric.span, message).help("put what differs into the name"));
            return None;
        }
        let of = StateOf::Measured { of: of.to_owned(), metric: name.to_owned() };
        Some(Conduct::State { of, checks: step.checks.clone() })
    }

    /// `service.metric`: the agent beside that service is asked.
    pub(super) fn metric(&self, metric: &Word, labels: &[(String, Matcher)]) -> Option<Work> {
        let Some((service_name, name)) = metric.value.split_once('.') else {
            let message = format!("{} does not say whose metric it is", quote(&metric.value));
            self.cx.report(Diagnostic::new(Code::Check, metric.span, message).expected("`SERVICE.METRIC`"));
            return None;
        };
        let service = self.names.service_at(service_name, metric.span)?;
        if SAMPLED.contains(&name) && service.processes.is_empty() {
            let message = format!("the processes of `{service_name}` are not known: it runs already");
            self.cx.report(Diagnostic::new(Code::Check, metric.span, message).expected("a service with `exec`"));
            return None;
        }
        if !SAMPLED.contains(&name) && service.metrics.is_none() {
            let message = format!("`{service_name}` has no `metrics`, so there is no {}", quote(name));
            let problem = Diagnostic::new(Code::Check, metric.span, message).label(service.name.span, "this service");
            self.cx.report(problem.expected("`cpu`, `memory` or `descriptors`").did_you_mean(name, SAMPLED));
            return None;
        }
        let action = Action::ExpectMetric { metric: name.to_owned(), labels: labels.to_vec() };
        Some(Work { at: super::name(service_name)?, target: None, action, parts: Vec::new() })
    }
}
