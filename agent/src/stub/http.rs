//! The way of an HTTP call through a stub.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Either, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use meshproof_proto::event::StubError;
use meshproof_proto::expr::Template;
use meshproof_proto::order::{Action, Body as OrderBody, Ends, HttpAction, Protocol, Target, Tls, Unmatched};
use meshproof_proto::stub::HandlerAnswer;
use serde_json::{Value, json};

use super::body::{Broken, ReplyBody};
use super::calls::{Came, OpenCall};
use super::fault::Singled;
use super::handler::{self, Unanswered};
use super::reply::{Manner, Said};
use super::request::Asked;
use super::routed::{Made, Nearest};
use super::server::{Shared, Talk};
use super::table::Route;
use super::upstreams::{self, Host, Rule};
use crate::action::perform;
use crate::limits;
use crate::punctual;

/// Ours, so that no plan's route is needed for it.
pub(super) const PROBE_PATH: &str = "/.meshproof/probe";
pub(super) const PROBE_HEADER: &str = "x-meshproof-probe";

/// What a handler is called where routes are.
pub(super) const HANDLER: &str = "handler";

/// Our own reply, or somebody else's who was asked instead.
pub(super) type Outgoing = Response<Either<ReplyBody, Incoming>>;

/// Answers a request, or breaks its connection.
pub(super) async fn answer(talk: Arc<Talk>, request: Request<Incoming>) -> Result<Outgoing, Broken> {
    let shared = &talk.shared;
    let is_probe = request.uri().path() == PROBE_PATH
        && request.headers().get(PROBE_HEADER).is_some_and(|value| value.as_bytes() == shared.probe.as_bytes());
    if is_probe {
        shared.disturbance.pass_probe().await;
        return Ok(ours(Said::bare(StatusCode::NO_CONTENT)));
    }
    if request.method() == Method::CONNECT && shared.hosts.is_some() {
        return Ok(connect(&talk, request).await);
    }
    let singled = shared.disturbance.comes(request.headers());
    let (parts, body) = request.into_parts();
    let body = read(body).await;
    let asked = |body| Asked::of(parts, body, Arc::clone(&talk.arrived));
    let (asked, is_whole) = match body {
        Ok(body) => (asked(body), true),
        Err(StatusCode::PAYLOAD_TOO_LARGE) => (asked(Bytes::new()), false),
        // The client broke off, or sent what is no HTTP: there was no call.
        Err(status) => return Ok(ours(Said::bare(status))),
    };
    let answered = if is_whole { shared.call(&asked) } else { shared.too_large(&asked) };
    match answered.goes_on {
        None => say(&talk, answered, &singled).await,
        Some(GoesOn::To(target)) => Ok(elsewhere((&talk, &singled), (target, asked), answered.open).await),
        Some(GoesOn::Handler(address)) => Ok(handled((&talk, &singled), (address, asked), answered.open).await),
    }
}

async fn say(talk: &Talk, answered: Answered<'_>, singled: &Singled) -> Result<Outgoing, Broken> {
    if let Some(manner) = answered.manner.filter(|manner| !manner.delay.is_zero()) {
        punctual::wait(manner.delay).await;
    }
    talk.shared.disturbance.pass(singled).await;
    answered.open.told().await;
    match answered.manner {
        Some(Manner { ends: Ends::Reset, .. }) => {
            talk.reset.ask();
            Err(Broken)
        }
        Some(manner) => {
            let mut reply = answered.said.response(|body| ReplyBody::of(body, &manner, &talk.reset));
            if manner.ends == Ends::Closed {
                reply.headers_mut().insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("close"));
            }
            Ok(reply.map(Either::Left))
        }
        None => Ok(ours(answered.said)),
    }
}

fn ours(said: Said) -> Outgoing {
    said.response(ReplyBody::whole).map(Either::Left)
}

/// Somebody else answers.
async fn elsewhere(
    (talk, singled): (&Talk, &Singled),
    (target, asked): (&Target, Asked),
    mut open: OpenCall<'_>,
) -> Outgoing {
    let shared = &talk.shared;
    let theirs = upstreams::forward(target, asked.again(), (&shared.permits, &talk.calls)).await;
    shared.disturbance.pass(singled).await;
    match theirs {
        Ok(theirs) => {
            open.answered(theirs.status().as_u16(), "");
            open.told().await;
            theirs.map(Either::Right)
        }
        Err(error) => {
            let problem = json!({"error": format!("{} did not answer", target.label), "because": error.message});
            open.answered(StatusCode::BAD_GATEWAY.as_u16(), &format!("; {}", error.message));
            open.told().await;
            ours(Said::problem(StatusCode::BAD_GATEWAY, &problem))
        }
    }
}

