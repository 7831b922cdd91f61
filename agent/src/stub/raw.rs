//! Raw TCP stubs: routes by the line or the bytes that come next, or by the connection itself.
//!
//! Bytes that a route names are looked for first, and waited for while they can still come; anything else is read line by
//! line. What no route takes ends the connection: a stub cannot know where the next message would begin.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use meshproof_proto::event::StubError;
use meshproof_proto::mask::Masker;
use meshproof_proto::matcher::Actual;
use meshproof_proto::order::{Ends, RequestPart, Takes, Tls, Unmatched};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::body::Pace;
use super::calls::{Came, OpenCall};
use super::fault::Singled;
use super::line::Reset;
use super::reply::Manner;
use super::server::Shared;
use super::table::{Route, Table};
use crate::action::connection::Connection;
use crate::action::tls::Client;
use crate::evidence::masked;
use crate::limits;
use crate::punctual;

/// What comes next on a connection.
#[derive(Debug)]
enum Next<'t> {
    More,
    /// This many bytes, and what they say.
    Message {
        bytes: usize,
        said: Said,
        route: Option<&'t Route>,
    },
}

/// A message as conditions and templates see it.
#[derive(Debug)]
enum Said {
    Connection,
    Line(String),
    Bytes(Vec<u8>),
    /// More than a line has.
    Endless,
}

/// Whether more can come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    Ended,
}

/// Whether the connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    Ends,
}

/// Answers until the client leaves or a reply ends the connection.
pub(super) async fn converse(mut line: impl AsyncRead + AsyncWrite + Unpin, shared: &Arc<Shared>, reset: &Reset) {
    talk(&mut line, shared, reset).await;
    if !reset.is_asked() {
        // Without a word of goodbye, the end of a TLS connection is an error to the other side.
        let _ = line.shutdown().await;
    }
}

async fn talk(line: &mut (impl AsyncRead + AsyncWrite + Unpin), shared: &Arc<Shared>, reset: &Reset) {
    let mut buffer = BytesMut::new();
    let table = shared.state.table();
    let greets = table.routes().iter().find(|route| route.takes == Takes::Connection);
    if let Some(route) = greets
        && answer(line, shared, (Some(route), &Said::Connection), reset).await == Goes::Ends
    {
        return;
    }
    let mut input = Input::Open;
    loop {
        if is_probe(&buffer, &shared.probe) {
            shared.disturbance.pass_probe().await;
            let _ = line.write_all(b"ok\n").await;
            let _ = line.flush().await;
            return;
        }
        // Routes may have been replaced since the last message.
        let table = shared.state.table();
        match next(&table, &buffer, input) {
            Next::Message { bytes, said, route } => {
                let _ = buffer.split_to(bytes);
                if answer(line, shared, (route, &said), reset).await == Goes::Ends {
                    return;
                }
            }
            Next::More if input == Input::Ended => return,
            Next::More => match line.read_buf(&mut buffer).await {
                Ok(0) => input = Input::Ended,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "a connection to a stub broke");
                    return;
                }
            },
        }
    }
}

/// Pure: the next message of what has come.
fn next<'t>(table: &'t Table, buffer: &[u8], input: Input) -> Next<'t> {
    if buffer.is_empty() {
        return Next::More;
    }
    let mut may_come = false;
    let mut lines = false;
    for route in table.routes() {
        match &route.takes {
            Takes::Bytes(bytes) if buffer.starts_with(bytes) => {
                return Next::Message { bytes: bytes.len(), said: Said::Bytes(bytes.clone()), route: Some(route) };
            }
            Takes::Bytes(bytes) => may_come |= bytes.starts_with(buffer),
            Takes::Line => lines = true,
            Takes::Request { .. } | Takes::Connection => {}
        }
    }
    if may_come && input == Input::Open {
        return Next::More;
    }
    let end = buffer.iter().position(|byte| *byte == b'\n');
    match end {
        Some(end) if lines => {
            let text = String::from_utf8_lossy(&buffer[..end]);
            let text = text.strip_suffix('\r').unwrap_or(&text).to_owned();
            let route = line_route(table, &text);
            Next::Message { bytes: end + 1, said: Said::Line(text), route }
        }
        None if lines && buffer.len() > limits::LINE_BYTES => {
            Next::Message { bytes: buffer.len(), said: Said::Endless, route: None }
        }
        None if lines && input == Input::Open => Next::More,
        _ => Next::Message { bytes: buffer.len(), said: Said::Bytes(buffer.to_vec()), route: None },
    }
}

fn line_route<'t>(table: &'t Table, line: &str) -> Option<&'t Route> {
    let actual = Actual::Text(line.to_owned());
    let holds = |route: &&Route| {
        let holds = |part: &RequestPart| *part == RequestPart::Line;
        route.takes == Takes::Line && route.when.iter().all(|when| holds(&when.part) && when.holds(&actual))
    };
    table.routes().iter().find(holds)
}

