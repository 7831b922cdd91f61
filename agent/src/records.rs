//! Streams of records from agent to agent.
//!
//! The sender's agent makes the records and checks what comes back; the receiver's agent applies each to its service and
//! answers in order. Both sides read and write at once, so the link's windows are all that bounds how far ahead the sender is.

mod answers;
pub(crate) mod frames;
mod judge;
mod receive;
mod send;
mod source;

#[cfg(test)]
mod tests;

pub use answers::Answers;
pub(crate) use receive::receive;
pub(crate) use send::send;
pub(crate) use source::Stores;

use meshproof_proto::expr::OWN_VALUE;
use serde_json::{Value, json};

/// What expressions see of a record. Its key is its own `key`, if it has one.
fn scope((record, index): (Value, u64), key: Option<&str>) -> Value {
    let record = match (key, record) {
        (Some(key), Value::Object(fields)) if !fields.contains_key("key") => {
            let own = Value::Object(fields.clone());
            let mut fields = fields;
            fields.insert("key".to_owned(), format!("{key}-{index}").into());
            fields.insert(OWN_VALUE.to_owned(), own);
            Value::Object(fields)
        }
        (Some(key), record) if !record.is_object() => json!({ OWN_VALUE: record, "key": format!("{key}-{index}") }),
        (_, record) => record,
    };
    json!({ "record": record, "index": index })
}
