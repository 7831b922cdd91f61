//! The server's own bounds, each with its reason. What concerns the wire is in [`meshproof_proto::limits`].

use std::time::Duration;

use meshproof_proto::allowance::Rate;
use meshproof_proto::limits::{DATAGRAM_BYTES, PEERS_PER_MESH, ROSTER_BYTES, SIGNAL_BYTES};

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

/// Connections open at once, registered or not; more wait in the listener's backlog. Ten thousand peers in several meshes, which
/// the command in `examples/floods` measures, and the relay sockets on top, so that these take no place from signaling.
pub const CONNECTIONS: usize = 5 * PEERS_PER_MESH + RELAYS;

/// Descriptors that the command asks the system for: one for each connection, and those that any process has.
pub const DESCRIPTORS: usize = CONNECTIONS + 64;

/// Relay sockets open at once, two a relayed connection; more are answered with 503. The last resort of some peers of a mesh,
/// not the way of all: at [`RELAY_QUEUE`] and the buffers each, 450 MB when every one of them is full.
pub const RELAYS: usize = 2_048;

/// Relay sockets of one peer: an orchestrator whose 100 agents all have no other way, with a control and a bulk connection
/// each and a generation that is about to be replaced. A quarter of [`RELAYS`], so that one peer does not take all of them.
pub const RELAYS_PER_PEER: usize = RELAYS / 4;

/// How long one end of a relayed connection waits for the other. Longer than an attempt lives, so that the peers give up
/// first; short, because it holds a place.
pub const RELAY_WAIT: Duration = Duration::from_secs(10);

/// Datagrams between the two sockets of a relayed connection. Enough to write a batch at a time; what does not fit waits in
/// the sender's TCP, and in the end at the sender.
pub const RELAY_QUEUE: usize = 8;

/// What a relay socket is told by its desk: a challenge, an answer, a pairing, an end, all there ever is.
pub const RELAY_ORDERS: usize = 8;

/// What a relay socket reads and collects at a time: some datagrams of a burst in one system call.
pub const RELAY_BUFFER_BYTES: usize = 32 * 1024;

/// What a relay socket holds while the network takes no more: what it collects and one datagram with its header.
pub const RELAY_UNSENT_BYTES: usize = RELAY_BUFFER_BYTES + DATAGRAM_BYTES + 64;

/// Messages on their way from the sockets to the rooms: when the rooms are busy, sockets are not read. A socket has one more in
/// its hand, and they are served in turns, so what stands here is all that others can have put in front of somebody.
pub const ARRIVALS: usize = 16;

/// Connections from one address: the peers of a machine come in at once, those of a fleet behind one router in seconds. A flood
/// costs less than a tenth of a core.
pub const SOURCE_CONNECTIONS: Rate = Rate { at_once: 64, per_second: 100 };

/// How long a connection over [`SOURCE_CONNECTIONS`] is held until its turn, unread; where it would be longer it is refused. Half of
/// what a peer waits for its welcome; an orchestrator with 300 agents on one machine is held, and not refused.
pub const CONNECTION_HELD: Duration = Duration::from_millis(2_500);

/// Messages from one address, whatever its sockets: a hundred agents of one machine that link with each other say ten thousand, and
/// take longer than this makes them wait to shake hands.
pub const SOURCE_MESSAGES: Rate = Rate { at_once: 512, per_second: 2_000 };

/// Messages on one socket; over it, the socket is not read. An orchestrator says two to each of its agents.
pub const SOCKET_MESSAGES: Rate = Rate { at_once: 256, per_second: 500 };

/// A message counts as one, and once more for each of these: what it costs to read it.
pub const MESSAGE_UNIT_BYTES: usize = 16 * 1024;

/// News of a root key counts as so many messages: its signatures are checked.
pub const NEWS_UNITS: u32 = 16;

/// Addresses that are told apart; more share one allowance. Eight for each connection that there may be, and 2 MiB.
pub const SOURCES: usize = 16 * 1024;

/// Claims that are looked into at the same time: three signatures each, and a flood of them takes one core and no more.
pub const VETTINGS: usize = 1;

/// One message from a peer: a signal is text inside JSON, so that each of its quotes and line ends takes two bytes.
pub const MESSAGE_BYTES: usize = 2 * SIGNAL_BYTES;

/// One chain as JSON. An honest one with the longest names is under 1 KiB.
pub const CHAIN_BYTES: usize = 4 * 1024;

/// The chains of a mesh together: the roster must fit into one message, less its brackets.
pub const CHAINS_BYTES: usize = ROSTER_BYTES - 64;

/// Bytes queued for one peer before it counts as gone: a full roster and the same number of newcomers, with room.
pub const QUEUED_BYTES: usize = 4 * ROSTER_BYTES;

/// What a socket reads and collects at a time: most signals are smaller. tungstenite's defaults of 128 KiB each would be 3 GiB for
/// [`CONNECTIONS`].
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024;

/// What a socket holds while the network takes no more: one roster and what a ping needs. tungstenite's default is no bound.
pub const SOCKET_UNSENT_BYTES: usize = ROSTER_BYTES + SOCKET_BUFFER_BYTES;

/// How often epochs are looked for: a take-over is waited for, and some small files are read in no time.
pub const EPOCHS_EVERY: Duration = Duration::from_secs(1);

/// One file with an epoch, of which no more is read. An honest one with the longest names is under 2 KiB.
pub const EPOCH_BYTES: u64 = 16 * 1024;

/// Pause after a failed accept, which mostly means that the process is out of file descriptors.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Failed accepts in a row, ten seconds' worth, after which the listener is broken.
pub const ACCEPT_FAILURES: u32 = 100;
