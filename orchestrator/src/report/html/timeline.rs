//! Who did what when: tests and faults on top, a lane for each agent below, faults and failovers as bands through the lanes they
//! concern.

use std::fmt::Write as _;

use super::frame::note;
use super::lanes::{Bar, Label, Lane};
use super::scale::Scale;
use super::text;
use crate::record::{Ending, ORCHESTRATOR};
use crate::report::figures::duration;
use crate::report::limits::{LANES, SHAPES};
use crate::report::story::{Fault, Step, Story, word};

pub(super) fn section(story: &Story) -> Option<String> {
    let whole_ms = story.last.max(story.duration_ms());
    if whole_ms <= 0.0 {
        return None;
    }
    let scale = Scale::new(whole_ms);
    let names = lanes(story);
    let cells = (SHAPES / (names.len() + 2)).clamp(60, 1_000);
    let mut body = String::from("<div class=\"timeline\">\n");
    row(&mut body, "", 22, &axis(scale));
    let tests = Lane::new(tests(story), whole_ms, cells);
    row(&mut body, "tests", tests.height(), &tests.shapes(scale, Label::Title));
    if !story.faults.is_empty() {
        let faults = Lane::new(story.faults.iter().map(|fault| fault_bar(fault, whole_ms)).collect(), whole_ms, cells);
        row(&mut body, "faults", faults.height(), &faults.shapes(scale, Label::Title));
    }
    let mut bars = bars_by_lane(story, &names);
    for (name, bars) in names.iter().zip(&mut bars) {
        let lane = Lane::new(std::mem::take(bars), whole_ms, cells);
        let shapes = bands(story, name, scale) + &lane.shapes(scale, Label::None) + &marks(story, name, scale);
        row(&mut body, name, lane.height(), &shapes);
    }
    body.push_str("</div>\n");
    body += LEGEND;
    let left_out = (story.agents.len() + 1).saturating_sub(names.len());
    if left_out > 0 {
        body += &note(&format!("{left_out} more agents have no lane here."));
    }
    if story.steps.untold > 0 {
        body += &note(&format!("{} later steps are counted and not drawn.", story.steps.untold));
    }
    Some(body)
}

const LEGEND: &str = "<p class=\"legend\"><span class=\"key pass\">pass</span> <span class=\"key fail\">fail or error</span> \
    <span class=\"key unknown\">unknown</span> <span class=\"key skipped\">skipped</span> <span class=\"key fault\">fault</span> \
    <span class=\"key gone\">agent gone</span> <span class=\"faint\">hover a bar to read it</span></p>\n";

/// Name on the left, drawing on the right.
fn row(body: &mut String, name: &str, height: usize, shapes: &str) {
    let _ = writeln!(
        body,
        "<div class=\"row\"><div class=\"who\">{}</div><svg height=\"{height}\" role=\"img\" aria-label=\"{}\">{shapes}</svg></div>",
        text::cut(name, 40),
        if name.is_empty() { "time".to_owned() } else { text::line(name) },
    );
}

fn axis(scale: Scale) -> String {
    let tick = |tick: f64| {
        let x = scale.at(tick);
        let anchor = if x > 94.0 { "end" } else { "start" };
        let label = duration(tick);
        let label = if tick == 0.0 { "0" } else { &label };
        format!(
            "<line class=\"tick\" x1=\"{x:.3}%\" x2=\"{x:.3}%\" y1=\"4\" y2=\"22\"/><text class=\"tick\" x=\"{x:.3}%\" dx=\"{}\" y=\"15\" text-anchor=\"{anchor}\">{label}</text>",
            if anchor == "end" { -4 } else { 4 }
        )
    };
    scale.ticks().into_iter().map(tick).collect()
}

fn tests(story: &Story) -> Vec<Bar> {
    let bar = |test: &crate::report::story::Test| {
        let from = test.began?;
        let ending = test.verdict.map_or(Ending::Error, Ending::from);
        let to = test.ended.unwrap_or(story.last);
        Some(Bar { from, to, rank: rank(ending), class: word(ending), title: test.id.clone(), count: 1 })
    };
    story.tests.iter().filter_map(bar).collect()
}

