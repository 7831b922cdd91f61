//! Bounds of a console, each with its reason.

use std::time::Duration;

use meshproof_proto::limits::HANDSHAKE_DEADLINE;

/// Links to agents take milliseconds; but one that has to be relayed is first tried directly, for as long as an attempt may take.
pub const LINK_WITHIN: Duration = HANDSHAKE_DEADLINE.saturating_add(Duration::from_secs(2));

/// An agent answers in microseconds unless it is stopped or starved.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Between two looks of `--watch`: a link's figures are of its heartbeats, two a second.
pub const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Between two questions for a bench's report: every second's line comes soon after its second.
pub const BENCH_ASK_EVERY: Duration = Duration::from_millis(200);

/// What people say and nobody has shown yet: a room full of them, each with a line.
pub const HEARD: usize = 256;

/// What a journal has told and nobody has said in the room: whoever reads it waits then.
pub const TOLD: usize = 16;

/// Lines of a chat that nobody has looked at yet: people write few, and who pipes more waits.
pub const LINES: usize = 16;

/// Columns of a terminal that tables keep to.
pub const COLUMNS: usize = 100;

/// What is said above the line that a person writes, and not on the screen yet.
pub const SAID: usize = 1_024;
