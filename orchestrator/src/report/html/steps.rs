//! Each test with its steps. What did not pass is open; of the rest as many as anybody reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::frame::note;
use super::text;
use crate::record::{Ending, Section};
use crate::report::figures::duration;
use crate::report::limits::ROWS;
use crate::report::story::{Step, Story, Test, word};
use meshproof_proto::verdict::Verdict;

pub(super) fn section(story: &Story) -> Option<String> {
    let mut steps: BTreeMap<&str, Vec<&Step>> = BTreeMap::new();
    for step in &story.steps.all {
        steps.entry(story.steps.kind(step).test.as_str()).or_default().push(step);
    }
    let mut room = Room { steps: ROWS, left_out: 0 };
    let mut body = String::new();
    // what did not pass comes first to the room that there is
    let (bad, good): (Vec<&Test>, Vec<&Test>) =
        story.tests.iter().partition(|test| test.verdict != Some(Verdict::Pass));
    for test in bad.iter().chain(&good).take(ROWS) {
        let steps = steps.remove(test.id.as_str()).unwrap_or_default();
        body += &of_test(story, test, &steps, &mut room);
    }
    if let Some(readiness) = steps.remove("") {
        body += &of_test(
            story,
            &Test { id: "before the tests".to_owned(), verdict: Some(Verdict::Pass), ..Test::default() },
            &readiness,
            &mut room,
        );
    }
    if story.tests.len() > ROWS {
        body += &note(&format!("{} more tests are not shown.", story.tests.len() - ROWS));
    }
    if room.left_out > 0 {
        body += &note(&format!(
            "{} more steps are not shown: those that passed, of tests with many. The journal has all of them.",
            room.left_out
        ));
    }
    (!body.is_empty()).then_some(body)
}

/// Rows that may still be shown.
struct Room {
    steps: usize,
    left_out: usize,
}

fn of_test(story: &Story, test: &Test, steps: &[&Step], room: &mut Room) -> String {
    let verdict = story.word_of(test);
    let class = test.verdict.map_or("skipped", |verdict| word(Ending::from(verdict)));
    let open = if test.verdict == Some(Verdict::Pass) { "" } else { " open" };
    let took = if test.ended.is_some() { format!(" · {}", duration(test.duration_ms)) } else { String::new() };
    let why =
        test.not_run.as_deref().map(|why| format!("<p class=\"note\">{}</p>", text::line(why))).unwrap_or_default();
    let mut card = format!(
        "<details class=\"card test\"{open}><summary><span class=\"tag {class}\">{verdict}</span> <b>{}</b> <span class=\"faint\">{}{took}</span></summary>{why}",
        text::line(&test.id),
        crate::report::summary::counted(steps.len(), "step"),
    );
    card.push_str("<ol class=\"steps\">");
    for step in steps {
        if step.ending == Ending::Pass && room.steps == 0 {
            room.left_out += 1;
            continue;
        }
        room.steps = room.steps.saturating_sub(1);
        card += &line(story, step);
    }
    card.push_str("</ol></details>\n");
    card
}

fn line(story: &Story, step: &Step) -> String {
    let kind = story.steps.kind(step);
    let id = kind.id.as_deref().map(|id| format!("<code>{}</code> ", text::line(id))).unwrap_or_default();
    let mut notes = String::new();
    if let Some(section) = section_word(kind.section()) {
        let _ = write!(notes, " <span class=\"faint\">{section}</span>");
    }
    if step.tries > 1 {
        let _ = write!(notes, " <span class=\"faint\">{} tries</span>", step.tries);
    }
    if kind.optional {
        notes.push_str(" <span class=\"faint\">optional</span>");
    }
    let why =
        step.why.as_deref().map(|why| format!("<span class=\"why\">{}</span>", text::quoting(why))).unwrap_or_default();
    format!(
        "<li class=\"{}\"><span class=\"mark\">{}</span><span class=\"took\">{}</span><span class=\"what\">{id}{} <span class=\"faint\">{}</span>{notes}{why}</span></li>",
        word(step.ending),
        mark(step.ending),
        if step.ending == Ending::Skipped { String::new() } else { duration(f64::from(step.duration_ms)) },
        text::cut(&kind.title, 200),
        text::line(kind.who()),
    )
}

fn section_word(section: Section) -> Option<&'static str> {
    match section {
        Section::Steps => None,
        Section::Ready => Some("readiness"),
        Section::After => Some("after"),
        Section::Always => Some("always"),
        Section::Steady => Some("steady"),
        Section::SteadyAfter => Some("steady again"),
        Section::Settle => Some("settle"),
    }
}

fn mark(ending: Ending) -> &'static str {
    match ending {
        Ending::Pass => "✓",
        Ending::Fail | Ending::Error => "✗",
        Ending::Unknown => "?",
        Ending::Skipped => "–",
    }
}
