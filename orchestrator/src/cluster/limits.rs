//! Bounds of a run in a cluster, each with its reason.

use std::time::Duration;

/// An API server that is asked for one thing answers in less than a second; one behind a slow line, or a kubectl that renews its
/// credentials first, may take longer.
pub const CALL_DEADLINE: Duration = Duration::from_secs(60);

/// From the making of the pods until all are ready: a node may have to be added for them, and images are pulled.
pub const READY_WITHIN: Duration = Duration::from_secs(300);

/// How long a container may be refused by a node that could only be busy.
pub const STUCK_WITHIN: Duration = Duration::from_secs(15);

/// How often it is looked whether they are: one list of a few pods.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// From the start of kubectl until it listens.
pub const FORWARDED_WITHIN: Duration = Duration::from_secs(20);

/// Between the end of one way to signaling and the next attempt.
pub const FORWARD_AGAIN: Duration = Duration::from_millis(500);

/// A day to look at what is left of a run that did not pass; a weekend's would be too many.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Starts of a container that ends again and again, after which nobody waits for it any more.
pub const RESTARTS_MOST: u64 = 3;

/// Lines of a pod's log that are shown with its failure.
pub const SHOWN_LINES: usize = 30;

/// Lines of a pod's log that are taken along with the run.
pub const TAKEN_LINES: usize = 10_000;

/// What kubectl complains of, as far as it is shown.
pub const SAYS_BYTES: usize = 4096;

/// A Secret's content, which the API server bounds: <https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size>
pub const SECRET_BYTES: usize = 1 << 20;

/// Of a namespace's name, which has 63 at most, what is left to the plan's.
pub const NAME_CHARS: usize = 40;
