//! `load`: many calls, at a rate or by users, at one level or through stages.

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::limits::{MAX_IN_FLIGHT, MAX_USERS};
use super::super::model::{Level, Load, LoadStage, Time};
use super::super::read::{self, Fields, Given, Reading};
use super::super::source::Spanned;
use super::super::tree::{Key, Node};
use super::super::units::Rate;
use super::{bounds, steps, verbs};

type GivenRate = Spanned<Given<Rate>>;
type GivenCount = Spanned<Given<u64>>;

pub(super) fn load<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Load> {
    let mut fields = Fields::open(node, "load", cx)?;
    let rate = fields.optional("rate", verbs::some_rate);
    let users = fields.optional("users", bounds::some(users, |users| *users == 0, "nobody makes no call"));
    let duration = fields.optional("duration", steps::some_time);
    let stages = fields.optional("stages", stages);
    let in_flight =
        fields.optional("in-flight", bounds::some(in_flight, |most| *most == 0, "with none under way no call is made"));
    let level = level(&mut fields, (rate, users), (duration, stages));
    if let (Some(Level::Users(_)), Some((key, _))) = (&level, fields.entry_quietly("in-flight")) {
        let message = "each user has one call under way, so their number says how many there are";
        cx.report(Diagnostic::new(Code::Choice, key.span, message).help("leave `in-flight` out"));
    }
    let call = verbs::call(&mut fields, "a load makes one kind of call", cx);
    verbs::finish(fields, "load");
    Some(Load { call: call?, level: level?, in_flight, helpers: Vec::new() })
}

/// One of `rate`, `users` and `stages`; the first two with how long.
fn level(
    fields: &mut Fields<'_>,
    (rate, users): (Option<GivenRate>, Option<GivenCount>),
    (duration, stages): (Option<Time>, Option<Level>),
) -> Option<Level> {
    let cx = fields.reading();
    let given: Vec<&Key> = ["rate", "users", "stages"]
        .into_iter()
        .filter_map(|name| fields.entry_quietly(name))
        .map(|(key, _)| key)
        .collect();
    if let [first, second, ..] = given.as_slice() {
        let message = format!("`{}` and `{}` exclude each other", first.name, second.name);
        cx.report(Diagnostic::new(Code::Choice, second.span, message).label(first.span, "first here"));
        return None;
    }
    let by_stages = given.first().is_some_and(|key| key.name == "stages");
    match (given.is_empty(), by_stages, fields.entry_quietly("duration")) {
        (true, _, _) => fields.missing("how much: `rate: 200/s`, `users: 50` or `stages`"),
        (_, true, Some((key, _))) => {
            let problem = Diagnostic::new(Code::Choice, key.span, "each stage says how long it is");
            cx.report(problem.help("leave this `duration` out"));
        }
        (_, false, None) => fields.missing("how long: `duration: 30s`"),
        _ => {}
    }
    if by_stages {
        return stages;
    }
    let duration = duration?;
    rate.map(|to| Level::Rate(vec![LoadStage { is_constant: true, to, duration: duration.clone() }]))
        .or_else(|| users.map(|to| Level::Users(vec![LoadStage { is_constant: true, to, duration }])))
}

/// One behind the other, all by rates or all by users.
fn stages<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Level> {
    let stages = read::each(node, cx, stage)?;
    let (mut rates, mut users) = (Vec::new(), Vec::new());
    for stage in stages {
        match stage {
            Stage::Rate(stage) => rates.push(stage),
            Stage::Users(stage) => users.push(stage),
        }
    }
    let nothing = |value: &Given<Rate>| matches!(value, Given::Value(Rate { events: 0, .. }));
    let problem = match (rates.as_slice(), users.as_slice()) {
        ([], []) if node.items().is_some_and(<[Node]>::is_empty) => {
            Diagnostic::new(Code::Empty, node.span, "there are no stages here").expected("at least one")
        }
        ([], []) => return None,
        ([_, ..], [stage, ..]) => {
            Diagnostic::new(Code::Choice, stage.to.span, "some stages are of rates and some of users")
                .expected("all of one kind")
        }
        (rates, []) if rates.iter().all(|stage| nothing(&stage.to.value)) => {
            Diagnostic::new(Code::OutOfRange, node.span, "at these rates nothing is ever sent")
                .expected("a rate above zero")
        }
        ([], users) if users.iter().all(|stage| matches!(stage.to.value, Given::Value(0))) => {
            Diagnostic::new(Code::OutOfRange, node.span, "nobody makes no call").expected("a stage with users")
        }
        (_, []) => return Some(Level::Rate(rates)),
        ([], _) => return Some(Level::Users(users)),
    };
    cx.report(problem);
    None
}

enum Stage {
    Rate(LoadStage<Rate>),
    Users(LoadStage<u64>),
}

fn stage<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Stage> {
    let mut fields = Fields::open(node, "a stage", cx)?;
    let rate = fields.optional("rate", read::rate);
    let users = fields.optional("users", users);
    let duration = fields.required("duration", steps::some_time);
    if let (Some((first, _)), Some((second, _))) = (fields.entry_quietly("rate"), fields.entry_quietly("users")) {
        let problem = Diagnostic::new(Code::Choice, second.span, "`rate` and `users` exclude each other");
        cx.report(problem.label(first.span, "first here"));
    } else if !fields.has("rate") && !fields.has("users") {
        fields.missing("what it comes to: `rate: 200/s` or `users: 50`");
    }
    fields.finish();
    let duration = duration?;
    match (rate, users) {
        (Some(to), _) => Some(Stage::Rate(LoadStage { is_constant: false, to, duration })),
        (None, Some(to)) => Some(Stage::Users(LoadStage { is_constant: false, to, duration })),
        (None, None) => None,
    }
}

fn users(node: &Node, cx: &Reading<'_>) -> Option<GivenCount> {
    at_most(node, (MAX_USERS, "users: more are more agents' work, `at: [a, b]`"), cx)
}

fn in_flight(node: &Node, cx: &Reading<'_>) -> Option<GivenCount> {
    at_most(node, (MAX_IN_FLIGHT, "calls under way at one agent"), cx)
}

fn at_most(node: &Node, (most, of): (u64, &str), cx: &Reading<'_>) -> Option<GivenCount> {
    let found = read::count(node, cx)?;
    if matches!(found.value, Given::Value(value) if value > most) {
        let problem = Diagnostic::new(Code::OutOfRange, node.span, "more than one agent can make");
        cx.report(problem.expected(format!("at most {most} {of}")));
        return None;
    }
    Some(found)
}
