//! `faults`, and faults written in place.

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::model::{Answered, Disturbed, Draw, Fault, FaultUse, Heal, Only, Reset, Time, Ways, Word};
use super::super::read::{self, Fields, Reading};
use super::super::source::Spanned;
use super::super::tree::{Key, Kind, Node};
use super::matchers::{self, Subject};
use super::{bounds, ends, named};

const TARGETS: &[&str] = &["traffic", "stub", "service", "link", "partition"];
const TARGETS_LATER: &[&str] = &["service", "link"];
const EFFECTS: &[&str] = &[
    "latency",
    "jitter",
    "loss",
    "bandwidth",
    "duplicate",
    "reorder",
    "corrupt",
    "refuse",
    "reset",
    "slice",
    "slow-close",
    "status",
];

pub(super) fn faults<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<(Word, Option<Fault>)>> {
    Some(named(node, "faults", cx).into_iter().map(|(name, node)| (name, fault(node, cx))).collect())
}

/// A fault's name, the fault itself, or names to draw from.
pub(super) fn fault_use<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<FaultUse> {
    match &node.kind {
        Kind::Map(_) if node.get("draw").is_some() => Some(FaultUse::Drawn(Box::new(draw(node, cx)?))),
        Kind::Map(_) => Some(FaultUse::Inline(Box::new(fault(node, cx)?))),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
            Some(FaultUse::Named(read::name(node, cx)?))
        }
    }
}

/// `{ draw: [a, b], times: 6, lasting: [200ms, 1s] }`
fn draw<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Draw> {
    let mut fields = Fields::open(node, "a schedule of faults", cx)?;
    let faults = fields.required("draw", |node, cx| {
        let names: Vec<Word> = read::list(node, cx)?.iter().filter_map(|item| read::name(item, cx)).collect();
        if node.items().is_some_and(<[Node]>::is_empty) {
            let message = "there is no fault to draw";
            cx.report(Diagnostic::new(Code::Empty, node.span, message).expected("names of faults"));
        }
        Some(names)
    });
    let times = fields.required("times", bounds::some(read::count, |times| *times == 0, "a schedule of nothing"));
    let lasting = fields.required("lasting", least_and_most);
    fields.finish_with(|key, problem| match key.name.as_str() {
        "for" | "prove" => {
            Diagnostic { help: Some(format!("`{}` stands on the step, beside `fault`", key.name)), ..problem }
        }
        _ => problem,
    });
    Some(Draw { span: node.span, faults: faults?, times: times?, lasting: lasting? })
}

/// One time, or the least and the most.
pub(super) fn least_and_most(node: &Node, cx: &Reading<'_>) -> Option<(Time, Time)> {
    let Some(items) = node.items() else {
        return super::steps::some_time(node, cx).map(|time| (time.clone(), time));
    };
    if let [least, most] = items {
        return super::steps::some_time(least, cx).zip(super::steps::some_time(most, cx));
    }
    let message = "how long each lasts is one time, or the least and the most";
    cx.report(Diagnostic::new(Code::WrongType, node.span, message).expected("a duration, or `[200ms, 1s]`"));
    None
}

