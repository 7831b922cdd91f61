//! `groups`: members that run the same program.

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, quote};
use super::super::limits::{MAX_MEMBERS, MAX_PER_AGENT};
use super::super::model::{Count, Group, Passes, Quorum, Service, Word};
use super::super::read::{self, Fields, Given, Reading};
use super::super::source::Spanned;
use super::super::tree::{Kind, Node};
use super::super::units;
use super::{named, services, texts};

const LATER: &[&str] = &["dials"];

pub(super) fn groups<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Group>> {
    Some(named(node, "groups", cx).into_iter().filter_map(|(name, node)| group(name, node, cx)).collect())
}

fn group<'n>(name: Word, node: &'n Node, cx: &'n Reading<'n>) -> Option<Group> {
    let mut fields = Fields::open(node, "a group", cx)?;
    let count = fields.required("count", count);
    let per_agent = fields.optional("per-agent", per_agent);
    let params = fields.optional("params", texts).unwrap_or_default();
    let each = services::program(name.clone(), &mut fields);
    fields.later(LATER);
    if !fields.has("exec") {
        fields.missing("`exec`");
    }
    fields.finish_with(|key, problem| match key.name.as_str() {
        "churn" => Diagnostic { help: Some("`churn` is a step: `churn: { of: GROUP, … }`".to_owned()), ..problem },
        _ => problem,
    });
    one_program(&each, node, cx);
    // One that was reported has a member all the same, so that its uses are no further mistakes.
    let count = count.unwrap_or_else(|| Count::Number(Spanned::new(Given::Value(1), name.span)));
    Some(Group { name, count, per_agent, each, params })
}

/// What a member comes to is what its program comes to.
fn one_program(each: &Service, node: &Node, cx: &Reading<'_>) {
    if each.processes.len() > 1
        && let Some(exec) = node.get("exec")
    {
        let problem = Diagnostic::new(Code::Choice, exec.span, "a member of a group is one program");
        cx.report(problem.expected("`{ argv: […] }`").help("what stands beside it can be a service, or another group"));
    }
}

/// A number of members, or a share of all of them.
fn count<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Count> {
    match &node.kind {
        Kind::Text(text) if text.value.ends_with('%') && !read::is_template(&text.value) => {
            read::percent(node, cx).map(Count::Share)
        }
        _ => read::count(node, cx).map(Count::Number),
    }
}

/// Of all groups together.
pub(super) fn members<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Spanned<Given<u64>>> {
    bounded(node, MAX_MEMBERS, cx)
}

/// How many of a group share an agent.
fn per_agent<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Spanned<Given<u64>>> {
    bounded(node, MAX_PER_AGENT, cx)
}

fn bounded<'n>(node: &'n Node, most: u64, cx: &'n Reading<'n>) -> Option<Spanned<Given<u64>>> {
    let found = read::count(node, cx)?;
    match found.value {
        Given::Value(count) if count == 0 || count > most => {
            let problem = Diagnostic::new(Code::OutOfRange, node.span, format!("{count} is out of range"));
            cx.report(problem.expected(format!("a number from 1 to {most}")));
            None
        }
        Given::Value(_) | Given::Template(_) => Some(found),
    }
}

/// `{ nodes: ">= 98%", seeds: all }`
pub(super) fn pass_when<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<(Word, Passes)>> {
    let entries = named(node, "groups", cx);
    Some(entries.into_iter().filter_map(|(group, node)| Some((group, passes(node, cx)?))).collect())
}

fn passes(node: &Node, cx: &Reading<'_>) -> Option<Passes> {
    let text = match &node.kind {
        Kind::Text(text) if text.value == "all" => return Some(Passes::All),
        Kind::Text(text) => text.value.strip_prefix(">=").map(str::trim),
        _ => None,
    };
    let at_least = |text: &str| {
        let share =
            || units::percent(text).ok().map(|share| Quorum::Share(Spanned::new(Given::Value(share), node.span)));
        let count = || text.parse().ok().map(|count| Quorum::Count(Spanned::new(count, node.span)));
        count().or_else(share)
    };
    let found = text.and_then(at_least).map(Passes::AtLeast);
    if found.is_none() {
        let message = match node.as_text() {
            Some(text) => format!("{} is no rule for a group", quote(text)),
            None => format!("{} is no rule for a group", node.what()),
        };
        let problem = Diagnostic::new(Code::WrongType, node.span, message);
        cx.report(problem.expected("`all`, `\">= 98%\"` or `\">= 3\"`"));
    }
    found
}
