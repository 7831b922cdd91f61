//! The way of an HTTP call through a stub.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::{Request, StatusCode};
use meshproof_proto::expr::Template;
use meshproof_proto::order::{Action, Body as OrderBody, Ends, HttpAction, Protocol, Target, Tls, Unmatched};
use serde_json::{Value, json};

use super::body::{Broken, ReplyBody};
use super::calls::{Came, OpenCall};
use super::line::Reset;
use super::reply::{Manner, Reply, Said};
use super::request::Asked;
use super::server::{Arrived, Shared};
use super::table::Route;
use crate::action::perform;
use crate::limits;

/// Ours, so that no plan's route is needed for it.
pub(super) const PROBE_PATH: &str = "/.meshproof/probe";
pub(super) const PROBE_HEADER: &str = "x-meshproof-probe";

/// Answers a request, or breaks its connection.
pub(super) async fn answer(
    shared: Arc<Shared>,
    reset: Reset,
    (arrived, request): (Arc<Arrived>, Request<Incoming>),
) -> Result<Reply, Broken> {
    let is_probe = request.uri().path() == PROBE_PATH
        && request.headers().get(PROBE_HEADER).is_some_and(|value| value.as_bytes() == shared.probe.as_bytes());
    if is_probe {
        shared.disturbance.pass().await;
        return Ok(Said::bare(StatusCode::NO_CONTENT).response(ReplyBody::whole));
    }
    let (parts, body) = request.into_parts();
    let answered = match read(body).await {
        Ok(body) => shared.call(&Asked::of(parts, body, arrived)),
        Err(StatusCode::PAYLOAD_TOO_LARGE) => shared.too_large(&Asked::of(parts, Bytes::new(), arrived)),
        // The client broke off, or sent what is no HTTP: there was no call.
        Err(status) => return Ok(Said::bare(status).response(ReplyBody::whole)),
    };
    if let Some(manner) = answered.manner.filter(|manner| !manner.delay.is_zero()) {
        tokio::time::sleep(manner.delay).await;
    }
    shared.disturbance.pass().await;
    answered.open.told().await;
    match answered.manner {
        Some(Manner { ends: Ends::Reset, .. }) => {
            reset.ask();
            Err(Broken)
        }
        Some(manner) => {
            let mut reply = answered.said.response(|body| ReplyBody::of(body, &manner, &reset));
            if manner.ends == Ends::Closed {
                reply.headers_mut().insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("close"));
            }
            Ok(reply)
        }
        None => Ok(answered.said.response(ReplyBody::whole)),
    }
}

/// Calls the stub there. Whether it answered in time.
pub(super) async fn probe((address, tls): (SocketAddr, Option<Tls>), secret: &str, within: Duration) -> bool {
    let action = Action::Http(HttpAction {
        target: Target { tls, ..Target::plain("a stub", address.to_string()) },
        method: "GET".to_owned(),
        path: Template::text(PROBE_PATH),
        headers: vec![(PROBE_HEADER.to_owned(), Template::text(secret))],
        body: OrderBody::Empty,
    });
    perform(&action, &Value::Null, within).await.error.is_none()
}

pub(super) async fn read(body: Incoming) -> Result<Bytes, StatusCode> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match Limited::new(body, limits::BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::BAD_REQUEST),
    }
}

/// A call that was counted, and what will be answered.
struct Answered<'a> {
    open: OpenCall<'a>,
    said: Said,
    /// How it is said; `None`: at once.
    manner: Option<Manner>,
}

impl Shared {
    fn call(&self, asked: &Asked) -> Answered<'_> {
        if self.order.protocol == Protocol::Grpc {
            // Its routes are for HTTP/2.
            return self.unmatched(asked, None);
        }
        let table = self.state.table();
        match table.find(asked) {
            Some(route) => self.routed(route, asked),
            None => {
                let nearest = table.nearest(asked);
                self.unmatched(asked, nearest)
            }
        }
    }

    fn routed(&self, route: &Route, asked: &Asked) -> Answered<'_> {
        let counted = self.state.journal.count(Some(route.slot));
        let number = counted.number;
        let chosen = route.reply(number.saturating_sub(route.before));
        let made = match chosen {
            Some(chosen) => chosen.said(|| asked.scope(number)),
            None => Err("the route has no reply".to_owned()),
        };
        let (said, request, is_mistake) = match made {
            Ok(said) => (said, asked.shown(&self.masker), false),
            // A reply that cannot be made is a mistake of the plan: it must not pass for an answer.
            Err(why) => {
                let problem = json!({"error": "the reply cannot be made", "route": route.id, "because": why});
                let request = format!("{}; the reply cannot be made: {why}", asked.shown(&self.masker));
                (Said::problem(StatusCode::INTERNAL_SERVER_ERROR, &problem), request, true)
            }
        };
        let manner = chosen.filter(|_| !is_mistake).and_then(|chosen| chosen.manner);
        let is_reset = manner.is_some_and(|manner| manner.ends == Ends::Reset);
        let status = if is_reset { 0 } else { said.status.as_u16() };
        let open = OpenCall::of(self, counted, Came { route: Some(route), status, request, is_mistake });
        Answered { open, said, manner }
    }

    fn unmatched(&self, asked: &Asked, nearest: Option<(String, String)>) -> Answered<'_> {
        let counted = self.state.journal.count(None);
        let nearest = nearest.map(|(id, why)| (id, self.masker.mask(&why).into_owned()));
        let hint = nearest.as_ref().map(|(id, why)| format!("; the nearest is `{id}`, but {why}")).unwrap_or_default();
        let problem = json!({
            "error": format!("no route of stub `{}` takes this call", self.order.name),
            "asked": asked.shown(&self.masker),
            "nearest": nearest.map(|(id, why)| json!({"route": id, "because": why})),
        });
        let request = format!("{}: no route takes it{hint}", asked.shown(&self.masker));
        let status = match self.order.unmatched {
            Unmatched::Fail => StatusCode::NOT_FOUND,
            Unmatched::Answer(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND),
        };
        let came = Came { route: None, status: status.as_u16(), request, is_mistake: false };
        Answered { open: OpenCall::of(self, counted, came), said: Said::problem(status, &problem), manner: None }
    }

    /// A stub cannot look at such a call, so whether a route would take it stays open: never expected.
    fn too_large(&self, asked: &Asked) -> Answered<'_> {
        let counted = self.state.journal.count(None);
        let most = limits::BODY_BYTES / (1024 * 1024);
        let request = format!("{}: unsupported: a body of more than {most} MiB", asked.shown(&self.masker));
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        let came = Came { route: None, status: status.as_u16(), request, is_mistake: true };
        Answered { open: OpenCall::of(self, counted, came), said: Said::bare(status), manner: None }
    }
}
