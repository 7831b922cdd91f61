//! One gRPC call: unary, or with streams of messages either way. What the messages are is said by `.proto` files or by the server.
//!
//! A stream of requests goes out whole, then the answers are taken until the call's end; a conversation in which one side waits for
//! the other's next message is a test of its own kind, and programs write those.

pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod wire;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{Connection, SendRequest};
use hyper::header::{HeaderName, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meshproof_proto::order::{GrpcAction, Target};
use meshproof_proto::trace::Traceparent;
use prost_reflect::MethodDescriptor;
use serde_json::Value;
use tokio::time::timeout;

use super::answer::{Answer, CallError, Came, ErrorKind, GrpcAnswer};
use super::connect::{connect, named};
use super::connection;
use super::http::broken;
use super::phases::{Lap, Phases};
use crate::limits;
use crate::permits::{Permits, Terms};
use schema::Named;
use wire::Server;

pub(super) async fn perform(action: &GrpcAction, scope: &Value, terms: Terms<'_>) -> Answer {
    let wanted = match Wanted::of(action, scope) {
        Ok(wanted) => wanted.traced(terms.parent),
        Err(message) => return Answer::impossible(message),
    };
    GrpcCaller::of(action).make(wanted, terms).await
}

/// Makes calls one after the other, over one connection for as long as it holds. What the server says of itself is asked once.
pub(super) struct GrpcCaller<'o> {
    action: &'o GrpcAction,
    open: Option<Open>,
    method: Option<MethodDescriptor>,
}

type Driven = Connection<TokioIo<connection::Connection>, Full<Bytes>, TokioExecutor>;

/// A connection that stands. Who drops it closes it.
struct Open {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Driven>>,
    of_tls: Arc<AtomicBool>,
}

impl<'o> GrpcCaller<'o> {
    pub(super) fn of(action: &'o GrpcAction) -> Self {
        Self { action, open: None, method: None }
    }

    pub(super) async fn call(&mut self, scope: &Value, terms: Terms<'_>) -> Answer {
        match Wanted::of(self.action, scope) {
            Ok(wanted) => self.make(wanted.traced(terms.parent), terms).await,
            Err(message) => Answer::impossible(message),
        }
    }

    async fn make(&mut self, wanted: Wanted, terms: Terms<'_>) -> Answer {
        let target = &self.action.target;
        let sent = format!("{}\nto {}\n\n{}", self.action.call, named(target), wanted.json);
        let started = Instant::now();
        let mut seen = GrpcAnswer::default();
        let error = match timeout(terms.within, Box::pin(self.exchange(wanted, terms.permits, &mut seen))).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => {
                let (named, within) = (named(target), terms.within);
                let message = format!("the call of {named} did not end within {within:?}; so far: {}", seen.phases);
                Some(CallError::new(ErrorKind::Timeout, message))
            }
        };
        Answer { sent, came: Came::Grpc(seen), error, took: started.elapsed() }
    }
}

/// An order with everything put in.
struct Wanted {
    service: String,
    method: String,
    json: Value,
    metadata: Vec<(HeaderName, HeaderValue)>,
}

impl Wanted {
    fn of(action: &GrpcAction, scope: &Value) -> Result<Self, String> {
        let (service, method) =
            action.call.trim_start_matches('/').split_once('/').ok_or("a call is `package.Service/Method`")?;
        let mut metadata = Vec::new();
        for (name, value) in &action.metadata {
            let text = value.render(scope).map_err(|unset| unset.to_string())?;
            let key = name.to_ascii_lowercase().parse().map_err(|_| format!("`{name}` cannot name metadata"))?;
            let value = HeaderValue::from_str(&text).map_err(|_| format!("the value of `{name}` cannot be sent"))?;
            metadata.push((key, value));
        }
        let json = action.json.value(scope).map_err(|unset| unset.to_string())?;
        Ok(Self { service: service.to_owned(), method: method.to_owned(), json, metadata })
    }

    /// Whoever is called hears which span it is called for, unless the plan says another.
    fn traced(mut self, parent: Option<Traceparent>) -> Self {
        let name = HeaderName::from_static("traceparent");
        if let Some(Ok(value)) = parent.map(|parent| HeaderValue::from_str(&parent.to_string()))
            && self.metadata.iter().all(|(given, _)| *given != name)
        {
            self.metadata.push((name, value));
        }
        self
    }
}

