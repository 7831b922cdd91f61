//! Every bound of the agent, each with its reason. What concerns the wire is in `meshproof_proto::limits`.

use std::time::Duration;

pub use meshproof_proto::limits::{BATCH_BYTES_ON_THE_WAY, BATCHES_ON_THE_WAY, LOAD_READY};

/// A body that is held: of an HTTP answer, of a call to a stub, of a TCP answer read to its end. Honest JSON is far below.
pub const BODY_BYTES: usize = 4 * 1024 * 1024;

/// An HTTP connection that no step takes again is closed after this: steps in a row follow each other within milliseconds, and servers'
/// own idle timeouts are longer.
pub const HTTP_KEPT: Duration = Duration::from_millis(200);

/// HTTP connections that are kept for the next step, of all targets: more than steps run side by side.
pub const HTTP_CONNECTIONS_KEPT: usize = 64;

/// What is kept of a program's stdout and of its stderr, each. The rest is read and thrown away, so that the program goes on.
pub const OUTPUT_BYTES: usize = 4 * 1024 * 1024;

/// One line of a TCP answer: the largest that line protocols promise.
pub const LINE_BYTES: usize = 64 * 1024;

/// Bytes that a step's programs print and that are told while they run: what a person reads. Of the rest the last is told at the end.
pub const PRINTED_BYTES: usize = 64 * 1024;

/// Of what a pipe carried beyond that, so much is told when it ends: the summary of a test suite.
pub const PRINTED_TAIL_BYTES: usize = 4 * 1024;

/// Pipes of a step that tell it: both of a program, and of one that is tried again; a step may be tried very often.
pub const PRINTED_TAILS: usize = 4;

/// What a program prints within this is told together: nobody sees that it is late, and a chatty program is a few events a second.
pub const PRINTED_GATHERED: Duration = Duration::from_millis(100);

/// What a connection brought before its end is read in well under this.
pub const CALL_GRACE: Duration = Duration::from_millis(500);

/// A program's pipes may outlive it in the hands of a process that left its group; they are given up after this.
pub const PIPE_GRACE: Duration = Duration::from_millis(500);

/// First wait before another attempt where no event can wake a step, doubled each time: short, as services answer in milliseconds.
pub const POLL_FIRST: Duration = Duration::from_millis(20);

/// Longest wait before another attempt: what a person does not notice.
pub const POLL_LONGEST: Duration = Duration::from_secs(1);

/// The least time of a last try, made when the time for repeating is over: services answer in milliseconds.
pub const LAST_TRY: Duration = Duration::from_millis(250);

/// Lines of logs that are kept, of all logs together.
pub const LOG_LINES: usize = 100_000;

/// Bytes of log lines that are kept, of all logs together: the agent has to stay small.
pub const LOG_BYTES: usize = 16 * 1024 * 1024;

/// Messages to a log's endpoint that wait to be written: a few milliseconds of a chatty service.
pub const ENDPOINT_LINES: usize = 256;

/// Requests of members that share this agent in one event: what comes in one moment from the few hundred that there may be.
pub const ASKED_TOGETHER: usize = 64;

/// Bytes of names and values among them, beyond the first: an event stays small beside a message.
pub const ASKED_TOGETHER_BYTES: usize = 8 * 1024;

/// Connections of programs to the API: instances of one agent are a few, each with a handful.
pub const API_CONNECTIONS: usize = 1_024;

/// Requests of programs that wait for an answer: as many as a small program has threads, for each of its connections.
pub const API_REQUESTS: usize = 8_192;

/// Answers that wait for a program to read them: values of a topic are told many at once.
pub const API_ANSWERS: usize = 1_024;

/// A body, or a message over the WebSocket: the largest value that a topic takes, with what stands around it.
pub const API_MESSAGE_BYTES: usize = 2 * meshproof_proto::limits::SYNC_VALUE_BYTES;

/// The name of a sync point. Testground's SDKs put run, plan and case before it.
pub const API_NAME_BYTES: usize = 512;

/// Until a program has said what it wants of a connection.
pub const API_HEAD: Duration = Duration::from_secs(10);

