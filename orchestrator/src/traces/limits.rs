//! Bounds of telling a collector, each with its reason.

use std::time::Duration;

/// Spans that wait to be told: a few seconds of a busy run, some megabytes. Beyond that they are counted and left out, for a collector
/// holds up no run.
pub const WAITING: usize = 8_192;

/// Spans in one message, as the standard's batch processor has it.
pub const BATCH: usize = 512;

/// How long a span waits for others, as the standard's batch processor has it.
pub const TELL_EVERY: Duration = Duration::from_secs(5);

/// What is left when the run is over is told within this, or never: people wait for the run's end.
pub const FLUSH_WITHIN: Duration = Duration::from_secs(10);