impl GrpcCaller<'_> {
    /// Fills `seen` as far as it gets.
    async fn exchange(&mut self, wanted: Wanted, permits: &Permits, seen: &mut GrpcAnswer) -> Result<(), CallError> {
        let target = &self.action.target;
        let mut open = match self.open.take().filter(|open| !open.sender.is_closed()) {
            Some(open) => {
                seen.phases = Phases::of_kept(target);
                open
            }
            None => Open::begin(target, permits, seen).await?,
        };
        let server = Server { target, sender: open.sender.clone() };
        let talk = talk(server, (self.action, &mut self.method), wanted, seen);
        tokio::pin!(talk);
        // The connection is driven here and not in a task of its own: who drops this drops the socket.
        let done = tokio::select! {
            biased;
            done = &mut talk => done,
            ended = open.connection.as_mut() => match ended {
                // What came before the end is there at once; an answer that is not will never be.
                Ok(()) => timeout(limits::CALL_GRACE, talk).await.unwrap_or_else(|_| Err(closed(target))),
                Err(error) => Err(broken(target, &error)),
            },
        };
        done.map_err(|error| match open.of_tls.load(Ordering::Relaxed) {
            true => CallError { kind: ErrorKind::Tls, ..error },
            false => error,
        })?;
        self.open = Some(open);
        Ok(())
    }
}

impl Open {
    async fn begin(target: &Target, permits: &Permits, seen: &mut GrpcAnswer) -> Result<Self, CallError> {
        let stream = connect(target, &[b"h2"], permits, &mut seen.phases).await?;
        let of_tls = stream.broken_by_tls();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| broken(target, &error))?;
        Ok(Self { sender, connection: Box::pin(connection), of_tls })
    }
}

fn closed(target: &Target) -> CallError {
    CallError::new(ErrorKind::Reset, format!("{} closed the connection before the call had ended", named(target)))
}

async fn talk(
    mut server: Server<'_>,
    (action, known): (&GrpcAction, &mut Option<MethodDescriptor>),
    wanted: Wanted,
    seen: &mut GrpcAnswer,
) -> Result<(), CallError> {
    let Wanted { service, method: name, json, metadata } = wanted;
    let target = server.target;
    let path = format!("/{service}/{name}");
    let order = |message: String| CallError::new(ErrorKind::Order, message);
    let named = match known.clone() {
        Some(method) => Named::Known(method),
        None => schema::method(&mut server, &action.protos, (&service, &name)).await?,
    };
    let method = match named {
        Named::Known(method) => known.insert(method).clone(),
        Named::Absent(why) => {
            let replied = absent(&mut server, (&path, metadata), seen).await?;
            if replied != UNIMPLEMENTED {
                return Err(order(why));
            }
            seen.undescribed = why;
            return Ok(());
        }
    };
    let requests = match json {
        Value::Array(many) if method.is_client_streaming() => many,
        Value::Array(_) => return Err(order(format!("`{}` takes one message, and a list was given", action.call))),
        one => vec![one],
    };
    let encoded = requests.iter().map(|json| schema::encoded(method.input(), json));
    let encoded = encoded.collect::<Result<Vec<_>, _>>().map_err(order)?;
    let mut lap = Lap::begin();
    let replied = server.call(&path, metadata, wire::framed(&encoded)).await?;
    seen.phases.wait = lap.end();
    seen.code = Some(replied.code.to_owned());
    seen.message = replied.message;
    let mut decoded = decoded(&method, &replied.messages, target)?;
    let json = if method.is_server_streaming() { Some(Value::Array(decoded)) } else { decoded.pop() };
    seen.json = json.map(|json| json.to_string());
    Ok(())
}

const UNIMPLEMENTED: &str = "UNIMPLEMENTED";

/// Calls what the server does not describe, to have its own word for it. What its messages are nobody knows, and a server that has no
/// such method does not look at them.
async fn absent(
    server: &mut Server<'_>,
    (path, metadata): (&str, Vec<(HeaderName, HeaderValue)>),
    seen: &mut GrpcAnswer,
) -> Result<&'static str, CallError> {
    let mut lap = Lap::begin();
    let replied = server.call(path, metadata, wire::framed(&[Vec::new()])).await?;
    seen.phases.wait = lap.end();
    seen.code = Some(replied.code.to_owned());
    seen.message = replied.message;
    Ok(replied.code)
}

/// The messages as JSON. An empty one has all the fields of its kind there, so that their number and what they become is bounded too.
fn decoded(method: &MethodDescriptor, messages: &[Bytes], target: &Target) -> Result<Vec<Value>, CallError> {
    let mut all = Vec::new();
    let mut bytes = 0;
    for message in messages {
        let json = schema::decoded(method.output(), message);
        let json = json.map_err(|why| CallError::new(ErrorKind::Protocol, why))?;
        bytes += json.to_string().len();
        if bytes > limits::BODY_BYTES {
            let most = limits::BODY_BYTES / (1024 * 1024);
            let message = format!("the answer of {} is longer than {most} MiB as JSON", target.label);
            return Err(CallError::new(ErrorKind::TooLarge, message));
        }
        all.push(json);
    }
    Ok(all)
}
