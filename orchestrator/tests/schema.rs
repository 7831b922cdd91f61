//! The JSON Schema: committed, made from the grammar, good for every sample and for no unknown key.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use meshproof::plan::schema;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn committed() -> PathBuf {
    root().join("docs/plan.schema.json")
}

/// Keys of `wrong/right.yaml`, and what somebody may write instead.
const TYPOS: [(&str, &str); 9] = [
    ("description:", "descripton:"),
    ("needs: [ledger]", "need: [ledger]"),
    ("timeout: 90s", "timout: 90s"),
    ("optional: false", "optinal: false"),
    ("jitter: 100ms", "gitter: 100ms"),
    ("delay: 10ms", "dealy: 10ms"),
    ("quiet: 1s", "qiuet: 1s"),
    ("as: i,", "az: i,"),
    ("id: first", "name: first"),
];

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
        if is_wrong(&sample) {
            continue;
        }
        let plan = yaml(&std::fs::read_to_string(&sample).expect("a sample"));
        let wrong = errors(&plan, &schema, &schema);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", sample.display());
    }
}

/// Holds plans against the committed schema with a validator that is not ours; gives what it says of each. None: it is not here.
fn validated(plans: &[(String, Value)]) -> Option<Vec<(String, Vec<String>)>> {
    const VALIDATE: &str = "import json, sys\n\
        from jsonschema import Draft202012Validator as Validator\n\
        schema, plans = json.load(sys.stdin)\n\
        Validator.check_schema(schema)\n\
        validator = Validator(schema)\n\
        said = lambda plan: [f'{error.json_path}: {error.message}' for error in validator.iter_errors(plan)]\n\
        json.dump([[name, said(plan)] for name, plan in plans], sys.stdout)\n";
    let here = Command::new("python3").args(["-c", "import jsonschema"]).output();
    if !here.is_ok_and(|here| here.status.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "python3-jsonschema is not installed; .ci/setup does it");
        println!("skipped: python3-jsonschema is not installed");
        return None;
    }
    let committed: Value =
        serde_json::from_str(&std::fs::read_to_string(committed()).expect("the schema")).expect("JSON");
    let mut python = Command::new("python3");
    let mut python =
        python.args(["-c", VALIDATE]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
    let asked = serde_json::to_vec(&(committed, plans)).expect("plain data");
    let mut input = python.stdin.take().expect("piped");
    std::thread::spawn(move || input.write_all(&asked));
    let said = python.wait_with_output().expect("it ends");
    assert!(said.status.success(), "the validator ended with {}", said.status);
    Some(serde_json::from_slice(&said.stdout).expect("what it says is JSON"))
}

/// Samples that are wrong on purpose, in ways that a schema can see.
fn is_wrong(sample: &Path) -> bool {
    sample.ends_with("mistakes/plan.yaml") || sample.to_string_lossy().contains("unsupported")
}

#[test]
fn a_validator_that_is_not_ours_takes_every_sample_by_the_committed_schema_and_refuses_wrong_ones() {
    let right: Vec<PathBuf> = samples().into_iter().filter(|sample| !is_wrong(sample)).collect();
    let plan = |sample: &PathBuf| yaml(&std::fs::read_to_string(sample).expect("a sample"));
    let mut plans: Vec<(String, Value)> = right.iter().map(|path| (path.display().to_string(), plan(path))).collect();
    let wrong = std::fs::read_to_string(root().join("testdata/wrong/right.yaml")).expect("the right plan");
    let typos = TYPOS.iter().map(|(from, to)| ((*to).to_owned(), yaml(&wrong.replace(from, to))));
    plans.extend(typos);
    let Some(said) = validated(&plans) else { return };
    assert_eq!(said.len(), right.len() + TYPOS.len());
    let (of_right, of_wrong) = said.split_at(right.len());
    let refused: Vec<_> = of_right.iter().filter(|(_, errors)| !errors.is_empty()).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let taken: Vec<_> = of_wrong.iter().filter(|(_, errors)| errors.is_empty()).collect();
    assert!(taken.is_empty(), "{taken:#?}");
}

/// Everything that stands between back-quotes or in an example.
fn words_of_the_reference() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("docs/plan-language.md")).expect("the reference");
    let mut words = BTreeSet::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
            continue;
        }
        let code: Vec<&str> = if in_block { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
        words.extend(code.iter().flat_map(|code| code.split(move |letter| !is_word(letter))).map(str::to_owned));
    }
    words
}

#[test]
fn every_key_of_the_schema_has_a_place_in_the_reference() {
    let words = words_of_the_reference();
    let schema = schema::schema();
    let nouns = schema["$defs"].as_object().expect("definitions");
    let keys = nouns.iter().flat_map(|(noun, definition)| {
        let keys = definition["properties"].as_object().into_iter().flat_map(|keys| keys.keys());
        keys.map(move |key| (noun, key))
    });
    let keys: Vec<_> = keys.collect();
    assert!(keys.len() > 150, "{}", keys.len());
    let missing: Vec<_> = keys.iter().filter(|(_, key)| !words.contains(*key)).collect();
    assert!(missing.is_empty(), "docs/plan-language.md does not mention {missing:?}");
    for verb in meshproof::plan::VERBS {
        assert!(words.contains(*verb), "docs/plan-language.md does not mention the verb {verb}");
    }
    assert!(!words.contains("quantum"));
}

#[test]
fn the_schema_refuses_unknown_keys_wherever_they_stand_and_says_what_is_missing() {
    let schema = schema::schema();
    let right = std::fs::read_to_string(root().join("testdata/wrong/right.yaml")).expect("the right plan");
    assert_eq!(errors(&yaml(&right), &schema, &schema), Vec::<String>::new());
    for (from, to) in TYPOS {
        let wrong = right.replace(from, to);
        assert_ne!(wrong, right, "{from}");
        assert_ne!(errors(&yaml(&wrong), &schema, &schema), Vec::<String>::new(), "{to}");
    }
}
