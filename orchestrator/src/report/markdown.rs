//! A run as Markdown, short enough for a comment or the summary of a CI job.

use std::fmt::Write as _;

use meshproof_proto::event::Usage;
use meshproof_proto::verdict::Verdict;

use super::failure::headline;
use super::figures::duration;
use super::sanitise;
use super::story::{Agent, Failure, Story};
use super::summary::counted;

/// Rows and failures that are shown; a job's summary has room for a megabyte.
const SHOWN: usize = 50;

/// Characters of one piece of evidence.
const EVIDENCE: usize = 2_000;

/// The page.
#[must_use]
pub fn markdown(story: &Story) -> String {
    let sign = match story.verdict() {
        _ if story.goes_on => "⏳",
        Verdict::Pass => "✅",
        Verdict::Fail | Verdict::Unknown | Verdict::Error => "❌",
    };
    let mut page = format!("## {sign} {}: {}\n\n", text(&story.plan), story.word());
    let exit = story.ending.as_ref().map(|ending| format!(", exit code {}", ending.exit)).unwrap_or_default();
    let steps: u64 = story.steps.by_ending.values().sum();
    let _ = write!(
        page,
        "{} and {steps} steps in {}, run {}, seed {}{exit}.\n\n",
        counted(story.tests.len(), "test"),
        duration(story.duration_ms()),
        code(&story.run),
        story.seed
    );
    if let Some(why) = story.ended_by() {
        let _ = write!(page, "It was ended before its time: {why}.\n\n");
    }
    tests(&mut page, story);
    for failure in story.failures.iter().take(SHOWN) {
        one_failure(&mut page, failure);
    }
    let untold = story.failures.len().saturating_sub(SHOWN) as u64 + story.failures_untold;
    if untold > 0 {
        let _ = write!(page, "{untold} more failures are in the journal.\n\n");
    }
    faults(&mut page, story);
    failovers(&mut page, story);
    resources(&mut page, story);
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn tests(page: &mut String, story: &Story) {
    if story.tests.is_empty() {
        return;
    }
    page.push_str("| test | verdict | took |\n| --- | --- | ---: |\n");
    for test in story.tests.iter().take(SHOWN) {
        let why = test.not_run.as_deref().map(|why| format!(": {}", text(why))).unwrap_or_default();
        let verdict = story.word_of(test) + &why;
        let took = test.ended.map_or_else(String::new, |_| duration(test.duration_ms));
        let _ = writeln!(page, "| {} | {verdict} | {took} |", text(&test.id));
    }
    if story.tests.len() > SHOWN {
        let _ = writeln!(page, "| … {} more | | |", story.tests.len() - SHOWN);
    }
    page.push('\n');
}

fn one_failure(page: &mut String, failure: &Failure) {
    let record = &failure.record;
    let _ = write!(page, "### {}\n\n", text(&headline(record)));
    if let Some(place) = &record.place {
        let _ = write!(page, "at {}\n\n", code(&format!("{}:{}:{}", place.file, place.line, place.column)));
    }
    let mut shown = String::new();
    for (name, value) in [("expected", &record.expected), ("actual", &record.actual)] {
        if let Some(value) = value {
            let _ = writeln!(shown, "{name:>8}  {}", sanitise::cut(value, EVIDENCE));
        }
    }
    if !shown.is_empty() {
        page.push_str(&fenced(&shown));
    }
    for piece in &record.evidence {
        let _ = write!(
            page,
            "<details><summary>{}</summary>\n\n{}</details>\n\n",
            text(&piece.title),
            fenced(&sanitise::cut(&piece.text, EVIDENCE))
        );
    }
}

fn faults(page: &mut String, story: &Story) {
    if story.faults.is_empty() {
        return;
    }
    page.push_str("| fault | on | asked | measured | healed |\n| --- | --- | --- | --- | --- |\n");
    for fault in story.faults.iter().take(SHOWN) {
        let report = fault.ended.as_ref().map(|(_, report)| report);
        let measured = report.map_or("", |report| report.measured.as_str());
        let healed = if report.is_some_and(|report| report.healed) { "yes" } else { "**no**" };
        let [name, target, asked] = [&fault.name, &fault.target, &fault.asked].map(|cell| text(cell));
        let _ = writeln!(page, "| {name} | {target} | {asked} | {} | {healed} |", text(measured));
    }
    page.push('\n');
}

fn failovers(page: &mut String, story: &Story) {
    for failover in story.failovers.iter().take(SHOWN) {
        let back = failover.complete.map_or_else(
            || "nobody took over".to_owned(),
            |(at, replayed)| {
                format!(
                    "another instance took over after {}, {replayed} events replayed",
                    duration(at - failover.detected)
                )
            },
        );
        let _ = writeln!(page, "- agent {} was gone ({}): {back}", text(&failover.agent), text(&failover.how));
    }
    if !story.failovers.is_empty() {
        page.push('\n');
    }
}

fn resources(page: &mut String, story: &Story) {
    for (whose, of) in [("service", (|agent| agent.usage) as fn(&Agent) -> Option<Usage>), ("agent", |agent| agent.own)]
    {
        let used: Vec<_> =
            story.agents.iter().filter_map(|(name, agent)| Some((name, of(agent)?))).take(SHOWN).collect();
        if used.is_empty() {
            continue;
        }
        let _ = writeln!(page, "| {whose} | processor | peak memory |\n| --- | ---: | ---: |");
        for (name, usage) in used {
            let memory = indicatif::BinaryBytes(usage.memory_most_bytes);
            let _ = writeln!(page, "| {} | {} | {memory} |", text(name), duration(usage.cpu_ms as f64));
        }
        page.push('\n');
    }
}

/// A text inside of a line: nothing in it is Markdown or HTML, nor mentions anybody.
fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in sanitise::line(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // else it would notify somebody, or link to an issue
            '@' => safe.push_str("&#64;"),
            '#' => safe.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => safe.extend(['\\', character]),
            character => safe.push(character),
        }
    }
    safe
}

/// A text as code inside of a line.
fn code(text: &str) -> String {
    let text = sanitise::line(text);
    let fence = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Lines as they are, in a fence that nothing inside of them closes.
fn fenced(text: &str) -> String {
    let text = sanitise::block(text);
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n\n", text.trim_end())
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_a_service_chose_is_text() {
        assert_eq!(text("*a* <b> @me #1 | `x`"), "\\*a\\* &lt;b&gt; &#64;me &#35;1 \\| \\`x\\`");
        assert_eq!(code("a`b``c"), "```a`b``c```");
        let block = fenced("before\n```\n# heading\x1b[2J\n````\n");
        assert!(
            block.starts_with("`````text\n") && block.ends_with("\n`````\n\n") && !block.contains('\x1b'),
            "{block}"
        );
    }
}
