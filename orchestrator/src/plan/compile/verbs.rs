//! Verbs to actions for agents.

use meshproof_proto::expr::{Part, Template};
use meshproof_proto::id::Name;
use meshproof_proto::order::{
    Action, DataSource, ExecAction, HttpAction, Pace, RecordStreamId, StreamAction, Target, TcpAction,
};

use super::super::code::Code;
use super::super::compiled::{Does, Endpoint, Everywhere, Helper, Tunnel};
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::model::{self, Data, FaultUse, Step, Stream, Verb, Word, World};
use super::super::source::{Span, Spanned};
use super::super::units::{Per, Rate};
use super::Compiler;
use super::beside::TakenFor;
use super::lookups::Scope;
use super::steps::Place;

/// An action, who does it, and on what.
pub(super) struct Work {
    pub(super) at: Name,
    pub(super) target: Option<Endpoint>,
    pub(super) action: Action,
    pub(super) parts: Vec<Helper>,
}

impl Compiler<'_> {
    /// The work of a step that asks a service or runs a program.
    pub(super) fn work(&mut self, step: &Step, place: &Place<'_>, scope: &Scope<'_>) -> Option<Work> {
        let to = step.to.as_ref().or(place.beside);
        match &step.verb.value {
            Verb::Http(_) => self.call(step, to, scope),
            Verb::Tcp(_) | Verb::Grpc(_) | Verb::Ws(_) => self.call(step, to, scope),
            Verb::Exec(_) => self.program(step, to, scope),
            Verb::Stream(stream) => self.stream(step, stream, scope),
            Verb::Load(load) => self.load(step, load, scope),
            Verb::Expect(_)
            | Verb::Fault(_)
            | Verb::Heal(_)
            | Verb::Collect(_)
            | Verb::Say(_)
            | Verb::Stub(_)
            | Verb::Conduct(_) => None,
        }
    }

    fn call(&mut self, step: &Step, to: Option<&Word>, scope: &Scope<'_>) -> Option<Work> {
        let verb = port_of(&step.verb.value)?;
        let Some(to) = to else {
            self.nobody(step, &format!("it is not said which service this {verb} call goes to"), "`to: SERVICE`");
            return None;
        };
        let target = self.names.endpoint(to, verb);
        let at = match &step.at {
            Some(at) => self.names.service_name(at),
            None => target.as_ref().map(|target| target.service.clone()),
        };
        let scope = Scope { at: at.clone(), ..scope.clone() };
        let action = self.action(&step.verb, target.as_ref(), &scope);
        let (at, target) = at.zip(target)?;
        if at != target.service {
            self.tunnels.insert(Tunnel { at: at.clone(), to: target.clone() });
        }
        Some(Work { at, target: Some(target), action: action?, parts: Vec::new() })
    }

    /// A program runs beside `at`, else beside `to`.
    fn program(&mut self, step: &Step, to: Option<&Word>, scope: &Scope<'_>) -> Option<Work> {
        let Some(beside) = step.at.as_ref().or(to) else {
            self.nobody(step, "it is not said beside which service this program runs", "`at: SERVICE`");
            return None;
        };
        if let (Some(_), Some(to)) = (&step.at, &step.to) {
            let message = "a program runs beside one service";
            self.cx.report(Diagnostic::new(Code::Modifier, to.span, message).expected("either `at` or `to`"));
        }
        let at = self.names.service_name(beside);
        let scope = Scope { at: at.clone(), ..scope.clone() };
        let action = self.action(&step.verb, None, &scope);
        Some(Work { at: at?, target: None, action: action?, parts: Vec::new() })
    }

    fn stream(&mut self, step: &Step, stream: &Stream, scope: &Scope<'_>) -> Option<Work> {
        let (Some(at), Some(to)) = (&step.at, &step.to) else {
            self.nobody(step, "a stream goes from one service's agent to another's", "`at: SERVICE` and `to: SERVICE`");
            return None;
        };
        let at_name = self.names.service_name(at);
        let (to_name, target) = match port_of(&stream.apply.value) {
            None => (self.names.service_name(to), None),
            Some(verb) => {
                let target = self.names.endpoint(to, verb);
                (target.as_ref().map(|target| target.service.clone()), target)
            }
        };
        let sender = Scope { at: at_name.clone(), agent: &["index"], ..scope.clone() };
        let data = self.data(&stream.data, (step.verb.span, at), &sender);
        let pace = match &stream.rate {
            Some(rate) => Some(pace(self.settled.rate(rate)?)),
            None => None,
        };
        let receiver = Scope { at: to_name.clone(), agent: &["record", "index"], ..scope.clone() };
        let apply = self.action(&stream.apply, target.as_ref(), &receiver);
        let (at_name, to_name) = at_name.zip(to_name)?;
        if at_name == to_name {
            let problem = Diagnostic::new(Code::NobodyActs, to.span, "a stream goes from one agent to another");
            self.cx.report(problem.expected("another service than `at`"));
            return None;
        }
        // The run numbers its streams when it orders them.
        let action = Action::Stream(StreamAction {
            stream: RecordStreamId(0),
            to: to_name.clone(),
            data: data?,
            pace,
            key: None,
        });
        let parts = vec![Helper { at: to_name, target, action: apply? }];
        Some(Work { at: at_name, target: None, action, parts })
    }

    fn data(&mut self, data: &Data, (span, at): (Span, &Word), sender: &Scope<'_>) -> Option<DataSource> {
        match data {
            Data::Generate { count, json } => {
                self.look_value(json, span, sender);
                Some(DataSource::Generate { count: self.settled.count(count)?, json: json.clone() })
            }
            Data::File(path) => Some(DataSource::Lines(self.held_file(path, TakenFor::Records))),
            Data::Log { log, count } => {
                let (work, count) = (self.log(log)?, self.settled.count(count)?);
                let Action::ExpectLog { log: name } = work.action else { return None };
                if work.at.as_str() != at.value || name == "*" {
                    let message = format!("the agent of `{}` sends lines of one log of its own service", at.value);
                    let problem = Diagnostic::new(Code::Choice, log.span, message);
                    self.cx.report(problem.expected(format!("`{}.LOG`", at.value)));
                    return None;
                }
                Some(DataSource::Log { log: name, count })
            }
        }
    }

    /// What goes over the wire; its address is filled in by the run.
    pub(super) fn action(
        &mut self,
        verb: &Spanned<Verb>,
        target: Option<&Endpoint>,
        scope: &Scope<'_>,
    ) -> Option<Action> {
        let tls = verb.value.tls().map(|tls| self.tls(tls, target));
        let target = Target { tls, ..Target::plain(target.map(Endpoint::to_string).unwrap_or_default(), "") };
        let span = verb.span;
        match &verb.value {
            Verb::Http(http) => {
                self.look_text(&http.path.value, http.path.span, scope);
                http.headers.iter().for_each(|(_, value)| self.look_text(value, span, scope));
                Some(Action::Http(HttpAction {
                    target,
                    method: http.method.to_owned(),
                    path: http.path.value.clone(),
                    headers: http.headers.clone(),
                    body: self.body(&http.body, span, scope),
                }))
            }
            Verb::Tcp(tcp) => {
                self.look_text(&tcp.send, span, scope);
                Some(Action::Tcp(TcpAction { target, send: tcp.send.clone() }))
            }
            Verb::Grpc(grpc) => Some(self.grpc(grpc, (target, span), scope)),
            Verb::Ws(ws) => Some(self.ws(ws, (target, span), scope)),
            Verb::Exec(exec) => {
                let texts = exec.argv.iter().chain(exec.env.iter().map(|(_, value)| value)).chain(&exec.stdin);
                texts.for_each(|text| self.look_text(text, span, scope));
                Some(Action::Exec(ExecAction {
                    argv: exec.argv.clone(),
                    env: exec.env.clone(),
                    stdin: exec.stdin.clone(),
                    cwd: exec.cwd.as_ref().map(|cwd| cwd.value.clone()),
                    limits: self.settled.bounds(&exec.limits),
                }))
            }
            Verb::Stream(_)
            | Verb::Load(_)
            | Verb::Expect(_)
            | Verb::Fault(_)
            | Verb::Heal(_)
            | Verb::Collect(_)
            | Verb::Say(_)
            | Verb::Stub(_)
            | Verb::Conduct(_) => None,
        }
    }

    /// An `expect` that stands alone.
    pub(super) fn world(&mut self, step: &Step, world: &World, scope: &Scope<'_>) -> Option<Does> {
        let work = match world {
            World::Log(log) if log.value == "*" => {
                self.look_checks(step, scope);
                let agents = self.names.agents().collect();
                return Some(Does::Everywhere(Box::new(Everywhere { agents, checks: step.checks.clone() })));
            }
            World::Log(log) => self.log(log),
            World::Stub(stub, order) => self.stub_calls(stub, order),
            World::Metric(metric, labels) if self.is_measured(metric) => {
                return self.measured(step, (metric, labels), scope).map(Does::Conduct);
            }
            World::Metric(metric, labels) => {
                labels.iter().for_each(|(_, matcher)| self.look_matcher(matcher, metric.span, scope));
                self.metric(metric, labels)
            }
            World::Link { from, to } => self.link(from, to),
            // Looked at by the orchestrator, elsewhere.
            World::Process(_) | World::Fault(_) => return None,
            World::Value(value) => {
                self.look_value(&value.value, value.span, scope);
                self.look_checks(step, scope);
                return Some(Does::Value { value: value.value.clone(), checks: step.checks.clone() });
            }
        };
        let work = work?;
        Some(Does::Ask(Box::new(self.ask(step, work, scope))))
    }

    /// `service.log`, or `service` for all of its logs.
    pub(super) fn log(&self, log: &Word) -> Option<Work> {
        let (service_name, name) = log.value.split_once('.').unwrap_or((&log.value, "*"));
        let service = self.names.service_at(service_name, log.span)?;
        let own = service.logs.iter().map(|log| log.name.value.as_str());
        let known: Vec<String> =
            ["stdout", "stderr"].into_iter().chain(own).map(|log| format!("{service_name}.{log}")).collect();
        if name != "*" && !known.contains(&log.value) {
            let message = format!("`{service_name}` has no log {}", quote(name));
            let known = known.iter().map(String::as_str);
            let problem = Diagnostic::new(Code::UnknownLog, log.span, message).expected(one_of(known.clone()));
            self.cx.report(problem.did_you_mean(&log.value, known));
            return None;
        }
        let action = Action::ExpectLog { log: name.to_owned() };
        Some(Work { at: super::name(service_name)?, target: None, action, parts: Vec::new() })
    }

    pub(super) fn stub_calls(&self, word: &Word, order: &[Word]) -> Option<Work> {
        let (name, route) = match word.value.split_once('.') {
            Some((name, route)) => (name, Some(route)),
            None => (word.value.as_str(), None),
        };
        let stub = self.names.stub(&Word::new(name.to_owned(), word.span))?;
        self.routes_exist(stub, order);
        let known = self.names.routes(stub);
        let routes = || known.iter().copied();
        if let Some(route) = route
            && !known.contains(&route)
        {
            let message = format!("the stub `{name}` has no route {}", quote(route));
            let full: Vec<String> = routes().map(|route| format!("{name}.{route}")).collect();
            let known = full.iter().map(String::as_str);
            let problem = Diagnostic::new(Code::UnknownRoute, word.span, message).expected(one_of(known.clone()));
            self.cx.report(problem.did_you_mean(&word.value, known));
            return None;
        }
        let at = self.names.service_name(&stub.at)?;
        let action = Action::ExpectStub { stub: name.to_owned(), route: route.map(str::to_owned) };
        Some(Work { at, target: None, action, parts: Vec::new() })
    }

    /// The agent of the first service looks at its link to the other's.
    fn link(&self, from: &Word, to: &Word) -> Option<Work> {
        let (at, to) = (self.names.service_name(from), self.names.service_name(to));
        Some(Work { at: at?, target: None, action: Action::ExpectLink { to: to? }, parts: Vec::new() })
    }

    pub(super) fn stub_work(&mut self, used: &model::StubUse, scope: &Scope<'_>) -> Option<Work> {
        let (stub, change) = self.stub_change(used, scope)?;
        let at = self.names.service_name(&stub.at)?;
        let action = Action::ChangeStub { stub: stub.name.value.clone(), change };
        Some(Work { at, target: None, action, parts: Vec::new() })
    }

    pub(super) fn nobody(&self, step: &Step, message: &str, expected: &str) {
        let span: Span = step.verb.span;
        self.cx
            .report(Diagnostic::new(Code::NobodyActs, span, message).expected(format!("{expected} beside the verb")));
    }
}

