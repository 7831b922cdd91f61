//! The head of the page: what the run came to, and what that rests on.

use std::fmt::Write as _;

use meshproof_proto::verdict::Verdict;

use super::text;
use crate::report::figures::{day_and_time, duration};
use crate::report::story::{Fault, Story};
use crate::report::summary::counted;

/// Whether something that a pass rests on holds.
struct Ground {
    holds: Holds,
    words: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    /// The run goes on.
    NotYet,
}

/// Name, verdict, figures, grounds.
pub(super) fn header(story: &Story) -> String {
    let mut head = format!(
        "<header>\n<p class=\"verdict\"><span class=\"badge\">{}</span></p>\n<h1>{}</h1>\n<p class=\"meta\">{}</p>\n",
        story.word(),
        text::line(&story.plan),
        meta(story)
    );
    head.push_str("<dl class=\"figures\">");
    for (figure, unit) in figures(story) {
        let _ = write!(head, "<div><dd>{figure}</dd><dt>{unit}</dt></div>");
    }
    head.push_str("</dl>\n<ul class=\"grounds\" aria-label=\"What the verdict rests on\">");
    for Ground { holds, words } in grounds(story) {
        let (class, mark) = match holds {
            Holds::Yes => ("holds", "✓"),
            Holds::No => ("fails", "✗"),
            Holds::NotYet => ("waits", "…"),
        };
        let _ = write!(head, "<li class=\"{class}\"><span aria-hidden=\"true\">{mark}</span> {words}</li>");
    }
    head.push_str("</ul>\n</header>");
    head
}

fn meta(story: &Story) -> String {
    let exit = story.ending.as_ref().map(|ending| format!("exit code {}", ending.exit));
    let file = Some(story.file.as_str()).filter(|file| !file.is_empty()).map(text::line);
    let parts = [
        Some(format!("run <code>{}</code>", text::line(&story.run))),
        file.map(|file| format!("<code>{file}</code>")),
        Some(format!("<time>{}</time>", day_and_time(story.began_ms))),
        Some(format!("seed {}", story.seed)),
        exit,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" <span class=\"dot\">·</span> ")
}

fn figures(story: &Story) -> Vec<(String, String)> {
    let steps: u64 = story.steps.by_ending.values().sum();
    let plural = |count: usize, one: &str| if count == 1 { one.to_owned() } else { format!("{one}s") };
    let passed = story.tests_by_verdict().get(&Some(Verdict::Pass)).copied().unwrap_or_default();
    let mut figures = vec![
        (duration(story.duration_ms()), "took".to_owned()),
        (format!("{passed}<small>/{}</small>", story.tests.len()), "tests passed".to_owned()),
        (steps.to_string(), plural(usize::try_from(steps).unwrap_or(usize::MAX), "step")),
        (story.agents.len().to_string(), plural(story.agents.len(), "agent")),
    ];
    let counts = [(story.faults.len(), "fault"), (story.failovers.len(), "failover"), (failures(story), "failure")];
    for (count, one) in counts.into_iter().filter(|(count, _)| *count > 0) {
        figures.push((count.to_string(), plural(count, one)));
    }
    figures
}

fn failures(story: &Story) -> usize {
    story.failures.len() + usize::try_from(story.failures_untold).unwrap_or(usize::MAX)
}

/// Everything that must hold for a pass, with its figures. What the plan does not ask for has no line.
fn grounds(story: &Story) -> Vec<Ground> {
    let tests = story.tests.len();
    let passed = story.tests_by_verdict().get(&Some(Verdict::Pass)).copied().unwrap_or_default();
    // what is not there yet may still come
    let there = |holds: bool| match holds {
        true => Holds::Yes,
        false if story.goes_on => Holds::NotYet,
        false => Holds::No,
    };
    let seen = |holds: bool| if holds { Holds::Yes } else { Holds::No };
    let came = match (&story.ending, story.ended_by()) {
        (Some(_), None) => "the run came to its end".to_owned(),
        (Some(_), Some(why)) => format!("the run was ended before its time: {why}"),
        (None, _) if story.goes_on => "the run goes on".to_owned(),
        (None, _) => "the run never came to its end".to_owned(),
    };
    let mut grounds = vec![
        Ground { holds: there(story.ending.is_some() && story.ended_by().is_none()), words: came },
        Ground {
            holds: there(passed == tests && tests > 0),
            words: format!("{passed} of {} passed", counted(tests, "test")),
        },
        steps(story),
    ];
    let bounds = super::thresholds::kept(story);
    if !bounds.is_empty() {
        let (held, all) = (bounds.iter().filter(|bound| bound.holds()).count(), bounds.len());
        grounds
            .push(Ground { holds: there(held == all), words: format!("{held} of {} held", counted(all, "threshold")) });
    }
    // no verdict hangs on what persons disturb
    let planned: Vec<&Fault> = story.faults.iter().filter(|fault| fault.by.is_none()).collect();
    if !planned.is_empty() {
        let is = |test: fn(&meshproof_proto::order::FaultReport) -> bool| {
            planned.iter().filter(|fault| fault.ended.as_ref().is_some_and(|(_, report)| test(report))).count()
        };
        let (effective, healed, all) = (is(|report| report.effective), is(|report| report.healed), planned.len());
        let words = if effective == all && healed == all {
            format!("{} did something and healed", counted(all, "fault"))
        } else {
            format!("of {}, {effective} did something and {healed} were seen to heal", counted(all, "fault"))
        };
        grounds.push(Ground { holds: there(effective == all && healed == all), words });
    }
    if !story.failovers.is_empty() {
        let (back, all) =
            (story.failovers.iter().filter(|failover| failover.complete.is_some()).count(), story.failovers.len());
        let words = format!("{back} of {} completed", counted(all, "failover"));
        grounds.push(Ground { holds: there(back == all), words });
    }
    let lost = story.lost_events;
    let words = if lost == 0 { "no event was lost".to_owned() } else { format!("{lost} events were lost") };
    grounds.push(Ground { holds: seen(lost == 0), words });
    grounds
}

/// Steps that must pass; of the others it is said that some did not.
fn steps(story: &Story) -> Ground {
    let ended: u64 = story.steps.by_ending.values().sum();
    let bad: u64 = ["fail", "unknown", "error"].iter().filter_map(|word| story.steps.by_ending.get(word)).sum();
    let [ended, bad, optional] = [ended, bad - story.steps.optional_missed, story.steps.optional_missed]
        .map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    let required = counted(story.expected_steps, "required step");
    let (holds, mut words) = if bad > 0 {
        (Holds::No, counted(bad, "step") + &format!(" did not pass ({required})"))
    } else if ended < story.expected_steps {
        let holds = if story.goes_on { Holds::NotYet } else { Holds::No };
        (holds, format!("{ended} of {required} ended"))
    } else {
        (Holds::Yes, format!("every step passed ({required})"))
    };
    if optional > 0 {
        words += &format!("; {} did not pass", counted(optional, "optional step"));
    }
    Ground { holds, words }
}
