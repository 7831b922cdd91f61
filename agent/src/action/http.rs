//! One HTTP/1.1 exchange, over a connection that an earlier step left open where there is one. Redirects are answers like any other.

use std::error::Error as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use meshproof_proto::order::{Body, Check, HttpAction, Target};
use meshproof_proto::trace::Traceparent;
use serde_json::Value;
use tokio::time::timeout;

use super::answer::{Answer, CallError, Came, ErrorKind, HttpAnswer};
use super::connect::{connect, kind_of, named};
use super::kept::Open;
use super::phases::{Lap, Phases};
use crate::limits;
use crate::permits::{Permits, Terms};

pub(super) async fn perform(action: &HttpAction, scope: &Value, terms: Terms<'_>) -> Answer {
    let (mut request, sent) = match request(action, scope) {
        Ok(ready) => ready,
        Err(message) => return Answer::impossible(message),
    };
    traced(request.headers_mut(), terms.parent);
    let started = Instant::now();
    let mut seen = HttpAnswer::default();
    let error = match timeout(terms.within, exchange(&action.target, request, terms, &mut seen)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => Some(too_late(&action.target, &seen, terms.within)),
    };
    let kept = if seen.phases.is_of_kept() { "over a connection that an earlier step left open\n" } else { "" };
    Answer { sent: sent + kept, came: Came::Http(seen), error, took: started.elapsed() }
}

/// Fills `seen` as far as it gets, so that a deadline leaves what was there.
async fn exchange(
    target: &Target,
    request: Request<Full<Bytes>>,
    terms: Terms<'_>,
    seen: &mut HttpAnswer,
) -> Result<(), CallError> {
    let Some(connections) = terms.connections else {
        return over(None, (target, request), terms.permits, (seen, Keeps::All)).await.map(drop);
    };
    let (age, kept) = connections.take(target);
    if let Some(open) = over(kept, (target, request), terms.permits, (seen, Keeps::All)).await? {
        connections.give_back(target, age, open);
    }
    Ok(())
}

/// Over a connection that was kept, else over a new one; gives back the one that is open still.
async fn over(
    kept: Option<Open>,
    (target, request): (&Target, Request<Full<Bytes>>),
    permits: &Permits,
    (seen, keeps): (&mut HttpAnswer, Keeps),
) -> Result<Option<Open>, CallError> {
    let mut request = request;
    if let Some(mut open) = kept {
        seen.phases = Phases::of_kept(target);
        match talk(&mut open, (target, request), (seen, keeps)).await {
            Ok(after) => return Ok((after == After::Open).then_some(open)),
            // It was closed in this very moment, and nothing was said over it.
            Err(Failed::Unsent(unsent, _)) => request = *unsent,
            Err(failed) => return Err(failed.error(target)),
        }
    }
    seen.phases = Phases::default();
    let stream = connect(target, &[b"http/1.1"], permits, &mut seen.phases).await?;
    let mut open = Open::begin(stream).await.map_err(|error| broken(target, &error))?;
    let after = talk(&mut open, (target, request), (seen, keeps)).await.map_err(|failed| failed.error(target))?;
    Ok((after == After::Open).then_some(open))
}

/// What is kept of an answer. Of one that tells a failure everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    All,
    Body,
    Status,
}

impl Keeps {
    /// As much as these checks look at.
    pub(super) fn for_checks(checks: &[Check]) -> Self {
        let asks = |field: &str| checks.iter().any(|check| check.field.starts_with(field));
        if asks("headers") {
            Self::All
        } else if asks("body") || asks("json") || asks("size") {
            Self::Body
        } else {
            Self::Status
        }
    }
}

/// Makes requests one after the other, over one connection for as long as the service leaves it open.
pub(super) struct HttpCaller {
    open: Option<Open>,
    keeps: Keeps,
}

impl HttpCaller {
    pub(super) fn keeping(keeps: Keeps) -> Self {
        Self { open: None, keeps }
    }

