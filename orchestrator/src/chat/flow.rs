//! A value as plans write it in one line: `{ to: shop, http: { get: /healthz } }`.

use serde_json::Value;

/// The value on one line.
#[must_use]
pub fn flow(value: &Value) -> String {
    match value {
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{}: {}", text(key), flow(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(word) => text(word),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// As it is where nothing in it means anything to YAML, else quoted as JSON, which YAML reads.
fn text(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_./-".contains(character);
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let is_word =
        ["true", "false", "null", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word));
    // `/…/` would be a regular expression to the eye of a reader
    let is_odd = text.len() > 1 && text.starts_with('/') && text.ends_with('/');
    if begins && !is_word && !is_odd && text.chars().all(is_plain) {
        return text.to_owned();
    }
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_is_one_line_as_a_person_would_write_it() {
        let step = json!({
            "to": "shop",
            "http": { "post": "/orders", "json": { "sku": "A1", "quantity": 2, "gift": false } },
            "expect": { "status": 202, "duration": "< 5s", "json": { "$.state": "pending" } },
        });
        assert_eq!(
            flow(&step),
            r#"{ to: shop, http: { post: /orders, json: { sku: A1, quantity: 2, gift: false } }, expect: { status: 202, duration: "< 5s", json: { "$.state": pending } } }"#
        );
        assert_eq!(
            flow(&json!(["", "yes", "5s", "a b", {}, null, "/re/"])),
            r#"["", "yes", "5s", "a b", {}, null, "/re/"]"#
        );
    }
}
