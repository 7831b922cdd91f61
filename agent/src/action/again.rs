//! The same call again and again, by one caller that keeps its connection, as clients of services do.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use meshproof_proto::order::{Action, Check, HttpAction, TcpAction};
use serde_json::Value;

use super::answer::{Answer, CallError};
use super::grpc::GrpcCaller;
use super::http::{HttpCaller, Keeps};
use super::{TcpSession, http, perform_for, tcp};
use crate::permits::Terms;

/// Makes one call at a time, and bounds each by the time of its terms. Dropping it closes its connection.
pub(crate) struct Again<'o> {
    how: How<'o>,
    checks: &'o [Check],
    terms: Terms<'o>,
}

enum How<'o> {
    Http {
        action: &'o HttpAction,
        /// The request, where it is the same each time.
        fixed: Option<Box<(Request<Full<Bytes>>, String)>>,
        caller: HttpCaller,
    },
    Grpc(GrpcCaller<'o>),
    /// Each send is answered by a line.
    Tcp {
        action: &'o TcpAction,
        session: Option<Box<TcpSession>>,
    },
    /// Nothing is kept from one to the next.
    Each(&'o Action),
}

impl<'o> Again<'o> {
    /// Answers are kept whole.
    pub(crate) fn whole(action: &'o Action, terms: Terms<'o>) -> Self {
        Self::keeping(Keeps::All, (action, &[]), terms)
    }

    /// Of answers as much is kept as these checks look at.
    pub(crate) fn of(action: &'o Action, checks: &'o [Check], terms: Terms<'o>) -> Self {
        Self::keeping(Keeps::for_checks(checks), (action, checks), terms)
    }

    fn keeping(keeps: Keeps, (action, checks): (&'o Action, &'o [Check]), terms: Terms<'o>) -> Self {
        let how = match action {
            Action::Http(action) => {
                let fixed =
                    if action.is_fixed() { http::request(action, &Value::Null).ok().map(Box::new) } else { None };
                How::Http { action, fixed, caller: HttpCaller::keeping(keeps) }
            }
            Action::Grpc(action) => How::Grpc(GrpcCaller::of(action)),
            Action::Tcp(action) if tcp::Until::of(action, checks) == tcp::Until::Line => {
                How::Tcp { action, session: None }
            }
            other => How::Each(other),
        };
        Self { how, checks, terms }
    }

    /// Makes the call once more.
    pub(crate) async fn call(&mut self, scope: &Value) -> Answer {
        let terms = self.terms;
        match &mut self.how {
            How::Http { action, fixed, caller } => {
                let ready = match fixed {
                    Some(fixed) => Ok((**fixed).clone()),
                    None => http::request(action, scope),
                };
                match ready {
                    Ok(ready) => caller.call(&action.target, ready, terms).await,
                    Err(message) => Answer::impossible(message),
                }
            }
            How::Grpc(caller) => caller.call(scope, terms).await,
            How::Tcp { action, session } => exchange((action, session), scope, terms).await,
            How::Each(action) => Box::pin(perform_for(action, self.checks, scope, terms)).await,
        }
    }
}

async fn exchange(
    (action, session): (&TcpAction, &mut Option<Box<TcpSession>>),
    scope: &Value,
    terms: Terms<'_>,
) -> Answer {
    let began = std::time::Instant::now();
    let mut open = match session.take() {
        Some(open) => open,
        None => match TcpSession::open(&action.target, terms).await {
            Ok(open) => Box::new(open),
            Err(error) => return unsent(error, began.elapsed()),
        },
    };
    let answer = open.exchange(&action.send, scope, terms.within).await;
    if answer.error.is_none() {
        *session = Some(open);
    }
    answer
}

fn unsent(error: CallError, took: Duration) -> Answer {
    Answer { error: Some(error), took, ..Answer::impossible("") }
}

/// Why a call did not come to what was expected of it, in few words: calls of one reason are counted together.
pub(crate) fn reason(answer: &Answer) -> Cow<'static, str> {
    use super::answer::Came;
    if let Some(error) = &answer.error {
        return error.kind.word().into();
    }
    match &answer.came {
        Came::Http(http) => http.status.map_or("no answer".into(), |status| format!("status {status}").into()),
        Came::Grpc(grpc) => grpc.code.clone().map_or("no answer".into(), Into::into),
        Came::Exec(exec) => exec.code.map_or("no end".into(), |code| format!("code {code}").into()),
        Came::Nothing | Came::Tcp(_) => "no answer".into(),
    }
}
