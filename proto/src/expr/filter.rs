//! The filters of expressions.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What can stand behind `|` in an expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// `default: x`: this text where nothing was found.
    Default(String),
    /// Compact JSON text.
    Json,
    Lower,
    Upper,
    Trim,
    Base64,
    /// Percent-encoded for a URL.
    Url,
    /// Characters of a text, entries of a list or map.
    Length,
}

impl Filter {
    /// Names for messages and completion.
    pub const NAMES: [&'static str; 8] = ["default", "json", "lower", "upper", "trim", "base64", "url", "length"];

    /// The filter of that name; only `default` takes an argument, and needs it.
    pub fn named(name: &str, argument: Option<String>) -> Option<Self> {
        match (name, argument) {
            ("default", Some(text)) => Some(Self::Default(text)),
            ("json", None) => Some(Self::Json),
            ("lower", None) => Some(Self::Lower),
            ("upper", None) => Some(Self::Upper),
            ("trim", None) => Some(Self::Trim),
            ("base64", None) => Some(Self::Base64),
            ("url", None) => Some(Self::Url),
            ("length", None) => Some(Self::Length),
            _ => None,
        }
    }

    pub(super) fn apply(&self, found: Option<Value>) -> Option<Value> {
        if let Self::Default(text) = self {
            return Some(found.unwrap_or_else(|| Value::from(text.as_str())));
        }
        let value = found?;
        Some(match self {
            Self::Default(_) => value,
            Self::Json => Value::from(value.to_string()),
            Self::Lower => Value::from(text_of(&value).to_lowercase()),
            Self::Upper => Value::from(text_of(&value).to_uppercase()),
            Self::Trim => Value::from(text_of(&value).trim()),
            Self::Base64 => Value::from(BASE64.encode(text_of(&value).as_bytes())),
            Self::Url => Value::from(percent_encoded(&text_of(&value))),
            Self::Length => Value::from(length(&value)),
        })
    }
}

/// How a value reads inside a text: strings as they are, everything else as JSON.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn length(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        Value::Null => 0,
        other => text_of(other).chars().count(),
    }
}

/// RFC 3986: everything but the unreserved characters.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