/// Of the head of a request, so much is looked at for a WebSocket's header.
pub const API_HEAD_BYTES: usize = 8 * 1024;

/// One log line; longer ones are cut. Stack traces have many lines, not long ones.
pub const LOG_LINE_BYTES: usize = 16 * 1024;

/// Read from a log at once, before other logs have their turn.
pub const LOG_READ_BYTES: usize = 64 * 1024;

/// Read from all logs in one go of a blocking thread, before steps look at it: fewer lines than are kept, however short.
pub const LOG_TURN_BYTES: u64 = 128 * 1024;

/// Lines of a log taken under the lock, or judged, before others have their turn: well under a millisecond.
pub const LOG_LINES_AT_ONCE: usize = 1024;

/// Logs are looked at so often even when nothing woke us: the safety net under file notification.
pub const LOG_POLL: Duration = Duration::from_millis(200);

/// Requests for a fresh look at the logs that wait: one for each step that runs, and the session bounds those.
pub const LOG_REQUESTS: usize = 64;

/// Connections open to a stub at once; the next ones wait in the kernel's queue.
pub const STUB_CONNECTIONS: usize = 1024;

/// Last calls of a stub that are shown as evidence.
pub const STUB_CALLS_SHOWN: usize = 16;

/// Calls that fail a test and are told although the stub's journal is full: the first is enough, a few more help.
pub const STUB_UNEXPECTED_TOLD: u64 = 16;

/// Routes that a stub counted calls of, those that were replaced included: a generated plan has thousands.
pub const STUB_ROUTES: usize = 100_000;

/// Routes of one stub that a report lists: what fits one answer to a call, the ids being short.
pub const STUB_ROUTES_SHOWN: usize = 1000;

/// Stubs kept for the mesh at one agent; each has a bounded journal.
pub const STUBS_KEPT: usize = 256;

/// A stub answers over loopback in well under this; past it, a reply counts as held.
pub const STUB_PROBE: Duration = Duration::from_secs(1);

/// A call to a stub that is a black hole is held when it is not answered in this time.
pub const STUB_HELD_PROBE: Duration = Duration::from_millis(100);

/// Lines shown as evidence beside a failed expectation.
pub const EVIDENCE_LINES: usize = 20;

/// Saved values of one step, as JSON texts, together: a result has to fit one batch of events, evidence included.
pub const SAVED_BYTES: usize = 24 * 1024;

/// Text of the failures of one step, together, for the same reason.
pub const FAILURES_BYTES: usize = 12 * 1024;

/// Text of the evidence of one step, together, for the same reason.
pub const EVIDENCE_BYTES: usize = 32 * 1024;

/// Batches that wait for the connection: it takes them as fast as it can, and no more are made before that.
pub const BATCHES_WAITING: usize = 4;

/// Bytes of events that wait for acknowledgement before steps are refused: the agent has to stay small.
pub const OUTBOX_BYTES: usize = 16 * 1024 * 1024;

/// Space that an outbox's file has beyond what stands in it, so that the ends of what runs can be told when the disk is full: some results
/// of the largest size, and little enough for fifty agents in a folder that is in memory.
pub const OUTBOX_SPACE: u64 = 512 * 1024;

/// A disk that took nothing is tried again after this: whoever makes room sees the run go on.
pub const DISK_AGAIN: Duration = Duration::from_millis(200);

/// Steps that wait for a disk that takes nothing: those that are ordered before their turn, and those side by side with them.
pub const STEPS_STALLED: usize = 512;

/// Notes of what has to be on disk that wait for the session: one for each call of a stub that is being answered, and some.
pub const NOTES: usize = 256;

/// What runs may still fill the outbox to so many times its bounds, so that the end of a step is told.
pub const OUTBOX_RESERVE: usize = 2;

/// That a step has begun is told so late at most: most steps end before, and then both are one message.
pub const BEGUN_TOLD: Duration = Duration::from_millis(5);

/// So many orders may wait for that with their answers; others are answered at once, so that there is room for further calls.
pub const TAKEN_TOLD: usize = 16;

/// That steps have ended is told so late at most while another one begins at once: then many are one message.
pub const ENDS_TOLD: Duration = Duration::from_millis(2);