/// `all`, a name, or a list of names.
pub(super) fn heal(node: &Node, cx: &Reading<'_>) -> Option<Heal> {
    match &node.kind {
        Kind::List(items) => {
            let names: Vec<Word> = items.iter().filter_map(|item| read::name(item, cx)).collect();
            if items.is_empty() {
                cx.report(
                    Diagnostic::new(Code::Empty, node.span, "there is nothing to heal here")
                        .expected("`all` or names of faults"),
                );
            }
            Some(Heal::Named(names))
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Map(_) => {
            let name = read::name(node, cx)?;
            Some(if name.value == "all" { Heal::All } else { Heal::Named(vec![name]) })
        }
    }
}

fn fault<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Fault> {
    let mut fields = Fields::open(node, "a fault", cx)?;
    let is_clear = one_target(&fields, cx);
    let given: Vec<&str> = EFFECTS.iter().copied().filter(|effect| fields.has(effect)).collect();
    let traffic = fields.optional("traffic", traffic);
    let stub = fields.optional("stub", read::name).map(Disturbed::Stub);
    let latency = fields.optional("latency", super::steps::some_time);
    let jitter = fields.optional("jitter", super::steps::some_time);
    let partition = fields.optional("partition", partition);
    let share = || bounds::some(read::percent, |share| share.value() == 0.0, "this share is of nothing");
    // Nothing lost, or nothing late, is a fault that did nothing, which the run finds.
    let loss = fields.optional("loss", read::percent);
    let no_bits = "through this nothing ever passes; say `loss: 100%`";
    let bandwidth =
        fields.optional("bandwidth", bounds::some(read::bandwidth, |width| width.bits_per_second == 0, no_bits));
    let duplicate = fields.optional("duplicate", share());
    let reorder = fields.optional("reorder", share());
    let corrupt = fields.optional("corrupt", share());
    let refuse = fields.optional("refuse", yes).is_some();
    let reset = fields.optional("reset", reset);
    let slice =
        fields.optional("slice", bounds::some(read::size, |size| *size == 0, "pieces of nothing carry nothing"));
    let slow_close = fields.optional("slow-close", super::steps::some_time);
    let status = answered(&mut fields);
    let only = fields.optional("only", only);
    fields.later(TARGETS_LATER);
    // A partition is target and effect in one. A key that is unknown may be meant as an effect, and is told as such.
    let has = |effect: &&str| fields.has(effect);
    if fields.rest_is_empty() && !EFFECTS.iter().chain(&["partition"]).any(has) {
        let message = "this fault has no effect";
        cx.report(Diagnostic::new(Code::FaultEffect, fields.span(), message).expected(one_of(EFFECTS.iter().copied())));
    }
    if let (None, Some(jitter)) = (&latency, &jitter)
        && !fields.has("latency")
    {
        let message = "jitter varies a latency, and there is none";
        cx.report(Diagnostic::new(Code::FaultEffect, jitter.span, message).expected("`latency` beside it"));
    }
    let span = fields.whole();
    fields.finish_with(|key, problem| match key.name.as_str() {
        "for" | "prove" => {
            Diagnostic { help: Some(format!("`{}` stands on the step, beside `fault`", key.name)), ..problem }
        }
        _ => problem,
    });
    if let (Some(partition), true) = (&partition, EFFECTS.iter().any(|effect| given.contains(effect))) {
        let message = "a partition is an effect of its own: nothing passes between its sides";
        cx.report(Diagnostic::new(Code::FaultEffect, partition.span, message).expected("no other effect beside it"));
    }
    let target = traffic.or(stub).or(partition.map(Disturbed::Partition));
    let fault = Fault {
        span,
        target: target?,
        latency,
        jitter,
        loss,
        bandwidth,
        duplicate,
        reorder,
        corrupt,
        refuse,
        reset,
        slice,
        slow_close,
        status,
        only,
    };
    is_clear.then_some(fault)
}

fn one_target(fields: &Fields<'_>, cx: &Reading<'_>) -> bool {
    let found: Vec<&str> = TARGETS.iter().copied().filter(|target| fields.has(target)).collect();
    let message = match found.as_slice() {
        [_] => return true,
        [] => "this fault has no target".to_owned(),
        several => format!("this fault has several targets: {}", several.join(", ")),
    };
    cx.report(
        Diagnostic::new(Code::FaultTarget, fields.span(), message)
            .expected(format!("one of {}", one_of(TARGETS.iter().copied()))),
    );
    false
}

/// `true`; `false` would be a fault that is none.
fn yes(node: &Node, cx: &Reading<'_>) -> Option<()> {
    let found = read::boolean(node, cx)?;
    if found.value {
        return Some(());
    }
    cx.report(Diagnostic::new(Code::OutOfRange, node.span, "this asks for nothing").expected("`true`"));
    None
}

/// `true`, or how long a connection may last.
fn reset(node: &Node, cx: &Reading<'_>) -> Option<Reset> {
    match &node.kind {
        Kind::Bool(_) => yes(node, cx).map(|()| Reset::AtOnce),
        Kind::Null | Kind::Number(_) | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => {
            super::steps::some_time(node, cx).map(Reset::After)
        }
    }
}

/// `status`, and for which requests: `first` so many, or `percent` of them.
fn answered<'n>(fields: &mut Fields<'n>) -> Option<Answered> {
    let status = fields.optional("status", |node, cx| read::integer(node, 200..=599, cx));
    let (first, percent) = (
        fields.optional("first", bounds::some(read::count, |first| *first == 0, "the first of none strikes nobody")),
        fields.optional(
            "percent",
            bounds::some(read::percent, |share| share.value() == 0.0, "this share is of no request"),
        ),
    );
    let cx = fields.reading();
    for key in ["first", "percent"] {
        if let (Some((key, _)), false) = (fields.entry_quietly(key), fields.has("status")) {
            let message = format!("`{}` says which requests get a `status`, and there is none", key.name);
            cx.report(Diagnostic::new(Code::FaultEffect, key.span, message).expected("`status` beside it"));
        }
    }
    if let (Some(_), Some((key, _))) = (&first, fields.entry_quietly("percent")) {
        let problem = Diagnostic::new(Code::Choice, key.span, "`first` and `percent` exclude each other");
        cx.report(problem.help("write two faults"));
    }
    Some(Answered { status: u16::try_from(status?.value).ok()?, first, percent })
}

