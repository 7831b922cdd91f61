//! A run as one page that opens from disk: no script, no request to anything, light and dark, from a phone's width up.
//!
//! What the eye needs comes first: the verdict and what it rests on, then each failure with everything that was told around it,
//! then time. All drawing is done here, in per cent of the width, so that nothing needs to be measured by the reader. Whatever a
//! plan, a service or an agent wrote passes [`text`], which is the only way of a text into the page.

mod failures;
mod frame;
mod lanes;
mod latency;
mod links;
mod log;
mod plan;
mod resources;
mod scale;
mod steps;
mod tables;
mod text;
mod thresholds;
mod timeline;
mod verdict;

use super::story::Story;

/// For pages about other things than one run.
pub(crate) mod page {
    pub(crate) use super::frame::{Frame, standing};
    pub(crate) use super::text::{block, line};
}

/// The report's file name, in the folder of a run's reports.
pub const HTML_FILE_NAME: &str = "report.html";

/// The page.
#[must_use]
pub fn html(story: &Story) -> String {
    let sections = [
        ("failures", "Failures", failures::section(story)),
        ("thresholds", "Thresholds", thresholds::section(story)),
        ("timeline", "Timeline", timeline::section(story)),
        ("faults", "Faults", tables::faults(story)),
        ("failovers", "Failovers", tables::failovers(story)),
        ("tests", "Tests and steps", steps::section(story)),
        ("latency", "Latency", latency::section(story)),
        ("links", "Links", links::section(story)),
        ("stubs", "Stubs", tables::stubs(story)),
        ("resources", "Resources", resources::section(story)),
        ("log", "What was told", log::section(story)),
        ("plan", "Plan", plan::section(story)),
        ("environment", "Environment", tables::environment(story)),
    ];
    let shown: Vec<(&str, &str, String)> =
        sections.into_iter().filter_map(|(id, title, body)| Some((id, title, body?))).collect();
    frame::page(story, &verdict::header(story), &shown)
}
