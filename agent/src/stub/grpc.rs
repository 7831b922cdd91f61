//! The way of a gRPC call through a stub: HTTP/2, messages in and messages out, and a status at the end.
//!
//! A call is looked at as JSON, as its `.proto` files say, and goes the way of any other call from there: routes, conditions,
//! sequences. A stream of requests is taken whole before it is answered; a stub that answered one message at a time would have to
//! guess at what the next one changes.

mod body;
mod methods;

pub(super) use methods::Methods;

use std::sync::Arc;

use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response, StatusCode};
use meshproof_proto::order::Ends;
use prost_reflect::MethodDescriptor;
use serde_json::{Value, json};

use super::body::Broken;
use super::calls::{Came, OpenCall};
use super::http::read;
use super::reply::{Manner, Spoken};
use super::request::Asked;
use super::routed::{Made, Nearest};
use super::server::{Arrived, Shared, Talk};
use super::table::Route;
use crate::action::grpc::{schema, status, wire};
use crate::limits;
use crate::punctual;
use body::Messages;

/// What a gRPC call is answered with.
pub(super) type Reply = Response<Messages>;

const OK: &str = "OK";

/// Answers a call, or resets its stream.
pub(super) async fn answer(talk: Arc<Talk>, request: Request<Incoming>) -> Result<Reply, Broken> {
    let (shared, arrived) = (&talk.shared, Arc::clone(&talk.arrived));
    let singled = shared.disturbance.comes(request.headers());
    let (parts, body) = request.into_parts();
    let answered = match read(body).await {
        Ok(body) => shared.grpc(parts, body, arrived),
        Err(StatusCode::PAYLOAD_TOO_LARGE) => {
            let asked = Asked::of(parts, Bytes::new(), arrived);
            let most = limits::BODY_BYTES / (1024 * 1024);
            shared.refused_call(&asked, "RESOURCE_EXHAUSTED", &format!("unsupported: requests of more than {most} MiB"))
        }
        // The client broke off: there was no call.
        Err(_) => return Err(Broken),
    };
    if let Some(manner) = answered.manner.filter(|manner| !manner.delay.is_zero()) {
        punctual::wait(manner.delay).await;
    }
    shared.disturbance.pass(&singled).await;
    answered.open.told().await;
    if answered.manner.is_some_and(|manner| manner.ends == Ends::Reset) {
        return Err(Broken);
    }
    Ok(answered.said.response(answered.manner))
}

/// A call that was counted, and what will be answered.
struct Answered<'a> {
    open: OpenCall<'a>,
    said: Said,
    manner: Option<Manner>,
}

/// A reply on its way to the wire.
struct Said {
    code: String,
    message: String,
    metadata: HeaderMap,
    messages: Vec<Bytes>,
}

impl Said {
    /// Nothing but how the call ended.
    fn ended(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), metadata: HeaderMap::new(), messages: Vec::new() }
    }

    fn response(self, manner: Option<Manner>) -> Reply {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(status::number(&self.code)));
        let encoded = status::encoded(&self.message);
        trailers.extend(encoded.parse().ok().filter(|_| !encoded.is_empty()).map(|text| (wire::MESSAGE, text)));
        let mut reply = Response::new(Messages::of(self.messages, trailers, manner));
        *reply.headers_mut() = self.metadata;
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        reply
    }
}

impl Shared {
    fn grpc(&self, parts: Parts, body: Bytes, arrived: Arc<Arrived>) -> Answered<'_> {
        let path = parts.uri.path().to_owned();
        let Some(method) = self.methods.get(&path) else {
            let asked = Asked::of(parts, Bytes::new(), arrived);
            let why =
                format!("no method {} in the descriptions of stub `{}`", path.trim_start_matches('/'), self.order.name);
            return self.unmatched_call(&asked, &why);
        };
        match requests(method, body) {
            // From here on it is a call like any other, its body the JSON of what was asked.
            Ok(json) => self.looked_at(method, &Asked::of(parts, json.to_string().into(), arrived)),
            Err(why) => self.refused_call(&Asked::of(parts, Bytes::new(), arrived), "INTERNAL", &why),
        }
    }

    fn looked_at(&self, method: &MethodDescriptor, asked: &Asked) -> Answered<'_> {
        let table = self.state.table();
        match table.find(asked) {
            Some(route) => self.by_route_of(method, route, asked),
            None => {
                let hint = Nearest::hint(self.nearest(&table, asked).as_ref());
                self.unmatched_call(asked, &format!("no route of stub `{}` takes it{hint}", self.order.name))
            }
        }
    }

    fn by_route_of(&self, method: &MethodDescriptor, route: &Route, asked: &Asked) -> Answered<'_> {
        let status = StatusCode::OK.as_u16();
        let routed = self.routed((route, asked), status, |reply, number| {
            let said = said(method, reply.spoken(|| asked.scope(number))?)?;
            Ok(Made { status, note: format!(": {}", said.code), said })
        });
        let said = routed.said.unwrap_or_else(|why| {
            Said::ended("INTERNAL", format!("meshproof: route `{}`: the reply cannot be made: {why}", route.id))
        });
        Answered { open: routed.open, said, manner: routed.manner }
    }

    /// Nothing of the plan takes it.
    fn unmatched_call(&self, asked: &Asked, why: &str) -> Answered<'_> {
        let counted = self.state.journal.count(None);
        let request = format!("{}: {why}", asked.shown(&self.masker));
        let came = Came { route: None, status: StatusCode::OK.as_u16(), request, error: None };
        let said = Said::ended("UNIMPLEMENTED", format!("meshproof: {why}"));
        Answered { open: OpenCall::of(self, counted, came), said, manner: None }
    }

    /// A call that the stub could not look at: never expected.
    fn refused_call(&self, asked: &Asked, code: &str, why: &str) -> Answered<'_> {
        let open = self.unsupported(format!("{}: {why}", asked.shown(&self.masker)), StatusCode::OK.as_u16());
        Answered { open, said: Said::ended(code, why), manner: None }
    }
}

/// What was asked, as JSON: a message, or of a stream all of them.
fn requests(method: &MethodDescriptor, body: Bytes) -> Result<Value, String> {
    let messages = wire::messages(body)?;
    let decoded: Result<Vec<Value>, String> =
        messages.iter().map(|bytes| schema::decoded(method.input(), bytes)).collect();
    let mut decoded = decoded.map_err(|why| format!("the request cannot be read: {why}"))?;
    match (method.is_client_streaming(), decoded.len()) {
        (true, _) => Ok(Value::Array(decoded)),
        (false, 1) => Ok(decoded.remove(0)),
        (false, many) => Err(format!("{many} messages for a method that takes one")),
    }
}

/// The reply in the messages of its method.
fn said(method: &MethodDescriptor, spoken: Spoken) -> Result<Said, String> {
    let Spoken { code, message, metadata, json } = spoken;
    let values = match json {
        Some(Value::Array(values)) if method.is_server_streaming() => values,
        Some(_) if code != OK && !method.is_server_streaming() => {
            return Err(format!("a call that ends with {code} has no message, unless it is a stream"));
        }
        Some(value) => vec![value],
        // A message without fields is one all the same.
        None if code == OK && !method.is_server_streaming() => vec![json!({})],
        None => Vec::new(),
    };
    let encode =
        |value: &Value| schema::encoded(method.output(), value).map(|bytes| wire::framed(std::slice::from_ref(&bytes)));
    let messages = values.iter().map(encode).collect::<Result<_, String>>()?;
    Ok(Said { code, message, metadata, messages })
}
