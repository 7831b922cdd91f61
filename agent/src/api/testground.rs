//! Testground's sync protocol, as its SDKs speak it: JSON objects over a WebSocket. A request has an `id` and one of `signal_entry`,
//! `barrier`, `publish` and `subscribe`; an answer has the same `id`. From <https://github.com/testground/sync-service>, and from what the
//! SDKs' sources take: the one in Rust refuses an answer without `error` and `subscribe`, which are empty texts where there is nothing.
//!
//! A barrier that its sidecars would open is open here: a program is started when the network of everybody is there. What an SDK publishes for
//! its sidecar ([`config`]) is done by this agent. Lifecycle events are what an SDK publishes to the topic `run_events` of its run: they say how the instance went.

mod config;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::FuturesUnordered;
use futures::{SinkExt as _, StreamExt as _};
use meshproof_proto::sync::{Ask, MemberEnd, Told};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::limits;

#[derive(Debug, Deserialize)]
struct Request {
    #[serde(default)]
    id: String,
    #[serde(default)]
    is_cancel: bool,
    signal_entry: Option<State>,
    barrier: Option<Barrier>,
    publish: Option<Publish>,
    subscribe: Option<Subscribe>,
}

#[derive(Debug, Deserialize)]
struct State {
    state: String,
}

#[derive(Debug, Deserialize)]
struct Barrier {
    state: String,
    target: u64,
}

#[derive(Debug, Deserialize)]
struct Publish {
    topic: String,
    payload: Value,
}

#[derive(Debug, Deserialize)]
struct Subscribe {
    topic: String,
}

/// An answer. Of `publish` and `signal_entry` one stands there, or none.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Response {
    id: String,
    error: String,
    subscribe: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal_entry: Option<Seq>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Seq {
    seq: u64,
}

/// What has an answer, and what it looks like.
enum Kind {
    Signal,
    Publish,
    Barrier,
    Subscribe,
}