/// The name of the port that a verb means when several are there; none for a verb that needs no port.
pub(super) fn port_of(verb: &Verb) -> Option<&'static str> {
    match verb {
        Verb::Http(_) => Some("http"),
        Verb::Tcp(_) => Some("tcp"),
        Verb::Grpc(_) => Some("grpc"),
        Verb::Ws(_) => Some("ws"),
        Verb::Exec(_)
        | Verb::Stream(_)
        | Verb::Load(_)
        | Verb::Expect(_)
        | Verb::Fault(_)
        | Verb::Heal(_)
        | Verb::Collect(_)
        | Verb::Say(_)
        | Verb::Stub(_)
        | Verb::Conduct(_) => None,
    }
}

/// What a step does, in one line for people.
pub(super) fn title(step: &Step) -> String {
    let to = |text: String| match &step.to {
        Some(to) => format!("{text} to {}", to.value),
        None => text,
    };
    match &step.verb.value {
        Verb::Http(http) => to(format!("{} {}", http.method, plain(&http.path.value))),
        Verb::Tcp(tcp) => to(format!("tcp {}", plain(&tcp.send).trim_end())),
        Verb::Grpc(grpc) => to(format!("grpc {}", grpc.call.value)),
        Verb::Ws(ws) => to(format!("ws {}", ws.send.iter().map(plain).collect::<Vec<_>>().join(" "))),
        Verb::Exec(exec) => format!("exec {}", exec.argv.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Verb::Stream(_) => to("stream".to_owned()),
        Verb::Load(load) => to(super::load::title(load)),
        Verb::Expect(World::Log(log)) => format!("expect log {}", log.value),
        Verb::Expect(World::Stub(stub, _)) => format!("expect stub {}", stub.value),
        Verb::Expect(World::Value(_)) => "expect value".to_owned(),
        Verb::Expect(World::Process(service)) => format!("expect process {}", service.value),
        Verb::Expect(World::Fault(fault)) => format!("expect fault {}", fault.value),
        Verb::Expect(World::Link { from, to }) => format!("expect link {} <-> {}", from.value, to.value),
        Verb::Expect(World::Metric(metric, _)) => format!("expect metric {}", metric.value),
        Verb::Conduct(conduct) => super::conduct::title(conduct),
        Verb::Fault(FaultUse::Named(name)) => format!("fault {}", name.value),
        Verb::Fault(FaultUse::Inline(_)) => "fault".to_owned(),
        Verb::Fault(FaultUse::Drawn(draw)) => {
            format!(
                "fault drawn from {}",
                draw.faults.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(" ")
            )
        }
        Verb::Heal(model::Heal::All) => "heal all".to_owned(),
        Verb::Heal(model::Heal::Named(names)) => {
            format!("heal {}", names.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(" "))
        }
        Verb::Collect(_) => "collect".to_owned(),
        Verb::Stub(used) => {
            let change = if used.routes.is_some() { "new routes" } else { "purge" };
            format!("stub {} {change}", used.stub.value)
        }
        Verb::Say(text) => format!("say {}", plain(&text.value)),
    }
}

/// A text with `…` where its expressions stand: what they give is not known yet, and how they are spelled says nothing.
pub(super) fn plain(template: &Template) -> String {
    let parts = template.parts.iter().map(|part| match part {
        Part::Text(text) => text.as_str(),
        Part::Look(_) => "…",
    });
    parts.collect()
}

fn pace(rate: Rate) -> Pace {
    let per_ms = match rate.per {
        Per::Second => 1_000,
        Per::Minute => 60_000,
    };
    Pace { records: rate.events, per_ms }
}
