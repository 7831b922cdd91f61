//! What expressions look up: every name in them is known, or reported; and a look-up of another service's port makes the
//! tunnel that leads there.

use std::collections::BTreeSet;
use std::rc::Rc;

use meshproof_proto::expr::{Expr, Segment, Template, ValueTemplate};
use meshproof_proto::id::Name;
use meshproof_proto::matcher::{Matcher, Quantity};

use super::super::code::Code;
use super::super::compiled::{Endpoint, Tunnel};
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::limits::MAX_SEARCHED_BYTES;
use super::super::model::{Service, Word};
use super::super::read;
use super::super::source::Span;
use super::Compiler;

/// What can be looked up at one place of a plan.
#[derive(Debug, Default, Clone)]
pub(super) struct Scope<'d> {
    /// The service whose `self` this is.
    pub(super) own: Option<&'d Service>,
    /// The agent that needs the addresses, for tunnels.
    pub(super) at: Option<Name>,
    /// What earlier steps saved; `None` where that cannot be said. Shared, because each step looks from a scope of its own.
    pub(super) saved: Option<Rc<BTreeSet<String>>>,
    /// Whether the addresses of services and stubs are known when this is needed.
    pub(super) addresses: Addresses,
    /// The axes of the matrix, where it counts.
    pub(super) matrix: Vec<String>,
    /// What only the agent knows: `call`, `request`, `record`, `index`.
    pub(super) agent: &'static [&'static str],
}

/// Whether addresses are known.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addresses {
    #[default]
    Known,
    /// Stubs are made before the first address is.
    NotYet,
}

/// The words that can stand at one place of an expression.
struct Known<'k> {
    span: Span,
    /// What each of them is: `a parameter`.
    what: &'k str,
    words: &'k [&'k str],
}

