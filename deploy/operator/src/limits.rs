//! Every size and every wait of the operator, each with its reason.

use std::time::Duration;

/// A pool's zones. A cloud's region has three to six; the schema needs a bound, or its rules cost too much for the API server.
pub const ZONES: i32 = 16;

/// How long a leader's lease is good: client-go's default, so that an operator behaves as others in the cluster do.
pub const LEADER_LEASE: Duration = Duration::from_secs(15);

/// A leader that could not renew for so long goes, before others may take its lease.
pub const LEADER_DEADLINE: Duration = Duration::from_secs(10);

/// Between two looks at the leader's lease, and two renewals.
pub const LEADER_RETRY: Duration = Duration::from_secs(2);

/// Between two renewals of a zone's lease: three fit into its shortest time.
pub const ZONE_RENEWAL: Duration = Duration::from_secs(3);

/// A second reporter of a zone takes over after two renewals that did not come, before the zone would count as lost.
pub const REPORTER_PATIENCE: Duration = Duration::from_secs(7);

/// An agent answers its health from its loop within 2 s; what takes longer is not well.
pub const HEALTH_ANSWER: Duration = Duration::from_millis(2_500);

/// Of an agent's figures: a link is 600 bytes, and a pool may have a thousand.
pub const HEALTH_BYTES: usize = 1 << 20;

/// Agents that are asked at once by a reporter.
pub const HEALTH_ASKED: usize = 32;

/// What a zone that has just become active may take to have its first agent ready, images pulled; until then it is not lost.
pub const STARTUP: Duration = Duration::from_secs(60);

/// A pod that was restarted so often waits 40 s and more for its next start, where a new pod starts at once.
pub const RESTARTS: i32 = 3;

/// Pods of a pool that are replaced within [`RESPAWN_WINDOW`]; past that, what they run is broken and new pods would not help.
pub const RESPAWNS: i32 = 6;
pub const RESPAWN_WINDOW: Duration = Duration::from_secs(600);

/// A pod of a node that is gone is given up so soon, in place of the API server's default of 300 s.
pub const NODE_TOLERATION: Duration = Duration::from_secs(10);

/// Everything is looked at again after so long, whatever happens: against what no watch tells.
pub const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// The shortest wait between two looks at an object that waits for a time.
pub const LOOK_SOONEST: Duration = Duration::from_millis(100);

/// After a failed look at an object.
pub const RETRY_FIRST: Duration = Duration::from_millis(500);
pub const RETRY_LONGEST: Duration = Duration::from_secs(60);

/// Conflicts in a row after which a retry waits as after any failure: it is no longer the cache that is behind.
pub const CONFLICTS: u32 = 5;

/// Objects of a kind that are worked on at once.
pub const AT_ONCE: u16 = 8;

/// Notices that something of a pool or a run changed, on their way to its controller.
pub const NOTICES: usize = 256;

/// Between two sweeps for namespaces whose run is gone.
pub const SWEEP: Duration = Duration::from_secs(300);

/// How often a namespace that is going is looked at.
pub const NAMESPACE_GOES: Duration = Duration::from_secs(2);

/// What an agent's process needs when it stands idle, with room: see docs/kubernetes.md.
pub const AGENT_CPU: &str = "50m";
pub const AGENT_MEMORY: &str = "64Mi";
pub const AGENT_MEMORY_LIMIT: &str = "256Mi";

/// Where an agent tells its health, as its image has it.
pub const HEALTH_PORT: u16 = 9464;

/// Links' UDP ports, if a pool names none: 1000 of the kernel's own range.
pub const PORTS: (u16, u16) = (40_000, 40_999);

/// Between two looks for a Secret or a ConfigMap that a run needs and that is not there.
pub const SOURCE_MISSING: Duration = Duration::from_secs(10);

/// A call about the leader's lease: two of them fit before the deadline.
pub const LEADER_CALL: Duration = Duration::from_secs(4);

/// Without a look at the lease for so long, the operator's own loop hangs: two calls and a tick fit in.
pub const PULSE: Duration = Duration::from_secs(15);

/// A watch that broke off is made again within 30 s; if there was no failure for longer, the API server is there.
pub const BLIND: Duration = Duration::from_secs(45);
