//! What a step does beside the service: an HTTP exchange, a TCP exchange, a program.
//!
//! Nothing here fails as a `Result`: whatever happens is an [`Answer`] that checks can look at, also a refused connection.
//! Every call ends at its deadline, and dropping the future gives it up: sockets close, programs are killed with their group.

mod again;
mod answer;
pub(crate) mod connect;
pub(crate) mod connection;
mod exec;
pub(crate) mod grpc;
pub(crate) mod http;
mod kept;
mod live;
mod phases;
pub mod started;
mod tcp;
pub(crate) mod tls;
mod ws;

pub(crate) use again::{Again, reason};
pub use answer::{Answer, CallError, Came, ErrorKind, ExecAnswer, GrpcAnswer, HttpAnswer, Output, TcpAnswer};
pub use kept::Connections;
pub use live::Live;
pub use phases::Phases;
pub use tcp::TcpSession;

use meshproof_proto::order::{Action, Check};
use serde_json::Value;

use crate::permits::Terms;

/// Does what the action says, under these terms: a time alone permits what an agent without settings does. Templates are looked up in `scope`.
pub async fn perform(action: &Action, scope: &Value, terms: impl Into<Terms<'_>>) -> Answer {
    perform_for(action, &[], scope, terms.into()).await
}

/// As [`perform`], reading as much of the answer as these checks look at.
pub async fn perform_for(action: &Action, checks: &[Check], scope: &Value, terms: Terms<'_>) -> Answer {
    match action {
        Action::Http(http) => Box::pin(http::perform(http, scope, terms)).await,
        Action::Tcp(tcp) => tcp::perform(tcp, tcp::Until::of(tcp, checks), scope, terms).await,
        Action::Exec(exec) => exec::perform(exec, scope, terms).await,
        Action::Grpc(grpc) => grpc::perform(grpc, scope, terms).await,
        Action::Ws(ws) => ws::perform(ws, checks, scope, terms).await,
        Action::Stream(_)
        | Action::ExpectLog { .. }
        | Action::ExpectStub { .. }
        | Action::ChangeStub { .. }
        | Action::WatchLog { .. }
        | Action::WatchStub { .. }
        | Action::Settle { .. }
        | Action::ExpectMetric { .. }
        | Action::WatchMetric { .. }
        | Action::ExpectLink { .. }
        | Action::CountLog { .. }
        | Action::Load(_) => Answer::impossible("this is not a call to a service"),
    }
}

#[cfg(test)]
mod tests;