/// The same while turns go round several agents, which takes longer.
pub const TURNS_TOLD: Duration = Duration::from_millis(8);

/// So many ends of steps wait for the link to an agent that is to hear of them; it is just being made.
pub const OVERS_WAITING: usize = 16;

/// Longest lease of a fault: nothing that is tested lasts a day, and adding to a clock must not overflow.
pub const LEASE_LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Faults active at once: a plan has a handful.
pub const FAULTS_ACTIVE: usize = 64;

/// Read from a tunnelled connection at once; two such buffers a connection.
pub const TUNNEL_READ_BYTES: usize = 16 * 1024;

/// Bytes of one direction of one connection that wait at a gate before its sender is not read any more: 1 s at 1 MiB/s.
pub const TUNNEL_WAITING_BYTES: usize = 1024 * 1024;

/// A socket that gives an error where a connection or a datagram was to come is asked again after so long: what is short, open files or
/// memory, is short for longer than a turn, and asking on would take all of a core.
pub const SOCKET_AGAIN: Duration = Duration::from_millis(50);

/// Ports that are tried for a listener: others would have to take each in the microsecond after it was found free.
pub const BIND_ATTEMPTS: usize = 16;

/// The head of a request that a fault may answer: servers take 8 to 32 KiB.
pub const REQUEST_HEAD_BYTES: usize = 64 * 1024;

/// Client and service have so long to close a connection after a fault has answered a request on it.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// A line has to be full for so long before its rate can be told: a hundred ticks of the clocks that let things go.
pub const LINE_SHOWS: Duration = Duration::from_millis(100);

/// Between the pieces that a fault cuts a chunk to: a reader that is woken takes what is there in well under this.
pub const BETWEEN_PIECES: Duration = Duration::from_millis(1);

/// Tunnelled connections of one listener at once; the next ones wait in the kernel's queue. Two such tunnels fill a link.
pub const TUNNEL_CONNECTIONS: usize = 4096;

/// Clients of one listener for datagrams that are told apart: those of a resolver's busy minute. The one that was silent longest
/// makes room.
pub const DATAGRAM_FLOWS: usize = 1024;

/// A client of a listener for datagrams that is silent for so long is forgotten: longer than any answer is waited for.
pub const DATAGRAM_FLOW_IDLE: Duration = Duration::from_secs(60);

/// The largest datagram that is taken, the largest that UDP over IPv4 carries. What no message of the mesh holds is dropped there.
pub const DATAGRAM_BYTES: usize = 65_507;

/// Datagrams that wait for the time that a fault gave them: a second of ten thousand a second.
pub const DATAGRAMS_LATE: usize = 10_000;

/// Datagrams of one client that wait to be passed to the service: those of a burst, which come in faster than another task gets its turn.
pub const DATAGRAMS_WAITING: usize = 512;

/// A packet of the data network: with what it is wrapped in, one datagram of the mesh holds it, and one UDP packet that.
pub const PACKET_BYTES: u16 = 1_180;

/// A packet for an agent that is not linked yet waits so long before it is tried again: a link is made in several times that.
pub const LINKED_AGAIN: Duration = Duration::from_millis(20);

/// How often it is tried: until TCP would have sent it again.
pub const LINKED_ATTEMPTS: u32 = 50;

/// Connections of a service that leave the data network at once: as many as a tunnel carries.
pub const EGRESS_CONNECTIONS: usize = 4096;

/// After the end of such a connection, both kernels may still say their last words: as long as a connection lingers in TIME_WAIT.
pub const EGRESS_LAST_PACKETS: Duration = Duration::from_secs(60);

/// A datagram that probes a path is given up after this: whatever is asked for less is measured, and no socket waits longer.
pub const DATAGRAM_BACK: Duration = Duration::from_secs(3);

/// Between datagrams that probe a path: enough of them in a short fault to tell a share.
pub const DATAGRAM_PROBE_EVERY: Duration = Duration::from_millis(20);

/// Datagrams that probe a path under one fault: of 200, 10 % are lost give or take 2 %.
pub const DATAGRAM_PROBES: usize = 200;

