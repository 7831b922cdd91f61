//! Every limit of the two services, with its reason.

use std::time::Duration;

/// Connections that one service serves at once; each costs a thread.
pub const CONNECTIONS: usize = 256;
/// Orders on their way to payments and ledger at once; each costs a thread.
pub const ORDERS_IN_FLIGHT: usize = 256;
/// Orders that a service remembers: memory stays under some hundred megabytes.
pub const ORDERS: usize = 1_000_000;

/// The head of an HTTP message; what browsers and proxies send stays far below.
pub const HEAD_BYTES: usize = 16 * 1024;
/// Headers of an HTTP message.
pub const HEADERS: usize = 64;
/// The body of an HTTP message; an order needs a hundred bytes.
pub const BODY_BYTES: usize = 64 * 1024;
/// An open connection without a request is closed after this.
pub const IDLE: Duration = Duration::from_secs(30);

/// Opening a connection: the other end is on the same machine or one hop away.
pub const CONNECT: Duration = Duration::from_secs(1);
/// The payment provider's answer: it is known to be slow.
pub const CHARGE_ANSWER: Duration = Duration::from_secs(5);
/// A flaky provider gets this many chances, in two seconds and some, before an order fails.
pub const CHARGE_ATTEMPTS: u32 = 10;
/// The pause before the second attempt to charge; it grows by itself each time.
pub const CHARGE_PAUSE: Duration = Duration::from_millis(50);

/// The ledger's answer to one attempt: it answers from memory, so silence means that the line is lost.
pub const LEDGER_ANSWER: Duration = Duration::from_secs(2);
/// How long an order waits for a ledger that cannot be reached.
pub const LEDGER_PATIENCE: Duration = Duration::from_secs(25);
/// The pause between two attempts to reach the ledger.
pub const LEDGER_PAUSE: Duration = Duration::from_millis(100);

/// An open connection to the ledger without a line is closed after this; an outage in a test is shorter.
pub const LEDGER_IDLE: Duration = Duration::from_secs(600);
/// A line of the ledger's protocol; an order's id is a word.
pub const LINE_BYTES: u64 = 1024;
/// How long the ledger gathers posts before it writes them to the audit file: the file may be slow, an answer may not.
pub const AUDIT_DELAY: Duration = Duration::from_millis(150);
/// Connections that the ledger tells of on stdout; after that a log line each would cost more than the work.
pub const CONNECTIONS_TOLD: u64 = 100;
