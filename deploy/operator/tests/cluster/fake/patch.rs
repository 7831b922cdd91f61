//! Merge patches (RFC 7386) and JSON patches (RFC 6902), as far as the client sends them.

use serde_json::{Value, json};

use super::request::Refusal;

/// <https://www.rfc-editor.org/rfc/rfc7386>
pub fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let map = into.as_object_mut().expect("it was just made one");
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// <https://www.rfc-editor.org/rfc/rfc6902>, with one departure of the API server's: a `test` for null holds where nothing is.
pub fn json(object: &mut Value, patch: &Value) -> Result<(), Refusal> {
    let bad = |why: String| Refusal::new(422, "Invalid", why);
    for step in patch.as_array().ok_or_else(|| bad("a JSON patch is a list".to_owned()))? {
        let path = step["path"].as_str().ok_or_else(|| bad("a step has a path".to_owned()))?;
        match step["op"].as_str() {
            Some("test") => {
                if object.pointer(path).unwrap_or(&Value::Null) != &step["value"] {
                    return Err(bad(format!("the test of {path} does not hold")));
                }
            }
            Some("add" | "replace") => {
                put(object, path, &step["value"]).ok_or_else(|| bad(format!("no place {path}")))?
            }
            Some("remove") => take(object, path).ok_or_else(|| bad(format!("nothing at {path}")))?,
            other => return Err(bad(format!("unknown step {other:?}"))),
        }
    }
    Ok(())
}

fn put(object: &mut Value, path: &str, value: &Value) -> Option<()> {
    let (parent, key) = path.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    match object.pointer_mut(parent)? {
        Value::Object(map) => {
            map.insert(key, value.clone());
        }
        Value::Array(list) if key == "-" => list.push(value.clone()),
        Value::Array(list) => {
            let at = key.parse::<usize>().ok().filter(|at| *at <= list.len())?;
            list.insert(at, value.clone());
        }
        _ => return None,
    }
    Some(())
}

fn take(object: &mut Value, path: &str) -> Option<()> {
    let (parent, key) = path.rsplit_once('/')?;
    match object.pointer_mut(parent)? {
        Value::Object(map) => map.remove(&key.replace("~1", "/").replace("~0", "~")).map(drop),
        Value::Array(list) => {
            let at = key.parse::<usize>().ok().filter(|at| *at < list.len())?;
            list.remove(at);
            Some(())
        }
        _ => None,
    }
}
