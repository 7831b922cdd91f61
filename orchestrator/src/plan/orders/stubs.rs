//! Routes of stubs with what the run knows put in.

use meshproof_proto::expr::{Expr, Template, ValueTemplate};
use meshproof_proto::order::{Body, Says, StubChange, StubReply, StubRoute};
use serde_json::Value;

use super::resolved_body;

pub(super) fn changed(change: &StubChange, scope: &Value) -> StubChange {
    match change {
        StubChange::Purge => StubChange::Purge,
        StubChange::Replace(routes) => StubChange::Replace(routes.iter().map(|route| resolved(route, scope)).collect()),
    }
}

pub(super) fn resolved(route: &StubRoute, scope: &Value) -> StubRoute {
    let when = route.when.iter().map(|(part, matcher)| (part.clone(), matcher.resolve(scope)));
    let reply = |reply: &StubReply| StubReply { says: says(&reply.says, scope), ..reply.clone() };
    let replies = route.replies.iter().map(reply).collect();
    StubRoute { id: route.id.clone(), takes: route.takes.clone(), when: when.collect(), replies }
}

fn says(says: &Says, scope: &Value) -> Says {
    match says {
        Says::Http { status, headers, body } => Says::Http {
            status: *status,
            headers: headers.iter().map(|(name, value)| (name.clone(), value.resolve(scope))).collect(),
            body: resolved_body(body, scope),
        },
        Says::Text(text) => Says::Text(text.resolve(scope)),
        Says::Bytes(bytes) => Says::Bytes(bytes.clone()),
        Says::Grpc { code, message, metadata, json } => Says::Grpc {
            code: code.clone(),
            message: message.resolve(scope),
            metadata: metadata.iter().map(|(name, value)| (name.clone(), value.resolve(scope))).collect(),
            json: json.as_ref().map(|json| json.resolve(scope)),
        },
    }
}

/// What the routes of a change look up.
pub(super) fn looks(change: &StubChange) -> Vec<Expr> {
    let StubChange::Replace(routes) = change else { return Vec::new() };
    let matchers = routes.iter().flat_map(|route| &route.when).flat_map(|(_, matcher)| matcher.exprs()).cloned();
    let replies = routes.iter().flat_map(|route| &route.replies).flat_map(|reply| said_looks(&reply.says));
    matchers.chain(replies).collect()
}

fn said_looks(says: &Says) -> Vec<Expr> {
    match says {
        Says::Http { headers, body, .. } => {
            let headers = headers.iter().flat_map(|(_, value)| value.exprs()).cloned();
            let body: Vec<Expr> = match body {
                Body::Empty => Vec::new(),
                Body::Text(text) => text.exprs().cloned().collect(),
                Body::Json(json) => json.exprs().into_iter().cloned().collect(),
            };
            headers.chain(body).collect()
        }
        Says::Text(text) => text.exprs().cloned().collect(),
        Says::Bytes(_) => Vec::new(),
        Says::Grpc { message, metadata, json, .. } => {
            let texts = metadata.iter().map(|(_, value)| value).chain([message]).flat_map(Template::exprs);
            texts.chain(json.iter().flat_map(ValueTemplate::exprs)).cloned().collect()
        }
    }
}
