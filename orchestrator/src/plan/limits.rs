//! How large a plan may be. A plan is written by people; whatever passes these numbers is an accident or an attack.

use std::time::Duration;

/// Bytes of one plan file: thousands of steps fit, and reading stays well under a second.
pub const MAX_PLAN_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of a file beside the plan whose text goes into orders, which are at most a megabyte; descriptions and certificates are
/// far below.
pub const MAX_BESIDE_BYTES: usize = 768 * 1024;
/// Nesting of maps and lists: the language needs about ten; recursion over the tree stays far from the stack's end.
pub const MAX_DEPTH: usize = 64;
/// Values in the tree, copies made by aliases included: ends alias bombs before they cost memory.
pub const MAX_NODES: usize = 250_000;
/// Bytes of text in the tree, copies made by aliases included.
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;
/// Diagnostics kept; nobody reads more, the rest is counted.
pub const MAX_DIAGNOSTICS: usize = 100;
/// Characters that may not stand in a plan, each reported, before the file is taken for something else than a plan.
pub const MAX_FORBIDDEN_CHARS: usize = 10;
/// Characters of a line of the plan that are drawn: two lines of a wide terminal.
pub const MAX_SHOWN_CHARS: usize = 200;
/// How many of them may stand before the place that matters.
pub const MAX_SHOWN_BEFORE: usize = 60;
/// Characters of the user's text repeated inside a message.
pub const MAX_QUOTED_CHARS: usize = 60;
/// Letters of a name; it becomes part of file names, host names and environment variables.
pub const MAX_NAME_CHARS: usize = 63;
/// Bytes of a regular expression or a JSONPath: their parsers recurse, and nobody reads longer ones.
pub const MAX_PATTERN_CHARS: usize = 512;
/// Bytes of a step that are searched for the place of one of its expressions: the search is repeated for each of them.
pub const MAX_SEARCHED_BYTES: usize = 16 * 1024;
/// Calls that a stub may be told to remember: half a kilobyte each.
pub const MAX_STUB_JOURNAL: u64 = 10_000;
/// Pieces of a slow body that does not say: enough to be slow all the way, few enough to be seen in a trace.
pub const DEFAULT_PIECES: u32 = 10;
/// Pieces of a slow body: each is a write of its own.
pub const MAX_PIECES: u32 = 100_000;
/// How long a test may take that does not say: a hung test must end while somebody still waits for it.
pub const DEFAULT_TEST_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// How long one attempt of a step may take that does not say; the plan language names this default.
pub const DEFAULT_WITHIN: Duration = Duration::from_secs(30);
/// Members of all groups: each is a program, an agent and a link on one machine.
pub const MAX_MEMBERS: u64 = 1_000;

/// Members that share an agent: each has a listener at it, and what all of them are told when they begin fits into one order.
pub const MAX_PER_AGENT: u64 = 250;
/// Links that a topology has: a thousand agents with six each, which is what one machine holds.
pub const MAX_LINKS: usize = 3_000;
/// Instances of a service: each is an agent of its own, and one of them acts.
pub const MAX_REPLICAS: u64 = 5;
/// Combinations of a matrix: each runs every test.
pub const MAX_MATRIX: usize = 256;
/// Steps of a plan once `repeat` and `matrix` are written out: their results are all expected before the first of them begins.
pub const MAX_STEPS: usize = 100_000;
/// Faults that one step draws: each is told to agents, and stands in the journal.
pub const MAX_DRAWN: u32 = 1_000;
/// How long a person may take until they say that it goes on.
pub const DEFAULT_PAUSE: Duration = Duration::from_secs(30 * 60);
/// How long a test waits for quiet that does not say: as long as one attempt of a step.
pub const DEFAULT_SETTLE: Duration = DEFAULT_WITHIN;
/// How long a service may take until it is ready: interpreters and virtual machines start slowly on a busy machine.
pub const DEFAULT_READY: Duration = Duration::from_secs(30);
/// How long a service has between being asked to end and being ended: what container runtimes grant.
pub const DEFAULT_STOP_GRACE: Duration = Duration::from_secs(10);
/// Users of one load at one agent: each is a connection, and a process may have so many with a few to spare.
pub const MAX_USERS: u64 = 10_000;
/// Calls of one load that are under way at one agent, for the same reason.
pub const MAX_IN_FLIGHT: u64 = 10_000;
/// The same where the plan does not say: a service that has so many waiting is overloaded.
pub const DEFAULT_IN_FLIGHT: u64 = 1_000;
