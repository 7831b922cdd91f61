//! Steps: exactly one verb, and its modifiers beside it.

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::model::{Check, Save, Step, Verb, Word};
use super::super::read::{self, Fields, Reading};
use super::super::source::{Span, Spanned};
use super::super::tree::{Key, Node};
use super::{expect, matchers, verbs, word, world};

/// Keys that stand beside every verb.
pub(super) const MODIFIERS: &[&str] = &[
    "id",
    "name",
    "at",
    "to",
    "expect",
    "save",
    "within",
    "eventually",
    "when",
    "optional",
    "idempotent",
    "for",
    "prove",
];

/// Every verb, as plans write it.
pub const VERBS: &[&str] = &[
    "http",
    "tcp",
    "grpc",
    "ws",
    "exec",
    "stream",
    "load",
    "expect",
    "fault",
    "heal",
    "stub",
    "collect",
    "say",
    "barrier",
    "signal",
    "publish",
    "subscribe",
    "kill",
    "freeze",
    "thaw",
    "restart",
    "parallel",
    "repeat",
    "pause",
    "churn",
];

/// First names of expressions, which a saved value must not hide.
const RESERVED: &[&str] = &[
    "params", "services", "stubs", "plan", "self", "call", "request", "record", "index", "secrets", "matrix", "tls",
    "run", "test",
];

/// A list of steps.
pub(super) fn steps<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Step>> {
    let steps = read::each(node, cx, step)?;
    if node.items().is_some_and(<[Node]>::is_empty) {
        cx.report(Diagnostic::new(Code::Empty, node.span, "there are no steps here").expected("at least one step"));
    }
    Some(steps)
}

/// The step that says when a service is ready.
pub(super) fn readiness<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Step> {
    let step = step(node, cx)?;
    match &step.verb.value {
        Verb::Http(_) | Verb::Tcp(_) | Verb::Grpc(_) | Verb::Ws(_) | Verb::Exec(_) | Verb::Expect(_) => Some(step),
        Verb::Stream(_)
        | Verb::Load(_)
        | Verb::Fault(_)
        | Verb::Heal(_)
        | Verb::Collect(_)
        | Verb::Say(_)
        | Verb::Stub(_)
        | Verb::Conduct(_) => {
            let problem = Diagnostic::new(Code::Choice, step.verb.span, "this cannot say whether a service is ready");
            cx.report(problem.expected("`http`, `tcp`, `grpc`, `ws`, `exec` or `expect`"));
            None
        }
    }
}

pub(super) fn step<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Step> {
    let mut fields = Fields::open(node, "a step", cx)?;
    let span = fields.whole();
    let id = fields.optional("id", read::name);
    let name = fields.optional("name", read::some_text);
    let agents = fields.optional("at", agents);
    let to = fields.optional("to", read::some_text);
    let saves = fields.optional("save", saves).unwrap_or_default();
    let within = fields.optional("within", some_time);
    let eventually = fields.optional("eventually", some_time);
    let when = fields.optional("when", read::template);
    let optional = fields.optional("optional", read::boolean).is_some_and(|found| found.value);
    let idempotent = fields.optional("idempotent", read::boolean).is_some_and(|found| found.value);
    let lasts = fields.optional("for", some_time);
    let prove = fields.optional("prove", read::percent);
    let expect = fields.entry("expect");
    let verb = the_verb(&mut fields, cx);
    let unknown = unknown_keys(fields, &verb);
    let (at, helpers) = agents.map_or((None, Vec::new()), |(first, rest)| (Some(first), rest));
    let (mut verb, checks) = match (verb, expect) {
        (Found::Verb(verb), expect) => {
            let verb = *verb?;
            let checks = expect.map(|(key, node)| expect::beside(&verb.value, key, node, cx));
            (verb, checks.unwrap_or_default())
        }
        (Found::None, _) if unknown => return None,
        (Found::None, Some((key, node))) => expectation(key, node, cx)?,
        (Found::None, None) => {
            let problem = Diagnostic::new(Code::NoVerb, node.span, "this step does nothing");
            cx.report(problem.expected(format!("one of the verbs {}", one_of(VERBS.iter().copied()))));
            return None;
        }
    };
    together(&mut verb.value, helpers, cx);
    let step = Step {
        span,
        id,
        name,
        at,
        to,
        verb,
        checks,
        saves,
        within,
        eventually,
        when,
        optional,
        idempotent,
        lasts,
        prove,
    };
    modifiers_fit(&step, cx);
    Some(step)
}