/// A function in the test's own process answers.
async fn handled(
    (talk, singled): (&Talk, &Singled),
    (address, asked): (&str, Asked),
    mut open: OpenCall<'_>,
) -> Outgoing {
    let shared = &talk.shared;
    let answer = handler::ask(address, &asked.handed_over(), &shared.permits).await;
    shared.disturbance.pass(singled).await;
    let said = match answer {
        Ok(HandlerAnswer::Reply { status, headers, body }) => {
            Said::handled(status, &headers, body).map_err(|why| (StubError::NoReply, format!("the handler: {why}")))
        }
        Ok(HandlerAnswer::Panicked(text)) => Err((StubError::Panicked, format!("the handler panicked: {text}"))),
        Err(Unanswered::TooLarge) => {
            Err((StubError::Unsupported, "unsupported: a call of more than 1 MiB to a handler".to_owned()))
        }
        Err(Unanswered::Broken(why)) => Err((StubError::NoReply, why)),
    };
    let said = said.unwrap_or_else(|(error, why)| {
        let why = shared.masker.mask(&why).into_owned();
        open.failed(error, &format!("; {why}"));
        Said::problem(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": why}))
    });
    open.answered(said.status.as_u16(), "");
    open.told().await;
    ours(said)
}

/// A service wants a connection to a host.
async fn connect(talk: &Arc<Talk>, request: Request<Incoming>) -> Outgoing {
    let shared = &talk.shared;
    let singled = shared.disturbance.comes(request.headers());
    let (parts, body) = request.into_parts();
    let host = Host::of(&parts);
    let Some((hosts, host)) = shared.hosts.as_ref().zip(host) else { return ours(Said::bare(StatusCode::BAD_REQUEST)) };
    let rule = hosts.rule(&host);
    if rule.is_some_and(|rule| !rule.refuses()) {
        let request = Request::from_parts(parts, body);
        talk.calls.spawn(upstreams::open(Arc::clone(talk), host, request));
        return ours(Said::bare(StatusCode::OK));
    }
    let asked = Asked::of(parts, Bytes::new(), Arc::clone(&talk.arrived));
    let answered = match rule {
        Some(rule) => shared.refused(rule, &asked),
        None => shared.unknown_host(&asked),
    };
    shared.disturbance.pass(&singled).await;
    answered.open.told().await;
    ours(answered.said)
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
    /// Who is asked instead.
    goes_on: Option<GoesOn<'a>>,
}

/// Who answers what no route takes.
#[derive(Clone, Copy)]
enum GoesOn<'a> {
    To(&'a Target),
    /// Its address.
    Handler(&'a str),
}

impl<'a> Answered<'a> {
    fn at_once(open: OpenCall<'a>, said: Said) -> Self {
        Self { open, said, manner: None, goes_on: None }
    }
}

impl Shared {
    fn call(&self, asked: &Asked) -> Answered<'_> {
        if self.order.protocol == Protocol::Grpc {
            // Its routes are for HTTP/2.
            return self.unmatched(asked, None);
        }
        let rule = match self.hosts.as_ref().zip(asked.origin()) {
            None => None,
            Some((hosts, host)) => match hosts.rule(&host) {
                None => return self.unknown_host(asked),
                Some(rule) if rule.refuses() => return self.refused(rule, asked),
                Some(rule) => Some(rule),
            },
        };
        let table = self.state.table();
        match (table.find(asked), rule.and_then(|rule| Some((rule, rule.target()?)))) {
            (Some(route), _) => self.by_route(route, asked),
            (None, Some((rule, target))) => self.passed_on((rule.slot, &rule.id), target, asked),
            (None, None) if self.handler.is_some() => self.handed_on(asked),
            (None, None) => self.unmatched(asked, self.nearest(&table, asked)),
        }
    }

    fn by_route(&self, route: &Route, asked: &Asked) -> Answered<'_> {
        let failed = StatusCode::INTERNAL_SERVER_ERROR;
        let routed = self.routed((route, asked), failed.as_u16(), |reply, number| {
            let said = reply.said(|| asked.scope(number))?;
            Ok(Made { status: said.status.as_u16(), said, note: String::new() })
        });
        let said = routed.said.unwrap_or_else(|why| {
            let problem = json!({"error": "the reply cannot be made", "route": route.id, "because": why});
            Said::problem(failed, &problem)
        });
        Answered { open: routed.open, said, manner: routed.manner, goes_on: None }
    }

    /// Not an answer yet: its status comes with it.
    fn passed_on<'a>(&'a self, (slot, id): (usize, &str), target: &'a Target, asked: &Asked) -> Answered<'a> {
        let counted = self.state.journal.count(Some(slot));
        let request = format!("{}; to {}", asked.shown(&self.masker), target.label);
        let came = Came { route: Some(id.to_owned()), status: 0, request, error: None };
        let said = Said::bare(StatusCode::BAD_GATEWAY);
        Answered { goes_on: Some(GoesOn::To(target)), ..Answered::at_once(OpenCall::of(self, counted, came), said) }
    }

    fn handed_on(&self, asked: &Asked) -> Answered<'_> {
        let handler = self.handler.as_ref();
        let counted = self.state.journal.count(handler.map(|(slot, _)| *slot));
        let request = asked.shown(&self.masker);
        let came = Came { route: Some(HANDLER.to_owned()), status: 0, request, error: None };
        let open = OpenCall::of(self, counted, came);
        let goes_on = handler.map(|(_, address)| GoesOn::Handler(address));
        Answered { goes_on, ..Answered::at_once(open, Said::bare(StatusCode::INTERNAL_SERVER_ERROR)) }
    }

    fn refused(&self, rule: &Rule, asked: &Asked) -> Answered<'_> {
        let counted = self.state.journal.count(Some(rule.slot));
        let status = StatusCode::FORBIDDEN;
        let request = format!("{}: refused", asked.shown(&self.masker));
        let came = Came { route: Some(rule.id.clone()), status: status.as_u16(), request, error: None };
        let problem = json!({"error": "the plan refuses this host", "upstream": rule.id});
        Answered::at_once(OpenCall::of(self, counted, came), Said::problem(status, &problem))
    }

    fn unknown_host(&self, asked: &Asked) -> Answered<'_> {
        let counted = self.state.journal.count(None);
        let why = format!("no upstream of stub `{}` is for this host", self.order.name);
        let request = format!("{}: {why}", asked.shown(&self.masker));
        let status = self.unmatched_status(StatusCode::FORBIDDEN);
        let came = Came { route: None, status: status.as_u16(), request, error: Some(StubError::UnknownHost) };
        Answered::at_once(OpenCall::of(self, counted, came), Said::problem(status, &json!({"error": why})))
    }

    fn unmatched(&self, asked: &Asked, nearest: Option<Nearest>) -> Answered<'_> {
        let counted = self.state.journal.count(None);
        let shown = asked.shown(&self.masker);
        let request = format!("{shown}: no route takes it{}", Nearest::hint(nearest.as_ref()));
        let problem = json!({
            "error": format!("no route of stub `{}` takes this call", self.order.name),
            "asked": shown,
            "nearest": nearest.map(|nearest| json!({"route": nearest.route, "because": nearest.because})),
        });
        let status = self.unmatched_status(StatusCode::NOT_FOUND);
        let came = Came { route: None, status: status.as_u16(), request, error: None };
        Answered::at_once(OpenCall::of(self, counted, came), Said::problem(status, &problem))
    }

    fn unmatched_status(&self, when_it_fails: StatusCode) -> StatusCode {
        match self.order.unmatched {
            Unmatched::Fail => when_it_fails,
            Unmatched::Answer(status) => StatusCode::from_u16(status).unwrap_or(when_it_fails),
        }
    }

    /// A stub cannot look at such a call, so whether a route would take it stays open: never expected.
    fn too_large(&self, asked: &Asked) -> Answered<'_> {
        let most = limits::BODY_BYTES / (1024 * 1024);
        let request = format!("{}: unsupported: a body of more than {most} MiB", asked.shown(&self.masker));
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Answered::at_once(self.unsupported(request, status.as_u16()), Said::bare(status))
    }

    /// Counts a call that the stub cannot look at.
    pub(super) fn unsupported(&self, request: String, status: u16) -> OpenCall<'_> {
        let counted = self.state.journal.count(None);
        OpenCall::of(self, counted, Came { route: None, status, request, error: Some(StubError::Unsupported) })
    }
}
