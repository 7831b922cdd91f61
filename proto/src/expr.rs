//! `${{ … }}`: look-ups and filters. No loops, no arithmetic, no side effects.
//!
//! `services.ledger.tcp`, `record.items[0]['odd key']`, `call.number | default: 1 | json`. A template that is one expression
//! keeps the type of what it finds; any other is text. Templates are resolved in two places: the orchestrator puts in what
//! a run knows, the agent what only it knows (`call`, `request`, `record`, `index`), so resolving may be partial.

mod filter;
mod parse;
mod template;

pub use filter::Filter;
pub use parse::ExprError;
pub use template::{Part, Template, Unset, ValueTemplate};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secrets;

/// The key under which an object in a scope keeps the value that it has when named alone, as `services.ledger.tcp` has beside
/// `services.ledger.tcp.direct`.
pub const OWN_VALUE: &str = "$value";

/// The names whose values only an agent puts in, when it acts. Resolving leaves them alone, defaults included. Secrets are
/// known before; they stay names so that no order holds their values.
pub const AGENTS_OWN: &[&str] = &["call", "request", "record", "index", secrets::ROOT];

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Segment {
    Key(String),
    Index(u64),
}

/// A look-up and what is done with what it finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expr {
    pub path: Vec<Segment>,
    pub filters: Vec<Filter>,
}

impl Expr {
    /// The first name, which says who knows the value.
    pub fn root(&self) -> &str {
        match self.path.first() {
            Some(Segment::Key(key)) => key,
            _ => "",
        }
    }

    /// Whether an agent puts the value in.
    pub fn is_agents_own(&self) -> bool {
        AGENTS_OWN.contains(&self.root())
    }

    /// Whether it looks up a secret.
    pub fn is_secret(&self) -> bool {
        self.root() == secrets::ROOT
    }

    /// The value, or `None` when the scope has none and no filter gives a default.
    pub fn eval(&self, scope: &Value) -> Option<Value> {
        let mut found = self.path.iter().try_fold(scope, step).map(own_value);
        for filter in &self.filters {
            found = filter.apply(found);
        }
        found
    }
}

impl std::fmt::Display for Expr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, segment) in self.path.iter().enumerate() {
            match segment {
                Segment::Key(key) if i == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn step<'a>(value: &'a Value, segment: &Segment) -> Option<&'a Value> {
    match segment {
        Segment::Key(key) => value.get(key),
        // also of a list that has something beside its own value
        Segment::Index(index) => value.get(OWN_VALUE).unwrap_or(value).get(usize::try_from(*index).ok()?),
    }
}

fn own_value(value: &Value) -> Value {
    value.get(OWN_VALUE).unwrap_or(value).clone()
}
