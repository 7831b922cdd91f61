//! What the services' processes used, and the agents beside them.

use std::fmt::Write as _;

use meshproof_proto::event::Usage;

use super::scale::Scale;
use super::text;
use crate::report::figures::duration;
use crate::report::limits::ROWS;
use crate::report::story::{Agent, Story};

pub(super) fn section(story: &Story) -> Option<String> {
    let used: Vec<(&String, &Agent)> =
        story.agents.iter().filter(|(_, agent)| agent.usage.or(agent.own).is_some()).take(ROWS).collect();
    if used.is_empty() {
        return None;
    }
    let mut table = String::from(
        "<div class=\"scroll\"><table><thead><tr><th>service</th><th class=\"n\">processor</th><th class=\"n\">peak memory</th>\
         <th class=\"n\">descriptors</th><th class=\"wide\">memory over time</th></tr></thead><tbody>",
    );
    for (name, agent) in used {
        let name = text::line(name);
        if let Some(usage) = agent.usage {
            row(&mut table, (&name.to_string(), usage), &curve(agent, story.last));
        }
        if let Some(own) = agent.own {
            row(&mut table, (&format!("agent of {name}"), own), "");
        }
    }
    table.push_str("</tbody></table></div>\n");
    Some(table)
}

fn row(table: &mut String, (name, usage): (&str, Usage), curve: &str) {
    let _ = write!(
        table,
        "<tr><th scope=\"row\">{name}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"wide\">{curve}</td></tr>",
        duration(usage.cpu_ms as f64),
        indicatif::BinaryBytes(usage.memory_most_bytes),
        usage.descriptors_most,
    );
}

/// A line without scale: it shows growth.
fn curve(agent: &Agent, whole_ms: f64) -> String {
    let most = agent.memory.iter().map(|(_, bytes)| *bytes).max().unwrap_or_default();
    if agent.memory.len() < 3 || most == 0 {
        return format!("<span class=\"faint\">{} samples</span>", agent.samples);
    }
    let scale = Scale::new(whole_ms);
    let point = |(at, bytes): &(f64, u64)| {
        format!("{:.1},{:.1} ", scale.at(*at) * 4.0, 23.0 - *bytes as f64 / most as f64 * 21.0)
    };
    let points: String = agent.memory.iter().map(point).collect();
    format!(
        "<svg class=\"curve\" viewBox=\"0 0 400 24\" preserveAspectRatio=\"none\" height=\"24\" role=\"img\" aria-label=\"{} samples of memory\"><polyline points=\"{}\"/></svg>",
        agent.samples,
        points.trim_end()
    )
}
