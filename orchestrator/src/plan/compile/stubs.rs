//! Stubs.

use meshproof_proto::order::{Body, StubOrder, StubReply, StubRoute};

use super::super::compiled::Stub;
use super::super::model::{self, Content};
use super::super::source::Span;
use super::Compiler;
use super::lookups::{Addresses, Scope};

impl<'d> Compiler<'d> {
    pub(super) fn stub(&mut self, stub: &'d model::Stub) -> Option<Stub> {
        let at = self.names.service_name(&stub.at);
        let scope = Scope { saved: Some([].into()), addresses: Addresses::NotYet, ..Scope::default() };
        let routes = stub.routes.iter().map(|route| self.route(route, &scope)).collect();
        Some(Stub {
            at: at?,
            span: stub.name.span,
            unmatched: stub.unmatched.span,
            order: StubOrder {
                name: stub.name.value.clone(),
                port: stub.port.unwrap_or(0),
                unmatched: stub.unmatched.value,
                routes,
            },
        })
    }

    fn route(&mut self, route: &model::Route, scope: &Scope<'_>) -> StubRoute {
        for (_, matcher) in &route.when {
            self.look_matcher(matcher, route.span, scope);
        }
        let scope = Scope { agent: &["call", "request"], ..scope.clone() };
        let replies = route.replies.iter().map(|reply| self.reply(reply, &scope)).collect();
        StubRoute {
            id: route.id.value.clone(),
            method: route.method.clone(),
            path: route.path.as_ref().map(|path| path.value.clone()),
            when: route.when.clone(),
            replies,
        }
    }

    fn reply(&mut self, reply: &model::Reply, scope: &Scope<'_>) -> StubReply {
        for (_, value) in &reply.headers {
            self.look_text(value, reply.span, scope);
        }
        let delay = reply.delay.as_ref().and_then(|delay| self.settled.duration(delay)).unwrap_or_default();
        StubReply {
            status: reply.status,
            headers: reply.headers.clone(),
            body: self.body(&reply.body, reply.span, scope),
            delay_ms: super::steps::millis(delay),
            times: reply.times,
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
