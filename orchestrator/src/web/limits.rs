//! Bounds of the web console, each with its reason.

use std::time::Duration;

/// Connections of browsers at once: a few tabs, each with its socket and what it loads.
pub(super) const CONNECTIONS: usize = 64;

/// Tabs at once: people who look at one run from one machine.
pub(super) const TABS: usize = 16;

/// From the socket to its first word, and from the connection to its request: both come from this machine.
pub(super) const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// What a page says at once: an RPC frame as base64 in JSON, twice over.
pub(super) const WORD_BYTES: usize = 4 * meshproof_proto::limits::RPC_FRAME_BYTES;

/// What waits for a tab that reads slowly. Whoever says more waits.
pub(super) const WAITING: usize = 64;

/// Lines and questions of a tab that nobody has looked at.
pub(super) const ASKED: usize = 16;

/// Calls of the chat that go through a page: as many as a link takes.
pub(super) const CALLS: usize = meshproof_proto::limits::CALLS_IN_FLIGHT;

/// Records in one message: some ten kilobytes, so that nothing waits long behind them.
pub(super) const RECORDS: usize = 128;

/// Signs of life to a tab, whose browser answers by itself; one that answers none of three is gone.
pub(super) const PING_EVERY: Duration = Duration::from_secs(5);
pub(super) const SILENCE: Duration = Duration::from_secs(16);

/// Between two attempts at a signaling server.
pub(super) const SIGNALING_AGAIN: Duration = Duration::from_millis(500);

/// How often it is looked whether somebody goes on with a run whose journal nobody writes.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// From a page's opening to its links: the fallback is tried after six seconds, and takes two.
pub(super) const LINKED_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked whether another run goes on in a mesh: the first line of each kept run is read for it.
pub(super) const NEXT_RUN_EVERY: Duration = Duration::from_secs(2);

/// How often a page is told of the links of who stands in for it: two heartbeats.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(1);
