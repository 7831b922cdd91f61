//! A call as conditions and templates see it.

use std::borrow::Cow;

use hyper::http::request::Parts;
use meshproof_proto::matcher::Actual;
use meshproof_proto::order::RequestPart;
use serde_json::{Map, Value, json};

use crate::evidence::cut;

/// A call with its body.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    query: Vec<(String, String)>,
    /// Names in lower case; several values joined.
    headers: Map<String, Value>,
    body: String,
    json: Option<Value>,
    target: String,
}

impl Asked {
    pub(super) fn of(parts: &Parts, body: &[u8]) -> Self {
        let mut headers = Map::new();
        for name in parts.headers.keys() {
            let values = parts.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
            headers.insert(name.as_str().to_owned(), values.collect::<Vec<_>>().join(", ").into());
        }
        let target = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(pairs).unwrap_or_default(),
            headers,
            json: serde_json::from_slice(body).ok(),
            body: String::from_utf8_lossy(body).into_owned(),
            target,
        }
    }

    /// The part that a condition looks at.
    pub(super) fn part(&self, part: &RequestPart) -> Actual {
        match part {
            RequestPart::Query(name) => {
                let found = self.query.iter().find(|(key, _)| key == name);
                found.map_or(Actual::Missing, |(_, value)| Actual::Text(value.clone()))
            }
            RequestPart::Header(name) => match self.headers.get(&name.to_ascii_lowercase()) {
                Some(Value::String(value)) => Actual::Text(value.clone()),
                _ => Actual::Missing,
            },
            RequestPart::Json => match &self.json {
                Some(value) => Actual::Json(value.clone()),
                None if self.body.is_empty() => Actual::Missing,
                None => Actual::Text(self.body.clone()),
            },
            RequestPart::Body => Actual::Text(self.body.clone()),
        }
    }

    /// What a reply's templates see, in the call with this number.
    pub(super) fn scope(&self, number: u64) -> Value {
        let mut query = Map::new();
        for (name, value) in &self.query {
            query.entry(name.clone()).or_insert_with(|| value.as_str().into());
        }
        let mut request = json!({
            "method": self.method, "path": self.path, "query": query, "headers": self.headers, "body": self.body,
        });
        if let Some(json) = &self.json {
            request["json"] = json.clone();
        }
        json!({"call": {"number": number}, "request": request})
    }

    /// One line for people.
    pub(super) fn shown(&self) -> String {
        const LONGEST: usize = 400;
        let line = format!("{} {} {}", self.method, self.target, self.body.trim());
        cut(line.trim_end(), LONGEST)
    }
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    };
    query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

/// Percent-decoding as forms do it: `+` is a blank, what is no escape stays as it is.
fn decoded(text: &str) -> String {
    let text: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |offset: usize| bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two hex digits fit a byte"));
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str, body: &str) -> Asked {
        let request = hyper::Request::post(uri).header("X-Id", "1").header("x-id", "2").body(()).expect("a request");
        Asked::of(&request.into_parts().0, body.as_bytes())
    }

    #[test]
    fn conditions_see_the_query_decoded_and_header_names_in_any_case() {
        let asked = asked("/a?q=a%20b+c&q=2&odd=%zz&e", "");
        let query = |name: &str| asked.part(&RequestPart::Query(name.to_owned()));
        assert_eq!(query("q"), Actual::Text("a b c".to_owned()));
        assert_eq!(query("odd"), Actual::Text("%zz".to_owned()));
        assert_eq!((query("e"), query("no")), (Actual::Text(String::new()), Actual::Missing));
        assert_eq!(asked.part(&RequestPart::Header("X-ID".to_owned())), Actual::Text("1, 2".to_owned()));
        assert_eq!(asked.part(&RequestPart::Json), Actual::Missing);
    }

    #[test]
    fn templates_see_the_call_and_the_request() {
        let scope = asked("/a?q=1", r#"{"card": "4242"}"#).scope(3);
        assert_eq!(scope["call"]["number"], 3);
        assert_eq!(scope["request"]["json"]["card"], "4242");
        assert_eq!(scope["request"]["query"]["q"], "1");
        assert_eq!(scope["request"]["method"], "POST");
    }
}
