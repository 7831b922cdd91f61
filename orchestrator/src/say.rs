//! What commands say: what was asked for on standard output, everything else on standard error.
//!
//! Nothing else prints. Who reads may have seen enough (`| head`), and the disk behind a redirection may be full: the first is
//! no failure, the second is one, and neither is a bug.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

use meshproof_proto::verdict::Exit;

/// Writes what was asked for, or says that the reader has gone.
pub(crate) fn out(text: &str) -> io::Result<Reader> {
    out_bytes(text.as_bytes())
}

/// The same for what may be no text.
pub(crate) fn out_bytes(bytes: &[u8]) -> io::Result<Reader> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Reads),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

/// Whether somebody reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Reads,
    Gone,
}

/// The last that a command has to say. A reader that has gone has what it wanted.
pub(crate) fn result(text: &str) -> Exit {
    match out(text) {
        Ok(Reader::Reads | Reader::Gone) => Exit::Passed,
        Err(error) => unwritten(&error),
    }
}

/// What was asked for could not be written.
pub(crate) fn unwritten(error: &io::Error) -> Exit {
    failed(&format!("cannot write to standard output: {error}"), Exit::MeshFailed)
}

/// A line beside what was asked for. There is nobody to tell when even this cannot be written.
pub(crate) fn note(line: impl Display) {
    beside(&format!("{line}\n"));
}

/// Text beside what was asked for, as it is.
pub(crate) fn beside(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Says why, and gives the exit.
pub(crate) fn failed(error: &dyn Display, exit: Exit) -> Exit {
    note(format_args!("meshproof: {}", crate::report::sanitise::line(&error.to_string())));
    exit
}
