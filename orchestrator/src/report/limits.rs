//! How much of a run its reports show. A page of 100,000 events stays below 3 MB and opens at once; the journal has all of it.

/// Steps that are remembered one by one.
pub const STEPS: usize = 200_000;

/// Failures that are shown with their evidence.
pub const FAILURES: usize = 25;

/// Failures that are named.
pub const FAILURES_NAMED: usize = 200;

/// Before and after a failure, what everybody told is shown, in milliseconds.
pub const AROUND_BEFORE_MS: f64 = 5_000.0;
pub const AROUND_AFTER_MS: f64 = 1_000.0;

/// Lines of it on either side.
pub const AROUND_BEFORE: usize = 40;
pub const AROUND_AFTER: usize = 15;

/// Faults, failovers, and blows of one agent that are remembered.
pub const FAULTS: usize = 1_000;
pub const BLOWS: usize = 100;

/// Samples of memory of an agent; every second one is left out when there are more.
pub const SAMPLES: usize = 240;

/// Pairs of agents, and routes of stubs, that are remembered.
pub const LINKS: usize = 10_000;
pub const ROUTES: usize = 1_000;

/// Lines of the run: the first, the last, and of those between the ones that somebody will look for.
pub const LOG_FIRST: usize = 300;
pub const LOG_LAST: usize = 300;
pub const LOG_NOTABLE: usize = 400;

/// Characters of one line, and of one piece of evidence.
pub const LINE: usize = 400;
pub const EVIDENCE: usize = 6_000;

/// Bytes of a page after which failures are shown without what was seen and told.
pub const EVIDENCE_ALL: usize = 1_200_000;

/// Faults of a schedule that its line shows.
pub const DRAWN_SHOWN: usize = 12;

/// Rows of a table of steps or tests.
pub const ROWS: usize = 400;

/// Agents with a lane, and in the matrix of links.
pub const LANES: usize = 40;
pub const MATRIX: usize = 14;

/// Shapes in all lanes together.
pub const SHAPES: usize = 3_000;

/// Points of a chart; with more it shows columns.
pub const POINTS: usize = 1_200;
pub const COLUMNS: usize = 160;

/// Bytes of a plan.
pub const PLAN: usize = 160 * 1024;

/// Step titles in the table of durations.
pub const TITLES: usize = 25;
