//! Every bound of the wire and of the pure machines, each with its reason.

use std::time::Duration;

/// Kubernetes labels and DNS labels stop here, so a name can become either.
pub const NAME_CHARS: usize = 63;

/// One message on a data channel. Segmentation offload pays from 32 KiB, 64 KiB is what both ends negotiate, the rest is headroom for headers.
pub const MESSAGE_BYTES: usize = 60 * 1024;

/// Payload of one stream frame: a message less its largest header.
pub const STREAM_CHUNK_BYTES: usize = MESSAGE_BYTES - 64;

/// One RPC frame after reassembly: plans' orders fit many times over, and a hostile peer cannot make us hold more.
pub const RPC_FRAME_BYTES: usize = 1024 * 1024;

/// A JSON text that signaling accepts: an SDP with 16 candidates is under 8 KiB.
pub const SIGNAL_BYTES: usize = 64 * 1024;

/// One datagram on a relay socket: the 8 KiB packets of a relayed connection, and the largest DTLS record with its header.
pub const DATAGRAM_BYTES: usize = 17 * 1024;

/// A roster on the way to a peer: a chain is about 600 bytes as JSON, so this is some 3,000 peers.
pub const ROSTER_BYTES: usize = 2 * 1024 * 1024;

/// Credit of one byte stream: what its receiver promises to hold while nobody reads. Fills 50 ms at 80 MB/s.
pub const STREAM_WINDOW_BYTES: u64 = 4 * 1024 * 1024;

/// The same for the streams of a link with stripes: 50 ms at 80 MB/s, four times over, because pieces wait for those that a
/// slower stripe has.
pub const LONG_STREAM_WINDOW_BYTES: u64 = 4 * STREAM_WINDOW_BYTES;

/// The least that a stripe beside the first takes at a time: smaller pieces keep their order on the first one.
pub const STRIPE_CHUNK_BYTES: u64 = 16 * 1024;

/// Gaps in what a stream's receiver holds: a window in the smallest chunks of stripes, every second one missing, twice over.
pub const STREAM_GAPS: usize = (LONG_STREAM_WINDOW_BYTES / STRIPE_CHUNK_BYTES) as usize;

/// Bulk connections of a link on a long path: one SCTP association cannot fill it, and under loss each gets its own share.
pub const STRIPES: u8 = 12;

/// Unacknowledged bytes of a stripe at most: 50 ms at 10 MB/s.
pub const STRIPE_SEND_BYTES: usize = 512 * 1024;

/// A stripe takes the next piece while fewer of its bytes are unacknowledged, however slow its path is.
pub const STRIPE_LEAST_BYTES: u64 = 32 * 1024;

/// How often a stripe that is full looks whether it has room: a fraction of a long path's round trip.
pub const STRIPE_LOOK: Duration = Duration::from_millis(2);

/// A round trip from which on one association with its window is slower than the machines at its ends.
pub const LONG_PATH: Duration = Duration::from_millis(8);

/// Round trips after which a piece on a stripe is late: one to arrive, one to be sent again, and as many for the acknowledgement.
pub const LATE_ROUND_TRIPS: u32 = 4;

/// How often an idle stripe looks for what is late.
pub const LATE_LOOK: Duration = Duration::from_millis(20);

/// Unacknowledged bytes of a link from which on it makes stripes: less is on its way before they are there.
pub const STRIPE_DEMAND_BYTES: u64 = 256 * 1024;

/// Byte streams open in a link at once: thousands of tunnelled connections, not millions.
pub const STREAMS_PER_LINK: usize = 8 * 1024;

/// Resets that go again when a connection is replaced: those of the last moments, which may have been lost with it.
pub const RESETS_REMEMBERED: usize = 256;

/// The header that says what a new byte stream is for.
pub const STREAM_HEADER_BYTES: usize = 16 * 1024;

/// Frames queued between a link's tasks. Each is at most [`MESSAGE_BYTES`].
pub const FRAME_QUEUE: usize = 64;

/// Descriptions that wait for a link's task to take them: those of its stripes, made at once.
pub const DESCRIPTIONS: usize = 4;

/// Linked peers that are asked to pass a signal on when no signaling server can: one is enough, two may be gone as well.
pub const FORWARDERS: usize = 3;

/// RPC calls in flight one way over a link; tarpc refuses more.
pub const CALLS_IN_FLIGHT: usize = 64;

/// Events in one batch on the events channel.
pub const EVENTS_PER_BATCH: usize = 64;