/// Connections that a fault's report tells apart; more are not counted one by one.
pub const CONNECTIONS_COUNTED: usize = 65_536;

/// A service on the same machine takes a connection in well under this.
pub const DIAL: Duration = Duration::from_secs(5);

/// A healed path carries a probe in well under this, or it is not healed.
pub const HEALED_WITHIN: Duration = Duration::from_secs(2);

/// A black hole has to keep a probe for so long before it counts as one.
pub const HOLE_HOLDS: Duration = Duration::from_millis(500);

/// Between probes on a silent path under a fault.
pub const PROBE_EVERY: Duration = Duration::from_millis(200);

/// Probes of one fault: enough to average jitter.
pub const PROBES: usize = 20;

/// Steps that run at once here: a plan's parallel steps at one agent, with room.
pub const STEPS_RUNNING: usize = 256;

/// Steps that are remembered so that none runs twice.
pub const STEPS_REMEMBERED: usize = 1_000_000;

/// Tests that are remembered so that none begins twice.
pub const TESTS_REMEMBERED: usize = 100_000;

/// Record streams that wait for their sender or run.
pub const RECORD_STREAMS: usize = 1024;

/// Records and answers are written in pieces of about this.
pub const RECORDS_WRITE_BYTES: usize = 32 * 1024;

/// Records of a stream that goes on after a replacement that are sent ahead of their answers: so many come once more at most, beside those that are not noted.
pub const RECORDS_AHEAD: usize = 1024;

/// Answers of a stream that goes on after a replacement are noted so many at a time, a few kilobytes, or after so long: what is not
/// noted comes once more.
pub const ANSWERS_NOTED: usize = 1024;

/// The same in time.
pub const ANSWERS_NOTED_EVERY: Duration = Duration::from_millis(50);

/// Applying one record.
pub const APPLY_WITHIN: Duration = Duration::from_secs(30);

/// Records of one stream: their latencies are held until the end, four bytes each.
pub const RECORDS: u64 = 10_000_000;

/// Text of a request that travels back beside its answer, as evidence.
pub const APPLIED_TEXT_BYTES: usize = 1024;

/// Answers that failed and are shown.
pub const RECORD_FAILURES_SHOWN: usize = 5;

/// Peers that get files of the run from here at once: those that come behind this one, and a few whose sources are gone.
pub const BLOBS_SERVED: usize = 64;

/// Nobody had all of a file: it is asked for again after this.
pub const BLOB_AGAIN: Duration = Duration::from_millis(500);

/// Orders that wait for the session.
pub const COMMANDS: usize = 64;

/// Facts that wait for the session.
pub const FACTS: usize = 256;

/// Links that a later run hears of: as many as peers fit a mesh, twice.
pub const LINKS_KNOWN: usize = 4096;

/// Leaving the mesh: signaling and every link hear of it, and then it is over anyway.
pub const LEAVE: Duration = Duration::from_millis(800);

/// Healing a fault waits so long for its first measurement; with [`HEALED_WITHIN`] it stays below the deadline of a call.
pub const MEASURED_WITHIN: Duration = Duration::from_secs(5);

/// A link to an agent of the run that was just named: until it is known here.
pub const LINK_WAIT: Duration = Duration::from_secs(5);

/// Probes of other agents answered at once: each of their faults has one on its way.
pub const ECHOES: usize = 256;

/// A bench whose caller asks for no report ends: a console asks several times a second.
pub const BENCH_UNASKED: Duration = Duration::from_secs(5);

/// The first answer of a bench's other end: making a link and its bulk connection, twice when an attempt fails.
pub const BENCH_FIRST: Duration = Duration::from_secs(10);

/// Nothing of a bench arrives for so long, and it is over: the link has then had the time to heal once.
pub const BENCH_STALLED: Duration = Duration::from_secs(8);

/// What a bench takes beside sending both ways: the link, pings, what is on the way.
pub const BENCH_SLACK: Duration = Duration::from_secs(60);

/// Between two messages about what has arrived: a tenth of what is shown.
pub const BENCH_TELL_EVERY: Duration = Duration::from_millis(100);

