//! How long the machine waits for whom.

use std::time::Duration;

use meshproof_proto::limits::LINK_LOST;

/// How much later than its own bound a step's result may come. A link that is away for less heals and brings the result; one
/// that is away for longer makes the agent lost, which says more.
pub const RESULT_MARGIN: Duration = LINK_LOST.saturating_add(Duration::from_secs(5));

/// Somebody sees that a disk is full and makes room within this, or nobody will.
pub const STALLED_AT_MOST: Duration = Duration::from_secs(600);

/// From telling an agent that a test begins to its answer, over a link that may be away first.
pub const BEGIN_DEADLINE: Duration = LINK_LOST.saturating_add(Duration::from_secs(5));

/// From the end of one agent's step to the beginning of another's that was ordered before its turn: the first tells the second, and
/// then both are heard of. Later than this the second was not told, and is ordered again.
pub const TURN_HEARD: Duration = Duration::from_millis(250);

/// From the end of a program to when those who wait for it hear that it is gone: what it told last may be on its way over a slow link.
pub const LOST_AFTER: Duration = Duration::from_secs(1);

/// From the cancelling of a step to its end. What takes longer is left behind; its test has failed already.
pub const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// From asking for a fault's end to its report: an agent measures and verifies in seconds, over a link that may be away first.
pub const HEAL_DEADLINE: Duration = LINK_LOST.saturating_add(Duration::from_secs(15));

/// A lease is renewed after this part of it, so that two renewals may be lost.
pub const RENEWALS_PER_LEASE: u32 = 3;

/// From asking for a service's start to the answer; starting a process takes milliseconds.
pub const LAUNCH_DEADLINE: Duration = Duration::from_secs(30);

/// Bounds the teardown beside the services' own graces.
pub const TEARDOWN_DEADLINE: Duration = Duration::from_secs(60);

/// Numbers that programs of a test tell: a thousand members tell a hundred each.
pub(super) const MEASURED: usize = 100_000;
