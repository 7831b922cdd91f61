//! The bounds that the plan sets, and how the run kept to them.

use std::fmt::Write as _;

use super::frame::note;
use super::text;
use crate::plan::{Threshold, thresholds};
use crate::record::Ending;
use crate::report::figures::duration;
use crate::report::limits::ROWS;
use crate::report::story::{Step, Story};

/// How a bound was kept to.
pub(super) struct Kept {
    threshold: Threshold,
    /// The step's title and test.
    step: String,
    /// Steps that passed, so that it held, and all that have ended.
    held: usize,
    ended: usize,
    /// What came instead, where that is told.
    instead: Option<String>,
    longest_ms: f32,
}

impl Kept {
    pub(super) fn holds(&self) -> bool {
        self.ended > 0 && self.held == self.ended && self.instead.is_none()
    }
}

/// Of every bound of the plan. A step that passed has kept to all of its own.
pub(super) fn kept(story: &Story) -> Vec<Kept> {
    let Some(how) = &story.invocation else { return Vec::new() };
    thresholds(&how.plan).into_iter().map(|threshold| of(story, threshold)).collect()
}

fn of(story: &Story, threshold: Threshold) -> Kept {
    let (start, end) = (threshold.span.start, threshold.span.end);
    let mut broken = story
        .failures
        .iter()
        .map(|failure| &failure.record)
        .filter(|record| record.place.as_ref().is_some_and(|place| (start..end).contains(&place.span.0)));
    let instead = broken.next().map(|record| record.actual.clone().unwrap_or_else(|| record.title.clone()));
    let is_its = |step: &&Step| threshold.lines.contains(&story.steps.kind(step).line);
    let steps: Vec<&Step> =
        story.steps.all.iter().filter(is_its).filter(|step| step.ending != Ending::Skipped).collect();
    let step = steps.first().map(|step| story.steps.kind(step));
    Kept {
        step: step.map(|kind| format!("{} · {}", kind.test, of_all(&kind.title))).unwrap_or_default(),
        held: steps.iter().filter(|step| step.ending == Ending::Pass).count(),
        ended: steps.len(),
        instead,
        longest_ms: steps.iter().map(|step| step.duration_ms).fold(0.0, f32::max),
        threshold,
    }
}

/// A repeated step's title without which of them it was: `GET / [i=3]`.
fn of_all(title: &str) -> &str {
    match title.rsplit_once(" [") {
        Some((title, which)) if which.ends_with(']') && which.contains('=') => title,
        _ => title,
    }
}

pub(super) fn section(story: &Story) -> Option<String> {
    let kept = kept(story);
    if kept.is_empty() {
        return None;
    }
    let mut table = String::from(
        "<div class=\"scroll\"><table><thead><tr><th>step</th><th>expected</th><th>came</th><th class=\"n\">step took at most</th>\
         <th class=\"n\">held</th><th></th></tr></thead><tbody>",
    );
    for kept in kept.iter().take(ROWS) {
        table += &row(kept);
    }
    table.push_str("</tbody></table></div>\n");
    if kept.len() > ROWS {
        table += &note(&format!("{} more thresholds are in the plan.", kept.len() - ROWS));
    }
    Some(table)
}

fn row(kept: &Kept) -> String {
    let Kept { threshold, step, held, ended, instead, longest_ms } = kept;
    let came = match (instead, kept.holds(), ended) {
        (Some(instead), ..) => text::cut(instead, 80),
        (None, true, _) => "within".to_owned(),
        (None, false, 0) => "its step never ended".to_owned(),
        (None, false, _) => "not known: its step did not pass".to_owned(),
    };
    let mark = if kept.holds() { "<td class=\"good\">✓</td>" } else { "<td class=\"bad\">✗</td>" };
    let took = if *ended > 0 { duration(f64::from(*longest_ms)) } else { String::new() };
    let line = threshold.lines.first().copied().unwrap_or_default();
    let mut row = format!("<tr><th scope=\"row\">{}</th>", text::cut(if step.is_empty() { "–" } else { step }, 100));
    let _ = write!(
        row,
        "<td>{} {} <span class=\"faint\">line {line}</span></td><td>{came}</td><td class=\"n\">{took}</td><td class=\"n\">{held} of {ended}</td>{mark}</tr>",
        text::cut(&threshold.field, 60),
        text::cut(&threshold.bound, 60),
    );
    row
}
