//! `grpc` and `ws` to actions for agents.

use meshproof_proto::order::{Action, GrpcAction, Target, WsAction};

use super::super::model::{Grpc, Ws};
use super::super::source::Span;
use super::Compiler;
use super::lookups::Scope;

impl Compiler<'_> {
    pub(super) fn grpc(&mut self, grpc: &Grpc, (target, span): (Target, Span), scope: &Scope<'_>) -> Action {
        self.look_value(&grpc.json, span, scope);
        grpc.metadata.iter().for_each(|(_, value)| self.look_text(value, span, scope));
        let protos = self.descriptions(&grpc.protos, Some(&grpc.call));
        let (metadata, json) = (grpc.metadata.clone(), grpc.json.clone());
        Action::Grpc(GrpcAction { target, call: grpc.call.value.clone(), metadata, json, protos })
    }

    pub(super) fn ws(&mut self, ws: &Ws, (target, span): (Target, Span), scope: &Scope<'_>) -> Action {
        self.look_text(&ws.path.value, ws.path.span, scope);
        let headers = ws.headers.iter().map(|(_, value)| value);
        ws.send.iter().chain(headers).for_each(|text| self.look_text(text, span, scope));
        let (path, headers) = (ws.path.value.clone(), ws.headers.clone());
        Action::Ws(WsAction { target, path, headers, send: ws.send.clone() })
    }
}
