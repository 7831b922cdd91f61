//! How far it goes, each with its reason.

use std::time::Duration;

/// Commits of one request: their ancestors are held as sets, an eighth of a byte for each pair, which is 50 MB.
pub const COMMITS_MOST: usize = 20_000;

/// Commits that are tested at once: each is a run with processes of its own.
pub const PARALLEL_MOST: u32 = 64;

/// How often a commit may be tested: more would not make anybody surer.
pub const REPEAT_MOST: u32 = 1_000;

/// How long a build and a test may take each, that are not given less: longer than any is waited for, and a hang ends in the same night.
pub const WITHIN: Duration = Duration::from_secs(30 * 60);

/// Beside the build and the test, for whatever stands around them.
pub const AROUND: Duration = Duration::from_secs(60);

/// Characters of output that a result keeps; all of what was told is in the run's journal.
pub const OUTPUT_BYTES: usize = 256 * 1024;

/// How often it is looked whether a run has begun its journal.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Agents that clone a commit from here at the same time; more wait. Each tests one commit, and clones it once.
pub const CLONES_AT_ONCE: usize = PARALLEL_MOST as usize;

/// A clone that moves nothing for so long has lost its other end.
pub const CLONE_IDLE: Duration = Duration::from_secs(60);