/// Bytes of events in one batch: one data channel message.
pub const EVENT_BATCH_BYTES: usize = MESSAGE_BYTES - 256;

/// Batches of events sent ahead of their acknowledgements, which come once the journal is on disk: a step in a row is a batch or two
/// and takes under a millisecond, so that a slow disk must not hold up those after it.
pub const BATCHES_ON_THE_WAY: usize = 256;

/// Bytes of those: a slow journal holds so much in an agent's memory and no more.
pub const BATCH_BYTES_ON_THE_WAY: usize = 512 * 1024;

/// Batches of events, and new streams, of one link that whoever joined has before it: an honest one seldom waits, and it is all that
/// others have to wait for of one that floods. Two, so that the next one is there when the first is done with.
pub const TURNS: usize = 2;

/// The largest piece of what an orchestrator has its agents remember; longer records are several.
pub const PIECE_BYTES: usize = 128 * 1024;

/// Pieces and their bytes in one call, and in one answer: a few of them fit a frame beside everything else.
pub const PIECES_PER_CALL: usize = 1024;
pub const MEMORY_CALL_BYTES: usize = 2 * PIECE_BYTES;

/// Steps that an agent is told of before their turn: those of a few milliseconds, in which nobody waits for the orchestrator.
pub const STEPS_AHEAD: usize = 64;

/// Whoever holds a run says more within this, or it goes on by itself.
pub const HELD_AT_MOST: Duration = Duration::from_secs(30 * 60);

/// Text inside an event: evidence, messages. Longer text is cut with a mark.
pub const EVENT_TEXT_BYTES: usize = 8 * 1024;

/// Events an agent keeps until they are acknowledged, before it stops taking steps.
pub const OUTBOX_EVENTS: usize = 65_536;

/// Signs of life on a connection that is otherwise silent.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

/// Silence after which a connection is suspect and gets replaced: four heartbeats, so one lost packet and a busy machine are no cause.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(2);

/// Offer to signed hello. A DTLS handshake that is stuck does not come back.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(4);

/// First wait before another attempt, doubled with jitter each time.
pub const RETRY_FIRST: Duration = Duration::from_millis(100);

/// Longest wait before another attempt.
pub const RETRY_LONGEST: Duration = Duration::from_secs(2);

/// The same after somebody refused, who has to be told another thing first: a server its meshes, a mesh its tokens.
pub const REFUSED_RETRY_FIRST: Duration = Duration::from_secs(1);

/// Longest wait after a refusal.
pub const REFUSED_RETRY_LONGEST: Duration = Duration::from_secs(30);

/// A link without a working connection for so long is lost: its streams are reset.
pub const LINK_LOST: Duration = Duration::from_secs(30);

/// How often a direct connection is tried while a relayed one is used: the relay costs the signaling server, the trial two datagrams.
pub const UPGRADE_EVERY: Duration = Duration::from_secs(20);

/// Clocks of peers may differ by this much when expiries are judged.
pub const CLOCK_SKEW: Duration = Duration::from_secs(120);

/// How often a peer and a signaling server look whose token ended. Clocks may be two minutes apart, so more often is not more exact; and it
/// is what a revoked one has.
pub const TOKENS_LOOK: Duration = Duration::from_secs(5);

/// STUN and TURN servers that a peer takes from a signaling server: every connection asks all of them.
pub const ICE_SERVERS: usize = 8;

/// How long a peer's credentials for TURN servers are good, unless it gets new ones: long for a connection to be made, short for
/// somebody whose token was revoked.
pub const ICE_CREDENTIALS: Duration = Duration::from_secs(3_600);

/// A signal is worthless after its attempt; the rest is clock skew.
pub const SIGNAL_LIFETIME: Duration = Duration::from_secs(30);

/// Longest deadline accepted in an RPC frame: tarpc panics on huge ones, and no call is long.
pub const RPC_DEADLINE: Duration = Duration::from_secs(60);

/// Peers of one mesh on one signaling server.
pub const PEERS_PER_MESH: usize = 2_048;

/// Messages queued for one peer on a signaling server before it counts as gone.
pub const SIGNALING_QUEUE: usize = 4_096;

/// Nesting of JSON values in orders: deeper than any honest body, shallower than a stack.
pub const VALUE_DEPTH: usize = 64;

/// A fault whose lease is not renewed ends by itself after this.
pub const FAULT_LEASE: Duration = Duration::from_secs(30);

