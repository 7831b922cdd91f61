//! The verbs of the orchestrator itself: flow, processes, sync points; and the matrix.

use meshproof_proto::sync::OnLoss;
use serde_json::Value;

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::limits::MAX_MATRIX;
use super::super::model::{Barrier, Churn, Conduct, ProcessVerb, Quorum, Repeat, Step, SyncVerb, Verb, Word};
use super::super::read::{self, Fields, Given, Reading};
use super::super::tree::{Kind, Node};
use super::{bounds, faults, named, steps, verbs};

/// Reads the verb with this name.
pub(super) fn conduct<'n>(name: &str, node: &'n Node, cx: &'n Reading<'n>) -> Option<Conduct> {
    match name {
        "parallel" => parallel(node, cx).map(Conduct::Parallel),
        "repeat" => repeat(node, cx).map(Conduct::Repeat),
        "churn" => churn(node, cx).map(|churn| Conduct::Churn(Box::new(churn))),
        "pause" => verbs::some_template(node, cx).map(Conduct::Pause),
        "kill" => process(ProcessVerb::Kill, node, cx),
        "freeze" => process(ProcessVerb::Freeze, node, cx),
        "thaw" => process(ProcessVerb::Thaw, node, cx),
        "restart" => process(ProcessVerb::Restart, node, cx),
        "signal" => read::name(node, cx).map(|name| Conduct::Sync(SyncVerb::Signal(name))),
        "barrier" => barrier(node, cx).map(|barrier| Conduct::Sync(SyncVerb::Barrier(barrier))),
        "publish" => publish(node, cx).map(Conduct::Sync),
        "subscribe" => subscribe(node, cx).map(Conduct::Sync),
        _ => None,
    }
}

/// Its name in the plan.
pub(super) fn name_of(conduct: &Conduct) -> &'static str {
    match conduct {
        Conduct::Parallel(_) => "parallel",
        Conduct::Repeat(_) => "repeat",
        Conduct::Pause(_) => "pause",
        Conduct::Churn(_) => "churn",
        Conduct::Process(ProcessVerb::Kill | ProcessVerb::KillAgent, _) | Conduct::KillZone(_) => "kill",
        Conduct::Process(ProcessVerb::Freeze, _) => "freeze",
        Conduct::Process(ProcessVerb::Thaw, _) => "thaw",
        Conduct::Process(ProcessVerb::Restart, _) => "restart",
        Conduct::Sync(SyncVerb::Signal(_)) => "signal",
        Conduct::Sync(SyncVerb::Barrier(_)) => "barrier",
        Conduct::Sync(SyncVerb::Publish { .. }) => "publish",
        Conduct::Sync(SyncVerb::Subscribe { .. }) => "subscribe",
    }
}

/// The modifiers that mean something beside it, of those that do not fit every verb.
pub(super) fn takes(conduct: &Conduct) -> &'static [&'static str] {
    match conduct {
        Conduct::Parallel(_) | Conduct::Repeat(_) => &[],
        Conduct::Churn(_) => &["for", "when"],
        Conduct::Process(ProcessVerb::Freeze, _) => &["for", "within", "when"],
        Conduct::Pause(_) | Conduct::Process(..) | Conduct::KillZone(_) => &["within", "when"],
        Conduct::Sync(SyncVerb::Subscribe { .. }) => &["at", "save", "within", "when"],
        Conduct::Sync(_) => &["at", "within", "when"],
    }
}

/// A list of branches, each a step or a list of steps.
fn parallel<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Vec<Step>>> {
    let branch = |node: &'n Node, cx: &'n Reading<'n>| match node.kind {
        Kind::List(_) => steps::steps(node, cx),
        _ => steps::step(node, cx).map(|step| vec![step]),
    };
    let branches = read::each(node, cx, branch)?;
    if node.items().is_some_and(|items| items.len() < 2) {
        let problem = Diagnostic::new(Code::Empty, node.span, "one branch has nothing beside it");
        cx.report(problem.expected("a list of at least two branches, each a step or a list of steps"));
    }
    Some(branches)
}

