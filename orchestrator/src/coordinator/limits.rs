//! How much the driver of a run holds at most, and for how long it waits for whoever asks how it is.

use std::time::Duration;

/// Machines that ask at once how a run is: a scraper or two, and whoever decides whether it lives.
pub(super) const HEALTH_ASKED: usize = 8;

/// Their connections; who comes beyond them waits.
pub(super) const HEALTH_CONNECTIONS: usize = 16;

/// An orchestrator that has not answered by then is not well: no one thing that it does takes so long.
pub(super) const HEALTH_WITHIN: Duration = Duration::from_secs(2);

/// Who connects and asks nothing, or takes no answer, is not waited for longer.
pub(super) const HEALTH_PATIENCE: Duration = Duration::from_secs(30);

/// Answers to orders that wait for its loop.
pub(super) const INBOX: usize = 256;
