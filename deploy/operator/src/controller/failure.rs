//! Why something was not done.

use std::time::Duration;

/// What ends a look at an object.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{what}: {error}")]
    Api { what: String, error: Box<kube::Error> },
    #[error("{what} cannot be used: {why}")]
    Unusable { what: String, why: String },
    #[error("{0} is still going")]
    Waiting(String),
    #[error("the finalizer could not be set or taken away: {0}")]
    Finalizer(String),
}

impl Failure {
    pub fn api(what: impl std::fmt::Display, error: kube::Error) -> Self {
        Self::Api { what: what.to_string(), error: Box::new(error) }
    }

    /// Somebody else was first.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { error, .. } if is(error, 409))
    }

    /// What is waited for, and how long.
    pub fn waits(&self) -> Option<Duration> {
        matches!(self, Self::Waiting(_)).then_some(crate::limits::NAMESPACE_GOES)
    }
}

/// Whether the API server answered with that code.
pub(super) fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}
