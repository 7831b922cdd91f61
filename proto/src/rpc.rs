//! The typed calls between peers, carried by tarpc over channel 0 of a control connection.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{Digest, Name, Term};
use crate::order::{Authority, FaultOrder, FaultReport, Initialize, Initialized, ReceiveOrder, StepKey, StepOrder};

/// What every agent does for an orchestrator. No call is long: `start` returns when the step is accepted, results are events.
#[tarpc::service]
pub trait Agent {
    /// Takes the setting of a run: binds stubs and tunnels, links to the agents that the tunnels lead to.
    async fn initialize(order: Box<Initialize>) -> Result<Initialized, Refusal>;
    /// A test begins: sequences and counts of stubs start anew, active faults stay. Repeated for the same test it does nothing.
    async fn begin_test(authority: Authority, test: String) -> Result<(), Refusal>;
    /// Starts a step; at most once for each key.
    async fn start(order: Box<StepOrder>) -> Result<(), Refusal>;
    /// Gets ready to apply a stream's records.
    async fn receive(order: Box<ReceiveOrder>) -> Result<(), Refusal>;
    /// Gives up a step that runs.
    async fn cancel(authority: Authority, key: StepKey) -> Result<(), Refusal>;
    /// Begins a fault or renews its lease; answered when it is active.
    async fn begin_fault(order: Box<FaultOrder>) -> Result<(), Refusal>;
    /// Ends a fault, makes sure that it ended, and says what it did.
    async fn heal_fault(authority: Authority, fault: String) -> Result<FaultReport, Refusal>;
    /// What the agent holds.
    async fn status() -> Result<Status, Refusal>;
    /// Ends the run here: steps given up, faults healed, stubs and tunnels closed. Gives the reports of faults that were still active.
    async fn finish(authority: Authority) -> Result<Vec<FaultReport>, Refusal>;
    /// Answers with the same number.
    async fn ping(number: u64) -> u64;
}

/// Why an agent did not take an order.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    #[error("the caller's role does not allow `{call}`")]
    Role { call: String },
    #[error("the run's term is {current} here, the order is of term {offered}")]
    OldTerm { offered: u64, current: u64 },
    #[error("the order is of plan {offered:?}, this run is of plan {current:?}")]
    OtherPlan { offered: Digest, current: Digest },
    #[error("no run `{0}` here; initialize it first")]
    NoSuchRun(String),
    #[error("this agent already serves run `{0}`")]
    Busy(String),
    #[error("this agent may not do `{0}`: its grant or its configuration does not allow it")]
    Capability(String),
    #[error("there is no {what} `{name}` here")]
    Unknown { what: String, name: String },
    #[error("{0}")]
    Failed(String),
}

/// What an agent holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub service: Name,
    pub run: Option<(Authority, Term)>,
    pub steps_running: u32,
    pub faults_active: Vec<String>,
    pub events_unacked: u64,
}
