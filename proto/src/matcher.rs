//! The one matcher: the same in a stub's `when`, a step's `expect`, a stream's `each`.

mod actual;
mod looked;
mod quantity;

pub use actual::Actual;
pub use quantity::{Comparison, Quantity};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::expr::{Template, ValueTemplate};
use crate::nesting;

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum Matcher {
    /// Equal to this, numbers by value.
    Equals(ValueTemplate),
    /// `"< 5s"`, `">= 3"`.
    Compare(Comparison, Quantity),
    /// `/re/`: found anywhere in the text.
    Regex(String),
    /// A text that holds this text, a list that holds this item, a map that holds this key.
    Contains(ValueTemplate),
    In(Vec<ValueTemplate>),
    Exists(bool),
    Not(Box<Matcher>),
    /// All of them.
    All(Vec<Matcher>),
    /// JSONPath (RFC 9535) to what stands there.
    Paths(Vec<(String, Matcher)>),
    /// `"< ${{ params.limit }}"`: a comparison with what is found.
    CompareTo(Comparison, Template),
    /// `/order ${{ order }} settled/`: what is found stands in the pattern for itself.
    RegexOf(Template),
}

// derived for both, and read within a bound
impl Serialize for Matcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        nesting::bounded(deserializer, Self::deserialize)
    }
}

/// A value that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Where inside the value: a JSONPath, or empty for the value itself.
    pub at: String,
    pub expected: String,
    pub actual: String,
}

impl Matcher {
    /// Checks `actual`; templates inside the matcher are looked up in `scope`.
    pub fn check(&self, actual: &Actual, scope: &Value) -> Result<(), Mismatch> {
        let holds = match self {
            Self::Paths(paths) => {
                return paths.iter().try_for_each(|(path, matcher)| at_path(path, matcher, actual, scope));
            }
            Self::All(all) => return all.iter().try_for_each(|matcher| matcher.check(actual, scope)),
            Self::Equals(value) => value.value(scope).is_ok_and(|value| actual.equals(&value)),
            Self::Compare(comparison, quantity) => {
                actual.quantity_like(quantity).is_some_and(|is| comparison.holds(is, quantity.number()))
            }
            Self::Regex(pattern) => {
                actual.text().is_some_and(|text| regex::Regex::new(pattern).is_ok_and(|re| re.is_match(&text)))
            }
            Self::Contains(value) => value.value(scope).is_ok_and(|value| actual.contains(&value)),
            Self::In(values) => values.iter().any(|value| value.value(scope).is_ok_and(|value| actual.equals(&value))),
            Self::CompareTo(..) | Self::RegexOf(_) => match self.known(scope) {
                Some(known) => return known.check(actual, scope),
                None => false,
            },
            Self::Exists(wanted) => actual.exists() == *wanted,
            // a value that is missing is not an answer to what it must not be: a mistyped path would pass
            Self::Not(inner) => {
                let asks_whether = matches!(**inner, Self::Exists(_));
                let decides = !inner.is_undecided(scope);
                decides && (actual.exists() || asks_whether) && inner.check(actual, scope).is_err()
            }
        };
        if holds {
            return Ok(());
        }
        Err(Mismatch { at: String::new(), expected: self.describe(scope), actual: actual.describe() })
    }

