//! The JSON Schema of plans, for editors: which keys each noun has, which must be there, and what stands below them.
//!
//! It is made from the grammar itself. A plan that has every noun is read, and the reader tells of each map which keys it asked for and
//! where it stands; so a key that the reader learns is in the schema, and one that it forgets is not. What a value must look like is
//! left to `meshproof check`, which can say it better.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::diagnostic::Diagnostics;
use super::parse;
use super::read::{Heard, Reading};
use super::source::{Source, Span};
use super::tree::{Kind, Node};
use super::yaml;

/// A plan in which every noun of the language stands.
const EVERY_NOUN: &str = include_str!("schema/every-noun.yaml");

/// What the grammar knows of one noun.
#[derive(Debug, Default)]
struct Noun {
    keys: BTreeMap<&'static str, BTreeSet<String>>,
    /// In every place where it stands.
    needed: Option<BTreeSet<&'static str>>,
}

/// The schema, in draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut nouns: BTreeMap<&'static str, Noun> = BTreeMap::new();
    overhear(EVERY_NOUN, |tree, heard| {
        let by_span: BTreeMap<Span, &'static str> = heard.iter().map(|heard| (heard.span, heard.noun)).collect();
        for one in heard {
            let noun = nouns.entry(one.noun).or_default();
            let needed: BTreeSet<&'static str> = one.needed.iter().copied().collect();
            noun.needed = Some(match noun.needed.take() {
                Some(before) => before.intersection(&needed).copied().collect(),
                None => needed,
            });
            let node = find(tree, one.span);
            for key in &one.keys {
                let shapes = noun.keys.entry(key).or_default();
                match node.and_then(|node| node.get(key)) {
                    // A map whose keys are not the grammar's own: those of a matcher, or of JSON.
                    Some(Node { kind: Kind::Map(_), span }) if !stands_in(*span, heard) => {
                        shapes.insert(json!({}).to_string());
                    }
                    Some(value) => shapes.extend(shape(value, &by_span).map(|shape| shape.to_string())),
                    None => {}
                }
            }
        }
    });
    let definitions = nouns.iter().map(|(name, noun)| (slug(name), definition(name, noun)));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A plan of meshproof, version 1 of the language",
        "$ref": "#/$defs/a-plan",
        "$defs": definitions.collect::<Map<String, Value>>(),
    })
}

/// The nouns that a plan has and the schema does not know.
#[must_use]
pub fn unknown_nouns(text: &str) -> Vec<&'static str> {
    let mut known = BTreeSet::new();
    overhear(EVERY_NOUN, |_, heard| known.extend(heard.iter().map(|heard| heard.noun)));
    let mut unknown = Vec::new();
    overhear(text, |_, heard| {
        unknown.extend(heard.iter().map(|heard| heard.noun).filter(|noun| !known.contains(noun)))
    });
    unknown
}

/// Reads a plan and gives what was told of its maps.
fn overhear(text: &str, mut take: impl FnMut(&Node, &[Heard])) {
    let sink = Diagnostics::default();
    let source = Source::from_bytes("plan.yaml", text.as_bytes(), &sink);
    let heard = RefCell::new(Vec::new());
    let cx = Reading::overheard(&source, &sink, &heard);
    if let Some(tree) = yaml::parse(&source, &sink) {
        let _document = parse::document(&tree, &cx);
        take(&tree, &heard.borrow());
    }
}

/// Whether a noun is here or below.
fn stands_in(span: Span, heard: &[Heard]) -> bool {
    heard.iter().any(|one| span.start <= one.span.start && one.span.end <= span.end)
}

fn find(node: &Node, span: Span) -> Option<&Node> {
    if node.span == span {
        return Some(node);
    }
    match &node.kind {
        Kind::List(items) => items.iter().find_map(|item| find(item, span)),
        Kind::Map(entries) => entries.iter().find_map(|(_, value)| find(value, span)),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => None,
    }
}

/// What stands here, if it has nouns: one, a list of them, or names for them.
fn shape(node: &Node, nouns: &BTreeMap<Span, &'static str>) -> Option<Value> {
    if let Some(noun) = nouns.get(&node.span) {
        return Some(json!({"$ref": format!("#/$defs/{}", slug(noun))}));
    }
    let inner = |nodes: &mut dyn Iterator<Item = &Node>| {
        let shapes: BTreeSet<String> =
            nodes.filter_map(|node| shape(node, nouns)).map(|shape| shape.to_string()).collect();
        (!shapes.is_empty()).then_some(shapes)
    };
    match &node.kind {
        Kind::List(items) => inner(&mut items.iter()).map(|shapes| json!({"type": "array", "items": any_of(&shapes)})),
        Kind::Map(entries) => {
            let shapes = inner(&mut entries.iter().map(|(_, value)| value))?;
            Some(json!({"type": "object", "additionalProperties": any_of(&shapes)}))
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => None,
    }
}

/// One of these, or a word for it: `barrier: started`, `heal: all`.
fn any_of(shapes: &BTreeSet<String>) -> Value {
    let shapes = shapes.iter().filter_map(|shape| serde_json::from_str(shape).ok());
    let word = json!({"type": ["string", "number", "boolean", "null"]});
    json!({"anyOf": shapes.chain([word]).collect::<Vec<Value>>()})
}

fn definition(name: &str, noun: &Noun) -> Value {
    let property = |(key, shapes): (&&'static str, &BTreeSet<String>)| {
        let value = if shapes.is_empty() { json!({}) } else { one_or_several(shapes) };
        ((*key).to_owned(), value)
    };
    json!({
        "title": name,
        "type": "object",
        "properties": noun.keys.iter().map(property).collect::<Map<String, Value>>(),
        "required": noun.needed.iter().flatten().collect::<Vec<_>>(),
        "additionalProperties": false,
    })
}

/// What may stand once may stand in a list, and what stands in a list may stand alone.
fn one_or_several(shapes: &BTreeSet<String>) -> Value {
    let mut all = shapes.clone();
    for shape in shapes.iter().filter_map(|shape| serde_json::from_str::<Value>(shape).ok()) {
        match shape.get("items") {
            Some(items) => all.insert(items.to_string()),
            None if shape.get("$ref").is_some() => all.insert(json!({"type": "array", "items": shape}).to_string()),
            None => false,
        };
    }
    any_of(&all)
}

/// `a-build-command`
fn slug(noun: &str) -> String {
    noun.replace(' ', "-")
}
