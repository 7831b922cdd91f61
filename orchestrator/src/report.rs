//! What people read of a run: failures that point into the plan, the summary, reports in several forms. Everything here is made from records
//! and so from the journal; whatever an agent or a service has said passes [`sanitise`] before it reaches a terminal or a page.

mod diff;
pub mod failure;
mod figures;
mod github;
mod html;
pub mod intent;
mod json;
mod junit;
mod limits;
pub mod lines;
mod markdown;
pub mod sanitise;
mod story;
pub mod style;
pub mod summary;
pub(crate) mod table;
mod telling;
mod trace;

pub use diff::{Change, Diff};
pub use github::{annotations, tell as tell_github};
pub use html::{HTML_FILE_NAME, html};
pub use json::json;
pub use junit::{JUNIT_FILE_NAME, ReportError, junit};
pub use markdown::markdown;
pub use story::Story;
pub use trace::trace;

use std::path::Path;

use crate::journal;

/// Writes `junit.xml` and `report.html` beside the journal in this folder, and tells a CI server that asks for more.
///
/// # Errors
/// The journal cannot be read, or a report not be written.
pub fn write(out: &Path) -> Result<(), ReportError> {
    let records = journal::read(&out.join(journal::FILE_NAME))?;
    let save = |name: &str, text: String| {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(|source| ReportError::Io { path, source })
    };
    save(JUNIT_FILE_NAME, junit(&records)?)?;
    let story = Story::of(records);
    save(HTML_FILE_NAME, html(&story))?;
    tell_github(&story);
    Ok(())
}