async fn answer(
    line: &mut (impl AsyncWrite + Unpin),
    shared: &Arc<Shared>,
    (route, said): (Option<&Route>, &Said),
    reset: &Reset,
) -> Goes {
    let counted = shared.state.journal.count(route.map(|route| route.slot));
    let chosen = route.and_then(|route| route.reply(counted.number.saturating_sub(route.before)));
    let made = chosen.map(|chosen| chosen.said(|| said.scope(counted.number)));
    let shown = || said.shown(&shared.masker);
    let (body, why) = match made {
        Some(Ok(made)) => (Some(made.body), None),
        Some(Err(why)) => (None, Some(format!("{}; the reply cannot be made: {why}", shown()))),
        None if matches!(said, Said::Endless) => {
            (None, Some(format!("{}: unsupported: a line without an end", shown())))
        }
        None => (None, Some(format!("{}: no route takes it", shown()))),
    };
    let manner = chosen.and_then(|chosen| chosen.manner);
    let error = match (&body, route) {
        (None, Some(_)) => Some(StubError::NoReply),
        (None, None) if matches!(said, Said::Endless) => Some(StubError::Unsupported),
        (None, None) | (Some(_), _) => None,
    };
    let status = if body.is_some() { 200 } else { 404 };
    let route = route.map(|route| route.id.clone());
    let came = Came { route, status, request: why.unwrap_or_else(shown), error };
    let open = OpenCall::of(shared, counted, came);
    if let Some(manner) = manner.filter(|manner| !manner.delay.is_zero()) {
        punctual::wait(manner.delay).await;
    }
    shared.disturbance.pass(&Singled::default()).await;
    open.told().await;
    match body {
        Some(body) => say(line, body, manner, reset).await,
        None => {
            if shared.order.unmatched == Unmatched::Fail {
                reset.ask();
            }
            Goes::Ends
        }
    }
}

async fn say(line: &mut (impl AsyncWrite + Unpin), body: Bytes, manner: Option<Manner>, reset: &Reset) -> Goes {
    let ends = manner.map_or(Ends::Stays, |manner| manner.ends);
    if ends == Ends::Reset {
        reset.ask();
        return Goes::Ends;
    }
    let bytes = if ends == Ends::ResetInBody { body.slice(..body.len() / 2) } else { body };
    let pace = manner.and_then(|manner| Pace::of(&manner.slow?, bytes.len()));
    let sent = match pace {
        Some(pace) => pace.send(bytes, line).await,
        None => line.write_all(&bytes).await,
    };
    let sent = sent.and(line.flush().await);
    if ends == Ends::ResetInBody {
        reset.ask();
    }
    if sent.is_err() || ends != Ends::Stays { Goes::Ends } else { Goes::On }
}

impl Said {
    fn scope(&self, number: u64) -> Value {
        let request = match self {
            Self::Line(line) => json!({ "line": line }),
            Self::Bytes(bytes) => json!({ "body": String::from_utf8_lossy(bytes) }),
            Self::Connection | Self::Endless => json!({}),
        };
        json!({"call": {"number": number}, "request": request})
    }
}

impl Said {
    /// For people.
    fn shown(&self, masker: &Masker) -> String {
        const LONGEST: usize = 400;
        match self {
            Self::Connection => "a connection".to_owned(),
            Self::Line(line) => masked(line, masker, LONGEST),
            Self::Bytes(bytes) => {
                // An escaped byte has four characters.
                let looked = bytes.len().min(LONGEST + masker.reach());
                let escaped = bytes[..looked].escape_ascii().to_string();
                format!("{} bytes: {}", bytes.len(), masked(&escaped, masker, LONGEST))
            }
            Self::Endless => "a line".to_owned(),
        }
    }
}

fn probe_line(secret: &str) -> String {
    format!("meshproof-probe {secret}\n")
}

fn is_probe(buffer: &[u8], secret: &str) -> bool {
    buffer.starts_with(b"meshproof-probe ") && buffer == probe_line(secret).as_bytes()
}

/// Calls the stub there. Whether it answered in time.
pub(super) async fn probe((address, tls): (SocketAddr, Option<Tls>), secret: &str, within: Duration) -> bool {
    let call = async {
        let stream = TcpStream::connect(address).await?;
        let stream = match tls {
            None => Connection::plain(stream),
            Some(tls) => {
                let client = Client::new(&tls, &address.to_string(), &[]).map_err(std::io::Error::other)?;
                client.handshake(stream).await?
            }
        };
        let mut stream = BufReader::new(stream);
        stream.write_all(probe_line(secret).as_bytes()).await?;
        stream.flush().await?;
        let mut answer = String::new();
        while answer != "ok\n" {
            answer.clear();
            if stream.read_line(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        std::io::Result::Ok(())
    };
    tokio::time::timeout(within, call).await.is_ok_and(|answered| answered.is_ok())
}
