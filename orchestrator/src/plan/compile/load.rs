//! Loads: who makes which part of them, and when.

use std::time::Duration;

use meshproof_proto::id::Name;
use meshproof_proto::limits::LOAD_READY;
use meshproof_proto::order::{Action, LoadAction, LoadModel, Share, Stage, millis};

use super::super::code::Code;
use super::super::compiled::{Does, Helper, Tunnel};
use super::super::diagnostic::Diagnostic;
use super::super::limits::{DEFAULT_IN_FLIGHT, DEFAULT_WITHIN, MAX_IN_FLIGHT, MAX_USERS};
use super::super::model::{Level, Load, LoadStage, Step, Verb};
use super::super::read::Given;
use super::super::source::Spanned;
use super::Compiler;
use super::lookups::Scope;
use super::verbs::{Work, plain, port_of};

impl Compiler<'_> {
    /// The agent of the step makes the first share, each helper one of the others.
    pub(super) fn load(&mut self, step: &Step, load: &Load, scope: &Scope<'_>) -> Option<Work> {
        let target = match (port_of(&load.call.value), &step.to) {
            (Some(verb), Some(to)) => Some(self.names.endpoint(to, verb)?),
            (Some(verb), None) => {
                self.nobody(step, &format!("it is not said which service these {verb} calls go to"), "`to: SERVICE`");
                return None;
            }
            (None, _) => None,
        };
        let beside = target.as_ref().map(|target| target.service.clone());
        let at = match step.at.as_ref().or(step.to.as_ref().filter(|_| target.is_none())) {
            Some(at) => self.names.service_name(at)?,
            None => beside.or_else(|| {
                self.nobody(step, "it is not said beside which service these programs run", "`at: SERVICE`");
                None
            })?,
        };
        let (model, stages) = self.levels(step, load)?;
        let names: Option<Vec<Name>> = load.helpers.iter().map(|helper| self.names.service_name(helper)).collect();
        let within = step.within.as_ref().and_then(|within| self.settled.duration(within)).unwrap_or(DEFAULT_WITHIN);
        let mut made = |at: &Name| {
            if let Some(target) = target.as_ref().filter(|target| target.service != *at) {
                self.tunnels.insert(Tunnel { at: at.clone(), to: target.clone() });
            }
            let scope = Scope { at: Some(at.clone()), agent: &["index"], ..scope.clone() };
            let call = Box::new(self.action(&load.call, target.as_ref(), &scope)?);
            // what each answer must be, and who makes which share, is put in when it is ordered
            let (each, share, helpers) = (Vec::new(), Share::WHOLE, Vec::new());
            let (within_ms, stages) = (millis(within), stages.clone());
            Some(Action::Load(Box::new(LoadAction { call, each, within_ms, model, stages, share, helpers })))
        };
        let action = made(&at)?;
        let part = |at: Name| Some(Helper { action: made(&at)?, target: target.clone(), at });
        let parts = names?.into_iter().map(part).collect::<Option<Vec<Helper>>>()?;
        Some(Work { at, target, action, parts })
    }

    fn levels(&mut self, step: &Step, load: &Load) -> Option<(LoadModel, Vec<Stage>)> {
        let agents = 1 + load.helpers.len() as u64;
        let per_agent = |count: u64, most: u64| count.div_ceil(agents) <= most;
        let (model, stages) = match &load.level {
            Level::Rate(stages) => {
                let given = load.in_flight.as_ref().map(|given| self.settled.count(given));
                let in_flight = given.unwrap_or(Some(DEFAULT_IN_FLIGHT))?.clamp(1, MAX_IN_FLIGHT);
                let stages = self.stages(stages, |compiler, rate| Some(compiler.settled.rate(rate)?.per_second()))?;
                (LoadModel::Open { in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX) }, stages)
            }
            Level::Users(stages) => {
                let stages = self.stages(stages, |compiler, users| Some(compiler.settled.count(users)? as f64))?;
                (LoadModel::Closed, stages)
            }
        };
        let most = stages.iter().map(|stage| stage.from.max(stage.to)).fold(0.0, f64::max);
        let problem = if most <= 0.0 {
            Diagnostic::new(Code::OutOfRange, step.verb.span, "this load makes no call").expected("more than nothing")
        } else if model == LoadModel::Closed && !per_agent(most as u64, MAX_USERS) {
            let problem = Diagnostic::new(Code::OutOfRange, step.verb.span, "more users than an agent can be");
            problem.expected(format!("at most {MAX_USERS} at each agent"))
        } else {
            return Some((model, stages));
        };
        self.cx.report(problem);
        None
    }

    fn stages<T>(
        &mut self,
        stages: &[LoadStage<T>],
        level: impl Fn(&mut Self, &Spanned<Given<T>>) -> Option<f64>,
    ) -> Option<Vec<Stage>> {
        let mut before = 0.0;
        let mut settled = Vec::new();
        for LoadStage { is_constant, to, duration } in stages {
            let to = level(self, to)?;
            let duration_ms = millis(self.settled.duration(duration)?);
            settled.push(Stage { from: if *is_constant { to } else { before }, to, duration_ms });
            before = to;
        }
        Some(settled)
    }
}

/// How long calls are begun, and their helpers waited for; of any other step, no time.
pub(super) fn lasts(does: &Does) -> Duration {
    let Does::Ask(ask) = does else { return Duration::ZERO };
    let Action::Load(load) = &ask.action else { return Duration::ZERO };
    load.duration() + if ask.parts.is_empty() { Duration::ZERO } else { LOAD_READY }
}

/// `load GET / at 200/s`
pub(super) fn title(load: &Load) -> String {
    let call = match &load.call.value {
        Verb::Http(http) => format!("{} {}", http.method, plain(&http.path.value)),
        Verb::Grpc(grpc) => format!("grpc {}", grpc.call.value),
        Verb::Tcp(_) => "tcp".to_owned(),
        Verb::Ws(_) => "ws".to_owned(),
        _ => "exec".to_owned(),
    };
    format!("load {call}")
}