    /// Ends within the time of the terms.
    pub(super) async fn call(
        &mut self,
        target: &Target,
        (mut request, sent): (Request<Full<Bytes>>, String),
        terms: Terms<'_>,
    ) -> Answer {
        traced(request.headers_mut(), terms.parent);
        let started = Instant::now();
        let mut seen = HttpAnswer::default();
        let kept = self.open.take().filter(Open::is_there);
        let done = over(kept, (target, request), terms.permits, (&mut seen, self.keeps));
        let error = match timeout(terms.within, done).await {
            Ok(Ok(open)) => {
                self.open = open;
                None
            }
            Ok(Err(error)) => Some(error),
            Err(_) => Some(too_late(target, &seen, terms.within)),
        };
        Answer { sent, came: Came::Http(seen), error, took: started.elapsed() }
    }
}

/// What an exchange leaves of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Open,
    Closed,
}

/// How an exchange failed.
enum Failed {
    /// Nothing of the request has left.
    Unsent(Box<Request<Full<Bytes>>>, hyper::Error),
    Broken(CallError),
}

impl Failed {
    fn error(self, target: &Target) -> CallError {
        match self {
            Self::Unsent(_, error) => broken(target, &error),
            Self::Broken(error) => error,
        }
    }
}

async fn talk(
    open: &mut Open,
    (target, request): (&Target, Request<Full<Bytes>>),
    (seen, keeps): (&mut HttpAnswer, Keeps),
) -> Result<After, Failed> {
    let Open { sender, connection, of_tls, .. } = open;
    let mut connection = connection.as_mut();
    let asked = async {
        let mut lap = Lap::begin();
        let response = sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(request) => Failed::Unsent(Box::new(request), error.into_error()),
            None => Failed::Broken(broken(target, &error.into_error())),
        })?;
        seen.phases.wait = lap.end();
        take(target, response, (seen, keeps)).await.map_err(Failed::Broken)
    };
    let mut after = After::Open;
    let done = {
        tokio::pin!(asked);
        // The connection is driven here and not in a task of its own: who drops this drops the socket.
        tokio::select! {
            biased;
            done = &mut asked => done,
            _ = &mut connection => {
                after = After::Closed;
                asked.await
            }
        }
    };
    // A request that was not sent yet when the refusal came is only told that it was given up.
    done.map_err(|failed| match of_tls.load(Ordering::Relaxed) {
        true => Failed::Broken(CallError { kind: ErrorKind::Tls, ..failed.error(target) }),
        false => failed,
    })?;
    // It has seen the answer's end only when it is looked at once more.
    if after == After::Closed || futures::poll!(&mut connection).is_ready() || !sender.is_ready() {
        return Ok(After::Closed);
    }
    Ok(After::Open)
}

async fn take(
    target: &Target,
    response: Response<Incoming>,
    (seen, keeps): (&mut HttpAnswer, Keeps),
) -> Result<(), CallError> {
    let mut lap = Lap::begin();
    let status = response.status();
    seen.status = Some(status.as_u16());
    let keeps = if status.as_u16() < 400 { keeps } else { Keeps::All };
    if keeps == Keeps::All {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = response.headers().iter();
        seen.headers = headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    }
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(target, &error))?;
        let Some(data) = frame.data_ref().filter(|_| keeps != Keeps::Status) else { continue };
        if seen.body.len() + data.len() > limits::BODY_BYTES {
            let message =
                format!("the answer of {} is longer than {} MiB", target.label, limits::BODY_BYTES / (1024 * 1024));
            return Err(CallError::new(ErrorKind::TooLarge, message));
        }
        seen.body.extend_from_slice(data);
    }
    seen.phases.body = lap.end();
    Ok(())
}

pub(crate) fn broken(target: &Target, error: &hyper::Error) -> CallError {
    let named = named(target);
    if error.is_incomplete_message() {
        return CallError::new(
            ErrorKind::Reset,
            format!("{named} closed the connection before its answer was complete"),
        );
    }
    let socket = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let kind = match socket {
        Some(socket) => kind_of(socket),
        None if error.is_canceled() || error.is_closed() => ErrorKind::Reset,
        None if error.is_parse_too_large() => ErrorKind::TooLarge,
        None => ErrorKind::Protocol,
    };
    let cause = error.source().map_or_else(String::new, |source| format!(": {source}"));
    CallError::new(kind, format!("the exchange with {named} failed: {error}{cause}"))
}

