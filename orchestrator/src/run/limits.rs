//! How long the machine waits for whom.

use std::time::Duration;

/// How much later than its own bound a step's result may come: the way over the mesh, a link that is replaced meanwhile (two
/// seconds of silence and a handshake), a journal on a slow disk.
pub const RESULT_MARGIN: Duration = Duration::from_secs(10);

/// From the cancelling of a step to its end. What takes longer is left behind; its test has failed already.
pub const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// From asking for a fault's end to its report: an agent verifies by traffic, or by a probe of its own.
pub const HEAL_DEADLINE: Duration = Duration::from_secs(20);

/// A lease is renewed after this part of it, so that two renewals may be lost.
pub const RENEWALS_PER_LEASE: u32 = 3;

/// From asking for a service's start to the answer; starting a process takes milliseconds.
pub const LAUNCH_DEADLINE: Duration = Duration::from_secs(30);

/// Bounds the teardown beside the services' own graces.
pub const TEARDOWN_DEADLINE: Duration = Duration::from_secs(60);
