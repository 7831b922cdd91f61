//! Each failure: where the plan says it, what was expected and came instead, what its agent saw, and what everybody told around it.

use std::fmt::Write as _;

use super::frame::note;
use super::{log, plan, text};
use crate::record::FailureRecord;
use crate::report::failure::headline;
use crate::report::limits::{EVIDENCE, EVIDENCE_ALL, FAILURES, LINE};
use crate::report::story::{Failure, Story};

pub(super) fn section(story: &Story) -> Option<String> {
    if story.failures.is_empty() {
        return None;
    }
    let mut body = String::new();
    for failure in story.failures.iter().take(FAILURES) {
        let seen = if body.len() < EVIDENCE_ALL {
            evidence(&failure.record) + &around(failure)
        } else {
            note("The page is full; what was seen and told around it is in the journal.")
        };
        body += &whole(story, failure, &seen);
    }
    let rest: Vec<&Failure> = story.failures.iter().skip(FAILURES).collect();
    if !rest.is_empty() {
        let _ =
            write!(body, "<details class=\"card\"><summary>{} more, by name</summary><ul class=\"plain\">", rest.len());
        for failure in &rest {
            let _ = write!(body, "<li>{}</li>", text::cut(&headline(&failure.record), LINE));
        }
        body.push_str("</ul></details>\n");
    }
    if story.failures_untold > 0 {
        body += &note(&format!("{} further failures are not shown; the journal has them.", story.failures_untold));
    }
    Some(body)
}

fn whole(story: &Story, failure: &Failure, seen: &str) -> String {
    let record = &failure.record;
    let agent = record.step.as_ref().and_then(|step| step.agent.as_ref());
    let by = agent.map(|agent| format!(" by <b>{}</b>", text::line(agent.as_str()))).unwrap_or_default();
    let mut card = format!(
        "<article class=\"card failure\">\n<p class=\"kind\"><span class=\"tag {0}\">{0}</span> at {1}{by}</p>\n<h3>{2}</h3>\n",
        record.verdict,
        log::moment(failure.at),
        text::quoting(shortened(&headline(record)).0),
    );
    card += &compared(record);
    if let Some(place) = &record.place {
        let shown = format!("{}:{}:{}", place.file, place.line, place.column);
        let _ = writeln!(card, "<p class=\"where\"><a href=\"#L{}\">{}</a></p>", place.line, text::line(&shown));
        card += &plan::excerpt(story, place.line);
    }
    card.push_str(seen);
    card.push_str("</article>\n");
    card
}

/// What the agent saw, as much of it as a page has room for.
fn evidence(record: &FailureRecord) -> String {
    let mut seen = String::new();
    for piece in &record.evidence {
        let (shown, more) = shortened(&piece.text);
        let more = if more == 0 {
            String::new()
        } else {
            format!("<p class=\"note\">{more} more characters are in the journal.</p>")
        };
        let title = text::line(&piece.title);
        let _ = writeln!(
            seen,
            "<details class=\"evidence\" open><summary>{title}</summary><pre>{}</pre>{more}</details>",
            text::block(shown)
        );
    }
    seen
}

fn compared(record: &FailureRecord) -> String {
    let both = [("expected", &record.expected), ("actual", &record.actual)];
    let lines: String = both
        .iter()
        .filter_map(|(name, value)| {
            let (shown, more) = shortened(value.as_deref()?);
            let more = if more == 0 { "" } else { " …" };
            Some(format!("<dt>{name}</dt><dd class=\"{name}\"><pre>{}{more}</pre></dd>", text::block(shown)))
        })
        .collect();
    if lines.is_empty() { lines } else { format!("<dl class=\"compared\">{lines}</dl>\n") }
}

/// What is shown of it, and how many characters are not.
fn shortened(text: &str) -> (&str, usize) {
    match text.char_indices().nth(EVIDENCE) {
        Some((end, _)) => (&text[..end], text[end..].chars().count()),
        None => (text, 0),
    }
}

fn around(failure: &Failure) -> String {
    if failure.around.is_empty() {
        return String::new();
    }
    let untold = match failure.around_untold {
        0 => String::new(),
        untold => note(&format!("{untold} more lines of that time are in the journal.")),
    };
    format!(
        "<details class=\"evidence\" open><summary>Everybody, around this moment</summary>{}{untold}</details>\n",
        log::lines(failure.around.iter(), Some(failure.at))
    )
}