/// The agent that acts, or several.
fn agents<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<(Word, Vec<Word>)> {
    let Some(items) = node.items() else { return Some((read::name(node, cx)?, Vec::new())) };
    let mut names = items.iter().filter_map(|item| read::name(item, cx));
    let Some(first) = names.next() else {
        if items.is_empty() {
            cx.report(Diagnostic::new(Code::Empty, node.span, "nobody acts here").expected("a service"));
        }
        return None;
    };
    let rest: Vec<Word> = names.collect();
    for (at, name) in rest.iter().enumerate() {
        let before = [&first].into_iter().chain(&rest[..at]).find(|before| before.value == name.value);
        if let Some(before) = before {
            let problem =
                Diagnostic::new(Code::DuplicateName, name.span, format!("{} stands here twice", quote(&name.value)));
            cx.report(problem.label(before.span, "first here"));
        }
    }
    Some((first, rest))
}

/// Only a load is made by several agents.
fn together(verb: &mut Verb, helpers: Vec<Word>, cx: &Reading<'_>) {
    match (verb, helpers.as_slice()) {
        (_, []) => {}
        (Verb::Load(load), _) => load.helpers = helpers,
        (_, [second, ..]) => {
            let problem = Diagnostic::new(Code::Modifier, second.span, "one agent acts in such a step");
            cx.report(problem.help("only a `load` is made by several; write a step for each, or `parallel`"));
        }
    }
}

fn expectation<'n>(key: &'n Key, node: &'n Node, cx: &'n Reading<'n>) -> Option<(Spanned<Verb>, Vec<Check>)> {
    let (world, checks) = world::alone(node, cx)?;
    Some((Spanned::new(Verb::Expect(world), key.span.to(node.span)), checks))
}

/// A duration that is more than nothing: a wait without time cannot hold.
pub(super) fn some_time(node: &Node, cx: &Reading<'_>) -> Option<super::super::model::Time> {
    let found = read::duration(node, cx)?;
    if found.value == read::Given::Value(std::time::Duration::ZERO) {
        cx.report(
            Diagnostic::new(Code::OutOfRange, node.span, "nothing can happen in no time")
                .expected("a duration above zero"),
        );
        return None;
    }
    Some(found)
}

enum Found {
    None,
    /// A verb stands here; empty when it was reported.
    Verb(Option<Box<Spanned<Verb>>>),
}

/// The one verb beside the modifiers; `expect` is looked at elsewhere.
fn the_verb<'n>(fields: &mut Fields<'n>, cx: &'n Reading<'n>) -> Found {
    let mut keys: Vec<&Key> = Vec::new();
    let mut first = Found::None;
    for name in VERBS.iter().copied().filter(|name| *name != "expect") {
        let Some((key, node)) = fields.entry(name) else { continue };
        keys.push(key);
        let read = verbs::verb(name, node, cx).map(|verb| Spanned::new(verb, key.span.to(node.span)));
        if let Found::None = first {
            first = Found::Verb(read.map(Box::new));
        }
    }
    keys.sort_by_key(|key| key.span);
    if let [one, two, ..] = keys.as_slice() {
        let message = format!("a step has one verb, and this one has {}", one_of_all(&keys));
        let problem = Diagnostic::new(Code::SeveralVerbs, two.span, message).label(one.span, "the first verb");
        cx.report(problem.help("write one step for each"));
    }
    first
}

fn one_of_all(keys: &[&Key]) -> String {
    keys.iter().map(|key| format!("`{}`", key.name)).collect::<Vec<_>>().join(" and ")
}

/// Reports the keys that are neither verb nor modifier, and whether there are any. Beside a verb, a modifier was meant.
fn unknown_keys(fields: Fields<'_>, verb: &Found) -> bool {
    let any = !fields.rest_is_empty();
    let expected = match verb {
        Found::Verb(Some(verb)) => {
            format!("a modifier of `{}`: {}", name_of(&verb.value), modifiers(&verb.value).join(" "))
        }
        Found::Verb(None) => format!("a modifier: {}", MODIFIERS.join(" ")),
        Found::None if fields.has("expect") => {
            format!("a modifier of `expect`: {}", [COMMON, EXPECTING].concat().join(" "))
        }
        Found::None => format!("a verb: {}", VERBS.join(" ")),
    };
    fields.finish_with(|key, problem| Diagnostic {
        message: format!("{} is neither a verb nor a modifier", quote(&key.name)),
        expected: Some(expected.clone()),
        ..problem
    });
    any
}

