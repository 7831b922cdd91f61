//! One run, decided purely: what is ordered next, what every answer means, and what it all came to.
//!
//! [`Run`] is driven with four verbs. `handle` takes what happened, `handle_timeout` says that the time of `poll_timeout` has
//! come, `poll_output` gives what to do until it gives nothing. No clock, no socket, no file: `now` is an argument, and the
//! same inputs make the same run.
//!
//! The way of a run: [`Run::new`] says what is expected, before anything is built or joined. [`Input::Begin`] comes when agents
//! are initialized; services are launched, each once what it needs is ready, and waited for. Then the tests, one after the other:
//! steps until one fails, `after` in any case, then faults that are still there are healed and judged. [`Output::TearDown`] ends
//! everything that was started, and [`Output::Finished`] says what the run came to. Whatever goes wrong, the way leads through
//! teardown to that end.
//!
//! A run passes only if every result that was expected has come and every one of them is good: the verdict is computed from what
//! came (`tally`), never from the absence of complaints.

mod ahead;
mod api;
mod blame;
mod certificates;
mod churning;
mod closing;
mod disturbing;
mod drawing;
mod environment;
mod everywhere;
mod faults;
mod limits;
mod machine;
mod measured;
mod members;
mod processes;
mod programs;
mod respawned;
mod scope;
mod settling;
mod side;
mod spreading;
mod stalling;
mod startup;
mod steering;
mod stepping;
mod successor;
mod syncing;
mod tally;
mod testing;
mod watching;
mod zones;

pub use api::{
    Abort, FirstFailure, Flaky, Input, Launch, LaunchFile, Lease, OrdersTogether, Output, Place, Problem, ProcessOrder,
    Setting, Setup,
};
pub use environment::{KEEP, OUTPUTS};
pub use limits::STALLED_AT_MOST;
pub use machine::{Run, heeds};
pub use scope::{early_scope, launches};

#[cfg(test)]
pub(crate) mod tests;