/// Sending of a bench, each way: longer is a load test, and belongs into a plan.
pub const BENCH_LONGEST: Duration = Duration::from_secs(60);

/// Round trips of a bench: a p99 wants a few hundred.
pub const BENCH_PINGS: u32 = 10_000;

/// Text of a link's last change in a report: two thousand links fit one RPC frame.
pub const LINK_REASON_CHARS: usize = 120;

/// Root keys of one mesh, each after the other: a rotation a year, and a peer checks a chain against all of them.
pub const ROOTS: usize = 8;

/// Pools of agents of one mesh, each with epochs of its own: a pool a service at the most, and a peer keeps a notice of 2 kB of each.
pub const POOLS: usize = 256;

/// Keys that a list of revoked ones names: with a line of roots it fits into one message, twice over.
pub const REVOKED_KEYS: usize = 400;

/// A chunk of a blob: what is asked for again when it is damaged or its source is gone, and small beside an agent's memory.
pub const BLOB_CHUNK_BYTES: usize = 256 * 1024;

/// A blob: test data of a few million records. The digests of its chunks fit an order eight times over.
pub const BLOB_BYTES: u64 = 1024 * 1024 * 1024;

/// Levels of a matcher or a value in an order: plans have a handful, JSON readers allow 128, and each level costs a frame of the stack,
/// which is over at about a thousand in an unoptimized build.
pub const NESTING_LEVELS: usize = 64;

/// Sync points of one test: names are written by people, or made by programs that went wrong.
pub const SYNC_POINTS: usize = 4_096;

/// Values that a topic keeps for those who subscribe later: a few for each of the largest group's members.
pub const SYNC_VALUES: usize = 16_384;

/// Bytes of one published value: addresses and small documents; data goes through `stream`.
pub const SYNC_VALUE_BYTES: usize = 64 * 1024;

/// A shorter secret stands in ordinary words, and masking it would hide what a failure has to say.
pub const SECRET_LEAST_BYTES: usize = 6;

/// A secret's value: keys and certificates with their chains, and not a data base.
pub const SECRET_MOST_BYTES: usize = 16 * 1024;

/// Secrets of one plan: those of a large project's environment.
pub const SECRETS: usize = 256;

/// The lines of a secret that are masked one by one: shorter ones, as `}` or `-----`, say nothing.
pub const MASKED_LINE_BYTES: usize = 12;

/// Encodings inside each other that are looked into: JSON in a percent-encoded field of a JSON line.
pub const MASK_LAYERS: usize = 3;

/// A byte as it may come out of those: `\\u0061` and its like, and three digits with two signs between them.
pub const MASK_EXPANSION: usize = 16;

/// A masked stream is looked at in steps of this size: large against what is looked at twice, small against memory.
pub const MASK_STREAM_BYTES: usize = 64 * 1024;

/// So much of a secret at the end of a cut text counts as its beginning: fewer bytes stand there by chance, and say little.
pub const MASK_CUT_BYTES: usize = 4;

/// A text may be cut inside of an escape, of which the longest that is looked into before its last byte is `\\u006`.
pub const MASK_CUT_ESCAPE_BYTES: usize = 6;

/// A datagram that is to come out of order is kept back for so long: others come meanwhile, and nobody's timeout is over.
pub const REORDER_HOLDS: Duration = Duration::from_millis(20);

/// What a narrow line keeps of datagrams before it loses them: a router's queue of a second is already called bloated.
pub const DATAGRAM_LINE: Duration = Duration::from_secs(1);

/// The longest duration a plan may name: longer ones are slips of the keyboard.
pub const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The largest size a plan may name, in bytes (1 TiB).
pub const MAX_SIZE_BYTES: u64 = 1 << 40;

/// The largest bandwidth a plan may name, in bits a second (1 Tbit/s).
pub const MAX_BANDWIDTH_BITS: u64 = 1_000_000_000_000;

/// The largest rate a plan may name, in events a second or a minute.
pub const MAX_RATE: u64 = 10_000_000;

/// What a person writes in one line, as consoles and journals keep it: a screen of text.
pub const PERSON_LINE_BYTES: usize = 4 * 1024;

/// Agents that make a load together are ready within this, their links included.
pub const LOAD_READY: Duration = Duration::from_secs(20);

/// Labels of one agent: a few say where it is and what it is for.
pub const LABELS: usize = 32;

/// The key or the value of a label, as long as Kubernetes lets a value be.
pub const LABEL_CHARS: usize = 63;
