//! `meshproof schema`.

use std::io::Write as _;

use meshproof_proto::verdict::Exit;

/// Prints the JSON Schema of plans.
pub(super) fn run() -> Exit {
    let text = serde_json::to_string_pretty(&crate::plan::schema::schema()).unwrap_or_default();
    match writeln!(std::io::stdout().lock(), "{text}") {
        Ok(()) => Exit::Passed,
        Err(error) => {
            eprintln!("meshproof: cannot write the schema: {error}");
            Exit::Usage
        }
    }
}