/// Serves a program until it goes.
pub(super) async fn serve(stream: TcpStream, shared: &Shared) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(limits::API_MESSAGE_BYTES))
        .max_frame_size(Some(limits::API_MESSAGE_BYTES));
    let Ok(socket) = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await else { return };
    let (mut sink, mut source) = socket.split();
    let (respond, mut responses) = mpsc::channel::<Response>(limits::API_ANSWERS);
    let mut cancels = BTreeMap::<String, CancellationToken>::new();
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            message = source.next() => match message {
                // the SDK for Rust sends bytes
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => match read(&message) {
                    Ok(request) if request.is_cancel => {
                        cancels.remove(&request.id).inspect(CancellationToken::cancel);
                    }
                    Ok(request) => {
                        let cancel = CancellationToken::new();
                        cancels.insert(request.id.clone(), cancel.clone());
                        open.push(one(request, shared, (respond.clone(), cancel)));
                    }
                    Err(error) => {
                        let error = wrong(&format!("this is no request: {error}"));
                        let _ = respond.try_send(Response { error, ..Response::default() });
                    }
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            Some(id) = open.next() => drop(cancels.remove(&id)),
            Some(response) = responses.recv() => {
                let text = serde_json::to_string(&response).unwrap_or_default();
                if sink.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn read(message: &Message) -> serde_json::Result<Request> {
    let text = match message {
        Message::Binary(bytes) => bytes.as_ref(),
        message => message.to_text().unwrap_or_default().as_bytes(),
    };
    serde_json::from_slice(text)
}

/// The Rust SDK reads an error as JSON inside of the text.
fn wrong(why: &str) -> String {
    Value::from(why).to_string()
}

/// Carries a request out; gives its id when it is over.
async fn one(
    request: Request,
    shared: &Shared,
    (respond, cancel): (mpsc::Sender<Response>, CancellationToken),
) -> String {
    let id = request.id.clone();
    tokio::select! {
        () = cancel.cancelled() => {}
        () = answer(request, shared, respond) => {}
    }
    id
}

async fn answer(request: Request, shared: &Shared, respond: mpsc::Sender<Response>) {
    let id = Arc::new(request.id.clone());
    let say = async |response: Response| drop(respond.send(Response { id: id.to_string(), ..response }).await);
    let (kind, ask) = match asked(request, shared) {
        Ok(asked) => asked,
        Err(error) => return say(Response { error: wrong(&error), ..Response::default() }).await,
    };
    let mut waiting = match shared.requests.ask(ask).await {
        Ok(waiting) => waiting,
        Err(error) => return say(Response { error: wrong(&error.to_string()), ..Response::default() }).await,
    };
    loop {
        let told = waiting.next().await;
        let is_last = !matches!((&told, &kind), (Some(Told::Values { .. }), Kind::Subscribe));
        for response in responses(&kind, told) {
            say(response).await;
        }
        if is_last {
            return;
        }
    }
}

/// What a request asks of the run.
fn asked(request: Request, shared: &Shared) -> Result<(Kind, Ask), String> {
    match request {
        Request { signal_entry: Some(State { state }), .. } => Ok((Kind::Signal, Ask::Signal { name: state })),
        Request { barrier: Some(Barrier { state, target }), .. } => {
            // sidecars would signal it; here the network of everybody is there before a program is started
            let count = if state.ends_with(":states:network-initialized") { 0 } else { target };
            Ok((Kind::Barrier, Ask::Entries { name: state, count }))
        }
        Request { publish: Some(Publish { topic, payload }), .. } => {
            let ask = match (end(&topic, &payload), topic.split_once(":topics:network:")) {
                (Some(end), _) => Ask::Ended(end),
                (None, Some((context, _))) => network(context, &payload, shared)?,
                (None, None) => Ask::Publish { topic, value: payload.to_string() },
            };
            Ok((Kind::Publish, ask))
        }
        Request { subscribe: Some(Subscribe { topic }), .. } => Ok((Kind::Subscribe, Ask::Subscribe { topic })),
        Request { .. } => Err("a request has signal_entry, barrier, publish or subscribe".to_owned()),
    }
}

/// Makes the network what an instance wants it to be. Its states are in the same context as the topic.
fn network(context: &str, payload: &Value, shared: &Shared) -> Result<Ask, String> {
    let links = shared.links()?;
    let (wanted, state) = config::wanted(payload, &links.own().to_string())?;
    links.make(Some(&wanted));
    let signal = state.map(|state| format!("{context}:states:{state}"));
    Ok(Ask::Network { wanted: Box::new(wanted), signal })
}

/// How an instance says that it went.
fn end(topic: &str, payload: &Value) -> Option<MemberEnd> {
    if !topic.ends_with(":run_events") {
        return None;
    }
    let why = |event: &Value| event["error"].as_str().unwrap_or("no reason given").to_owned();
    let of = |name: &str| payload.get(name).filter(|event| !event.is_null());
    if of("success_event").is_some() {
        return Some(MemberEnd::Success);
    }
    of("failure_event")
        .map(|event| MemberEnd::Failure { why: why(event) })
        .or_else(|| of("crash_event").map(|event| MemberEnd::Crash { why: why(event) }))
}

fn responses(kind: &Kind, told: Option<Told>) -> Vec<Response> {
    let seq = |seq| Some(Seq { seq });
    let one = |response| vec![response];
    match (told, kind) {
        (Some(Told::Count(count)), Kind::Publish) => one(Response { publish: seq(count), ..Response::default() }),
        (Some(Told::Open), Kind::Publish) => one(Response { publish: seq(1), ..Response::default() }),
        (Some(Told::Count(count)), _) => one(Response { signal_entry: seq(count), ..Response::default() }),
        (Some(Told::Open), _) => one(Response::default()),
        (Some(Told::Values { values, .. }), _) => {
            values.into_iter().map(|subscribe| Response { subscribe, ..Response::default() }).collect()
        }
        (Some(Told::Refused(why)), _) => one(Response { error: wrong(&why), ..Response::default() }),
        (None, _) => one(Response { error: wrong("it was read too slowly"), ..Response::default() }),
    }
}
