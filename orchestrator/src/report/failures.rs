//! One failure of a run, by its number in the journal.

use std::path::Path;

use super::failure;
use super::style::Style;
use crate::journal::{self, JournalError, Reader};
use crate::plan::{Diagnostics, Source};
use crate::record::Happening;

/// The failure of that number, from 1, as a terminal shows it; or how many there are.
///
/// # Errors
/// The journal cannot be read.
pub fn nth(folder: &Path, number: usize) -> Result<Result<String, usize>, JournalError> {
    let (mut source, mut count) = (Source::new("", "", &Diagnostics::default()), 0);
    let mut file = String::new();
    for record in Reader::open(&folder.join(journal::FILE_NAME))?.those(|_| true) {
        match record?.entry.what {
            Happening::RunBegan { file: named, .. } => file = named,
            Happening::Invoked(how) => source = Source::new(&file, &how.plan, &Diagnostics::default()),
            Happening::Failure(failure) => {
                count += 1;
                if count == number {
                    return Ok(Ok(failure::block(&source, &failure, Style::Plain)));
                }
            }
            _ => {}
        }
    }
    Ok(Err(count))
}
