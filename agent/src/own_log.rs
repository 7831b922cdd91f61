//! What this process says of itself on stderr, for whoever operates it: without the secrets of the run that it takes part in.
//!
//! Secrets are taken out where the text leaves, so that no line has to think of them: not ours, and not one of a library at the level
//! `trace`. A process has one log and takes part in one run at a time; those of the last one count until the next begins.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use meshproof_proto::mask::Masker;
use tracing_subscriber::EnvFilter;

static MASKER: LazyLock<RwLock<Arc<Masker>>> = LazyLock::new(RwLock::default);

/// From now on these are taken out.
pub fn mask_with(masker: Arc<Masker>) {
    *MASKER.write().unwrap_or_else(PoisonError::into_inner) = masker;
}

/// Everything that `tracing` is told, and the filter lets through, goes to stderr. Where somebody logs already, nothing changes.
pub fn to_stderr(filter: EnvFilter) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(|| Stderr)
        .try_init();
}

/// Gets each event in one piece.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let masker = Arc::clone(&MASKER.read().unwrap_or_else(PoisonError::into_inner));
        io::stderr().write_all(&masker.mask_bytes(event))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
