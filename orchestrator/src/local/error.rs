//! What can go wrong with an environment on this machine.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::keeper::engine::EngineError;

/// Why the environment could not do as it was told.
#[derive(Debug, Error)]
pub enum LocalError {
    #[error("cannot {what} {path}: {cause}")]
    Folder { what: &'static str, path: PathBuf, cause: io::Error },
    #[error("{path} belongs to somebody else, or others may look inside; remove it or set XDG_RUNTIME_DIR")]
    NotPrivate { path: PathBuf },
    #[error("`{0}` cannot name a folder; a run's id is 1 to 63 letters, digits, `-` and `_`")]
    BadRunId(String),
    #[error("MESHPROOF_ORPHAN_GRACE is `{0}`; a duration like `30s` or `500ms` was expected, a day at most")]
    BadOrphanGrace(String),
    #[error("the operating system gives no random bytes: {0}")]
    Random(getrandom::Error),
    #[error("cannot start the keeper `{program}`: {cause}")]
    Keeper { program: String, cause: io::Error },
    /// The keeper's own words: what was tried, on what, what came instead.
    #[error("{0}")]
    Refused(String),
    #[error("what was to be sent to the keeper is too much: {0}")]
    TooMuch(String),
    #[error("the keeper is gone{}", .last_words.as_ref().map(|words| format!("; its last words: {words}")).unwrap_or_default())]
    Gone { last_words: Option<String> },
    #[error("the keeper did not answer within {seconds} s")]
    Silent { seconds: u64 },
    #[error("the mesh of {run} cannot be joined: {why}")]
    NoKeptMesh { run: String, why: String },
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("containers need this program's file, and another one stands in its place by now, or none; start it again")]
    NoProgram,
    #[error("containers cannot have {0}: in the path of what they see there may be neither `:` nor `,`")]
    NoMount(PathBuf),
    #[error("the keeper's answer is not one to `{0}`")]
    Confused(&'static str),
}