fn repeat<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Repeat> {
    let mut fields = Fields::open(node, "repeat", cx)?;
    let times = fields.required("times", read::count);
    let name = fields.optional("as", read::name);
    // A name that is reported is still one, so that its uses are no further mistakes.
    let _reported = name.as_ref().is_some_and(|name| steps::is_reserved(name, cx));
    let inner = fields.required("steps", steps::steps);
    verbs::finish(fields, "repeat");
    if let Some(times) = times.as_ref().filter(|times| times.value == Given::Value(0)) {
        let problem = Diagnostic::new(Code::OutOfRange, times.span, "steps that are never run say nothing");
        cx.report(problem.expected("a number from 1 on"));
        return None;
    }
    Some(Repeat { times: times?, name, steps: inner? })
}

/// `{ of: nodes, times: 5, away: [200ms, 1s] }`
fn churn<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Churn> {
    let mut fields = Fields::open(node, "churn", cx)?;
    let of = fields.required("of", read::name);
    let times = fields.required("times", bounds::some(read::count, |times| *times == 0, "nobody would go"));
    let away = fields.required("away", faults::least_and_most);
    verbs::finish(fields, "churn");
    Some(Churn { of: of?, times: times?, away: away? })
}

/// A service, by name.
fn process<'n>(verb: ProcessVerb, node: &'n Node, cx: &'n Reading<'n>) -> Option<Conduct> {
    if let Kind::Map(entries) = &node.kind {
        let mut fields = Fields::open(node, "the target of a disturbance", cx)?;
        let (agent, zone) = match verb {
            ProcessVerb::Kill => (fields.optional("agent", read::name), fields.optional("zone", read::name)),
            _ => (None, None),
        };
        if let (Some(_), Some(zone)) = (&agent, &zone) {
            let problem = Diagnostic::new(Code::Choice, zone.span, "this kills an agent already");
            cx.report(problem.expected("one target").help("a zone is killed by a step of its own"));
        }
        fields.later(&["agent", "zone", "group"]);
        fields.finish();
        if entries.is_empty() {
            cx.report(Diagnostic::new(Code::Empty, node.span, "nothing is disturbed here").expected("a service"));
        }
        let agent = agent.map(|agent| Conduct::Process(ProcessVerb::KillAgent, agent));
        return agent.or_else(|| zone.map(Conduct::KillZone));
    }
    let service = read::name(node, cx)?;
    if matches!(service.value.as_str(), "signaling" | "orchestrator") {
        cx.report(read::not_yet(service.span, &format!("to disturb `{}`", service.value)));
        return None;
    }
    Some(Conduct::Process(verb, service))
}

/// A name, or `{ name, of, quorum, on-loss }`.
fn barrier<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Barrier> {
    if node.as_text().is_some() {
        let name = read::name(node, cx)?;
        return Some(Barrier { name, of: None, quorum: None, on_loss: OnLoss::Fail });
    }
    let mut fields = Fields::open(node, "barrier", cx)?;
    let name = fields.required("name", read::name);
    let of = fields.optional("of", members);
    let quorum = fields.optional("quorum", quorum);
    let losses = [("fail", OnLoss::Fail), ("shrink", OnLoss::Shrink), ("wait", OnLoss::Wait)];
    let on_loss = fields.optional("on-loss", |node, cx| read::choice(node, &losses, cx));
    verbs::finish(fields, "barrier");
    let on_loss = on_loss.map(|found| found.value).unwrap_or_default();
    Some(Barrier { name: name?, of: of.flatten(), quorum, on_loss })
}

/// `all`, a service, or a list of them.
fn members(node: &Node, cx: &Reading<'_>) -> Option<Option<Vec<Word>>> {
    match &node.kind {
        Kind::Text(text) if text.value == "all" => Some(None),
        Kind::List(items) if items.is_empty() => {
            cx.report(Diagnostic::new(Code::Empty, node.span, "nobody is waited for").expected("services, or `all`"));
            None
        }
        Kind::List(items) => Some(Some(items.iter().filter_map(|item| read::name(item, cx)).collect())),
        Kind::Number(_) => {
            let problem = Diagnostic::new(Code::WrongType, node.span, "these are services, and not a number of them");
            cx.report(problem.expected("services, or `all`").help("`quorum` says how many of them are enough"));
            None
        }
        _ => read::name(node, cx).map(|name| Some(vec![name])),
    }
}

