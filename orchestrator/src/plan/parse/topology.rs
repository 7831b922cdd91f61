//! `topology`: `{ kind: regular, degree: 6 }`.

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::model::{Topology, TopologyKind, Word};
use super::super::read::{self, Fields, Reading};
use super::super::source::Span;
use super::super::tree::Node;

const KINDS: &[(&str, TopologyKind)] = &[
    ("full", TopologyKind::Full),
    ("star", TopologyKind::Star),
    ("ring", TopologyKind::Ring),
    ("regular", TopologyKind::Regular),
    ("explicit", TopologyKind::Explicit),
];

/// What a kind needs, and no other has.
const NEEDED: &[(&str, TopologyKind)] =
    &[("degree", TopologyKind::Regular), ("center", TopologyKind::Star), ("links", TopologyKind::Explicit)];

pub(super) fn topology<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Topology> {
    let mut fields = Fields::open(node, "a topology", cx)?;
    let kind = fields.required("kind", |node, cx| read::choice(node, KINDS, cx));
    let degree = fields.optional("degree", read::count);
    let center = fields.optional("center", read::name);
    let links = fields.optional("links", |node, cx| read::each(node, cx, link)).unwrap_or_default();
    let span: Span = fields.whole();
    let kind = kind.inspect(|kind| {
        for (key, of) in NEEDED {
            let word = KINDS.iter().find(|(_, kind)| kind == of).map_or("", |(word, _)| word);
            match (fields.has(key), kind.value == *of) {
                (true, false) => {
                    let message = format!("`{key}` is of `kind: {word}`");
                    cx.report(Diagnostic::new(Code::Choice, kind.span, message));
                }
                (false, true) => {
                    let message = format!("a topology of `kind: {word}` says its `{key}`");
                    cx.report(Diagnostic::new(Code::MissingKey, kind.span, message));
                }
                (true, true) | (false, false) => {}
            }
        }
    });
    fields.finish();
    Some(Topology { span, kind: kind?, degree, center, links })
}

/// `[seeds-1, nodes]`
fn link<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<(Word, Word)> {
    let [one, other] = read::list(node, cx)? else {
        let problem = Diagnostic::new(Code::WrongType, node.span, "a link has two ends");
        cx.report(problem.expected("`[one, other]`, each a service or a group"));
        return None;
    };
    let ends = (read::name(one, cx), read::name(other, cx));
    Some((ends.0?, ends.1?))
}
