//! What came of a call, and how checks and people look at it.

use std::fmt;
use std::time::Duration;

use meshproof_proto::event::Evidence;
use meshproof_proto::matcher::Actual;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::phases::Phases;
use crate::evidence::evidence;

/// What came of a call. It can travel, so that an answer is checked elsewhere than where it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What was asked, for people.
    pub sent: String,
    pub came: Came,
    pub error: Option<CallError>,
    /// From the first attempt to connect, or the program's start, to the end.
    pub took: Duration,
}

/// What came back, as far as it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Came {
    Nothing,
    Http(HttpAnswer),
    Tcp(TcpAnswer),
    Exec(ExecAnswer),
    Grpc(GrpcAnswer),
}

/// An HTTP answer and the time of each phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpAnswer {
    /// `None` before the head of the answer came.
    pub status: Option<u16>,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub phases: Phases,
}

/// What came of a gRPC call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GrpcAnswer {
    /// As gRPC spells it: `OK`, `NOT_FOUND`. `None` while the call had not ended.
    pub code: Option<String>,
    pub message: String,
    /// The message, or the list of them when the method answers with a stream; JSON.
    pub json: Option<String>,
    /// Why the server's description of itself has no such method, where it has none.
    pub undescribed: String,
    pub phases: Phases,
}

/// What came over a TCP connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TcpAnswer {
    /// The first line without its end; `None` when none was complete.
    pub line: Option<String>,
    pub body: String,
}

/// What a program left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExecAnswer {
    /// As shells tell it: 128 and the number of the signal that ended it. `None` while it had not ended.
    pub code: Option<i32>,
    pub stdout: Output,
    pub stderr: Output,
}

/// What a program wrote, up to a limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub text: String,
    /// Bytes that came after the limit and were thrown away.
    pub lost: u64,
}

/// How a call broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    pub kind: ErrorKind,
    pub message: String,
}

/// The word that a check on `error` sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    Refused,
    /// Reset, or closed before there was an answer.
    Reset,
    Timeout,
    Tls,
    Dns,
    /// The answer breaks its protocol.
    Protocol,
    /// The answer is longer than what is held.
    TooLarge,
    /// The program could not be started.
    Start,
    Io,
    /// The order cannot be carried out at all: a name is not set, a header is none.
    Order,
}

impl ErrorKind {
    /// As plans write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::Protocol => "protocol",
            Self::TooLarge => "too-large",
            Self::Start => "start",
            Self::Io => "io",
            Self::Order => "order",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl CallError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl Answer {
    /// The order cannot be carried out.
    pub fn impossible(message: impl Into<String>) -> Self {
        let error = Some(CallError::new(ErrorKind::Order, message));
        Self { sent: String::new(), came: Came::Nothing, error, took: Duration::ZERO }
    }

    /// What a check on this field looks at; `None` when such answers have no such field.
    pub fn field(&self, name: &str) -> Option<Actual> {
        match name {
            "duration" => return Some(Actual::Duration(self.took)),
            "error" => return Some(self.error.as_ref().map_or(Actual::Missing, |error| text(error.kind.word()))),
            _ => {}
        }
        match &self.came {
            Came::Nothing => Some(Actual::Missing),
            Came::Http(http) => http.field(name),
            Came::Tcp(tcp) => tcp.field(name),
            Came::Exec(exec) => exec.field(name),
            Came::Grpc(grpc) => grpc.field(name),
        }
    }

    /// The JSON that came back, where saves look.
    pub fn json(&self) -> Option<Value> {
        match &self.came {
            Came::Nothing => None,
            Came::Http(http) => serde_json::from_slice(&http.body).ok(),
            Came::Tcp(tcp) => serde_json::from_str(&tcp.body).ok(),
            Came::Exec(exec) => serde_json::from_str(&exec.stdout.text).ok(),
            Came::Grpc(grpc) => serde_json::from_str(grpc.json.as_deref()?).ok(),
        }
    }

    /// How much of the field's value was thrown away, in bytes.
    pub fn lost(&self, field: &str) -> u64 {
        match (&self.came, field) {
            (Came::Exec(exec), "stdout" | "json") => exec.stdout.lost,
            (Came::Exec(exec), "stderr") => exec.stderr.lost,
            (Came::Nothing | Came::Http(_) | Came::Tcp(_) | Came::Exec(_) | Came::Grpc(_), _) => 0,
        }
    }

    /// What is worth reading of a call that came to what the plan expects: what each phase took.
    pub fn timing(&self) -> Vec<Evidence> {
        match &self.came {
            Came::Http(http) => vec![evidence("phases", http.phases.to_string())],
            Came::Grpc(grpc) => vec![evidence("phases", grpc.phases.to_string())],
            Came::Nothing | Came::Tcp(_) | Came::Exec(_) => Vec::new(),
        }
    }

    /// The exchange, for a failure.
    pub fn evidence(&self) -> Vec<Evidence> {
        let mut all = vec![evidence("request", self.sent.as_str())];
        match &self.came {
            Came::Nothing => {}
            Came::Http(http) => all.push(evidence("response", http.shown())),
            Came::Tcp(tcp) => all.push(evidence("response", tcp.body.as_str())),
            Came::Grpc(grpc) => all.push(evidence("response", grpc.shown())),
            Came::Exec(exec) => {
                all.push(evidence("stdout", exec.stdout.text.as_str()));
                all.push(evidence("stderr", exec.stderr.text.as_str()));
            }
        }
        if let Some(error) = &self.error {
            all.push(evidence("error", error.message.as_str()));
        }
        all.retain(|item| !item.text.is_empty());
        all
    }
}

impl HttpAnswer {
    fn field(&self, name: &str) -> Option<Actual> {
        if let Some(header) = name.strip_prefix("headers.") {
            return Some(self.header(header).map_or(Actual::Missing, Actual::Text));
        }
        let here = |actual| if self.status.is_some() { actual } else { Actual::Missing };
        Some(match name {
            "status" => self.status.map_or(Actual::Missing, |status| Actual::Json(status.into())),
            "json" => here(json(&String::from_utf8_lossy(&self.body))),
            "body" => here(text(&String::from_utf8_lossy(&self.body))),
            "size" => here(Actual::Bytes(self.body.len() as u64)),
            _ => return None,
        })
    }