/// `run`, or `{ headers: … }`.
fn only<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Spanned<Only>> {
    let Kind::Map(_) = node.kind else {
        return read::choice(node, &[("run", ())], cx).map(|found| Spanned::new(Only::Run, found.span));
    };
    let mut fields = Fields::open(node, "`only` of a fault", cx)?;
    let headers = fields.required("headers", |node, cx| {
        let entries = read::map(node, "names, each with what it must be", cx)?;
        if entries.is_empty() {
            let message = "these are the headers of every request";
            cx.report(Diagnostic::new(Code::Empty, node.span, message).expected("names, each with what it must be"));
        }
        let header = |(key, node): &(Key, Node)| {
            Some((key.name.to_ascii_lowercase(), matchers::matcher(node, Subject::Text, cx)?))
        };
        entries.iter().map(header).collect::<Option<Vec<_>>>()
    });
    fields.finish();
    Some(Spanned::new(Only::Headers(headers?), node.span))
}

/// `[[a, b], [c]]`: the sides.
fn partition(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Vec<Vec<Word>>>> {
    let sides = read::list(node, cx)?;
    let side = |side: &Node| Some(read::list(side, cx)?.iter().filter_map(|name| read::name(name, cx)).collect());
    let sides: Vec<Vec<Word>> = sides.iter().filter_map(side).collect();
    let mut seen: Vec<&Word> = Vec::new();
    for name in sides.iter().flatten() {
        if let Some(before) = seen.iter().find(|before| before.value == name.value) {
            let problem = Diagnostic::new(Code::DuplicateName, name.span, "a service is on one side");
            cx.report(problem.label(before.span, "first here"));
            return None;
        }
        seen.push(name);
    }
    if sides.len() < 2 || sides.iter().any(Vec::is_empty) {
        let problem = Diagnostic::new(Code::FaultTarget, node.span, "a partition has at least two sides, none empty");
        cx.report(problem.expected("lists of services, such as `[[a, b], [c]]`"));
        return None;
    }
    Some(Spanned::new(sides, node.span))
}

/// `a -> b` or `a <-> b`.
fn traffic(node: &Node, cx: &Reading<'_>) -> Option<Disturbed> {
    let found = read::text(node, cx)?;
    let (arrow, ways) = if found.value.contains("<->") { ("<->", Ways::Both) } else { ("->", Ways::One) };
    let Some((from, to)) = ends::of(&found, arrow, cx) else {
        let message = format!("{} does not say which traffic", quote(&found.value));
        cx.report(Diagnostic::new(Code::FaultTarget, node.span, message).expected("`a -> b` or `a <-> b`"));
        return None;
    };
    if from.value == to.value {
        cx.report(
            Diagnostic::new(Code::FaultTarget, node.span, "a service's traffic to itself is not on the mesh")
                .expected("two services"),
        );
        return None;
    }
    let good = [&from, &to].map(|name| read::check_name(&name.value, name.span, cx));
    good.iter().all(|good| *good).then_some(Disturbed::Traffic { from, to, ways })
}
