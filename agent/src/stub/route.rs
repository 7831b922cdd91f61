//! Which route takes a call, and which comes nearest when none does. Pure.

use meshproof_proto::order::{RequestPart, StubReply, StubRoute};
use serde_json::Value;

use super::glob;
use super::request::Asked;

/// The first route whose conditions all hold.
pub(super) fn find(routes: &[StubRoute], asked: &Asked) -> Option<usize> {
    routes.iter().position(|route| first_mismatch(route, asked).is_none())
}

/// The route of which most holds, and what does not.
pub(super) fn nearest(routes: &[StubRoute], asked: &Asked) -> Option<(String, String)> {
    let judged = routes.iter().filter_map(|route| {
        let (held, why) = first_mismatch(route, asked)?;
        Some((held, route.id.clone(), why))
    });
    // Of equals the first, as it would have answered first.
    let best = judged.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, id, why)| (id, why))
}

/// The reply to the call with this number, from 1: each takes its `times`, the last stays.
pub(super) fn reply(route: &StubRoute, number: u64) -> Option<&StubReply> {
    let mut before = 0_u64;
    let in_turn = route.replies.iter().find(|reply| {
        before = before.saturating_add(reply.times);
        number <= before
    });
    in_turn.or(route.replies.last())
}

/// How many conditions hold before the first that does not, and that one in words. The path counts first: who asks for
/// a path means its route.
fn first_mismatch(route: &StubRoute, asked: &Asked) -> Option<(usize, String)> {
    let path = route.path.as_ref().filter(|glob| !glob::matches(glob, &asked.path));
    if let Some(path) = path {
        return Some((0, format!("its path is {path}")));
    }
    let method = route.method.as_ref().filter(|method| !method.eq_ignore_ascii_case(&asked.method));
    if let Some(method) = method {
        return Some((1, format!("its method is {method}")));
    }
    route.when.iter().enumerate().find_map(|(index, (part, matcher))| {
        let mismatch = matcher.check(&asked.part(part), &Value::Null).err()?;
        let what = part_name(part);
        let at = if mismatch.at.is_empty() { String::new() } else { format!(" at {}", mismatch.at) };
        Some((2 + index, format!("its {what}{at} is {}, not {}", mismatch.expected, mismatch.actual)))
    })
}

fn part_name(part: &RequestPart) -> String {
    match part {
        RequestPart::Query(name) => format!("query `{name}`"),
        RequestPart::Header(name) => format!("header `{name}`"),
        RequestPart::Json => "json".to_owned(),
        RequestPart::Body => "body".to_owned(),
    }
}
