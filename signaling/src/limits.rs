//! The server's own bounds, each with its reason. What concerns the wire is in [`meshproof_proto::limits`].

use std::time::Duration;

use meshproof_proto::limits::{PEERS_PER_MESH, ROSTER_BYTES, SIGNAL_BYTES};

/// A challenge answers itself in one round trip; who needs longer is stuck or hostile. Also the time that a connection has
/// to become a WebSocket.
pub const REGISTER_DEADLINE: Duration = Duration::from_secs(5);

/// Pings to every peer: a lost one is repeated twice before the peer counts as gone.
pub const PING_EVERY: Duration = Duration::from_secs(2);

/// Silence, or a write that makes no end, after which a peer is gone: three pings.
pub const SILENCE: Duration = Duration::from_secs(6);

/// How long a socket that we close may take to answer. Closing before it did would reset the connection, and the reason
/// that we sent could get lost: a long round trip and a resend.
pub const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// The same when the whole server stops: it is gone in half a second.
pub const STOP_GRACE: Duration = Duration::from_millis(250);

/// Connections open at once, registered or not; more wait in the listener's backlog. Two full meshes.
pub const CONNECTIONS: usize = 2 * PEERS_PER_MESH;

/// Messages on their way from the sockets to the rooms: when the rooms are busy, sockets are not read.
pub const ARRIVALS: usize = 1_024;

/// One message from a peer: a signal is text inside JSON, so that each of its quotes and line ends takes two bytes.
pub const MESSAGE_BYTES: usize = 2 * SIGNAL_BYTES;

/// One chain as JSON. An honest one with the longest names is under 1 KiB.
pub const CHAIN_BYTES: usize = 4 * 1024;

/// The chains of a mesh together: the roster must fit into one message, less its brackets.
pub const CHAINS_BYTES: usize = ROSTER_BYTES - 64;

/// Bytes queued for one peer before it counts as gone: a full roster and the same number of newcomers, with room.
pub const QUEUED_BYTES: usize = 4 * ROSTER_BYTES;

/// What a socket reads and collects at a time. tungstenite's defaults of 128 KiB each would be 1 GiB for [`CONNECTIONS`].
pub const SOCKET_BUFFER_BYTES: usize = 8 * 1024;

/// What a socket holds while the network takes no more: one roster and what a ping needs. tungstenite's default is no bound.
pub const SOCKET_UNSENT_BYTES: usize = ROSTER_BYTES + SOCKET_BUFFER_BYTES;

/// Pause after a failed accept, which mostly means that the process is out of file descriptors.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Failed accepts in a row, ten seconds' worth, after which the listener is broken.
pub const ACCEPT_FAILURES: u32 = 100;
