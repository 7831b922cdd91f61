//! What people read of a run: failures that point into the plan, the summary, `junit.xml`. Everything here is made from records
//! and so from the journal; whatever an agent or a service has said passes [`sanitise`] before it reaches a terminal or a page.

pub mod failure;
pub mod intent;
mod junit;
pub mod lines;
pub mod sanitise;
pub mod style;
pub mod summary;
pub(crate) mod table;

pub use junit::{JUNIT_FILE_NAME, ReportError, junit, write_junit};
