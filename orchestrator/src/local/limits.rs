//! Bounds of the local environment, each with its reason.

use std::time::Duration;

/// A run that takes longer than its tokens live is none: they only have to outlast the longest soak.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// Signaling and agents start in milliseconds; a keeper that says nothing for so long is stuck. Above the keeper's own deadline
/// for signaling, so that its message is the one that is read.
pub const OPEN_DEADLINE: Duration = Duration::from_secs(20);

/// The same where containers have to be made first, one after the other, at less than a second each.
pub const OPEN_CONTAINERS_DEADLINE: Duration = Duration::from_secs(120);

/// An image may be large, and a registry far.
pub const PULL_DEADLINE: Duration = Duration::from_secs(600);

/// Nothing that is asked of a keeper takes long, except for ending things.
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// A keeper that lives says at once whether it obeys; one that died never does.
pub const HELLO_DEADLINE: Duration = Duration::from_secs(2);

/// What ending takes beside the services' own grace: SIGKILL, the agents, signaling, strays, a big folder.
pub const END_SLACK: Duration = Duration::from_secs(30);

/// Calls on the way to the keeper.
pub const CALLS_QUEUED: usize = 64;

/// Notices that nobody has read yet. There is about one a process.
pub const NOTICES_QUEUED: usize = 4096;

/// The end of the keeper's log that is shown when it dies.
pub const LAST_WORDS_BYTES: u64 = 2048;

/// The longest orphan grace that can be asked for.
pub const ORPHAN_GRACE_LONGEST: Duration = Duration::from_secs(24 * 3600);
