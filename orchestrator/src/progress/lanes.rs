//! What the live lanes say: one for each agent, with the step it is at and for how long, and one for the run itself while it waits for what
//! no agent does (`expect`, `barrier`, `pause`, the end of a service). Pure: [`board`](super::board) draws them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshproof_proto::id::Name;
use meshproof_proto::order::StepKey;

use crate::record::{Happening, StepInfo};
use crate::report::sanitise;
use crate::report::style::{Style, Tone};

/// What is over sooner needs no lane of the run's own, which would only flash.
const WORTH_A_LANE: Duration = Duration::from_millis(150);

/// How long each character of a spinner stays.
const FRAME: Duration = Duration::from_millis(100);

/// What stands before the run's own lane: no agent can be called so.
const OWN: &str = "(run)";

/// Columns of what stands before a lane.
const PREFIX: usize = 9;

/// The lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    agents: BTreeMap<Name, Lane>,
    own: Lane,
    began: Instant,
    style: Style,
}

/// What goes on there, the last that began at the end.
#[derive(Debug, Default)]
struct Lane(Vec<Doing>);

#[derive(Debug)]
struct Doing {
    key: StepKey,
    what: String,
    since: Instant,
}

impl Lanes {
    pub(super) fn new(style: Style, now: Instant) -> Self {
        Self { agents: BTreeMap::new(), own: Lane::default(), began: now, style }
    }

    /// Takes what a record changes.
    pub(super) fn take(&mut self, what: &Happening, now: Instant) {
        match what {
            Happening::AgentJoined { name, .. } => drop(self.agents.insert(name.clone(), Lane::default())),
            Happening::AgentLost { name, .. } => drop(self.agents.remove(name)),
            Happening::StepBegan(step) => {
                let doing = Doing { key: step.key.clone(), what: title(step), since: now };
                if let Some(lane) = self.lane(step) {
                    lane.0.push(doing);
                }
            }
            Happening::StepEnded { step, .. } => {
                if let Some(lane) = self.lane(step) {
                    lane.0.retain(|doing| doing.key != step.key);
                }
            }
            Happening::RunEnded { .. } => self.clear(),
            _ => {}
        }
    }

    pub(super) fn clear(&mut self) {
        self.agents.clear();
        self.own.0.clear();
    }

    /// Whether they look otherwise a moment later.
    pub(super) fn are_busy(&self) -> bool {
        self.agents.values().chain([&self.own]).any(|lane| !lane.0.is_empty())
    }

    /// Rows of a window of this size; those at something come first where there is no room for all.
    pub(super) fn rows(&self, now: Instant, (columns, rows): (usize, usize)) -> Vec<String> {
        let own = (OWN, &self.own);
        let is_worth_it = self.own.0.iter().any(|doing| now.saturating_duration_since(doing.since) >= WORTH_A_LANE);
        let agents = self.agents.iter().map(|(name, lane)| (name.as_str(), lane));
        let mut lanes: Vec<(&str, &Lane)> = agents.chain(is_worth_it.then_some(own)).collect();
        let mut more = 0;
        if lanes.len() > rows {
            more = lanes.len() - rows.saturating_sub(1);
            lanes.sort_by_key(|(_, lane)| lane.0.is_empty());
            lanes.truncate(rows.saturating_sub(1));
        }
        let mut drawn: Vec<String> = lanes.iter().map(|(name, lane)| self.row((*name, *lane), now, columns)).collect();
        if more > 0 && rows > 0 {
            drawn.push(fitting(&format!("{:>PREFIX$} and {more} more", "…"), columns));
        }
        drawn
    }

    fn row(&self, (name, lane): (&str, &Lane), now: Instant, columns: usize) -> String {
        let Some(doing) = lane.0.last() else { return fitting(&format!("{name:>PREFIX$} -"), columns) };
        let others = lane.0.len() - 1;
        let others = if others > 0 { format!(" (and {others} more)") } else { String::new() };
        let took = took(now.saturating_duration_since(doing.since));
        let row =
            fitting(&format!("{name:>PREFIX$} {} [{took:>4}] {}{others}", self.spinner(now), doing.what), columns);
        match row.get(..name.len().max(PREFIX)) {
            Some(prefix) => self.style.paint(Tone::Strong, prefix) + &row[prefix.len()..],
            None => row,
        }
    }

    fn spinner(&self, now: Instant) -> char {
        let frames: &[char] = match self.style {
            Style::Coloured => &['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'],
            Style::Plain => &['|', '/', '-', '\\'],
        };
        let at = now.saturating_duration_since(self.began).as_millis() / FRAME.as_millis();
        frames[usize::try_from(at).unwrap_or_default() % frames.len()]
    }

