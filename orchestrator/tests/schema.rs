//! The JSON Schema: committed, made from the grammar, good for every sample and for no unknown key.

use std::path::{Path, PathBuf};

use meshproof::plan::schema;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn committed() -> PathBuf {
    root().join("docs/plan.schema.json")
}

/// Every plan of `testdata`.
fn samples() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("testdata")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of testdata").flatten() {
            let path = entry.path();
            let is_plan = || std::fs::read_to_string(&path).is_ok_and(|text| text.starts_with("meshproof: 1\n"));
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") && is_plan() {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found.sort();
    found
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("YAML")
}

#[test]
fn the_committed_schema_is_what_the_grammar_gives() {
    let now = serde_json::to_string_pretty(&schema::schema()).expect("plain data") + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(committed(), &now).expect("the schema can be written");
    }
    let kept = std::fs::read_to_string(committed()).expect("docs/plan.schema.json");
    assert_eq!(kept, now, "UPDATE_SCHEMA=1 writes the new one");
}

#[test]
fn every_noun_of_every_sample_stands_in_the_plan_that_the_schema_is_made_from() {
    for sample in samples() {
        let text = std::fs::read_to_string(&sample).expect("a sample");
        let unknown = schema::unknown_nouns(&text);
        assert!(unknown.is_empty(), "{}: put {unknown:?} into schema/every-noun.yaml", sample.display());
    }
}

/// What is wrong with a value by a schema of the kind that is generated, each as `place: why`; of several ways, those of the last.
fn errors(value: &Value, schema: &Value, root: &Value) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        return errors(value, root.pointer(&name[1..]).expect("a definition"), root);
    }
    if let Some(ways) = schema["anyOf"].as_array() {
        let found = ways.iter().map(|way| errors(value, way, root));
        return found.reduce(|one, other| if one.is_empty() { one } else { other }).unwrap_or_default();
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no such type: {other}"),
    };
    let fits = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    if !fits {
        return vec![format!("{value} is no {}", schema["type"])];
    }
    let mut wrong = Vec::new();
    for item in value.as_array().into_iter().flatten().filter(|_| schema.get("items").is_some()) {
        wrong.extend(errors(item, &schema["items"], root));
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        match (schema["properties"].get(key), schema.get("additionalProperties")) {
            (Some(known), _) => wrong.extend(errors(inner, known, root)),
            (None, Some(Value::Bool(false))) => wrong.push(format!("{}: {key} is unknown", schema["title"])),
            (None, Some(others)) => wrong.extend(errors(inner, others, root)),
            (None, None) => {}
        }
    }
    let needed = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    wrong.extend(
        needed.filter(|key| value.get(key).is_none()).map(|key| format!("{}: {key} is missing", schema["title"])),
    );
    wrong
}

#[test]
fn the_schema_takes_every_sample() {
    let schema = schema::schema();
    for sample in samples() {
        // Wrong on purpose, in ways that a schema can see.
        if sample.ends_with("mistakes/plan.yaml") || sample.to_string_lossy().contains("unsupported") {
            continue;
        }
        let plan = yaml(&std::fs::read_to_string(&sample).expect("a sample"));
        let wrong = errors(&plan, &schema, &schema);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", sample.display());
    }
}

#[test]
fn the_schema_refuses_unknown_keys_wherever_they_stand_and_says_what_is_missing() {
    let schema = schema::schema();
    let right = std::fs::read_to_string(root().join("testdata/wrong/right.yaml")).expect("the right plan");
    assert_eq!(errors(&yaml(&right), &schema, &schema), Vec::<String>::new());
    for (from, to) in [
        ("description:", "descripton:"),
        ("needs: [ledger]", "need: [ledger]"),
        ("timeout: 90s", "timout: 90s"),
        ("optional: false", "optinal: false"),
        ("jitter: 100ms", "gitter: 100ms"),
        ("delay: 10ms", "dealy: 10ms"),
        ("quiet: 1s", "qiuet: 1s"),
        ("as: i,", "az: i,"),
        ("id: first", "name: first"),
    ] {
        let wrong = right.replace(from, to);
        assert_ne!(wrong, right, "{from}");
        assert_ne!(errors(&yaml(&wrong), &schema, &schema), Vec::<String>::new(), "{to}");
    }
}
