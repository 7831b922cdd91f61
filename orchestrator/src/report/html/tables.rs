//! Faults, failovers, stubs, and where it all happened.

use std::fmt::Write as _;

use super::frame::note;
use super::log::moment;
use super::text;
use crate::report::figures::duration;
use crate::report::limits::ROWS;
use crate::report::story::{Fault, Story, Stub};

/// What was asked for, and what was measured.
pub(super) fn faults(story: &Story) -> Option<String> {
    if story.faults.is_empty() {
        return None;
    }
    let mut table = String::from(
        "<div class=\"scroll\"><table><thead><tr><th>fault</th><th>on</th><th>asked</th><th>measured</th><th class=\"n\">off by</th><th class=\"n\">began</th><th class=\"n\">lasted</th><th>effect</th><th>healed</th></tr></thead><tbody>",
    );
    for fault in story.faults.iter().take(ROWS) {
        table += &fault_row(fault);
    }
    table.push_str("</tbody></table></div>\n");
    if story.faults.len() > ROWS {
        table += &note(&format!("{} more faults are in the journal.", story.faults.len() - ROWS));
    }
    Some(table)
}

fn fault_row(fault: &Fault) -> String {
    let report = fault.ended.as_ref().map(|(_, report)| report);
    let measured = report.map_or("", |report| report.measured.as_str());
    let measured = if measured.is_empty() { "nothing" } else { measured };
    let off = report.and_then(|report| report.deviation_percent).map_or_else(String::new, |off| format!("{off:.1} %"));
    let lasted = fault.ended.as_ref().map_or_else(|| "to the end".to_owned(), |(at, _)| duration(at - fault.began));
    let yes = |is: Option<bool>| match is {
        Some(true) => "<td class=\"good\">✓</td>",
        Some(false) => "<td class=\"bad\">✗</td>",
        None => "<td class=\"bad\">not told</td>",
    };
    format!(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{off}</td><td class=\"n\">{}</td><td class=\"n\">{lasted}</td>{}{}</tr>",
        text::cut(&fault.name, 60),
        text::cut(&fault.target, 80),
        text::cut(&fault.asked, 80),
        text::cut(measured, 160),
        moment(fault.began),
        yes(report.map(|report| report.effective)),
        yes(report.map(|report| report.healed)),
    )
}

/// Who was gone, and who took over.
pub(super) fn failovers(story: &Story) -> Option<String> {
    if story.failovers.is_empty() {
        return None;
    }
    let mut table = String::from(
        "<div class=\"scroll\"><table><thead><tr><th>agent</th><th>what happened</th><th class=\"n\">detected</th><th class=\"n\">another decided</th><th class=\"n\">complete</th><th class=\"n\">replayed</th></tr></thead><tbody>",
    );
    for failover in story.failovers.iter().take(ROWS) {
        let after = |at: f64| format!("after {}", duration(at - failover.detected));
        let decided = failover
            .decided
            .as_ref()
            .map_or_else(|| "never".to_owned(), |(at, term)| format!("{}, term {}", after(*at), text::line(term)));
        let (complete, replayed) = match failover.complete {
            Some((at, replayed)) => (after(at), format!("{replayed} events")),
            None => ("<span class=\"bad\">never</span>".to_owned(), String::new()),
        };
        let _ = write!(
            table,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{decided}</td><td class=\"n\">{complete}</td><td class=\"n\">{replayed}</td></tr>",
            text::line(&failover.agent),
            text::cut(&failover.how, 160),
            moment(failover.detected),
        );
    }
    table.push_str("</tbody></table></div>\n");
    Some(table)
}

/// What stubs were called for.
pub(super) fn stubs(story: &Story) -> Option<String> {
    if story.stubs.is_empty() {
        return None;
    }
    let mut table = String::from(
        "<div class=\"scroll\"><table><thead><tr><th>stub</th><th>route</th><th class=\"n\">calls</th><th>answered with</th><th class=\"n\">longest</th><th>trouble</th></tr></thead><tbody>",
    );
    for ((stub, route), calls) in story.stubs.iter().take(ROWS) {
        table += &stub_row(stub, route.as_deref(), calls);
    }
    table.push_str("</tbody></table></div>\n");
    if story.stubs.len() > ROWS {
        table += &note(&format!("{} more routes are in the journal.", story.stubs.len() - ROWS));
    }
    Some(table)
}

fn stub_row(stub: &str, route: Option<&str>, calls: &Stub) -> String {
    let statuses: Vec<String> = calls
        .statuses
        .iter()
        .take(8)
        .map(|(status, count)| format!("{status} <span class=\"faint\">×{count}</span>"))
        .collect();
    let trouble =
        [(calls.unexpected, "unexpected"), (calls.errors, "could not answer"), (calls.untold, "counted only")];
    let trouble: Vec<String> =
        trouble.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    format!(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"bad\">{}</td></tr>",
        text::cut(stub, 60),
        route.map_or_else(|| "<span class=\"faint\">none</span>".to_owned(), |route| text::cut(route, 80)),
        calls.calls + calls.untold,
        statuses.join(", "),
        duration(calls.longest_ms),
        trouble.join(", "),
    )
}

/// Where and how it was run.
pub(super) fn environment(story: &Story) -> Option<String> {
    let how = story.invocation.as_ref()?;
    let command =
        std::iter::once("meshproof run".to_owned()).chain(how.arguments.iter().map(|argument| quoted(argument)));
    let command = if how.arguments.is_empty() { "from Rust".to_owned() } else { command.collect::<Vec<_>>().join(" ") };
    let rows = [
        ("meshproof", how.version.clone()),
        ("system", how.system.clone()),
        ("machine", format!("{} cores, {}", how.cores, indicatif::BinaryBytes(how.memory_bytes))),
        ("folder", how.directory.clone()),
        ("started", command),
        ("again", format!("meshproof rerun {}", story.run)),
        ("plan's digest", story.digest.clone()),
    ];
    let rows = rows.iter().map(|(name, value)| format!("<dt>{name}</dt><dd><code>{}</code></dd>", text::line(value)));
    Some(format!("<dl class=\"about\">{}</dl>\n", rows.collect::<String>()))
}

/// As a shell would take it.
fn quoted(argument: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_=./:@,+%".contains(character);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}
