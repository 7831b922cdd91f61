//! Orders name secrets; whoever carries one out puts the values in, just before.

use serde_json::Value;

use super::{Action, Body, DataSource, Says, StepOrder, StubChange, StubRoute};
use crate::expr::Template;

impl StepOrder {
    /// Puts in the secrets of the scope.
    pub fn put_in_secrets(&mut self, scope: &Value) {
        self.action.put_in_secrets(scope);
        self.checks.iter_mut().for_each(|check| check.matcher.put_in_secrets(scope));
    }
}

impl Action {
    /// Puts in the secrets of the scope.
    pub fn put_in_secrets(&mut self, scope: &Value) {
        match self {
            Self::Http(http) => {
                http.path.put_in_secrets(scope);
                texts(&mut http.headers, scope);
                body(&mut http.body, scope);
            }
            Self::Tcp(tcp) => tcp.send.put_in_secrets(scope),
            Self::Exec(exec) => {
                exec.argv.iter_mut().chain(&mut exec.stdin).for_each(|text| text.put_in_secrets(scope));
                texts(&mut exec.env, scope);
            }
            Self::Grpc(grpc) => {
                texts(&mut grpc.metadata, scope);
                grpc.json.put_in_secrets(scope);
            }
            Self::Ws(ws) => {
                ws.send.iter_mut().chain([&mut ws.path]).for_each(|text| text.put_in_secrets(scope));
                texts(&mut ws.headers, scope);
            }
            Self::Stream(stream) => {
                if let DataSource::Generate { json, .. } = &mut stream.data {
                    json.put_in_secrets(scope);
                }
            }
            Self::Load(load) => {
                load.call.put_in_secrets(scope);
                load.each.iter_mut().for_each(|check| check.matcher.put_in_secrets(scope));
            }
            Self::ExpectMetric { labels, .. } | Self::WatchMetric { labels, .. } => {
                labels.iter_mut().for_each(|(_, label)| label.put_in_secrets(scope));
            }
            Self::ChangeStub { change: StubChange::Replace(routes), .. } => {
                routes.iter_mut().for_each(|route| route.put_in_secrets(scope));
            }
            Self::ChangeStub { change: StubChange::Purge, .. }
            | Self::ExpectLog { .. }
            | Self::ExpectStub { .. }
            | Self::WatchLog { .. }
            | Self::WatchStub { .. }
            | Self::Settle { .. }
            | Self::ExpectLink { .. }
            | Self::CountLog { .. } => {}
        }
    }
}

impl StubRoute {
    /// Puts in the secrets of the scope.
    pub fn put_in_secrets(&mut self, scope: &Value) {
        self.when.iter_mut().for_each(|(_, condition)| condition.put_in_secrets(scope));
        for reply in &mut self.replies {
            match &mut reply.says {
                Says::Http { headers, body: content, .. } => {
                    texts(headers, scope);
                    body(content, scope);
                }
                Says::Text(text) => text.put_in_secrets(scope),
                Says::Bytes(_) => {}
                Says::Grpc { message, metadata, json, .. } => {
                    message.put_in_secrets(scope);
                    texts(metadata, scope);
                    json.iter_mut().for_each(|json| json.put_in_secrets(scope));
                }
            }
        }
    }
}

fn texts(named: &mut [(String, Template)], scope: &Value) {
    named.iter_mut().for_each(|(_, text)| text.put_in_secrets(scope));
}

fn body(body: &mut Body, scope: &Value) {
    match body {
        Body::Empty => {}
        Body::Text(text) => text.put_in_secrets(scope),
        Body::Json(json) => json.put_in_secrets(scope),
    }
}
