//! Which requests a fault strikes, where it does not strike all: who shares a service with others disturbs nobody else.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::RunId;
use crate::matcher::Matcher;
use crate::trace;

/// The requests that are struck. What shows no request is let through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Only {
    /// Those of the run's trace, by their `traceparent`: what its steps send, and what services send on for it.
    Run,
    /// Those with all of these headers, their names in lower case.
    Headers(Vec<(String, Matcher)>),
}

impl Only {
    /// What the headers of a request must be.
    #[must_use]
    pub fn headers(&self, run: &RunId) -> Vec<(String, Matcher)> {
        match self {
            // any version of the format begins so
            Self::Run => {
                let of_run = format!("^[0-9a-f]{{2}}-{}-", trace::trace_of(run));
                vec![(trace::HEADER.to_owned(), Matcher::Regex(of_run))]
            }
            Self::Headers(headers) => headers.clone(),
        }
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => f.write_str("only requests of this run"),
            Self::Headers(headers) => {
                let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
                write!(f, "only requests by their {}", names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::matcher::Actual;
    use crate::order::StepKey;
    use crate::trace::Traceparent;

    #[test]
    fn a_request_is_the_runs_whichever_step_and_whichever_span_it_is_of() {
        let run = RunId("r-1".to_owned());
        let key = |step: &str| StepKey { test: "t".to_owned(), step: step.to_owned(), attempt: 1 };
        let of = |run: &RunId, step: &str| Traceparent::of(run, &key(step)).to_string();
        let headers = Only::Run.headers(&run);
        let [(name, matcher)] = headers.as_slice() else { panic!("{headers:?}") };
        assert_eq!(name, "traceparent");
        let is_struck = |value: &str| matcher.check(&Actual::Text(value.to_owned()), &Value::Null).is_ok();
        let sent_on = of(&run, "1").replace("-01", "-00");
        assert!(is_struck(&of(&run, "1")) && is_struck(&of(&run, "2")) && is_struck(&sent_on));
        assert!(!is_struck(&of(&RunId("r-2".to_owned()), "1")) && !is_struck(""));
    }
}
