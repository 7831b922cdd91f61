//! What each agent sent to each other one, and which links failed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::frame::note;
use super::text;
use crate::record::ORCHESTRATOR;
use crate::report::limits::MATRIX;
use crate::report::story::{Link, Story};
use crate::report::table::bytes;

/// Pairs of a list.
const PAIRS: usize = 40;

pub(super) fn section(story: &Story) -> Option<String> {
    let names: BTreeSet<&str> = story.links.keys().flat_map(|(from, to)| [from.as_str(), to.as_str()]).collect();
    if names.len() < 2 {
        return None;
    }
    let names: Vec<&str> = names.into_iter().filter(|name| *name != ORCHESTRATOR).chain([ORCHESTRATOR]).collect();
    let mut body = if names.len() <= MATRIX { matrix(story, &names) } else { list(story) };
    body += &joined(story);
    Some(body)
}

fn matrix(story: &Story, names: &[&str]) -> String {
    let most = story.links.values().map(|link| link.bytes).max().unwrap_or(1).max(2);
    let mut table = String::from(
        "<div class=\"scroll\"><table class=\"matrix\"><caption>bytes sent, from the left to the top</caption><thead><tr><td></td>",
    );
    for to in names {
        let _ = write!(table, "<th scope=\"col\">{}</th>", text::line(to));
    }
    table.push_str("</tr></thead><tbody>");
    for from in names {
        let _ = write!(table, "<tr><th scope=\"row\">{}</th>", text::line(from));
        for to in names {
            let link = story.links.get(&((*from).to_owned(), (*to).to_owned()));
            match link {
                _ if from == to => table.push_str("<td class=\"self\"></td>"),
                None => table.push_str("<td class=\"none\">–</td>"),
                Some(link) => table += &cell(link, most),
            }
        }
        table.push_str("</tr>");
    }
    table.push_str("</tbody></table></div>\n");
    table
}

fn cell(link: &Link, most: u64) -> String {
    let strength = (link.bytes.max(1) as f64).ln() / (most as f64).ln() * 100.0;
    let suspected = match link.suspected {
        0 => String::new(),
        times => format!("<small class=\"bad\">{times}× suspect</small>"),
    };
    format!("<td style=\"--strength:{strength:.0}%\">{}{suspected}</td>", bytes(link.bytes))
}

/// The pairs that carried most, where a matrix has no room.
fn list(story: &Story) -> String {
    let mut links: Vec<(&(String, String), &Link)> = story.links.iter().collect();
    links.sort_by_key(|(_, link)| std::cmp::Reverse((link.suspected, link.bytes)));
    let mut table = String::from(
        "<div class=\"scroll\"><table><thead><tr><th>from</th><th>to</th><th class=\"n\">sent</th><th class=\"n\">suspect</th></tr></thead><tbody>",
    );
    for ((from, to), link) in links.iter().take(PAIRS) {
        let (from, to, sent, suspected) = (text::line(from), text::line(to), bytes(link.bytes), link.suspected);
        let _ = write!(
            table,
            "<tr><td>{from}</td><td>{to}</td><td class=\"n\">{sent}</td><td class=\"n\">{suspected}</td></tr>"
        );
    }
    table.push_str("</tbody></table></div>\n");
    if links.len() > PAIRS {
        table += &note(&format!("{} more pairs carried less and were never suspect more often.", links.len() - PAIRS));
    }
    table
}

/// How the orchestrator reached each agent.
fn joined(story: &Story) -> String {
    let agents = story.agents.iter().filter(|(_, agent)| !agent.path.is_empty()).take(PAIRS);
    let agents: Vec<String> = agents
        .map(|(name, agent)| {
            format!(
                "{} {} <span class=\"faint\">{:.1} ms</span>",
                text::line(name),
                text::line(&agent.path),
                agent.rtt_us as f64 / 1_000.0
            )
        })
        .collect();
    if agents.is_empty() {
        String::new()
    } else {
        note(&format!("From the orchestrator when they joined: {}.", agents.join(", ")))
    }
}
