//! What people read of a run: failures that point into the plan, the summary, reports in several forms. Everything here is made from records
//! and so from the journal; whatever an agent or a service has said passes [`sanitise`] before it reaches a terminal or a page.

mod diff;
pub mod failure;
pub mod failures;
pub(crate) mod figures;
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
pub mod telling;
mod trace;

pub use diff::{Change, Diff};
pub use github::{annotations, tell as tell_github};
pub(crate) use html::page;
pub use html::{HTML_FILE_NAME, html};
pub use json::json;
pub use junit::{JUNIT_FILE_NAME, ReportError, junit};
pub use markdown::markdown;
pub use story::Story;
pub(crate) use story::word;
pub use trace::trace;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::journal::{self, Reader};

/// Writes `junit.xml` and `report.html` beside the journal in this folder, and tells a CI server that asks for more.
///
/// # Errors
/// The journal cannot be read, or a report not be written.
pub fn write(out: &Path) -> Result<(), ReportError> {
    let (mut cases, mut story) = (junit::Cases::default(), Story::default());
    for record in Reader::open(&out.join(journal::FILE_NAME))?.records() {
        let record = record?;
        cases.take(&record.entry.what);
        story.take(record);
    }
    story.finish();
    save(&out.join(JUNIT_FILE_NAME), &cases.xml()?)?;
    save(&out.join(HTML_FILE_NAME), &html(&story))?;
    tell_github(&story);
    Ok(())
}

/// Writes a report that is its owner's alone, because requests stand in it. Who looks meanwhile sees the one before, or none.
///
/// # Errors
/// It cannot be written.
pub fn save(path: &Path, text: &str) -> Result<(), ReportError> {
    let io = |source| ReportError::Io { path: path.to_owned(), source };
    // a device or a pipe is written to, and what a link leads to is what is meant
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        let written = std::fs::File::options().write(true).open(path);
        return written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(io);
    }
    let meant = path.canonicalize();
    let path = meant.as_deref().unwrap_or(path);
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
    let aside = Path::new(&aside);
    let options = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).clone();
    let written = options.open(aside).and_then(|mut file| file.write_all(text.as_bytes()));
    let moved = written.and_then(|()| std::fs::rename(aside, path));
    moved.map_err(|source| {
        // half a report is none; an error means that it was never made
        let _ = std::fs::remove_file(aside);
        io(source)
    })
}