/// One of two files of the audit log: some 10,000 refusals, and nothing that fills a small disk.
pub const AUDIT_BYTES: u64 = 2 * 1024 * 1024;

/// Between two samples of what the service's processes use: what lasts shorter than this hurts nobody, and a look costs some 0.1 ms.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Samples until the groups' members are looked for again, which reads a file of every process of the machine.
pub const SAMPLES_PER_SEARCH: u64 = 5;

/// Samples until one goes into the journal: enough to see a leak, and no load for it.
pub const SAMPLES_PER_EVENT: u64 = 10;

/// Samples that percentiles are taken of: the last day of a run, 2 MiB.
pub const SAMPLES_KEPT: usize = 86_400;

/// Processes of one service: a plan lists them one by one.
pub const PROCESSES_OBSERVED: usize = 1024;

/// Series of one service's metrics; Prometheus calls fewer than this a lot.
pub const SERIES: usize = 20_000;

/// A service on this machine tells its metrics in well under this.
pub const SCRAPE_WITHIN: Duration = Duration::from_secs(5);

/// Series shown beside an expectation that does not hold.
pub const SERIES_SHOWN: usize = 20;

/// Between two times at which lines of a log were read, as they are remembered: who asks for a minute's lines gets a minute's.
pub const LOG_TIMES: Duration = Duration::from_secs(1);

/// Steps that persons have done here at the same time. A program asks with loops; a person waits for an answer.
pub const ASKED_AT_ONCE: usize = 16;

/// A person's step may take so long: while a terminal is looked at.
pub const ASKED_WITHIN: Duration = Duration::from_secs(600);

/// A person's fault may last so long; who needs more begins it once more.
pub const ASKED_LEASE: Duration = Duration::from_secs(3600);

/// Bytes of log lines in one answer: a few screens, and one frame.
pub const LOG_ANSWER_BYTES: usize = 64 * 1024;

/// Exchanges of a load that are shown when they fail: the first is enough, a few more help.
pub const LOAD_FAILURES_SHOWN: usize = 3;

/// Reasons for which calls of a load fail, counted each for itself: statuses and ways to break are fewer.
pub const LOAD_REASONS: usize = 32;

/// A call that is due in less than this is made now: waking up takes as long.
pub const LOAD_EARLY: Duration = Duration::from_micros(50);

/// Calls that are due before the end of a load may begin so late; whoever is behind by more cannot make as many as were asked for.
pub const LOAD_LATE: Duration = Duration::from_millis(100);

/// Runs of so many names have each agent's events copied to another one: that is a link more for each, and beyond this many it would be
/// felt. In larger ones only those are copied that have a link to another agent anyway.
pub const COPIED_AMONG: usize = 64;

/// Bytes of copies that are kept of one agent: many times what a run of thousands of steps tells, and no disk is filled by others.
pub const COPIED_BYTES: u64 = 256 * 1024 * 1024;

/// What is written goes to whoever keeps copies of it together, after so long.
pub const COPIES_GATHERED: Duration = Duration::from_millis(20);

/// Whoever did not take copies is asked again after this.
pub const COPIES_AGAIN: Duration = Duration::from_millis(500);

/// Instances that stand by and get what is on this one's disk: each is one more that an effect waits for.
pub const MIRRORS: usize = 3;

/// Bytes of a file in one message to an instance that stands by; it follows once it lacks no more.
pub const MIRROR_BYTES: usize = 128 * 1024;

/// Bytes that are mirrored of one run: many times what a run of thousands of steps writes, and no disk is filled by others.
pub const MIRRORED_BYTES: u64 = 256 * 1024 * 1024;

/// An instance that stands by and does not answer for so long is left behind. Links that are replaced are there again in less, and whoever
/// commands waits for an answer of this agent twice as long.
pub const MIRRORED_WITHIN: Duration = Duration::from_secs(5);

/// When a message to it that broke off with its connection goes again.
pub const MIRROR_AGAIN: Duration = Duration::from_millis(50);

/// When one that was left behind may begin anew.
pub const MIRROR_ANEW: Duration = Duration::from_millis(500);

/// What is heard of instances that stand by and waits for the session: each says one thing at a time.
pub const MIRRORS_HEARD: usize = 8;
