//! What is asked, read from a request's line.

use std::collections::BTreeMap;

use hyper::{Method, Uri};
use serde_json::{Value, json};

use super::store::Id;

/// An answer that is no object: <https://kubernetes.io/docs/reference/using-api/api-concepts/#api-failure>
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self { code, reason, message }
    }

    pub fn body(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        })
    }
}

#[derive(Clone, Debug)]
pub struct Asked {
    /// With an empty name: all of the kind, in one namespace or in all.
    pub id: Id,
    pub api_version: String,
    pub is_status: bool,
    pub query: BTreeMap<String, String>,
}

impl Asked {
    /// `/api/v1/namespaces/NS/pods/NAME/status`, `/apis/GROUP/VERSION/…`:
    /// <https://kubernetes.io/docs/reference/using-api/api-concepts/#standard-api-terminology>
    pub fn read(uri: &Uri) -> Option<Self> {
        let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let (group, api_version, rest) = match parts.split_first()? {
            (&"api", rest) => ("", (*rest.first()?).to_owned(), &rest[1..]),
            (&"apis", rest) => (*rest.first()?, format!("{}/{}", rest.first()?, rest.get(1)?), &rest[2..]),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let plural = rest.first()?;
        let name = rest.get(1).copied().unwrap_or_default();
        let id = Id::new((group, plural), namespace, name);
        Some(Self { id, api_version, is_status: rest.get(2) == Some(&"status"), query: query(uri) })
    }

    pub fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    pub fn is(&self, name: &str) -> bool {
        self.parameter(name) == "true"
    }

    /// get, list, watch, create, update, patch or delete, as RBAC calls them.
    pub fn verb(&self, method: &Method) -> &'static str {
        match *method {
            Method::GET if self.is("watch") => "watch",
            Method::GET if self.id.name.is_empty() => "list",
            Method::GET => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            _ => "delete",
        }
    }

    /// Equality and existence: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>
    pub fn selects(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let mut terms = self.parameter("labelSelector").split(',').filter(|term| !term.is_empty());
        let by_label = terms.all(|term| match term.split_once('=') {
            Some((key, value)) => labels[key] == value.trim_start_matches('='),
            None => !labels[term].is_null(),
        });
        let by_name = self.parameter("fieldSelector").strip_prefix("metadata.name=");
        by_label && by_name.is_none_or(|name| object["metadata"]["name"] == name)
    }

    /// Whether the object is of the asked kind and place.
    pub fn covers(&self, id: &Id) -> bool {
        let of_kind = id.group == self.id.group && id.plural == self.id.plural;
        of_kind && (self.id.namespace.is_empty() || id.namespace == self.id.namespace)
    }
}

fn query(uri: &Uri) -> BTreeMap<String, String> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| digit.and_then(|digit| (digit as char).to_digit(16));
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (high, low) = (hex(rest.next()), hex(rest.next()));
                let byte = high.zip(low).map(|(high, low)| high * 16 + low);
                bytes.extend(byte.and_then(|byte| u8::try_from(byte).ok()));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
