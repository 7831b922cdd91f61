//! The failure block: the place in the plan that did not hold, what was expected there, what came instead, and what the agent saw.

use std::fmt::Write as _;

use super::sanitise;
use super::style::{Style, Tone};
use crate::plan::{Picture, Source, Span, render_picture};
use crate::record::FailureRecord;

/// Lines of one piece of evidence that are shown; the journal has all of it.
pub const EVIDENCE_LINES: usize = 40;

/// Characters of one such line.
const EVIDENCE_WIDTH: usize = 300;

/// Characters under a caret; the whole text stands below the picture.
const UNDER_CARET: usize = 60;

/// The block, ending with a line break.
#[must_use]
pub fn block(source: &Source, failure: &FailureRecord, style: Style) -> String {
    let mut text = match &failure.place {
        Some(place) => {
            let under = failure.expected.as_deref().map(|expected| under_caret(&format!("expected {expected}")));
            let picture = Picture {
                code: None,
                message: headline(failure),
                places: vec![(Span::new(place.span.0, place.span.1), under.unwrap_or_default())],
                help: None,
            };
            render_picture(source, &picture, style.look()).trim_start_matches('\n').to_owned()
        }
        None => format!("  {} {}\n", style.paint(Tone::Bad, "x"), headline(failure)),
    };
    for (name, value) in [("expected", &failure.expected), ("actual", &failure.actual)] {
        if let Some(value) = value {
            add(&mut text, &format!("{:>10}  {}", style.paint(Tone::Strong, &format!("{name:>10}")), indented(value)));
        }
    }
    text.push_str(&evidence(failure, style));
    text
}

/// Test, step and what is wrong, in one line.
#[must_use]
pub fn headline(failure: &FailureRecord) -> String {
    let step = failure.step.as_ref().map(|step| step.id.clone().unwrap_or_else(|| step.title.clone()));
    let whose = [failure.test.clone(), step].into_iter().flatten().collect::<Vec<_>>().join(" / ");
    let title = sanitise::line(&failure.title);
    if whose.is_empty() { title } else { format!("{}: {title}", sanitise::line(&whose)) }
}

fn under_caret(text: &str) -> String {
    sanitise::cut(&sanitise::line(text), UNDER_CARET)
}

fn indented(value: &str) -> String {
    sanitise::block(value).trim_end().replace('\n', "\n            ")
}

fn evidence(failure: &FailureRecord, style: Style) -> String {
    let mut text = String::new();
    let agent = failure.step.as_ref().and_then(|step| step.agent.as_ref());
    for piece in &failure.evidence {
        let whose = agent.map(|agent| format!(", seen by {agent}")).unwrap_or_default();
        let title = format!("{}{whose}", sanitise::line(&piece.title));
        add(&mut text, &format!("  {}", style.paint(Tone::Faint, &format!("{title}:"))));
        let lines = sanitise::block(&piece.text);
        let lines: Vec<&str> = lines.trim_end().lines().collect();
        for line in lines.iter().take(EVIDENCE_LINES) {
            add(&mut text, format!("    | {}", sanitise::cut(line, EVIDENCE_WIDTH)).trim_end());
        }
        if lines.len() > EVIDENCE_LINES {
            add(&mut text, &format!("    | … {} more lines, in the journal", lines.len() - EVIDENCE_LINES));
        }
    }
    text
}

fn add(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Diagnostics;
    use crate::record::PlanPlace;
    use meshproof_proto::event::Evidence;
    use meshproof_proto::verdict::Verdict;

    #[test]
    fn long_evidence_and_long_expectations_are_cut_where_they_would_push_the_rest_away() {
        let source = Source::new("plan.yaml", "a: 1\nb: 2\n", &Diagnostics::default());
        let text: String = (0..100).map(|line| format!("line {line}\n")).collect();
        let failure = FailureRecord {
            verdict: Verdict::Fail,
            test: Some("t".to_owned()),
            step: None,
            place: Some(PlanPlace { file: "plan.yaml".to_owned(), line: 2, column: 4, span: (8, 9) }),
            title: "x".to_owned(),
            expected: Some("y".repeat(200)),
            actual: None,
            evidence: vec![Evidence { title: "log".to_owned(), text }],
        };
        let block = block(&source, &failure, Style::Plain);
        assert!(block.contains("plan.yaml:2:4") && block.contains("    | line 39\n    | … 60 more lines"), "{block}");
        assert!(block.contains(&format!("`-- expected {}…", "y".repeat(UNDER_CARET - 9))), "{block}");
        assert!(block.contains(&format!("  expected  {}\n", "y".repeat(200))), "{block}");
    }
}
