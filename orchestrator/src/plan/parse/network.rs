//! `network`: conditions, regions, what lies between them, and the way out.

use meshproof_proto::order::Egress;

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::model::{Between, Conditions, Network, Region, Word};
use super::super::read::{self, Fields, Reading};
use super::super::source::Spanned;
use super::super::tree::{Kind, Node};
use super::named;

pub(super) fn network<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Network> {
    let mut fields = Fields::open(node, "a network", cx)?;
    let default = fields.optional("default", conditions).unwrap_or_default();
    let regions = fields.optional("regions", regions).unwrap_or_default();
    let between = fields.optional("between", |node, cx| read::each(node, cx, between)).unwrap_or_default();
    let egress = fields.optional("egress", egress);
    let span = fields.whole();
    fields.finish();
    Some(Network { span, default, regions, between, egress: egress.unwrap_or(Spanned::new(Egress::Host, span)) })
}

fn conditions<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Conditions> {
    let mut fields = Fields::open(node, "conditions of a network", cx)?;
    let conditions = Conditions {
        latency: fields.optional("latency", read::duration),
        jitter: fields.optional("jitter", read::duration),
        loss: fields.optional("loss", read::percent),
        bandwidth: fields.optional("bandwidth", read::bandwidth),
        duplicate: fields.optional("duplicate", read::percent),
        reorder: fields.optional("reorder", read::percent),
        corrupt: fields.optional("corrupt", read::percent),
    };
    fields.finish();
    Some(conditions)
}

fn regions<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<(Word, Region)>> {
    let region = |(name, node): (Word, &'n Node)| {
        if let Kind::Text(_) | Kind::Number(_) = &node.kind {
            // one that was reported is known all the same
            let share = read::percent(node, cx).map(Region::Share);
            return (name, share.unwrap_or_else(|| Region::Of(Vec::new())));
        }
        if node.items().is_some_and(<[Node]>::is_empty) {
            let problem = Diagnostic::new(Code::Empty, node.span, "nobody is in this region");
            cx.report(problem.expected("services and groups, or a share"));
        }
        (name, Region::Of(read::each(node, cx, read::name).unwrap_or_default()))
    };
    Some(named(node, "regions", cx).into_iter().map(region).collect())
}

/// `[eu, us, 45ms]`, or conditions in place of the latency.
fn between<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Between> {
    let [one, other, third] = read::list(node, cx)? else {
        let problem = Diagnostic::new(Code::WrongType, node.span, "this does not say what lies between what");
        cx.report(problem.expected("`[eu, us, 45ms]`, or `[eu, us, { latency: 45ms, loss: 1% }]`"));
        return None;
    };
    let ends = [read::name(one, cx), read::name(other, cx)];
    let conditions = match &third.kind {
        Kind::Map(_) => conditions(third, cx),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
            read::duration(third, cx).map(Conditions::latency)
        }
    };
    let [one, other] = ends;
    Some(Between { ends: [one?, other?], conditions: conditions? })
}

fn egress(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Egress>> {
    read::choice(node, &[("host", Egress::Host), ("none", Egress::Nowhere)], cx)
}
