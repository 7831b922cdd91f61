//! How long and how many of those who watch are waited for.

use std::time::Duration;

/// Machines that ask at once: a scraper or two, and whoever decides whether it lives.
pub const ASKED: usize = 8;

/// Their connections; who comes beyond them waits.
pub const CONNECTIONS: usize = 16;

/// What has not answered by then is not well: no one thing that it does takes so long.
pub const WITHIN: Duration = Duration::from_secs(2);

/// Who connects and asks nothing, or takes no answer, is not waited for longer.
pub const PATIENCE: Duration = Duration::from_secs(30);