    /// What is expected, for a failure's text.
    pub fn describe(&self, scope: &Value) -> String {
        match self {
            Self::Equals(value) => shown(value, scope),
            Self::Compare(comparison, quantity) => format!("{comparison} {quantity}"),
            Self::Regex(pattern) => format!("/{pattern}/"),
            Self::CompareTo(comparison, with) => looked::compared(*comparison, with, scope),
            Self::RegexOf(pattern) => format!("/{pattern}/"),
            Self::Contains(value) => format!("contains {}", shown(value, scope)),
            Self::In(values) => {
                format!("one of {}", values.iter().map(|value| shown(value, scope)).collect::<Vec<_>>().join(", "))
            }
            Self::Exists(true) => "something there".to_owned(),
            Self::Exists(false) => "nothing there".to_owned(),
            Self::Not(inner) => format!("not {}", inner.describe(scope)),
            Self::All(all) => all.iter().map(|matcher| matcher.describe(scope)).collect::<Vec<_>>().join(" and "),
            Self::Paths(paths) => paths
                .iter()
                .map(|(path, matcher)| format!("{path}: {}", matcher.describe(scope)))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

fn shown(value: &ValueTemplate, scope: &Value) -> String {
    match value.value(scope) {
        Ok(value) => value.to_string(),
        Err(unset) => format!("${{{{ {} }}}} (not set)", unset.0),
    }
}

fn at_path(path: &str, matcher: &Matcher, actual: &Actual, scope: &Value) -> Result<(), Mismatch> {
    use jsonpath_rust::JsonPath as _;
    let json = actual.json();
    let found = json.as_ref().and_then(|json| json.query(path).ok()).unwrap_or_default();
    let here = match found.as_slice() {
        [] => Actual::Missing,
        [one] => Actual::Json((*one).clone()),
        many => Actual::Json(Value::Array(many.iter().map(|value| (*value).clone()).collect())),
    };
    matcher.check(&here, scope).map_err(|mismatch| {
        let actual = if json.is_none() { format!("not JSON: {}", actual.describe()) } else { mismatch.actual };
        Mismatch { at: format!("{path}{}", mismatch.at.trim_start_matches('$')), actual, ..mismatch }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn equals(value: Value) -> Matcher {
        Matcher::Equals(ValueTemplate::fixed(&value))
    }

    #[test]
    fn each_matcher_holds_for_what_it_names_and_for_nothing_else() {
        let json = |value: Value| Actual::Json(value);
        let contains = |value: Value| Matcher::Contains(ValueTemplate::fixed(&value));
        let less = |quantity| Matcher::Compare(Comparison::Less, quantity);
        for (matcher, good, bad) in [
            (equals(json!(3)), json(json!(3.0)), json(json!("3"))),
            (equals(json!([1, 2])), json(json!([1, 2])), json(json!([2, 1]))),
            (
                less(Quantity::DurationNs(5_000)),
                Actual::Duration(Duration::from_micros(4)),
                Actual::Duration(Duration::from_micros(5)),
            ),
            (less(Quantity::Number(3.0)), json(json!(2)), json(json!("2 apples"))),
            (
                Matcher::Regex("^OK \\d+".to_owned()),
                Actual::Text("OK 12".to_owned()),
                Actual::Text("so OK 12".to_owned()),
            ),
            (contains(json!("b")), Actual::Text("abc".to_owned()), Actual::Text("ac".to_owned())),
            (contains(json!(2)), json(json!([1, 2])), json(json!([1, 3]))),
            (Matcher::Exists(false), Actual::Missing, json(json!(null))),
            (Matcher::Not(Box::new(equals(json!(1)))), json(json!(2)), json(json!(1))),
            (Matcher::Not(Box::new(equals(json!(1)))), json(json!(2)), Actual::Missing),
            (Matcher::Not(Box::new(Matcher::Exists(true))), Actual::Missing, json(json!(1))),
            (Matcher::In(vec![ValueTemplate::fixed(&json!(1))]), json(json!(1)), Actual::Missing),
            (
                Matcher::Paths(vec![("$.a[0]".to_owned(), equals(json!(1)))]),
                json(json!({"a": [1]})),
                json(json!({"a": []})),
            ),
        ] {
            assert_eq!(matcher.check(&good, &Value::Null), Ok(()), "{matcher:?}");
            assert!(matcher.check(&bad, &Value::Null).is_err(), "{matcher:?} against {bad:?}");
        }
    }

    #[test]
    fn a_mismatch_says_where_and_what() {
        let matcher = Matcher::Paths(vec![("$.state".to_owned(), equals(json!("pending")))]);
        let mismatch =
            matcher.check(&Actual::Json(json!({"state": "lost"})), &Value::Null).expect_err("lost is not pending");
        assert_eq!(
            (mismatch.at.as_str(), mismatch.expected.as_str(), mismatch.actual.as_str()),
            ("$.state", "\"pending\"", "\"lost\"")
        );
        let on_text = matcher.check(&Actual::Text("<html>".to_owned()), &Value::Null).expect_err("no JSON");
        assert!(on_text.actual.starts_with("not JSON"), "{on_text:?}");
    }
}
