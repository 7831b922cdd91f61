//! Bounds of a console, each with its reason.

use std::time::Duration;

/// Links to agents take milliseconds; twice the time after which a link counts as suspect, so that one lost attempt is no silence.
pub const LINK_WITHIN: Duration = Duration::from_secs(4);

/// An agent answers in microseconds unless it is stopped or starved.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Between two looks of `--watch`: a link's figures are of its heartbeats, two a second.
pub const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Between two questions for a bench's report: every second's line comes soon after its second.
pub const BENCH_ASK_EVERY: Duration = Duration::from_millis(200);

/// Columns of a terminal that tables keep to.
pub const COLUMNS: usize = 100;
