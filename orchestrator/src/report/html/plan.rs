//! The plan as it was, without secrets; lines where something did not hold are marked.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::frame::note;
use super::text;
use crate::report::limits::{LINE, PLAN};
use crate::report::story::Story;

/// Lines before and after the one that is meant.
const AROUND: usize = 3;

pub(super) fn section(story: &Story) -> Option<String> {
    let plan = of(story)?;
    let end = plan.char_indices().map(|(at, _)| at).find(|at| *at >= PLAN).unwrap_or(plan.len());
    let places = story.failures.iter().filter_map(|failure| failure.record.place.as_ref());
    let marked: BTreeSet<usize> = places.map(|place| place.line).collect();
    let lines = plan[..end].lines().enumerate().map(|(at, line)| (at + 1, line));
    let mut body = listing(lines, &marked, " id=\"L");
    if end < plan.len() {
        body += &note(&format!("{} more bytes of the plan are in the journal.", plan.len() - end));
    }
    Some(body)
}

/// The lines around one of them.
pub(super) fn excerpt(story: &Story, line: usize) -> String {
    let Some(plan) = of(story) else { return String::new() };
    let from = line.saturating_sub(AROUND + 1);
    let lines = plan.lines().enumerate().skip(from).take(2 * AROUND + 1).map(|(at, line)| (at + 1, line));
    listing(lines, &BTreeSet::from([line]), " data-l=\"")
}

fn of(story: &Story) -> Option<&str> {
    story.invocation.as_ref().map(|how| how.plan.as_str()).filter(|plan| !plan.is_empty())
}

fn listing<'l>(lines: impl Iterator<Item = (usize, &'l str)>, marked: &BTreeSet<usize>, name: &str) -> String {
    let mut list = String::from("<pre class=\"plan\">");
    for (number, line) in lines {
        let class = if marked.contains(&number) { " class=\"marked\"" } else { "" };
        let _ = write!(list, "<span{class}{name}{number}\"><i>{number:>4}</i> {}\n</span>", text::cut(line, LINE));
    }
    list.push_str("</pre>\n");
    list
}
