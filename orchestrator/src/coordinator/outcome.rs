//! Why an environment could not be had.

use meshproof_proto::event::Evidence;

use crate::plan::Span;
use crate::run::Input;

/// The environment could not be made, or broke as a whole.
#[derive(Debug)]
pub(super) struct Broken {
    pub what: String,
    /// Where the plan asks for what could not be had.
    pub at: Option<Span>,
    pub evidence: Vec<Evidence>,
}

impl Broken {
    pub(super) fn because(what: impl Into<String>) -> Self {
        Self { what: what.into(), at: None, evidence: Vec::new() }
    }
}

impl From<anyhow::Error> for Broken {
    fn from(error: anyhow::Error) -> Self {
        Self::because(format!("{error:#}"))
    }
}

impl From<crate::local::LocalError> for Broken {
    fn from(error: crate::local::LocalError) -> Self {
        Self::because(error.to_string())
    }
}

impl From<Broken> for Input {
    fn from(broken: Broken) -> Self {
        Self::Broken { what: broken.what, at: broken.at, evidence: broken.evidence }
    }
}
