//! Stubs.

use std::rc::Rc;

use meshproof_proto::order::{
    Body, Ends, Protocol, RequestPart, Says, Slow, StubChange, StubOrder, StubReply, StubRoute, Takes, millis,
};

use super::super::code::Code;
use super::super::compiled::Stub;
use super::super::diagnostic::{Diagnostic, quote};
use super::super::model::{self, Content, ReplySays, StubUse, Word};
use super::super::parse::speaks;
use super::super::source::{Span, Spanned};
use super::Compiler;
use super::lookups::{Addresses, Scope};

impl<'d> Compiler<'d> {
    pub(super) fn stub(&mut self, stub: &'d model::Stub) -> Option<Stub> {
        let at = self.names.service_name(&stub.at);
        let scope = Scope { saved: Some(Rc::default()), addresses: Addresses::NotYet, ..Scope::default() };
        let routes = stub.routes.iter().map(|route| self.route(stub, route, &scope)).collect();
        let tls = stub.tls.map(|clients| self.stub_tls(&stub.name.value, clients));
        let upstreams = self.upstreams(stub, at.as_ref());
        let protos = self.descriptions(&stub.protos, None);
        self.methods_are_described(stub, &stub.routes);
        Some(Stub {
            at: at?,
            span: stub.name.span,
            unmatched: stub.unmatched.span,
            order: StubOrder {
                name: stub.name.value.clone(),
                port: stub.port.as_ref().map_or(0, |port| port.value),
                protocol: stub.protocol,
                unmatched: stub.unmatched.value,
                keep: stub.keep,
                journal: stub.journal,
                routes,
                protos,
                tls,
                upstreams,
                // A plan cannot name a function; whoever runs it from Rust can.
                handler: None,
            },
        })
    }

    /// A change of a stub, and the stub. Its routes may look up everything that the run knows by now.
    pub(super) fn stub_change(&mut self, used: &StubUse, scope: &Scope<'_>) -> Option<(&'d model::Stub, StubChange)> {
        let stub = self.names.stub(&used.stub)?;
        let Some(routes) = &used.routes else { return Some((stub, StubChange::Purge)) };
        if let Some(first) = routes.first()
            && speaks(routes) != stub.protocol
        {
            let word = |protocol: &Protocol| match protocol {
                Protocol::Http => "http",
                Protocol::Tcp => "tcp",
                Protocol::Grpc => "grpc",
            };
            let message = format!("the stub {} speaks {}", quote(&stub.name.value), word(&stub.protocol));
            let problem = Diagnostic::new(Code::Choice, first.span, message).label(stub.name.span, "this stub");
            self.cx.report(problem.expected(format!("routes for {}", word(&stub.protocol))));
            return None;
        }
        self.methods_are_described(stub, routes);
        let routes = routes.iter().map(|route| self.route(stub, route, scope)).collect();
        Some((stub, StubChange::Replace(routes)))
    }

    /// Each route of a gRPC stub that names its method is for one that the stub's files have.
    fn methods_are_described(&mut self, stub: &model::Stub, routes: &[model::Route]) {
        for route in routes.iter().filter(|_| stub.protocol == Protocol::Grpc) {
            if let Takes::Request { path: Some(path), .. } = &route.takes
                && !path.contains('*')
            {
                let call = Spanned::new(path.trim_start_matches('/').to_owned(), route.span);
                self.descriptions(&stub.protos, Some(&call));
            }
        }
    }

    fn route(&mut self, stub: &model::Stub, route: &model::Route, scope: &Scope<'_>) -> StubRoute {
        if stub.tls.is_none()
            && stub.upstreams.is_none()
            && route.when.iter().any(|(part, _)| *part == RequestPart::TlsName)
        {
            let message = format!("no call of the stub {} has a `tls-name`", quote(&stub.name.value));
            let problem = Diagnostic::new(Code::Choice, route.span, message);
            self.cx.report(problem.label(stub.name.span, "this stub").help("give it a certificate: `tls: run`"));
        }
        for (_, matcher) in &route.when {
            self.look_matcher(matcher, route.span, scope);
        }
        let scope = Scope { agent: &["call", "request"], ..scope.clone() };
        let replies = route.replies.iter().map(|reply| self.reply(reply, &scope)).collect();
        StubRoute { id: route.id.value.clone(), takes: route.takes.clone(), when: route.when.clone(), replies }
    }

    fn reply(&mut self, reply: &model::Reply, scope: &Scope<'_>) -> StubReply {
        let says = self.says(reply, scope);
        let delay = reply.delay.as_ref().and_then(|delay| self.settled.duration(delay)).unwrap_or_default();
        let slow = reply.slow.as_ref().and_then(|(over, pieces)| {
            let over_ms = millis(self.settled.duration(over)?);
            Some(Slow { over_ms, pieces: *pieces })
        });
        let is_empty = match &says {
            Says::Http { body, .. } => *body == Body::Empty,
            Says::Text(_) => false,
            Says::Bytes(bytes) => bytes.is_empty(),
            Says::Grpc { json, .. } => json.is_none(),
        };
        if is_empty && (slow.is_some() || reply.ends == Ends::ResetInBody) {
            let message = "unsupported: a slow or broken body where there is no body";
            self.cx.report(Diagnostic::new(Code::Unsupported, reply.span, message));
        }
        StubReply { says, delay_ms: millis(delay), slow, ends: reply.ends, times: reply.times }
    }

    fn says(&mut self, reply: &model::Reply, scope: &Scope<'_>) -> Says {
        match &reply.says {
            ReplySays::Http { status, headers, body } => {
                for (_, value) in headers {
                    self.look_text(value, reply.span, scope);
                }
                let body = self.body(body, reply.span, scope);
                Says::Http { status: *status, headers: headers.clone(), body }
            }
            ReplySays::Text(text) => {
                self.look_text(text, reply.span, scope);
                Says::Text(text.clone())
            }
            ReplySays::Bytes(bytes) => Says::Bytes(bytes.clone()),
            ReplySays::Grpc { code, message, metadata, json } => {
                let texts = metadata.iter().map(|(_, value)| value).chain([message]);
                texts.for_each(|text| self.look_text(text, reply.span, scope));
                json.iter().for_each(|json| self.look_value(json, reply.span, scope));
                Says::Grpc {
                    code: (*code).to_owned(),
                    message: message.clone(),
                    metadata: metadata.clone(),
                    json: json.clone(),
                }
            }
        }
    }

    /// Whether routes with these ids are ever in this stub; one that is not is reported.
    pub(super) fn routes_exist(&self, stub: &model::Stub, wanted: &[Word]) {
        let known = self.names.routes(stub);
        for word in wanted.iter().filter(|word| !known.contains(&word.value.as_str())) {
            let message = format!("the stub {} has no route {}", quote(&stub.name.value), quote(&word.value));
            let problem = Diagnostic::new(Code::UnknownRoute, word.span, message);
            self.cx.report(problem.did_you_mean(&word.value, known.iter().copied()));
        }
    }

    pub(super) fn body(&mut self, content: &Content, span: Span, scope: &Scope<'_>) -> Body {
        match content {
            Content::Empty => Body::Empty,
            Content::Text(text) => {
                self.look_text(text, span, scope);
                Body::Text(text.clone())
            }
            Content::Json(json) => {
                self.look_value(json, span, scope);
                Body::Json(json.clone())
            }
        }
    }
}
