//! A call as conditions and templates see it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery};
use hyper::{Request, Uri};
use meshproof_proto::mask::Masker;
use meshproof_proto::matcher::Actual;
use meshproof_proto::order::RequestPart;
use meshproof_proto::stub::HandlerCall;
use serde_json::{Map, Value, json};

use super::server::Arrived;
use super::upstreams::Host;
use crate::evidence::masked;

/// A call with its body. What conditions and templates look at is made when they do.
#[derive(Debug)]
pub(super) struct Asked {
    parts: Parts,
    body: Bytes,
    arrived: Arc<Arrived>,
    json: OnceCell<Actual>,
}

impl Asked {
    pub(super) fn of(parts: Parts, body: Bytes, arrived: Arc<Arrived>) -> Self {
        Self { parts, body, arrived, json: OnceCell::new() }
    }

    pub(super) fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    /// Without the query.
    pub(super) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The part that a condition looks at.
    pub(super) fn part(&self, part: &RequestPart) -> Cow<'_, Actual> {
        let text = |found: Option<String>| Cow::Owned(found.map_or(Actual::Missing, Actual::Text));
        match part {
            RequestPart::Query(name) => {
                text(self.query().into_iter().find(|(key, _)| key == name).map(|(_, value)| value))
            }
            RequestPart::Header(name) => text(self.header(name)),
            RequestPart::Json => Cow::Borrowed(self.json.get_or_init(|| match serde_json::from_slice(&self.body) {
                Ok(value) => Actual::Json(value),
                Err(_) if self.body.is_empty() => Actual::Missing,
                Err(_) => Actual::Text(self.text().into_owned()),
            })),
            RequestPart::Body => text(Some(self.text().into_owned())),
            RequestPart::TlsName => text(self.arrived.tls_name.clone()),
            RequestPart::Line => text(None),
            RequestPart::Host => text(self.host()),
        }
    }

    /// The host that the client named, when it took us for a proxy.
    pub(super) fn origin(&self) -> Option<Host> {
        self.arrived.through.clone().or_else(|| Host::of(&self.parts))
    }

    fn host(&self) -> Option<String> {
        let named = || {
            let authority: Authority = self.header("host")?.parse().ok()?;
            Some(authority.host().to_ascii_lowercase())
        };
        self.origin().map(|host| host.name).or_else(named)
    }

    /// The same call, for somebody else. Its `Host` stays the one that the client named.
    pub(super) fn again(self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body));
        let target = self.parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        *request.method_mut() = self.parts.method;
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = self.parts.headers;
        request
    }

    /// The same call, for a function.
    pub(super) fn handed_over(&self) -> HandlerCall {
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        HandlerCall {
            method: self.method().to_owned(),
            path: self.path().to_owned(),
            query: self.parts.uri.query().map(str::to_owned),
            headers: self.parts.headers.iter().map(header).collect(),
            body: self.body.to_vec(),
            host: self.host(),
            tls_name: self.arrived.tls_name.clone(),
        }
    }

    fn query(&self) -> Vec<(String, String)> {
        self.parts.uri.query().map(pairs).unwrap_or_default()
    }

    /// Several values joined.
    fn header(&self, name: &str) -> Option<String> {
        let values = self.parts.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let values: Vec<_> = values.collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// What a reply's templates see, in the call with this number.
    pub(super) fn scope(&self, number: u64) -> Value {
        let mut query = Map::new();
        for (name, value) in self.query() {
            query.entry(name).or_insert_with(|| value.into());
        }
        let headers = self.parts.headers.keys().map(|name| {
            let value = self.header(name.as_str()).unwrap_or_default();
            (name.as_str().to_owned(), Value::from(value))
        });
        let mut request = json!({
            "method": self.method(),
            "path": self.path(),
            "query": query,
            "headers": headers.collect::<Map<_, _>>(),
            "body": self.text(),
        });
        if let Actual::Json(json) = self.part(&RequestPart::Json).as_ref() {
            request["json"] = json.clone();
        }
        if let Some(host) = self.host() {
            request["host"] = host.into();
        }
        if let Some(name) = &self.arrived.tls_name {
            request["tls-name"] = name.as_str().into();
        }
        json!({"call": {"number": number}, "request": request})
    }

    /// One line for people.
    pub(super) fn shown(&self, masker: &Masker) -> String {
        const LONGEST: usize = 400;
        let target = self.parts.uri.path_and_query().map_or("", |target| target.as_str());
        let origin = self.origin().map(|host| host.to_string()).unwrap_or_default();
        // Of a large body only its beginning is looked at, four bytes a character being the most.
        let looked = 4 * LONGEST + masker.reach();
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(looked)]);
        let line = format!("{} {origin}{target} {}", self.method(), body.trim());
        masked(line.trim_end(), masker, LONGEST)
    }
}

/// The part of a request in words.
pub(super) fn part_name(part: &RequestPart) -> String {
    match part {
        RequestPart::Query(name) => format!("query `{name}`"),
        RequestPart::Header(name) => format!("header `{name}`"),
        RequestPart::Json => "json".to_owned(),
        RequestPart::Body => "body".to_owned(),
        RequestPart::TlsName => "tls-name".to_owned(),
        RequestPart::Line => "line".to_owned(),
        RequestPart::Host => "host".to_owned(),
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
        Asked::of(request.into_parts().0, Bytes::copy_from_slice(body.as_bytes()), Arc::default())
    }

    #[test]
    fn conditions_see_the_query_decoded_and_header_names_in_any_case() {
        let asked = asked("/a?q=a%20b+c&q=2&odd=%zz&e", "");
        let query = |name: &str| asked.part(&RequestPart::Query(name.to_owned())).into_owned();
        assert_eq!(query("q"), Actual::Text("a b c".to_owned()));
        assert_eq!(query("odd"), Actual::Text("%zz".to_owned()));
        assert_eq!((query("e"), query("no")), (Actual::Text(String::new()), Actual::Missing));
        assert_eq!(asked.part(&RequestPart::Header("X-ID".to_owned())).into_owned(), Actual::Text("1, 2".to_owned()));
        assert_eq!(asked.part(&RequestPart::Json).into_owned(), Actual::Missing);
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
