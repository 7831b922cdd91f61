//! Replies made from templates.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use meshproof_proto::order::{Body, StubReply};
use serde_json::{Value, json};

pub(super) type Reply = Response<Full<Bytes>>;

/// The reply with everything put in; `Err` says what is missing.
pub(super) fn rendered(reply: &StubReply, scope: &Value) -> Result<Reply, String> {
    let (body, kind) = match &reply.body {
        Body::Empty => (String::new(), None),
        Body::Text(text) => (text.render(scope).map_err(|unset| unset.to_string())?, Some("text/plain; charset=utf-8")),
        Body::Json(json) => (json.value(scope).map_err(|unset| unset.to_string())?.to_string(), Some(JSON)),
    };
    let status = StatusCode::from_u16(reply.status).map_err(|_| format!("{} is not a status", reply.status))?;
    let mut made = of(status, body, kind);
    for (name, template) in &reply.headers {
        let text = template.render(scope).map_err(|unset| unset.to_string())?;
        let name: HeaderName = name.parse().map_err(|_| format!("`{name}` cannot name a header"))?;
        if name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING {
            return Err(format!("unsupported: a `{name}` of one's own"));
        }
        let value = HeaderValue::from_str(&text).map_err(|_| format!("`{text}` cannot be the value of a header"))?;
        if name == header::CONTENT_TYPE {
            made.headers_mut().insert(name, value);
        } else {
            made.headers_mut().append(name, value);
        }
    }
    Ok(made)
}

const JSON: &str = "application/json";

fn of(status: StatusCode, body: String, kind: Option<&'static str>) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    if let Some(kind) = kind {
        reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    reply
}

/// Nothing but a status.
pub(super) fn bare(status: StatusCode) -> Reply {
    of(status, String::new(), None)
}

/// What the stub itself has to say.
pub(super) fn problem(status: StatusCode, problem: &Value) -> Reply {
    of(status, json!({ "meshproof": problem }).to_string(), Some(JSON))
}
