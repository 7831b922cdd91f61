//! The API over HTTP: what docs/sidecar-api.md describes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use meshproof_proto::sync::{Ask, MemberEnd, Told};
use meshproof_proto::units;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{Shared, influx};
use crate::limits;

type Body = BoxBody<Bytes, Infallible>;

/// Serves a program until it goes.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let answer = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, shared).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits::API_HEAD).half_close(true);
    // a connection that breaks is the program's affair
    let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
}

/// What goes wrong, as programs are told.
struct Wrong(StatusCode, String);

impl Wrong {
    fn bad(why: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, why.into())
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Response<Body> {
    match call(request, shared).await {
        Ok(response) => response,
        Err(Wrong(status, why)) => with(status, &json!({ "error": why })),
    }
}

fn with(status: StatusCode, value: &Value) -> Response<Body> {
    let text = format!("{value}\n");
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn call(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Wrong> {
    let path = request.uri().path().to_owned();
    let path = path.strip_prefix('/').and_then(|path| path.strip_prefix(shared.token.as_str()));
    let Some(path) = path else {
        let why = "the path does not begin with the token; MESHPROOF_API is the URL to put calls behind";
        return Err(Wrong(StatusCode::FORBIDDEN, why.to_owned()));
    };
    let name = |rest: &str| match decoded(rest) {
        Some(name) if !name.is_empty() && name.len() <= limits::API_NAME_BYTES => Ok(name),
        _ => Err(Wrong::bad(format!("a name has 1 to {} bytes of UTF-8", limits::API_NAME_BYTES))),
    };
    let (word, rest) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    // what an SDK of Testground takes for a database of measurements, whose name stands in the query
    if (request.method(), word) == (&Method::POST, "write") {
        for (metric, value) in influx::measured(&body(request).await?).map_err(Wrong::bad)? {
            shared.said(Ask::Measured { metric, value }).await?;
        }
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let query = Query::of(request.uri().query())?;
    match (request.method(), word) {
        (&Method::POST, "signal") => shared.told(Ask::Signal { name: name(rest)? }, &query).await,
        (&Method::POST, "barrier") => {
            let name = name(rest)?;
            let asked = query.barrier(name.clone())?;
            shared.told(Ask::Signal { name }, &query).await?;
            shared.told(asked, &query).await
        }
        (&Method::GET, "barrier") => shared.told(query.barrier(name(rest)?)?, &query).await,
        (&Method::POST, "publish") => {
            let topic = name(rest)?;
            let value = document(request).await?.to_string();
            shared.told(Ask::Publish { topic, value }, &query).await
        }
        (&Method::GET, "subscribe") => {
            let topic = name(rest)?;
            let last = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
            let from = query.from.or(last.map(|last| last.saturating_add(1))).unwrap_or_default();
            Ok(subscribe(shared, topic, (from, query.count)))
        }
        (&Method::POST, "metric") => {
            let metric = name(rest)?;
            let value = document(request).await?;
            let value = value.as_f64().ok_or_else(|| Wrong::bad("a metric is a number, as in `12.5`"))?;
            shared.said(Ask::Measured { metric, value }).await
        }
        (&Method::POST, "event") => match event(&document(request).await?)? {
            said @ Ask::Said { .. } => shared.said(said).await,
            ended => shared.told(ended, &query).await,
        },
        (&Method::POST, "network") => {
            let wanted = shared.network(document(request).await?).map_err(Wrong::bad)?;
            shared.told(Ask::Network { wanted: Box::new(wanted), signal: query.signal.clone() }, &query).await
        }
        (&Method::GET, "peers") => Ok(with(StatusCode::OK, &shared.peers())),
        (&Method::GET, "params") => {
            let about = shared.about.lock().map(|about| about.clone());
            Ok(with(StatusCode::OK, &about.unwrap_or_default()))
        }
        (_, "signal" | "barrier" | "publish" | "subscribe" | "metric" | "event" | "network" | "peers" | "params") => {
            let why = format!("{} is not how `{word}` is called; docs/sidecar-api.md has each call", request.method());
            Err(Wrong(StatusCode::METHOD_NOT_ALLOWED, why))
        }
        _ => {
            let known = "signal, barrier, publish, subscribe, metric, event, network, peers, params";
            let why = format!("there is no `{word}`; there are {known}");
            Err(Wrong(StatusCode::NOT_FOUND, why))
        }
    }
}

/// `%2F` in a name is its own.
fn decoded(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// What stands behind the `?`.
#[derive(Debug, Default)]
struct Query {
    of: Option<String>,
    count: Option<u64>,
    from: Option<u64>,
    signal: Option<String>,
    within: Option<Duration>,
}

impl Query {
    fn of(text: Option<&str>) -> Result<Self, Wrong> {
        let mut query = Self::default();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value).ok_or_else(|| Wrong::bad(format!("`{key}` is no UTF-8")))?;
            let number = || value.parse().map_err(|_| Wrong::bad(format!("`{key}` is a whole number")));
            match key {
                "of" => query.of = Some(value),
                "signal" => query.signal = Some(value),
                "count" => query.count = Some(number()?),
                "from" => query.from = Some(number()?),
                "within" => {
                    let time =
                        units::duration(&value).map_err(|_| Wrong::bad("`within` is a duration, as in `30s`"))?;
                    query.within = Some(time);
                }
                _ => {
                    return Err(Wrong::bad(format!("`{key}` is not known; there are of, count, from, signal, within")));
                }
            }
        }
        Ok(query)
    }

    fn barrier(&self, name: String) -> Result<Ask, Wrong> {
        match (self.count, &self.of) {
            (Some(_), Some(_)) => Err(Wrong::bad("`count` and `of` are two kinds of barrier; give one of them")),
            (Some(count), None) => Ok(Ask::Entries { name, count }),
            (None, of) => Ok(Ask::Barrier { name, of: of.clone() }),
        }
    }
}

impl Shared {
    /// Asks, and waits for the answer.
    async fn told(&self, ask: Ask, query: &Query) -> Result<Response<Body>, Wrong> {
        let unavailable = |why: String| Wrong(StatusCode::SERVICE_UNAVAILABLE, why);
        let mut request = self.requests.ask(ask).await.map_err(|error| unavailable(error.to_string()))?;
        let told = match query.within {
            None => request.next().await,
            Some(within) => match tokio::time::timeout(within, request.next()).await {
                Ok(told) => told,
                Err(_) => return Err(Wrong(StatusCode::GATEWAY_TIMEOUT, format!("nothing came within {within:?}"))),
            },
        };
        match told {
            Some(Told::Count(seq)) => Ok(with(StatusCode::OK, &json!({ "seq": seq }))),
            Some(Told::Open | Told::Values { .. }) => Ok(with(StatusCode::OK, &json!({}))),
            Some(Told::Refused(why)) => Err(Wrong(StatusCode::CONFLICT, why)),
            None => Err(unavailable("the run is over here".to_owned())),
        }
    }

    /// Tells the run something that has no answer.
    async fn said(&self, ask: Ask) -> Result<Response<Body>, Wrong> {
        let said = self.requests.say(ask).await;
        said.map_err(|error| Wrong(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        Ok(with(StatusCode::OK, &json!({})))
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()).boxed());
    *response.status_mut() = status;
    response
}

async fn document(request: Request<Incoming>) -> Result<Value, Wrong> {
    serde_json::from_slice(&body(request).await?).map_err(|error| Wrong::bad(format!("the body is no JSON: {error}")))
}

async fn body(request: Request<Incoming>) -> Result<Bytes, Wrong> {
    let body = Limited::new(request.into_body(), limits::API_MESSAGE_BYTES).collect().await;
    let too_large = || format!("a body has at most {} bytes", limits::API_MESSAGE_BYTES);
    Ok(body.map_err(|_| Wrong(StatusCode::PAYLOAD_TOO_LARGE, too_large()))?.to_bytes())
}

/// `{"success": true}`, `{"failure": "why"}`, `{"crash": "why"}`, `{"message": "…"}`.
fn event(value: &Value) -> Result<Ask, Wrong> {
    let expected = r#"an event is one of {"success": true}, {"failure": "why"}, {"crash": "why"}, {"message": "text"}"#;
    let wrong = || Wrong::bad(expected);
    let map = value.as_object().filter(|map| map.len() == 1).ok_or_else(wrong)?;
    let (kind, value) = map.iter().next().ok_or_else(wrong)?;
    let text = || value.as_str().map(str::to_owned).ok_or_else(wrong);
    match kind.as_str() {
        "success" => Ok(Ask::Ended(MemberEnd::Success)),
        "failure" => Ok(Ask::Ended(MemberEnd::Failure { why: text()? })),
        "crash" => Ok(Ask::Ended(MemberEnd::Crash { why: text()? })),
        "message" => Ok(Ask::Said { text: text()? }),
        _ => Err(wrong()),
    }
}

/// Server-sent events: each value is one, and its number is the event's id, by which whoever comes again goes on.
fn subscribe(shared: Arc<Shared>, topic: String, (from, count): (u64, Option<u64>)) -> Response<Body> {
    let (send, receive) = mpsc::channel::<Bytes>(limits::API_ANSWERS);
    // it ends with its reader: sending fails then, and what waits for a value is woken by the reader's going
    tokio::spawn(async move {
        let passing = pass(&shared, topic, (from, count), &send);
        tokio::select! {
            () = passing => {}
            () = send.closed() => {}
        }
    });
    let frames = stream::unfold(receive, |mut receive| async {
        let bytes = receive.recv().await?;
        Some((Ok(Frame::data(bytes)), receive))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn pass(shared: &Shared, topic: String, (from, count): (u64, Option<u64>), to: &mpsc::Sender<Bytes>) {
    let until = count.map_or(u64::MAX, |count| from.saturating_add(count));
    let asked = shared.requests.ask(Ask::Subscribe { topic }).await;
    let mut request = match asked {
        Ok(request) => request,
        Err(error) => return drop(to.send(Bytes::from(trouble(&error.to_string()))).await),
    };
    if until == from {
        return;
    }
    loop {
        match request.next().await {
            Some(Told::Values { from: first, values }) => {
                for (number, value) in (first..).zip(values) {
                    if (from..until).contains(&number) {
                        let event = format!("id: {number}\ndata: {value}\n\n");
                        if to.send(Bytes::from(event)).await.is_err() {
                            return;
                        }
                    }
                    if number.saturating_add(1) >= until {
                        return;
                    }
                }
            }
            Some(Told::Refused(why)) => return drop(to.send(Bytes::from(trouble(&why))).await),
            Some(Told::Count(_) | Told::Open) => {}
            None => return drop(to.send(Bytes::from(trouble("it was read too slowly"))).await),
        }
    }
}

fn trouble(why: &str) -> String {
    format!("event: error\ndata: {}\n\n", json!({ "error": why }))
}
