//! Whether an object is already as it should be.
//!
//! The API server adds defaults, others add labels, and quantities come back in their canonical form (`0.5` as `500m`). So what
//! is compared is only what the operator has an opinion about, and quantities by what they mean.

use serde_json::Value;

/// Whether every field of `want` is so in `have`. Lists have to be of the same length.
pub fn covers(have: &Value, want: &Value) -> bool {
    match (have, want) {
        (Value::Object(have), Value::Object(want)) => want.iter().all(|(key, want)| match have.get(key) {
            Some(have) => covers(have, want),
            None => is_nothing(want),
        }),
        (Value::Array(have), Value::Array(want)) => {
            have.len() == want.len() && have.iter().zip(want).all(|(have, want)| covers(have, want))
        }
        (Value::String(have), Value::String(want)) => have == want || same_quantity(have, want),
        (have, want) => have == want,
    }
}

/// The API server leaves out what is empty.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_nothing),
        Value::Number(_) => false,
    }
}

fn same_quantity(left: &str, right: &str) -> bool {
    matches!((milli(left), milli(right)), (Some(left), Some(right)) if left == right)
}

/// In thousandths: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>, without exponents.
fn milli(text: &str) -> Option<i128> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: i128 = match unit {
        "m" => 1,
        "" => 1000,
        "k" => 1000 * 1000,
        "M" => 1000 * 1000_i128.pow(2),
        "G" => 1000 * 1000_i128.pow(3),
        "T" => 1000 * 1000_i128.pow(4),
        "Ki" => 1000 * 1024,
        "Mi" => 1000 * 1024_i128.pow(2),
        "Gi" => 1000 * 1024_i128.pow(3),
        "Ti" => 1000 * 1024_i128.pow(4),
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 15 || part.len() > 9 {
        return None;
    }
    let scale = 10_i128.pow(u32::try_from(part.len()).ok()?);
    let number = whole.parse::<i128>().ok()? * scale + if part.is_empty() { 0 } else { part.parse::<i128>().ok()? };
    (number * factor % scale == 0).then_some(number * factor / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_and_canonical_quantities_are_no_difference() {
        let want =
            json!({ "spec": { "replicas": 3, "limits": { "cpu": "0.5", "memory": "1024Mi" }, "env": [], "x": {} } });
        let have =
            json!({ "spec": { "replicas": 3, "limits": { "cpu": "500m", "memory": "1Gi" }, "policy": "Always" } });
        assert!(covers(&have, &want));
    }

    #[test]
    fn a_changed_field_a_missing_one_and_one_more_container_are() {
        let want = json!({ "spec": { "replicas": 3, "containers": [{ "name": "agent" }] } });
        for have in [
            json!({ "spec": { "replicas": 2, "containers": [{ "name": "agent" }] } }),
            json!({ "spec": { "containers": [{ "name": "agent" }] } }),
            json!({ "spec": { "replicas": 3, "containers": [{ "name": "agent" }, { "name": "other" }] } }),
            json!({ "spec": { "replicas": 3, "containers": [{ "name": "agent:2" }] } }),
        ] {
            assert!(!covers(&have, &want), "{have}");
        }
        assert!(!covers(&json!({ "limits": { "cpu": "50m" } }), &json!({ "limits": { "cpu": "50" } })));
    }
}