impl Compiler<'_> {
    pub(super) fn look_text(&mut self, template: &Template, span: Span, scope: &Scope<'_>) {
        for expression in template.exprs() {
            self.look(expression, span, scope);
        }
    }

    pub(super) fn look_value(&mut self, value: &ValueTemplate, span: Span, scope: &Scope<'_>) {
        for expression in value.exprs() {
            self.look(expression, span, scope);
        }
    }

    pub(super) fn look_matcher(&mut self, matcher: &Matcher, span: Span, scope: &Scope<'_>) {
        matcher.exprs().into_iter().for_each(|expression| self.look(expression, span, scope));
        self.quantities(matcher, span);
    }

    /// What is compared with, as far as it is known before a run, is a quantity.
    fn quantities(&self, matcher: &Matcher, span: Span) {
        match matcher {
            Matcher::CompareTo(_, with) => {
                let Some(text) = self.settled.known(with) else { return };
                if Quantity::parse(&text).is_none() {
                    let message = format!("{with} gives {}, which is not a quantity", quote(&text));
                    let problem = Diagnostic::new(Code::Unit, span, message);
                    self.cx.report(problem.expected("a number with its unit, such as 5s, 64KiB or 3"));
                }
            }
            Matcher::Not(inner) => self.quantities(inner, span),
            Matcher::All(all) => all.iter().for_each(|matcher| self.quantities(matcher, span)),
            Matcher::Paths(paths) => paths.iter().for_each(|(_, matcher)| self.quantities(matcher, span)),
            Matcher::Equals(_)
            | Matcher::Compare(..)
            | Matcher::Regex(_)
            | Matcher::Contains(_)
            | Matcher::In(_)
            | Matcher::Exists(_)
            | Matcher::RegexOf(_) => {}
        }
    }

    fn look(&mut self, expression: &Expr, around: Span, scope: &Scope<'_>) {
        let span = self.place_of(expression, around);
        let keys: Vec<&str> = expression.path.iter().map_while(key).collect();
        match keys.as_slice() {
            [root, ..] if scope.agent.contains(root) => {}
            ["params", rest @ ..] => self.among(rest, &Known { span, what: "a parameter", words: &self.names.params }),
            ["plan", rest @ ..] => self.among(rest, &Known { span, what: "a part of `plan`", words: &["dir", "name"] }),
            ["self", rest @ ..] => self.own(span, rest, scope),
            [root @ ("services" | "stubs"), ..] if scope.addresses == Addresses::NotYet => {
                let message =
                    format!("`{root}` cannot be looked up in a stub, which is made before any address is known");
                let known = ["params", "plan", "secrets"].into_iter().chain(scope.agent.iter().copied());
                self.cx.report(Diagnostic::new(Code::UnknownName, span, message).expected(one_of(known)));
            }
            ["tls", rest @ ..] => self.look_tls(span, rest, scope),
            ["services", rest @ ..] => self.address(span, rest, scope),
            ["stubs", rest @ ..] => self.stub_address(span, rest, scope.at.as_ref()),
            ["matrix", ..] if scope.matrix.is_empty() => {
                let message =
                    "`matrix` is known in tests only, and here is none: services and stubs are the same for all";
                let problem = Diagnostic::new(Code::UnknownName, span, message);
                self.cx.report(problem.help("write `matrix:` at the top level, and use it in steps and faults"));
            }
            ["matrix", rest @ ..] => {
                let axes: Vec<&str> = scope.matrix.iter().map(String::as_str).collect();
                self.among(rest, &Known { span, what: "an axis of the matrix", words: &axes });
            }
            ["secrets", rest @ ..] => self.look_secret(span, rest),
            [root, ..] => self.saved(span, root, scope),
            [] => {}
        }
    }

    fn saved(&self, span: Span, root: &str, scope: &Scope<'_>) {
        let Some(saved) = &scope.saved else { return };
        if saved.contains(root) {
            return;
        }
        let addresses: &[&str] = match scope.addresses {
            Addresses::Known => &["services", "stubs"],
            Addresses::NotYet => &[],
        };
        let roots =
            ["params", "plan", "secrets"].into_iter().chain(addresses.iter().copied()).chain(scope.own.map(|_| "self"));
        let known: Vec<&str> =
            saved.iter().map(String::as_str).chain(roots).chain(scope.agent.iter().copied()).collect();
        let message = format!("nothing is known here under the name {}", quote(root));
        let problem = Diagnostic::new(Code::UnknownName, span, message).expected(one_of(known.iter().copied()));
        self.cx.report(problem.did_you_mean(root, known));
    }

    /// Whether the first of the keys is one of the known words; if not, it is reported.
    fn among(&self, keys: &[&str], known: &Known<'_>) {
        let found = keys.first().copied();
        let message = match found {
            Some(found) if known.words.contains(&found) => return,
            Some(found) => format!("{} is not {}", quote(found), known.what),
            None => format!("it is not said which: the word after the dot is missing, {}", known.what),
        };
        let words = || known.words.iter().copied();
        let problem = Diagnostic::new(Code::UnknownName, known.span, message).expected(one_of(words()));
        self.cx.report(problem.did_you_mean(found.unwrap_or_default(), words()));
    }

    /// `self.dir`, `self.name`, `self.http.port`.
    fn own(&mut self, span: Span, rest: &[&str], scope: &Scope<'_>) {
        let Some(service) = scope.own else {
            let message = "`self` is the service in which it stands, and here is none";
            self.cx.report(Diagnostic::new(Code::UnknownName, span, message).expected("`services.NAME`"));
            return;
        };
        let ports = service.ports.iter().map(|port| port.name.value.as_str());
        match rest {
            ["dir" | "name"] => {}
            ["host"] if self.networked.is_some() => {}
            ["tls", rest @ ..] => self.look_own_tls(span, rest, service),
            ["logs", rest @ ..] => {
                let words: Vec<&str> = listening(service).collect();
                self.among(rest, &Known { span, what: "a log with `listen`", words: &words });
                self.part(span, rest.get(1..).unwrap_or_default(), &["url", "host", "port", "address"]);
            }
            [port, part @ ..] if ports.clone().any(|known| known == *port) => self.part(span, part, &["port", "host"]),
            rest => {
                let known: Vec<&str> = ["dir", "name", "tls", "logs"].into_iter().chain(ports).collect();
                self.among(rest, &Known { span, what: "a part of this service", words: &known });
            }
        }
    }

    /// `services.ledger.tcp`, `.direct`, `.host`, `.port`.
    fn address(&mut self, span: Span, rest: &[&str], scope: &Scope<'_>) {
        let [name, rest @ ..] = rest else {
            self.among(&[], &Known { span, what: "a service", words: &[] });
            return;
        };
        let Some(service) = self.names.service_at(name, span) else { return };
        let ports: Vec<&str> = service.ports.iter().map(|port| port.name.value.as_str()).collect();
        let (port, part) = match rest {
            [port, part @ ..] if ports.contains(port) => (*port, part),
            ["host"] if self.networked.is_some() => return,
            rest => {
                let message = match rest.first() {
                    Some(port) => format!("`{name}` has no port {}", quote(port)),
                    None => format!("it is not said which port of `{name}`"),
                };
                let problem = Diagnostic::new(Code::UnknownPort, span, message).expected(one_of(ports.iter().copied()));
                self.cx.report(problem.did_you_mean(rest.first().copied().unwrap_or_default(), ports.iter().copied()));
                return;
            }
        };
        self.part(span, part, &["direct", "host", "port"]);
        let Some(to) = super::name(name).filter(|to| scope.at.as_ref().is_some_and(|at| at != to)) else { return };
        match (part.first(), &scope.at) {
            (Some(&"direct"), _) => drop(self.direct.insert(span)),
            (_, Some(at)) => {
                let to = Endpoint { service: to, port: port.to_owned() };
                self.tunnels.insert(Tunnel { at: at.clone(), to });
            }
            (_, None) => {}
        }
    }

    /// `stubs.payments.url`, `.host`, `.port`, `.address`.
    fn stub_address(&self, span: Span, rest: &[&str], at: Option<&Name>) {
        let [name, part @ ..] = rest else {
            self.among(&[], &Known { span, what: "a stub", words: &[] });
            return;
        };
        let Some(stub) = self.names.stub(&Word::new((*name).to_owned(), span)) else { return };
        if let (Some(_), Some(at)) = (self.networked, at)
            && at.as_str() != stub.at.value
        {
            let what = format!("a stub at `{}` for `{at}`, in a plan with `network`,", stub.at.value);
            self.cx
                .report(read::not_yet(span, &what).help("a stub listens on the loopback of the service that it is at"));
        }
        match part {
            ["proxy"] if stub.upstreams.is_none() => {
                let message = format!("the stub {} is no proxy", quote(name));
                let problem = Diagnostic::new(Code::UnknownName, span, message).label(stub.name.span, "this stub");
                self.cx
                    .report(problem.help("say which hosts it stands for: `upstreams: [{ intercept: api.example }]`"));
            }
            ["proxy"] => {}
            part => self.among(
                part,
                &Known { span, what: "a part of a stub", words: &["url", "host", "port", "address", "proxy"] },
            ),
        }
    }

    /// The optional last part of an address.
    fn part(&self, span: Span, part: &[&str], known: &[&str]) {
        if !part.is_empty() {
            self.among(part, &Known { span, what: "a part of a port", words: known });
        }
    }

    /// Where an expression stands inside of `around`: where its path is written.
    fn place_of(&self, expression: &Expr, around: Span) -> Span {
        if around.end - around.start > MAX_SEARCHED_BYTES {
            return around;
        }
        let path = expression.to_string();
        let written = self.cx.source.slice(around);
        for (open, _) in written.match_indices("${{") {
            let inside = &written[open + 3..];
            let start = open + 3 + (inside.len() - inside.trim_start().len());
            let rest = &written[start..];
            let ends = |rest: &str| {
                !rest.starts_with(|next: char| next.is_alphanumeric() || matches!(next, '_' | '-' | '.' | '['))
            };
            if rest.strip_prefix(path.as_str()).is_some_and(ends) {
                return Span::new(around.start + start, around.start + start + path.len());
            }
        }
        around
    }
}

/// Logs that the service writes to an endpoint.
fn listening(service: &Service) -> impl Iterator<Item = &str> {
    service.logs.iter().filter(|log| log.listen.is_some()).map(|log| log.name.value.as_str())
}

fn key(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Key(key) => Some(key),
        Segment::Index(_) => None,
    }
}
