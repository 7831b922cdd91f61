//! The run's certificates as files in a service's folder.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::api::LaunchFile;
use crate::plan::orders::Missing;

const AUTHORITY: &str = "tls/ca.crt";

fn cert(name: &str) -> String {
    format!("tls/{name}.crt")
}

fn key(name: &str) -> String {
    format!("tls/{name}.key")
}

/// `tls` as expressions see it beside a service: where its files are.
pub(super) fn paths(names: &BTreeSet<String>, dir: &str) -> Value {
    let of = |name: &String| {
        let paths = json!({"cert": format!("{dir}/{}", cert(name)), "key": format!("{dir}/{}", key(name))});
        (name.clone(), paths)
    };
    let mut paths: Map<String, Value> = names.iter().map(of).collect();
    paths.insert("ca".to_owned(), Value::from(format!("{dir}/{AUTHORITY}")));
    Value::Object(paths)
}

/// The files of these identities and the authority's certificate.
pub(super) fn files(
    names: &BTreeSet<String>,
    held: &BTreeMap<String, String>,
) -> Vec<Result<(String, LaunchFile), Missing>> {
    let file = |path: String, text: String| {
        let content = held.get(&text).cloned().ok_or(Missing(text))?;
        Ok((path, LaunchFile::Text(content)))
    };
    let of = |name: &String| [file(cert(name), format!("tls.{name}.cert")), file(key(name), format!("tls.{name}.key"))];
    names.iter().flat_map(of).chain([file(AUTHORITY.to_owned(), "tls.ca".to_owned())]).collect()
}
