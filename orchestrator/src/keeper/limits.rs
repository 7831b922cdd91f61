//! The keeper's bounds, each with its reason.

use std::time::Duration;

/// One line of the control socket. A service's files travel in one, as base64: some 12 MiB of them.
pub const LINE_BYTES: usize = 16 * 1024 * 1024;

/// Lines waiting to be written to the orchestrator. One that reads nothing for so long has hung and is let go.
pub const LINES_QUEUED: usize = 256;

/// Calls waiting to be served: the orchestrator rarely has more than one a service.
pub const CALLS_QUEUED: usize = 64;

/// Connections that have not said hello yet, at once.
pub const STRANGERS: usize = 8;

/// A connection says hello at once, or is none of ours.
pub const HELLO_DEADLINE: Duration = Duration::from_secs(5);

/// Signaling prints its address within milliseconds; a busy machine gets this long.
pub const SIGNALING_DEADLINE: Duration = Duration::from_secs(10);

/// A line of signaling's standard output.
pub const SIGNALING_LINE_BYTES: u64 = 4 * 1024;

/// Without an orchestrator for so long, the keeper ends everything.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(30);

/// How long an agent or signaling may take to leave after SIGTERM: they only close sockets.
pub const OWN_GRACE: Duration = Duration::from_secs(2);

/// An agent that lives shorter than this has died early.
pub const EARLY_LIFE: Duration = Duration::from_secs(2);

/// Agents for each core that have a second thread: in a larger crowd there is always another agent for a core that is free, and each of its
/// words to a second thread of its own would cost two switches.
pub const TWO_THREADED_AGENTS: usize = 4;

/// So many early deaths in a row, and no other life is tried: whatever ends it is no accident.
pub const EARLY_DEATHS: u32 = 8;

/// How much longer each life is waited for after an early death.
pub const RESPAWN_LATER: Duration = Duration::from_millis(100);

/// How long the kernel may take to end a process after SIGKILL; one that hangs in a device is then named and left.
pub const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// What a container engine may take to make or end a container, on a busy machine. Below the orchestrator's patience for an answer.
pub const ENGINE_DEADLINE: Duration = Duration::from_secs(25);

/// What a container engine's command may say: lists of names, and its complaint.
pub const ENGINE_SAYS_BYTES: u64 = 256 * 1024;

/// How long the helpers of a container engine may take to leave once their containers are gone.
pub const HELPERS_LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// The last answer's way to the orchestrator.
pub const FLUSH_DEADLINE: Duration = Duration::from_secs(2);

/// Attempts to find a port that nobody was given: a free one comes at the first, unless somebody takes it in between.
pub const PORT_ATTEMPTS: usize = 16;
