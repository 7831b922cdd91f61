//! What holds for a whole test: `always`, `steady` and `settle`.

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::model::{Settle, Step, Verb, World};
use super::super::read::{self, Fields, Reading};
use super::super::source::Span;
use super::super::tree::{Key, Node};
use super::steps;

/// Expectations that are looked at all the time: how many such lines a log may have, how many calls a stub, what a metric may be.
pub(super) fn always<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Step>> {
    let steps = steps::steps(node, cx)?;
    Some(steps.into_iter().filter(|step| is_watchable(step, cx)).collect())
}

fn is_watchable(step: &Step, cx: &Reading<'_>) -> bool {
    let counted = match &step.verb.value {
        Verb::Expect(World::Log(_)) => Some("count"),
        Verb::Expect(World::Stub(..)) => Some("calls"),
        Verb::Expect(World::Metric(..)) => None,
        _ => {
            let problem = Diagnostic::new(Code::Choice, step.verb.span, "this cannot be watched during a whole test");
            cx.report(problem.expected("an `expect` of a `log`, a `stub` or a `metric`"));
            return false;
        }
    };
    if let Some(odd) = step.checks.iter().find(|check| matches!(check.field.as_str(), "order" | "health")) {
        let message = format!("`{}` does not hold all the time", odd.field);
        cx.report(Diagnostic::new(Code::Check, odd.span, message).expected("`calls`"));
        return false;
    }
    if let Some(counted) = counted.filter(|counted| !step.checks.iter().any(|check| check.field == *counted)) {
        let message = format!("what always holds is a number, and here is no `{counted}`");
        let help = "`count: 0` says that no such line may ever come";
        cx.report(
            Diagnostic::new(Code::MissingKey, step.verb.span, message).expected(format!("`{counted}`")).help(help),
        );
        return false;
    }
    let odd = [
        ("eventually", step.eventually.as_ref().map(|time| time.span)),
        ("within", step.within.as_ref().map(|time| time.span)),
        ("when", step.when.as_ref().map(|when| when.span)),
    ];
    let refuse = |(modifier, span): (&str, Option<Span>)| {
        let message = |modifier| format!("`{modifier}` does not fit what is looked at all the time");
        span.map(|span| cx.report(Diagnostic::new(Code::Modifier, span, message(modifier))))
    };
    odd.into_iter().filter_map(refuse).count() == 0
}

/// Steps that look at the system and leave it as it is.
pub(super) fn steady<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Step>> {
    let steps = steps::steps(node, cx)?;
    Some(steps.into_iter().filter(|step| looks(step, cx)).collect())
}

fn looks(step: &Step, cx: &Reading<'_>) -> bool {
    let looks = steps::asks(&step.verb.value) || matches!(step.verb.value, Verb::Expect(_));
    if !looks {
        let problem = Diagnostic::new(Code::Choice, step.verb.span, "this does not say whether all is well");
        cx.report(problem.expected("a verb that asks a service, or `expect`"));
    }
    looks
}

/// `{ quiet, within }`.
pub(super) fn settle<'n>(key: &Key, node: &'n Node, cx: &'n Reading<'n>) -> Option<Settle> {
    let mut fields = Fields::open(node, "settle", cx)?;
    let quiet = fields.required("quiet", steps::some_time);
    let within = fields.optional("within", steps::some_time);
    fields.finish();
    if let (Some(quiet), Some(within)) = (&quiet, &within)
        && let (read::Given::Value(quiet), read::Given::Value(bound)) = (&quiet.value, &within.value)
        && quiet > bound
    {
        let message = "nobody can be quiet for longer than is waited";
        cx.report(Diagnostic::new(Code::OutOfRange, within.span, message).expected("more than `quiet`"));
        return None;
    }
    Some(Settle { span: key.span.to(node.span), quiet: quiet?, within })
}
