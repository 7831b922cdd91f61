//! The live part of a terminal: one lane for each agent, with the step it is at and for how long. Lines scroll away above.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use meshproof_proto::id::Name;

use super::write_stderr;
use crate::record::Happening;
use crate::report::sanitise;
use crate::report::style::Style;

/// How often a lane that waits is drawn again.
const TICK: Duration = Duration::from_millis(100);

/// The lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    all: MultiProgress,
    lanes: BTreeMap<Name, ProgressBar>,
    style: Style,
}

/// Takes the lanes off the terminal, from wherever; what comes later is not drawn.
#[derive(Clone, Debug, Default)]
pub struct Curtain(Option<MultiProgress>);

impl Curtain {
    /// A terminal that takes nothing any more has nothing to be taken off.
    pub fn fall(&self) {
        if let Some(all) = &self.0 {
            let _ = all.clear();
            all.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}

impl Lanes {
    pub(super) fn new(style: Style) -> Self {
        Self { all: MultiProgress::new(), lanes: BTreeMap::new(), style }
    }

    pub(super) fn curtain(&self) -> Curtain {
        Curtain(Some(self.all.clone()))
    }

    /// Shows what a record changes in the lanes, and its text above them.
    pub(super) fn show(&mut self, what: &Happening, text: Option<&str>) {
        match what {
            Happening::AgentJoined { name, .. } => self.add(name),
            Happening::AgentLost { name, .. } => self.remove(name),
            Happening::StepBegan(step) => {
                if let Some(lane) = step.agent.as_ref().and_then(|agent| self.lanes.get(agent)) {
                    lane.reset_elapsed();
                    let id = step.id.as_deref().map(|id| format!("{id}  ")).unwrap_or_default();
                    lane.set_style(busy(self.style));
                    lane.set_message(sanitise::line(&format!("{id}{}", step.title)));
                    lane.enable_steady_tick(TICK);
                }
            }
            Happening::StepEnded { step, .. } => {
                if let Some(lane) = step.agent.as_ref().and_then(|agent| self.lanes.get(agent)) {
                    rest(lane);
                }
            }
            Happening::RunEnded { .. } => self.clear(),
            _ => {}
        }
        if let Some(text) = text {
            self.all.suspend(|| write_stderr(text));
        }
    }

    fn add(&mut self, agent: &Name) {
        let idle = ProgressBar::new_spinner().with_style(resting()).with_prefix(agent.to_string());
        if let Some(former) = self.lanes.remove(agent) {
            former.finish_and_clear();
            self.all.remove(&former);
        }
        // by name, whoever was here first
        let lane = self.all.insert(self.lanes.range(..agent.clone()).count(), idle);
        rest(&lane);
        self.lanes.insert(agent.clone(), lane);
    }

    fn remove(&mut self, agent: &Name) {
        if let Some(lane) = self.lanes.remove(agent) {
            lane.finish_and_clear();
        }
    }

    fn clear(&mut self) {
        std::mem::take(&mut self.lanes).into_values().for_each(|lane| lane.finish_and_clear());
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.clear();
    }
}

fn rest(lane: &ProgressBar) {
    lane.disable_steady_tick();
    lane.set_style(resting());
    lane.tick();
}

fn resting() -> ProgressStyle {
    styled("{prefix:>9} -")
}

fn busy(style: Style) -> ProgressStyle {
    match style {
        Style::Coloured => styled("{prefix:>9.cyan} {spinner} [{elapsed:>4}] {wide_msg}"),
        Style::Plain => styled("{prefix:>9} {spinner} [{elapsed:>4}] {wide_msg}").tick_chars("|/-\\ "),
    }
}

fn styled(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the lanes' templates are written here and parse")
}