fn too_late(target: &Target, seen: &HttpAnswer, within: Duration) -> CallError {
    let missing = match (seen.phases.connect, target.tls.is_some() && seen.phases.tls.is_none(), seen.phases.wait) {
        (None, _, _) => "a connection",
        (Some(_), true, _) => "the end of the TLS handshake",
        (Some(_), false, None) => "an answer",
        (Some(_), false, Some(_)) => "the end of the answer",
    };
    let named = named(target);
    let phases = seen.phases.to_string();
    let so_far = if phases.is_empty() { String::new() } else { format!("; so far: {phases}") };
    CallError::new(ErrorKind::Timeout, format!("{missing} of {named} did not come within {within:?}{so_far}"))
}

/// The request, and how it reads.
pub(super) fn request(action: &HttpAction, scope: &Value) -> Result<(Request<Full<Bytes>>, String), String> {
    let path = action.path.render(scope).map_err(|unset| unset.to_string())?;
    let uri: Uri = path.parse().map_err(|error| format!("`{path}` is not a path: {error}"))?;
    if uri.path_and_query().is_none() || uri.authority().is_some() || !path.starts_with('/') {
        return Err(format!("`{path}` is not a path: one that begins with `/` was expected"));
    }
    let method: Method = action.method.parse().map_err(|_| format!("`{}` is not a method", action.method))?;
    let (body, kind) = body(&action.body, scope)?;
    let mut sent = format!("{method} {path}\nto {} ({})\n", action.target.label, action.target.address);
    let mut request = Request::new(Full::new(Bytes::from(body.clone())));
    let carries = !body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].contains(&method);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(header::HOST, value("host", &action.target.address)?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("meshproof/", env!("CARGO_PKG_VERSION"))));
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let mut given = Vec::new();
    for (name, template) in &action.headers {
        let text = template.render(scope).map_err(|unset| unset.to_string())?;
        sent.push_str(&format!("{name}: {text}\n"));
        given.push((name.parse().map_err(|_| format!("`{name}` cannot name a header"))?, value(name, &text)?));
    }
    replace(headers, given)?;
    if carries {
        headers.insert(header::CONTENT_LENGTH, body.len().into());
    }
    if !body.is_empty() {
        sent.push_str(&format!("\n{body}\n"));
    }
    Ok((request, sent))
}

/// Whoever is called hears which span it is called for, unless the plan says another.
pub(super) fn traced(headers: &mut hyper::HeaderMap, parent: Option<Traceparent>) {
    if let Some(Ok(value)) = parent.map(|parent| HeaderValue::from_str(&parent.to_string())) {
        headers.entry("traceparent").or_insert(value);
    }
}

/// A header that was given stands instead of ours; one that was given twice stands twice.
fn replace(headers: &mut hyper::HeaderMap, given: Vec<(HeaderName, HeaderValue)>) -> Result<(), String> {
    for (name, _) in &given {
        if *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING {
            return Err(format!("unsupported: a `{name}` of one's own"));
        }
        headers.remove(name);
    }
    for (name, value) in given {
        headers.append(name, value);
    }
    Ok(())
}

fn value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("the value of header `{name}` holds characters that no header can"))
}

fn body(body: &Body, scope: &Value) -> Result<(String, Option<&'static str>), String> {
    match body {
        Body::Empty => Ok((String::new(), None)),
        Body::Text(template) => {
            let text = template.render(scope).map_err(|unset| unset.to_string())?;
            Ok((text, Some("text/plain; charset=utf-8")))
        }
        Body::Json(template) => {
            let value = template.value(scope).map_err(|unset| unset.to_string())?;
            Ok((value.to_string(), Some("application/json")))
        }
    }
}
