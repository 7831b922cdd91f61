//! `meshproof schema`.

use meshproof_proto::verdict::Exit;

use crate::say;

/// Prints the JSON Schema of plans.
pub(super) fn run() -> Exit {
    let text = serde_json::to_string_pretty(&crate::plan::schema::schema()).unwrap_or_default();
    say::result(&(text + "\n"))
}
