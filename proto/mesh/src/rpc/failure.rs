//! A call that brought no answer, and what is known of it.

use std::io;

use tarpc::client::RpcError;
use thiserror::Error;

/// Why a call has no answer. A connection that ends says nothing of the calls that were on their way over it, so most failures
/// leave open whether the call was executed; whoever repeats it needs a key by which the peer recognises the repeat.
#[derive(Debug, Error)]
pub enum CallFailure {
    /// The peer did not execute it and never will.
    #[error("the call was not made: {0}")]
    NotMade(RpcError),
    /// It was executed once, or not at all.
    #[error("the call may have been made: {0}")]
    MayHaveBeenMade(RpcError),
}

impl CallFailure {
    /// Whether the call may have had its effect.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::MayHaveBeenMade(_))
    }
}

impl From<RpcError> for CallFailure {
    fn from(error: RpcError) -> Self {
        match &error {
            // it could not be written, or was over the limit of calls in flight
            RpcError::Send(_) => Self::NotMade(error),
            RpcError::Server(refused) if refused.kind == io::ErrorKind::WouldBlock => Self::NotMade(error),
            RpcError::Shutdown | RpcError::Channel(_) | RpcError::DeadlineExceeded | RpcError::Server(_) => {
                Self::MayHaveBeenMade(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tarpc::ServerError;

    use super::*;

    #[test]
    fn only_what_never_left_or_was_turned_away_is_known_not_to_have_happened() {
        let unsent = || RpcError::Send("no room".into());
        let server = |kind| RpcError::Server(ServerError::new(kind, "the server said so".to_owned()));
        let cases = [
            (unsent(), false),
            (server(io::ErrorKind::WouldBlock), false),
            (server(io::ErrorKind::Other), true),
            (RpcError::DeadlineExceeded, true),
            (RpcError::Shutdown, true),
        ];
        for (error, may_have_happened) in cases {
            let failure = CallFailure::from(error);
            assert_eq!(failure.may_have_happened(), may_have_happened, "{failure}");
            let says = failure.to_string();
            assert!(
                says.starts_with(if may_have_happened { "the call may have" } else { "the call was not" }),
                "{says}"
            );
        }
    }
}
