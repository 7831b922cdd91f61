//! What a matcher looks at.

use std::time::Duration;

use serde_json::Value;

use super::Quantity;

/// A value that came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Actual {
    Json(Value),
    Text(String),
    Duration(Duration),
    Bytes(u64),
    Missing,
}

impl Actual {
    pub(super) fn exists(&self) -> bool {
        *self != Self::Missing
    }

    pub(super) fn equals(&self, expected: &Value) -> bool {
        match self {
            Self::Json(value) => same(value, expected),
            Self::Text(text) => expected.as_str() == Some(text),
            Self::Bytes(bytes) => expected.as_u64() == Some(*bytes),
            Self::Duration(_) | Self::Missing => false,
        }
    }

    pub(super) fn contains(&self, wanted: &Value) -> bool {
        match (self, wanted) {
            (Self::Json(Value::Array(items)), wanted) => items.iter().any(|item| same(item, wanted)),
            (Self::Json(Value::Object(entries)), Value::String(key)) => entries.contains_key(key),
            (actual, Value::String(part)) => actual.text().is_some_and(|text| text.contains(part)),
            (actual, wanted) => actual.text().is_some_and(|text| text.contains(&wanted.to_string())),
        }
    }

    /// The text of a text or of a JSON scalar.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Json(Value::String(text)) => Some(text.clone()),
            Self::Json(value) => Some(value.to_string()),
            Self::Duration(_) | Self::Bytes(_) | Self::Missing => None,
        }
    }

    /// The value as JSON: text is parsed.
    pub(super) fn json(&self) -> Option<Value> {
        match self {
            Self::Json(value) => Some(value.clone()),
            Self::Text(text) => serde_json::from_str(text).ok(),
            Self::Duration(_) | Self::Bytes(_) | Self::Missing => None,
        }
    }

    /// The number in the unit of `like`, if this value can have that unit.
    pub(super) fn quantity_like(&self, like: &Quantity) -> Option<f64> {
        match (self, like) {
            (Self::Duration(duration), Quantity::DurationNs(_)) => Some(duration.as_nanos() as f64),
            (Self::Bytes(bytes), Quantity::Bytes(_) | Quantity::Number(_)) => Some(*bytes as f64),
            (
                Self::Json(Value::Number(number)),
                Quantity::Number(_) | Quantity::Percent(_) | Quantity::Bytes(_) | Quantity::PerSecond(_),
            ) => number.as_f64(),
            _ => None,
        }
    }

    /// How it reads in a failure, cut to a line's length.
    pub fn describe(&self) -> String {
        const LONGEST: usize = 400;
        let text = match self {
            Self::Json(value) => value.to_string(),
            Self::Text(text) => format!("{text:?}"),
            Self::Duration(duration) => format!("{duration:.1?}"),
            Self::Bytes(bytes) => format!("{bytes} B"),
            Self::Missing => "nothing".to_owned(),
        };
        match text.char_indices().nth(LONGEST) {
            Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
            None => text,
        }
    }
}

/// Equal, with numbers compared by value and maps without order.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}
