//! `tests`.

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::model::{Step, Test, Word};
use super::super::read::{self, Fields, Reading};
use super::super::tree::{Kind, Node};
use super::{groups, steps, watched};

const LATER: &[&str] = &["repeat", "tags"];

pub(super) fn tests<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Test>> {
    let tests = read::each(node, cx, test)?;
    if matches!(&node.kind, Kind::List(items) if items.is_empty()) {
        cx.report(Diagnostic::new(Code::Empty, node.span, "there are no tests here").expected("at least one test"));
    }
    unique(tests.iter().map(|test| &test.id), "tests", cx);
    Some(tests)
}

fn test<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Test> {
    let mut fields = Fields::open(node, "a test", cx)?;
    let span = fields.whole();
    let id = fields.required("id", read::name);
    let timeout = fields.optional("timeout", steps::some_time);
    let written = ["steps", "after", "steady"].map(|key| node.get(key).and_then(Node::items).map_or(0, <[Node]>::len));
    let steps = fields.required("steps", steps::steps).unwrap_or_default();
    let after = fields.optional("after", steps::steps).unwrap_or_default();
    let always = fields.optional("always", watched::always).unwrap_or_default();
    let steady = fields.optional("steady", watched::steady).unwrap_or_default();
    let settle = fields.entry("settle").and_then(|(key, node)| watched::settle(key, node, cx));
    let pass_when = fields.optional("pass-when", groups::pass_when).unwrap_or_default();
    let complete = written == [steps.len(), after.len(), steady.len()];
    fields.later(LATER);
    fields.finish();
    let ids = |steps: &'_ [Step]| {
        super::all_steps(steps.iter()).into_iter().filter_map(|step| step.id.clone()).collect::<Vec<Word>>()
    };
    let ids: Vec<Word> = [&steps, &after, &always, &steady].into_iter().flat_map(|steps| ids(steps)).collect();
    unique(ids.iter(), "steps", cx);
    Some(Test { span, id: id?, timeout, complete, steps, after, always, steady, settle, pass_when })
}

/// Results are filed under ids.
fn unique<'w>(ids: impl Iterator<Item = &'w Word>, what: &str, cx: &Reading<'_>) {
    let mut seen: std::collections::BTreeMap<&str, &Word> = std::collections::BTreeMap::new();
    for id in ids {
        if let Some(first) = seen.get(id.value.as_str()) {
            let message = format!("two {what} have the id `{}`", id.value);
            cx.report(Diagnostic::new(Code::DuplicateName, id.span, message).label(first.span, "first here"));
        } else {
            seen.insert(&id.value, id);
        }
    }
}
