//! Send something over TCP and read what is answered: a line, or everything until the other side closes.

use std::time::{Duration, Instant};

use meshproof_proto::expr::Template;
use meshproof_proto::order::{Check, Target, TcpAction};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::answer::{Answer, CallError, Came, ErrorKind, TcpAnswer};
use super::connect::{connect, kind_of, named};
use super::connection::Connection;
use super::phases::Phases;
use crate::limits;
use crate::permits::Terms;

/// When the answer is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// There is nothing to wait for: whether somebody listens is the question.
    Connected,
    Line,
    /// Everything was said. Our side is closed after sending, so that a service that would take more can end.
    Close,
}

impl Until {
    /// What has to be read for these checks.
    pub(super) fn of(action: &TcpAction, checks: &[Check]) -> Self {
        Self::for_checks(checks, action.send.parts.len())
    }

    pub(super) fn for_checks(checks: &[Check], sends: usize) -> Self {
        let asks = |field: &str| checks.iter().any(|check| check.field == field);
        if asks("body") || asks("json") {
            Self::Close
        } else if sends == 0 && !asks("line") {
            Self::Connected
        } else {
            Self::Line
        }
    }
}

pub(super) async fn perform(action: &TcpAction, until: Until, scope: &Value, terms: Terms<'_>) -> Answer {
    let sent = match action.send.render(scope) {
        Ok(text) => text,
        Err(unset) => return Answer::impossible(unset.to_string()),
    };
    let started = Instant::now();
    let mut received = Vec::new();
    let exchange = async {
        let mut stream = connect(&action.target, &[], terms.permits, &mut Phases::default()).await?;
        talk(&mut stream, &sent, until, &mut received).await
    };
    let error = bounded(&action.target, terms.within, exchange).await.err();
    answer(sent, &received, error, started)
}

/// A connection that is kept for many sends, each answered by one line.
#[derive(Debug)]
pub struct TcpSession {
    target: Target,
    state: State,
}

#[derive(Debug)]
enum State {
    Open {
        stream: Connection,
        /// Read, but behind the last line.
        rest: Vec<u8>,
    },
    /// An exchange failed or was given up: an answer may still come and would be taken for another's.
    Broken,
}

impl TcpSession {
    /// Connects, under these terms.
    pub async fn open(target: &Target, terms: impl Into<Terms<'_>>) -> Result<Self, CallError> {
        let Terms { within, permits, .. } = terms.into();
        let stream = bounded(target, within, connect(target, &[], permits, &mut Phases::default())).await?;
        Ok(Self { target: target.clone(), state: State::Open { stream, rest: Vec::new() } })
    }

    /// Sends and takes one line. After an error, and when dropped in the middle, the session is of no more use.
    pub async fn exchange(&mut self, send: &Template, scope: &Value, within: Duration) -> Answer {
        let sent = match send.render(scope) {
            Ok(text) => text,
            Err(unset) => return Answer::impossible(unset.to_string()),
        };
        let started = Instant::now();
        let State::Open { mut stream, mut rest } = std::mem::replace(&mut self.state, State::Broken) else {
            let message = format!("the connection to {} broke before", self.target.label);
            return answer(sent, &[], Some(CallError::new(ErrorKind::Reset, message)), started);
        };
        let talk = talk(&mut stream, &sent, Until::Line, &mut rest);
        if let Err(error) = bounded(&self.target, within, talk).await {
            return answer(sent, &rest, Some(error), started);
        }
        let end = line_end(&rest).unwrap_or(rest.len());
        let answer = answer(sent, &rest[..end], None, started);
        rest.drain(..end);
        self.state = State::Open { stream, rest };
        answer
    }
}

async fn bounded<T>(
    target: &Target,
    within: Duration,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    timeout(within, work).await.unwrap_or_else(|_| {
        let message = format!("no answer of {} within {within:?}", named(target));
        Err(CallError::new(ErrorKind::Timeout, message))
    })
}

/// Sends and reads at the same time: a service may answer before it has read everything.
async fn talk(stream: &mut Connection, sent: &str, until: Until, received: &mut Vec<u8>) -> Result<(), CallError> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        writer.write_all(sent.as_bytes()).await?;
        if until == Until::Close {
            writer.shutdown().await?;
        }
        std::io::Result::Ok(())
    };
    let reading = async {
        match until {
            Until::Connected => Ok(()),
            Until::Line => read_line(&mut reader, received).await,
            Until::Close => read_all(&mut reader, received).await,
        }
    };
    // An answer counts, whether all was taken or not.
    let (written, read) = tokio::join!(writing, reading);
    read?;
    match (until, written) {
        (Until::Connected, Err(error)) => Err(broken(&error)),
        (Until::Connected | Until::Line | Until::Close, _) => Ok(()),
    }
}

async fn read_line(reader: &mut (impl AsyncRead + Unpin), received: &mut Vec<u8>) -> Result<(), CallError> {
    loop {
        if line_end(received).is_some() {
            return Ok(());
        }
        if received.len() >= limits::LINE_BYTES {
            let message = format!("the line that is answered is longer than {} KiB", limits::LINE_BYTES / 1024);
            return Err(CallError::new(ErrorKind::TooLarge, message));
        }
        let room = limits::LINE_BYTES - received.len();
        let count = reader.take(room as u64).read_buf(received).await.map_err(|error| broken(&error))?;
        if count == 0 && received.is_empty() {
            return Err(CallError::new(ErrorKind::Reset, "the connection was closed before there was an answer"));
        }
        if count == 0 {
            return Ok(());
        }
    }
}

async fn read_all(reader: &mut (impl AsyncRead + Unpin), received: &mut Vec<u8>) -> Result<(), CallError> {
    loop {
        if received.len() >= limits::BODY_BYTES {
            let message = format!("the answer is longer than {} MiB", limits::BODY_BYTES / (1024 * 1024));
            return Err(CallError::new(ErrorKind::TooLarge, message));
        }
        let room = limits::BODY_BYTES - received.len();
        if reader.take(room as u64).read_buf(received).await.map_err(|error| broken(&error))? == 0 {
            return Ok(());
        }
    }
}

fn broken(error: &std::io::Error) -> CallError {
    CallError::new(kind_of(error), format!("the connection broke: {error}"))
}

/// Behind the end of the first line.
fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
}

fn answer(sent: String, received: &[u8], error: Option<CallError>, started: Instant) -> Answer {
    let body = String::from_utf8_lossy(received).into_owned();
    // A line without an end counts only when the other side closed behind it, so not beside an error.
    let complete = line_end(received).is_some() || (error.is_none() && !received.is_empty());
    let line = complete.then(|| body.lines().next().unwrap_or_default().to_owned());
    Answer { sent, came: Came::Tcp(TcpAnswer { line, body }), error, took: started.elapsed() }
}
