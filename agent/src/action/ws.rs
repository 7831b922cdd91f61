//! Messages over a WebSocket: send some, and take one answer, or everything until the other side closes.

use std::time::Instant;

use futures::{SinkExt as _, StreamExt as _};
use meshproof_proto::order::{Check, WsAction};
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::answer::{Answer, CallError, Came, ErrorKind, TcpAnswer};
use super::connect::{connect, kind_of, named};
use super::connection::Connection;
use super::http::traced;
use super::phases::Phases;
use super::tcp::Until;
use crate::limits;
use crate::permits::{Permits, Terms};

pub(super) async fn perform(action: &WsAction, checks: &[Check], scope: &Value, terms: Terms<'_>) -> Answer {
    let (mut request, messages) = match prepared(action, scope) {
        Ok(ready) => ready,
        Err(message) => return Answer::impossible(message),
    };
    traced(request.headers_mut(), terms.parent);
    let sent = format!("{}\nto {}\n\n{}", request.uri().path(), named(&action.target), messages.join("\n"));
    let until = Until::for_checks(checks, messages.len());
    let started = Instant::now();
    let mut received = Vec::new();
    let talk = Box::pin(talk((action, request), terms.permits, (&messages, until), &mut received));
    let error = match timeout(terms.within, talk).await {
        Ok(done) => done.err(),
        Err(_) => {
            let message = format!("no answer of {} within {:?}", named(&action.target), terms.within);
            Some(CallError::new(ErrorKind::Timeout, message))
        }
    };
    let came = TcpAnswer { line: received.first().cloned(), body: received.join("\n") };
    Answer { sent, came: Came::Tcp(came), error, took: started.elapsed() }
}

fn prepared(action: &WsAction, scope: &Value) -> Result<(Request, Vec<String>), String> {
    let path = action.path.render(scope).map_err(|unset| unset.to_string())?;
    let scheme = if action.target.tls.is_some() { "wss" } else { "ws" };
    let uri = format!("{scheme}://{}{path}", action.target.address);
    let mut request = uri.into_client_request().map_err(|error| format!("`{path}` is not a path: {error}"))?;
    for (name, value) in &action.headers {
        let text = value.render(scope).map_err(|unset| unset.to_string())?;
        let header: HeaderName = name.parse().map_err(|_| format!("`{name}` cannot name a header"))?;
        let value = HeaderValue::from_str(&text).map_err(|_| format!("the value of header `{name}` cannot be sent"))?;
        request.headers_mut().insert(header, value);
    }
    let messages = action.send.iter().map(|text| text.render(scope).map_err(|unset| unset.to_string()));
    Ok((request, messages.collect::<Result<_, _>>()?))
}

async fn talk(
    (action, request): (&WsAction, Request),
    permits: &Permits,
    (messages, until): (&[String], Until),
    received: &mut Vec<String>,
) -> Result<(), CallError> {
    let broken = |error: Error| of(&error, &named(&action.target));
    let stream = connect(&action.target, &[b"http/1.1"], permits, &mut Phases::default()).await?;
    let config =
        WebSocketConfig::default().max_message_size(Some(limits::BODY_BYTES)).max_frame_size(Some(limits::BODY_BYTES));
    let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    let (mut socket, _) = opened.map_err(broken)?;
    for message in messages {
        socket.send(Message::text(message.as_str())).await.map_err(broken)?;
    }
    match until {
        Until::Connected => {}
        Until::Line => match next(&mut socket).await.map_err(broken)? {
            Some(text) => received.push(text),
            None => {
                let message = format!("{} closed the WebSocket before there was an answer", named(&action.target));
                return Err(CallError::new(ErrorKind::Reset, message));
            }
        },
        Until::Close => {
            let mut bytes = 0;
            while let Some(text) = next(&mut socket).await.map_err(broken)? {
                // An empty message is not free: without end, they too fill the memory.
                bytes += text.len() + size_of::<String>();
                if bytes > limits::BODY_BYTES {
                    let message = format!("the answer is longer than {} MiB", limits::BODY_BYTES / (1024 * 1024));
                    return Err(CallError::new(ErrorKind::TooLarge, message));
                }
                received.push(text);
            }
        }
    }
    // Politeness: who does not answer a close is not waited for.
    let _ = socket.close(None).await;
    Ok(())
}

/// The next message; `None` when the other side has closed.
async fn next(socket: &mut WebSocketStream<Connection>) -> Result<Option<String>, Error> {
    while let Some(message) = socket.next().await {
        match message {
            Ok(Message::Text(text)) => return Ok(Some(text.to_string())),
            Ok(Message::Binary(bytes)) => return Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Ok(Message::Close(_)) | Err(Error::ConnectionClosed) => return Ok(None),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn of(error: &Error, named: &str) -> CallError {
    let kind = match error {
        Error::Io(error) => kind_of(error),
        // Its word for a head that does not end.
        Error::Capacity(_) | Error::AttackAttempt => ErrorKind::TooLarge,
        Error::ConnectionClosed | Error::AlreadyClosed => ErrorKind::Reset,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete) => {
            ErrorKind::Reset
        }
        _ => ErrorKind::Protocol,
    };
    CallError::new(kind, format!("the WebSocket with {named} failed: {error}"))
}