/// A share, or a number of members.
fn quorum(node: &Node, cx: &Reading<'_>) -> Option<Quorum> {
    match &node.kind {
        Kind::Number(_) => read::integer(node, 1..=u64::from(u32::MAX), cx).map(Quorum::Count),
        _ => {
            let share =
                bounds::some(read::percent, |share| share.value() == 0.0, "a barrier that waits for nobody is none");
            share(node, cx).map(Quorum::Share)
        }
    }
}

fn publish<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<SyncVerb> {
    let mut fields = Fields::open(node, "publish", cx)?;
    let topic = fields.required("topic", read::name);
    let value = fields.required("value", read::value_template);
    verbs::finish(fields, "publish");
    Some(SyncVerb::Publish { topic: topic?, value: value? })
}

/// A topic, or `{ topic, count }`.
fn subscribe<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<SyncVerb> {
    if node.as_text().is_some() {
        return read::name(node, cx).map(|topic| SyncVerb::Subscribe { topic, count: None });
    }
    let mut fields = Fields::open(node, "subscribe", cx)?;
    let topic = fields.required("topic", read::name);
    let count = fields.optional("count", read::count);
    verbs::finish(fields, "subscribe");
    if let Some(count) = count.as_ref().filter(|count| count.value == Given::Value(0)) {
        let problem = Diagnostic::new(Code::OutOfRange, count.span, "no values are there without waiting");
        cx.report(problem.expected("a number from 1 on"));
        return None;
    }
    Some(SyncVerb::Subscribe { topic: topic?, count })
}

/// Names, each with a list of values.
pub(super) fn matrix<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<(Word, Vec<Value>)>> {
    let axes = named(node, "axes", cx);
    let axis = |(name, node): (Word, &'n Node)| {
        let mut values = read::each(node, cx, scalar).unwrap_or_default();
        let twice = (1..values.len()).find(|at| values[..*at].contains(&values[*at]));
        if let Some(again) = twice.and_then(|at| node.items()?.get(at)) {
            let problem = Diagnostic::new(
                Code::DuplicateName,
                again.span,
                "this value stands here twice, and so would every test",
            );
            cx.report(problem.help("to run a test several times use `--repeat`, or `repeat` for its steps"));
            values.truncate(1);
        }
        if node.items().is_some_and(<[Node]>::is_empty) {
            let problem = Diagnostic::new(Code::Empty, node.span, "this axis has no values, so no test would run");
            cx.report(problem.expected("at least one value"));
        }
        if values.is_empty() {
            // It was reported. Its name is known all the same, so that its uses are no further mistakes.
            values.push(Value::Null);
        }
        (name, values)
    };
    let mut axes: Vec<(Word, Vec<Value>)> = axes.into_iter().map(axis).collect();
    let combinations = axes.iter().fold(1_usize, |all, (_, values)| all.saturating_mul(values.len()));
    if combinations > MAX_MATRIX {
        let message = format!("{combinations} combinations are more than anybody waits for");
        cx.report(Diagnostic::new(Code::OutOfRange, node.span, message).expected(format!("at most {MAX_MATRIX}")));
        axes.iter_mut().for_each(|(_, values)| values.truncate(1));
    }
    Some(axes)
}

/// A value as expressions see it: numbers and booleans typed, quantities as they are spelled.
fn scalar(node: &Node, cx: &Reading<'_>) -> Option<Value> {
    match &node.kind {
        Kind::Number(text) => Some(serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()))),
        Kind::Bool(value) => Some(Value::from(*value)),
        _ => read::some_text(node, cx).map(|text| Value::from(text.value)),
    }
}

/// Steps of a step, wherever they stand in it.
pub(in super::super) fn inner(step: &Step) -> Vec<&Step> {
    match &step.verb.value {
        Verb::Conduct(Conduct::Parallel(branches)) => branches.iter().flatten().collect(),
        Verb::Conduct(Conduct::Repeat(repeat)) => repeat.steps.iter().collect(),
        _ => Vec::new(),
    }
}

/// These steps and everything in them.
pub(in super::super) fn all<'s>(steps: impl Iterator<Item = &'s Step>) -> Vec<&'s Step> {
    let mut found = Vec::new();
    for step in steps {
        found.push(step);
        found.extend(all(inner(step).into_iter()));
    }
    found
}