fn fault_bar(fault: &Fault, whole_ms: f64) -> Bar {
    let to = fault.ended.as_ref().map_or(whole_ms, |(at, _)| *at);
    Bar { from: fault.began, to, rank: 0, class: "fault", title: format!("{}: {}", fault.name, fault.asked), count: 1 }
}

/// The orchestrator's lane, then the agents'. When they are too many, those that something happened to come first.
fn lanes(story: &Story) -> Vec<String> {
    let mut agents: Vec<&String> = story.agents.keys().filter(|name| *name != ORCHESTRATOR).collect();
    if agents.len() > LANES {
        let is_struck = |name: &str| {
            story.failovers.iter().any(|failover| failover.agent == name)
                || story.agents.get(name).is_some_and(|agent| !agent.blows.is_empty())
                || story.failures.iter().any(|failure| {
                    failure
                        .record
                        .step
                        .as_ref()
                        .and_then(|step| step.agent.as_ref())
                        .is_some_and(|agent| agent.as_str() == name)
                })
        };
        agents.sort_by_key(|name| !is_struck(name));
        agents.truncate(LANES);
    }
    std::iter::once(ORCHESTRATOR.to_owned()).chain(agents.into_iter().cloned()).collect()
}

fn bars_by_lane(story: &Story, names: &[String]) -> Vec<Vec<Bar>> {
    let place: std::collections::BTreeMap<&str, usize> =
        names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let mut bars: Vec<Vec<Bar>> = names.iter().map(|_| Vec::new()).collect();
    for step in &story.steps.all {
        if let Some(at) = place.get(story.steps.kind(step).who()) {
            bars[*at].push(step_bar(story, step));
        }
    }
    bars
}

fn step_bar(story: &Story, step: &Step) -> Bar {
    let kind = story.steps.kind(step);
    let id = kind.id.as_deref().map(|id| format!("{id}: ")).unwrap_or_default();
    let title = format!("{} {id}{} ({})", kind.test, kind.title, word(step.ending));
    let class = match step.ending {
        // it looked until it saw what it waited for, which is no work
        Ending::Pass if kind.agent.is_some() && !kind.is_call() => "pass wait",
        ending => word(ending),
    };
    Bar { from: step.began().max(0.0), to: step.ended, rank: rank(step.ending), class, title, count: 1 }
}

fn rank(ending: Ending) -> u8 {
    match ending {
        Ending::Skipped => 0,
        Ending::Pass => 1,
        Ending::Unknown => 2,
        Ending::Fail => 3,
        Ending::Error => 4,
    }
}

/// Through an agent's lane: the faults it took part in, and the time it was gone.
fn bands(story: &Story, name: &str, scale: Scale) -> String {
    let mut bands = String::new();
    for fault in story.faults.iter().filter(|fault| fault.agents.iter().any(|agent| agent == name)) {
        let bar = fault_bar(fault, story.last);
        band(&mut bands, "fault", scale.span(bar.from, bar.to), &bar.title);
    }
    for failover in story.failovers.iter().filter(|failover| failover.agent == name) {
        let until = failover.complete.as_ref().map_or(story.last, |(at, _)| *at);
        band(&mut bands, "gone", scale.span(failover.detected, until), &format!("gone: {}", failover.how));
    }
    bands
}

fn band(bands: &mut String, class: &str, (x, width): (f64, f64), title: &str) {
    let title = text::cut(title, 200);
    let _ = write!(
        bands,
        "<rect class=\"band {class}\" x=\"{x:.3}%\" y=\"0\" width=\"{width:.3}%\" height=\"100%\"><title>{title}</title></rect>"
    );
}

fn marks(story: &Story, name: &str, scale: Scale) -> String {
    let blows = story.agents.get(name).map(|agent| &agent.blows[..]).unwrap_or_default();
    let mark = |(at, what): &(f64, String)| {
        let x = scale.at(*at);
        format!(
            "<line class=\"blow\" x1=\"{x:.3}%\" x2=\"{x:.3}%\" y1=\"0\" y2=\"100%\"><title>{}</title></line>",
            text::cut(what, 200)
        )
    };
    blows.iter().map(mark).collect()
}