    fn lane(&mut self, step: &StepInfo) -> Option<&mut Lane> {
        match &step.agent {
            Some(agent) => self.agents.get_mut(agent),
            None => Some(&mut self.own),
        }
    }
}

fn title(step: &StepInfo) -> String {
    let id = step.id.as_deref().map(|id| format!("{id}  ")).unwrap_or_default();
    sanitise::line(&format!("{id}{}", step.title))
}

/// `3s`, `2m`, `1h`
fn took(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3_600),
    }
}

/// What of it fits in a row, whose last column stays free: some terminals break a row there, others behind it.
fn fitting(text: &str, columns: usize) -> String {
    let mut left = columns.saturating_sub(1);
    let fits = |character: &char| {
        let takes = if is_wide(*character) { 2 } else { 1 };
        let has_room = takes <= left;
        left = left.saturating_sub(takes);
        has_room
    };
    text.chars().take_while(fits).collect()
}

/// Whether terminals give it two columns: the scripts of East Asia, and pictures.
fn is_wide(character: char) -> bool {
    matches!(character, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Ending, Section};

    const WINDOW: (usize, usize) = (60, 10);

    struct Told {
        lanes: Lanes,
        now: Instant,
    }

    impl Told {
        fn with_agents(names: &[&str]) -> Self {
            let now = Instant::now();
            let mut told = Self { lanes: Lanes::new(Style::Plain, now), now };
            for name in names {
                let name = name.parse().expect("a name");
                told.lanes.take(&Happening::AgentJoined { name, path: "direct".to_owned(), rtt_us: 1 }, now);
            }
            told
        }

        fn step(number: usize, agent: Option<&str>) -> StepInfo {
            StepInfo {
                key: StepKey { test: "t".to_owned(), step: number.to_string(), attempt: 1 },
                section: Section::Steps,
                number,
                of: 9,
                id: None,
                title: format!("step {number}"),
                agent: agent.map(|agent| agent.parse().expect("a name")),
                line: 1,
                optional: false,
            }
        }

        fn begins(&mut self, number: usize, agent: Option<&str>) {
            self.lanes.take(&Happening::StepBegan(Self::step(number, agent)), self.now);
        }

        fn ends(&mut self, number: usize, agent: Option<&str>) {
            let step = Self::step(number, agent);
            let what = Happening::StepEnded { step, ending: Ending::Pass, duration_ms: 1.0, tries: 1, why: None };
            self.lanes.take(&what, self.now);
        }

        fn rows(&self, later: Duration) -> Vec<String> {
            self.lanes.rows(self.now + later, WINDOW)
        }
    }

    #[test]
    fn what_no_agent_does_has_a_lane_of_the_runs_own_once_it_is_waited_for() {
        let mut told = Told::with_agents(&["shop"]);
        told.begins(1, None);
        assert_eq!(told.rows(Duration::ZERO), ["     shop -"], "it may be over at once");
        assert_eq!(told.rows(Duration::from_secs(3)), ["     shop -", "    (run) - [  3s] step 1"]);
        told.ends(1, None);
        assert_eq!(told.rows(Duration::from_secs(3)), ["     shop -"]);
        assert!(!told.lanes.are_busy());
    }

    #[test]
    fn a_lane_shows_what_began_last_of_what_still_goes_on_there() {
        let mut told = Told::with_agents(&["shop"]);
        told.begins(1, Some("shop"));
        told.begins(2, Some("shop"));
        assert_eq!(told.rows(Duration::ZERO), ["     shop | [  0s] step 2 (and 1 more)"]);
        told.ends(2, Some("shop"));
        assert_eq!(told.rows(Duration::from_secs(90)), ["     shop | [  1m] step 1"]);
        told.ends(1, Some("shop"));
        assert_eq!(told.rows(Duration::ZERO), ["     shop -"]);
    }

    #[test]
    fn no_row_is_wider_than_the_window_and_there_are_no_more_than_fit() {
        let names: Vec<String> = (0..30).map(|at| format!("agent-{at:02}")).collect();
        let mut told = Told::with_agents(&names.iter().map(String::as_str).collect::<Vec<_>>());
        told.begins(1, Some("agent-29"));
        let rows = told.lanes.rows(told.now, (17, 4));
        assert_eq!(rows, [" agent-29 | [  0", " agent-00 -", " agent-01 -", "        … and 27"]);
        assert_eq!(fitting("a日本", 5), "a日");
        assert!(told.lanes.rows(told.now, (16, 0)).is_empty());
    }
}