fn saves<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Save>> {
    let entries = read::map(node, "names, each with a JSONPath", cx)?;
    if entries.is_empty() {
        cx.report(Diagnostic::new(Code::Empty, node.span, "nothing is saved here").expected("`{ NAME: $.path }`"));
    }
    let read = |(key, node): &'n (Key, Node)| {
        let name: Word = word(key);
        // A name that is wrong, or whose path is, is still known, so that its uses are no second mistake.
        let _ = read::check_name(&name.value, name.span, cx) && !is_reserved(&name, cx);
        let path = read::text(node, cx).unwrap_or_else(|| Spanned::new("$".to_owned(), node.span));
        matchers::json_path(&path.value, path.span, cx);
        Save { name, path }
    };
    Some(entries.iter().map(read).collect())
}

pub(super) fn is_reserved(name: &Word, cx: &Reading<'_>) -> bool {
    let reserved = RESERVED.contains(&name.value.as_str());
    if reserved {
        let message = format!("`{}` means something else in expressions", name.value);
        cx.report(Diagnostic::new(Code::Name, name.span, message).expected("another name"));
    }
    reserved
}

/// Whether a verb asks a service something and brings back an answer.
pub(super) fn asks(verb: &Verb) -> bool {
    match verb {
        Verb::Http(_) | Verb::Tcp(_) | Verb::Grpc(_) | Verb::Ws(_) | Verb::Exec(_) => true,
        Verb::Stream(_) | Verb::Load(_) => true,
        Verb::Expect(_)
        | Verb::Fault(_)
        | Verb::Heal(_)
        | Verb::Collect(_)
        | Verb::Say(_)
        | Verb::Stub(_)
        | Verb::Conduct(_) => false,
    }
}

/// Modifiers of every verb.
const COMMON: &[&str] = &["id", "name", "optional", "idempotent"];

/// Those of an `expect` that stands alone.
const EXPECTING: &[&str] = &["eventually", "within", "when"];

/// All that fit a verb.
fn modifiers(verb: &Verb) -> Vec<&'static str> {
    let expect: &[&str] = if expect::is_answered(verb) { &["expect"] } else { &[] };
    [COMMON, expect, takes(verb)].concat()
}

/// Those that not every verb takes.
fn takes(verb: &Verb) -> &'static [&'static str] {
    match verb {
        Verb::Conduct(conduct) => super::conduct::takes(conduct),
        Verb::Fault(_) => &["for", "prove", "within", "when"],
        Verb::Expect(_) => EXPECTING,
        Verb::Load(_) => &["at", "to", "save", "within", "when"],
        _ if asks(verb) => &["at", "to", "save", "eventually", "within", "when"],
        _ => &["within", "when"],
    }
}

/// Modifiers that this verb would ignore are mistakes.
fn modifiers_fit(step: &Step, cx: &Reading<'_>) {
    let name = name_of(&step.verb.value);
    let refuse = |modifier: &str, span: Option<Span>| {
        if let Some(span) = span {
            let problem = Diagnostic::new(Code::Modifier, span, format!("`{modifier}` does not fit the verb `{name}`"));
            let fitting = modifiers(&step.verb.value).join(" ");
            cx.report(problem.expected(format!("a modifier of `{name}`: {fitting}")));
        }
    };
    let takes = takes(&step.verb.value);
    let stands = [
        ("at", step.at.as_ref().map(|at| at.span)),
        ("to", step.to.as_ref().map(|to| to.span)),
        ("save", step.saves.first().map(|save| save.name.span)),
        ("eventually", step.eventually.as_ref().map(|time| time.span)),
        ("for", step.lasts.as_ref().map(|time| time.span)),
        ("prove", step.prove.as_ref().map(|share| share.span)),
        ("within", step.within.as_ref().map(|time| time.span)),
        ("when", step.when.as_ref().map(|when| when.span)),
    ];
    stands
        .into_iter()
        .filter(|(modifier, _)| !takes.contains(modifier))
        .for_each(|(modifier, span)| refuse(modifier, span));
}

fn name_of(verb: &Verb) -> &'static str {
    match verb {
        Verb::Http(_) => "http",
        Verb::Tcp(_) => "tcp",
        Verb::Exec(_) => "exec",
        Verb::Grpc(_) => "grpc",
        Verb::Ws(_) => "ws",
        Verb::Stream(_) => "stream",
        Verb::Load(_) => "load",
        Verb::Expect(_) => "expect",
        Verb::Fault(_) => "fault",
        Verb::Heal(_) => "heal",
        Verb::Collect(_) => "collect",
        Verb::Say(_) => "say",
        Verb::Stub(_) => "stub",
        Verb::Conduct(conduct) => super::conduct::name_of(conduct),
    }
}
