//! The shell's own bounds, each with its reason. What concerns the wire and the machines is in [`meshproof_proto::limits`].

use std::time::Duration;

use meshproof_proto::allowance::Rate;
use meshproof_proto::limits::{CALLS_IN_FLIGHT, FRAME_QUEUE};

/// How long a goodbye, or a refusal, may take to reach the peer: a long round trip.
pub(crate) const GOODBYE: Duration = Duration::from_millis(300);

/// Closing links, saying goodbye, all in all.
pub(crate) const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Event batches that wait for a control connection: enough to keep it busy, and their sender knows early that it is not.
pub(crate) const EVENT_BATCHES: usize = 4;

/// Calls and replies in one message: many small ones, and no more than a heartbeat can wait behind.
pub(crate) const PACKED_BYTES: usize = 16 * 1024;

/// Signals that wait for a signaling server, and words of links that wait for the node: those of many links at once.
pub(crate) const SIGNALS: usize = FRAME_QUEUE * 4;

/// Signals that a peer has us pass on: it lost a hundred links at once, and tries each again every few seconds. What is over it is lost,
/// as on any way that a signal takes, and comes again with the next attempt.
pub(crate) const FORWARDS: Rate = Rate { at_once: 128, per_second: 64 };

/// Signals that a peer passes on to us, each of which has a signature to be checked: those of eight such peers.
pub(crate) const FORWARDED: Rate = Rate { at_once: 1_024, per_second: 512 };

/// Beats of a peer that are answered: those that it could tell apart, in each span between two of an honest peer. The answers to a flood
/// would fill our own way to the peer, and our beats would wait behind them.
pub(crate) const BEATS_ANSWERED: Rate =
    Rate { at_once: BEATS_REMEMBERED as u32, per_second: 2 * BEATS_REMEMBERED as u32 };

/// How often the datagrams of a link ask for a connection that carries them: it is made within that, or tried again.
pub(crate) const DATAGRAM_ASKS: Rate = Rate { at_once: 1, per_second: 2 };

/// RPC messages that wait for the service or the client: as many again as may be in flight.
pub(crate) const CALLS_WAITING: usize = CALLS_IN_FLIGHT * 2;

/// Datagrams that wait each way between a connection and its relay. A relayed connection has at most a receive window on its way,
/// which is 128 of its packets, and the acknowledgements of as much; what does not fit is lost, as it is on any path, and sent again.
pub(crate) const DATAGRAMS_WAITING: usize = 512;

/// Unacknowledged bytes of one channel before `send` waits; the stack's default is unbounded.
pub(crate) const CHANNEL_UNSENT_BYTES: usize = 256 * 1024;

/// Datagrams of a link that wait to be sent: what a burst brings while its first connection is made. More would only be late.
pub(crate) const DATAGRAM_QUEUE_BYTES: usize = 1024 * 1024;

/// Datagrams of a link that wait for whoever takes them, which is done in microseconds.
pub(crate) const DATAGRAM_QUEUE: usize = 256;

/// What waits in a wire that benchmarks put in a path, as a router's queue would: 25 ms at 640 MB/s.
pub(crate) const WIRE_BYTES: usize = 16 * 1024 * 1024;

/// Links to peers that vanished: how many are remembered, and how long they are shown. A person who looks because something
/// stands still does so within minutes.
pub(crate) const PAST_LINKS: usize = 64;
pub(crate) const PAST_SHOWN: Duration = Duration::from_secs(600);

/// Beats whose answers count as life: those of four seconds.
pub(crate) const BEATS_REMEMBERED: usize = 8;

/// Answers of a new connection from which on they say how long its path is, whatever was known of the one before: two seconds.
pub(crate) const BEATS_SURE: usize = 4;

/// Numbers of streams that a link may use up, before they are those of a link that is made after it: ten thousand a second for two days.
pub(crate) const STREAMS_OF_A_LINK: u64 = 1 << 32;

/// How far down the line a stripe looks for something large: it is asked again soon.
pub(crate) const STREAMS_LOOKED_AT: usize = 64;

/// The shortest span that bytes a second are measured over: a shorter one says more about the moment than about the link.
pub(crate) const PACE_SPAN: Duration = Duration::from_millis(250);

/// After a signaling server came back its peers are back within this, or have left: the silence in which they notice that it was
/// away (5.5 s), their longest wait before they try again (2 s), and a moment to register.
pub(crate) const BACK_WITHIN: Duration = Duration::from_secs(10);

/// Chunks of a blob that are asked for ahead: a megabyte, which a link has on its way anyway.
pub(crate) const BLOB_CHUNKS_ASKED: usize = 4;

/// Whoever gives no chunk for so long has none, or is gone; another one is asked. A link has had the time to heal.
pub(crate) const BLOB_SILENT: Duration = Duration::from_secs(5);
