//! The reference shows nothing that was not carried out: each of its examples is part of a sample plan that another test here
//! runs to a pass.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::scene::root;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(text: &str, what: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Every YAML block of the reference, by the line at which it begins.
fn examples() -> Vec<(usize, Value)> {
    let text = read(&root().join("docs/plan-language.md"));
    let lines: Vec<&str> = text.lines().collect();
    let begins = lines.iter().enumerate().filter(|(_, line)| **line == "```yaml").map(|(at, _)| at + 1);
    begins
        .map(|begin| {
            let inside: Vec<&str> = lines[begin..].iter().take_while(|line| **line != "```").copied().collect();
            (begin + 1, yaml(&inside.join("\n"), &format!("docs/plan-language.md:{}", begin + 1)))
        })
        .collect()
}

/// Plans of `testdata` that pass, as far as tests of this folder name them; those of `verbs` are run by their file's name.
fn samples() -> Vec<PathBuf> {
    let source = |name: &str| read(&root().join("orchestrator/tests/e2e").join(name));
    let named = ["conduct.rs", "stubs.rs", "waiting.rs"].map(source).concat();
    let mut found = Vec::new();
    let mut folders = vec![root().join("testdata")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).expect("a folder of testdata").flatten().map(|entry| entry.path()) {
            let below = path.strip_prefix(root().join("testdata")).expect("it is there").with_extension("");
            let below = below.to_string_lossy();
            let is_run = match below.split_once('/') {
                Some(("verbs", rest)) => rest.ends_with("/pass"),
                Some(("stubs", rest)) => {
                    rest.strip_suffix("/plan").is_some_and(|stub| named.contains(&format!("passes(\"{stub}\")")))
                }
                Some(("waiting", plan)) => [format!("passes(\"{plan}\")"), format!("run(\"{plan}\", 0)")]
                    .iter()
                    .any(|call| named.contains(call)),
                Some(_) => named.contains(&format!("passes(\"{below}\")")),
                None => false,
            };
            match path.is_dir() {
                true => folders.push(path),
                false if is_run && path.extension().is_some_and(|kind| kind == "yaml") => found.push(path),
                false => {}
            }
        }
    }
    found
}

/// Whether all of the example is in this part of a plan: the keys of a map, the steps of a list in their order, and every text,
/// number and list of those as it is.
fn holds(part: &Value, example: &Value) -> bool {
    match (part, example) {
        (Value::Object(part), Value::Object(example)) => {
            example.iter().all(|(key, value)| part.get(key).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(part), Value::Array(example)) if example.iter().any(Value::is_object) => {
            let mut rest = part.iter();
            example.iter().all(|item| rest.any(|found| holds(found, item)))
        }
        (part, example) => part == example,
    }
}

fn somewhere(plan: &Value, example: &Value) -> bool {
    let deeper = |inside: &Value| somewhere(inside, example);
    holds(plan, example)
        || match plan {
            Value::Object(map) => map.values().any(deeper),
            Value::Array(list) => list.iter().any(deeper),
            _ => false,
        }
}

#[test]
fn every_example_of_the_reference_is_part_of_a_sample_that_is_run() {
    let plans: Vec<(PathBuf, Value)> =
        samples().into_iter().map(|path| (path.clone(), yaml(&read(&path), &path.display().to_string()))).collect();
    assert!(plans.len() > 25, "{}", plans.len());
    let examples = examples();
    assert!(examples.len() >= 19, "{}", examples.len());
    let alone: Vec<String> = examples
        .iter()
        .filter(|(_, example)| !plans.iter().any(|(_, plan)| somewhere(plan, example)))
        .map(|(line, example)| format!("docs/plan-language.md:{line} is in no sample: {example:#}"))
        .collect();
    assert!(alone.is_empty(), "{}", alone.join("\n"));
}

#[test]
fn an_example_is_found_where_it_stands_and_not_elsewhere() {
    let plan = yaml("a: { steps: [{ say: x, when: y }, { say: z }, { tags: [a, b] }] }", "a plan");
    for good in ["steps: [{ say: x }, { say: z }]", "[{ say: z }]", "tags: [a, b]"] {
        assert!(somewhere(&plan, &yaml(good, "an example")), "{good}");
    }
    for bad in ["steps: [{ say: z }, { say: x }]", "[{ say: w }]", "tags: [a]", "say: x\ntags: [a, b]"] {
        assert!(!somewhere(&plan, &yaml(bad, "an example")), "{bad}");
    }
}