    /// All values of a header, joined as RFC 9110 joins them.
    fn header(&self, wanted: &str) -> Option<String> {
        let found: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, v)| v.as_str())
            .collect();
        (!found.is_empty()).then(|| found.join(", "))
    }

    fn shown(&self) -> String {
        let Some(status) = self.status else { return String::new() };
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("{status}\n{headers}\n{}\n\n{}", String::from_utf8_lossy(&self.body), self.phases)
    }
}

impl GrpcAnswer {
    fn field(&self, name: &str) -> Option<Actual> {
        Some(match name {
            "code" => self.code.as_deref().map_or(Actual::Missing, text),
            "message" => text(&self.message),
            "json" => self.json.as_deref().map_or(Actual::Missing, json),
            _ => return None,
        })
    }

    /// What is said of a code that is not OK.
    pub fn failed(&self, code: &str) -> String {
        let words = [&*self.message, &*self.undescribed].into_iter().filter(|words| !words.is_empty());
        format!("answered with {code} {}", words.collect::<Vec<_>>().join("; "))
    }

    fn shown(&self) -> String {
        let Some(code) = &self.code else { return String::new() };
        let came = self.json.as_deref().unwrap_or(&self.undescribed);
        format!("{code} {}\n{came}\n\n{}", self.message, self.phases)
    }
}

impl TcpAnswer {
    fn field(&self, name: &str) -> Option<Actual> {
        Some(match name {
            "line" => self.line.as_deref().map_or(Actual::Missing, text),
            "body" => text(&self.body),
            "json" => json(&self.body),
            _ => return None,
        })
    }
}

impl ExecAnswer {
    fn field(&self, name: &str) -> Option<Actual> {
        Some(match name {
            "code" => self.code.map_or(Actual::Missing, |code| Actual::Json(code.into())),
            // Without the last line's end, as shells' `$(…)` gives it: nobody means it when they say what is printed.
            "stdout" => text(self.stdout.text.trim_end_matches(['\r', '\n'])),
            "stderr" => text(self.stderr.text.trim_end_matches(['\r', '\n'])),
            "json" => json(&self.stdout.text),
            _ => return None,
        })
    }
}

fn text(text: &str) -> Actual {
    Actual::Text(text.to_owned())
}

/// The JSON in a text; other text stays text, so that a failure can show what came instead.
fn json(body: &str) -> Actual {
    match serde_json::from_str(body) {
        Ok(value) => Actual::Json(value),
        Err(_) if body.trim().is_empty() => Actual::Missing,
        Err(_) => text(body),
    }
}
