//! Replies made from templates. One without expressions is made once.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::order::{Body, Ends, Says, Slow, StubReply};
use serde_json::{Value, json};

use super::body::ReplyBody;

pub(super) type Reply = Response<ReplyBody>;

/// A reply of a route.
#[derive(Debug)]
pub(super) struct Prepared {
    says: Says,
    /// How it is said; `None`: at once, and the connection stays.
    pub(super) manner: Option<Manner>,
    /// What to say when no expression is in it.
    ready: Option<Result<Said, String>>,
}

/// How a reply is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) delay: Duration,
    pub(super) slow: Option<Slow>,
    pub(super) ends: Ends,
}

/// A reply with everything put in.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What a gRPC call is answered with, everything put in.
#[derive(Debug)]
pub(super) struct Spoken {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) metadata: HeaderMap,
    /// A message, or of a stream the list of them.
    pub(super) json: Option<Value>,
}

impl Prepared {
    pub(super) fn of(order: &StubReply) -> Self {
        let ready = is_fixed(&order.says).then(|| rendered(&order.says, &Value::Null));
        let StubReply { delay_ms, slow, ends, .. } = *order;
        let plain = delay_ms == 0 && slow.is_none() && ends == Ends::Stays;
        let manner = (!plain).then_some(Manner { delay: Duration::from_millis(delay_ms), slow, ends });
        Self { says: order.says.clone(), manner, ready }
    }

    /// The reply to a gRPC call; `Err` says what is missing.
    pub(super) fn spoken(&self, scope: impl FnOnce() -> Value) -> Result<Spoken, String> {
        let Says::Grpc { code, message, metadata, json } = &self.says else {
            return Err("a reply to a gRPC call over another protocol".to_owned());
        };
        let scope = scope();
        Ok(Spoken {
            code: code.clone(),
            message: text(message, &scope)?,
            metadata: headers(metadata, &scope)?,
            json: json.as_ref().map(|json| value(json, &scope)).transpose()?,
        })
    }

    /// The reply; `Err` says what is missing. The scope is made only when it is needed.
    pub(super) fn said(&self, scope: impl FnOnce() -> Value) -> Result<Said, String> {
        self.ready.clone().unwrap_or_else(|| rendered(&self.says, &scope()))
    }
}

fn is_fixed(says: &Says) -> bool {
    match says {
        Says::Http { headers, body, .. } => {
            let of_body = match body {
                Body::Empty => true,
                Body::Text(text) => text.exprs().next().is_none(),
                Body::Json(json) => json.exprs().is_empty(),
            };
            of_body && headers.iter().all(|(_, value)| value.exprs().next().is_none())
        }
        Says::Text(text) => text.exprs().next().is_none(),
        Says::Bytes(_) => true,
        // Made with its method at hand.
        Says::Grpc { .. } => false,
    }
}

fn rendered(says: &Says, scope: &Value) -> Result<Said, String> {
    match says {
        Says::Http { status, headers, body } => http(*status, headers, body, scope),
        Says::Text(template) => Ok(plain(text(template, scope)?)),
        Says::Bytes(bytes) => Ok(plain(bytes.clone())),
        Says::Grpc { .. } => Err("a reply over gRPC to a call over another protocol".to_owned()),
    }
}

fn http(status: u16, headers: &[(String, Template)], body: &Body, scope: &Value) -> Result<Said, String> {
    let (body, kind) = match body {
        Body::Empty => (String::new(), None),
        Body::Text(template) => (text(template, scope)?, Some("text/plain; charset=utf-8")),
        Body::Json(json) => (value(json, scope)?.to_string(), Some(JSON)),
    };
    let status = StatusCode::from_u16(status).map_err(|_| format!("{status} is not a status"))?;
    let mut made = Said { status, headers: self::headers(headers, scope)?, ..plain(body) };
    if let Some(kind) = kind {
        made.headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
    }
    Ok(made)
}

fn headers(given: &[(String, Template)], scope: &Value) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, template) in given {
        let text = text(template, scope)?;
        let name: HeaderName = name.parse().map_err(|_| format!("`{name}` cannot name a header"))?;
        if name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING {
            return Err(format!("unsupported: a `{name}` of one's own"));
        }
        let value = HeaderValue::from_str(&text).map_err(|_| format!("`{text}` cannot be the value of a header"))?;
        if name == header::CONTENT_TYPE {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }
    Ok(headers)
}

fn text(template: &Template, scope: &Value) -> Result<String, String> {
    template.render(scope).map_err(|unset| unset.to_string())
}

fn value(json: &ValueTemplate, scope: &Value) -> Result<Value, String> {
    json.value(scope).map_err(|unset| unset.to_string())
}

fn plain(body: impl Into<Bytes>) -> Said {
    Said { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into() }
}

const JSON: &str = "application/json";

impl Said {
    /// What the stub itself has to say.
    pub(super) fn problem(status: StatusCode, problem: &Value) -> Self {
        let mut said = Self { status, ..plain(json!({ "meshproof": problem }).to_string()) };
        said.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        said
    }

    /// What a function answered; `Err` says what of it cannot be sent.
    pub(super) fn handled(status: u16, headers: &[(String, String)], body: Vec<u8>) -> Result<Self, String> {
        let status = StatusCode::from_u16(status).ok().filter(|status| status.as_u16() >= 200);
        let status = status.ok_or("its status is none that an answer can have")?;
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.clone(), Template::text(value.as_str()))).collect();
        Ok(Self { status, headers: self::headers(&headers, &Value::Null)?, body: body.into() })
    }

    /// Nothing but a status.
    pub(super) fn bare(status: StatusCode) -> Self {
        Self { status, ..plain(Bytes::new()) }
    }

    /// The response, its body sent in the way that `body` makes of it.
    pub(super) fn response(self, body: impl FnOnce(Bytes) -> ReplyBody) -> Reply {
        let mut reply = Response::new(body(self.body));
        *reply.status_mut() = self.status;
        *reply.headers_mut() = self.headers;
        reply
    }
}
