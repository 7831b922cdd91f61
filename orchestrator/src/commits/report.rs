//! What a session came to, in the forms that people and programs read.

mod html;
mod junit;
mod text;

pub use html::html;
pub use junit::junit;
pub use text::{summary, told};

use std::path::Path;

use super::results::Results;
use crate::report::{HTML_FILE_NAME, JUNIT_FILE_NAME, ReportError, save};

/// The results as one JSON document, in the folder of the session.
pub const JSON_FILE_NAME: &str = "commits.json";

/// The document, with a line break at its end.
#[must_use]
pub fn json(results: &Results) -> String {
    let document = serde_json::to_string_pretty(results).expect("texts and numbers");
    document + "\n"
}

/// Writes all of them into this folder.
///
/// # Errors
/// One cannot be written.
pub fn write(folder: &Path, results: &Results) -> Result<(), ReportError> {
    save(&folder.join(JSON_FILE_NAME), &json(results))?;
    save(&folder.join(JUNIT_FILE_NAME), &junit(results)?)?;
    save(&folder.join(HTML_FILE_NAME), &html(results))
}
