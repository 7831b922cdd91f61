//! What is done to a service's processes while the run goes on.

use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::id::Name;

use super::client::Client;
use super::error::LocalError;
use super::limits::CALL_DEADLINE;
use crate::keeper::protocol::{Answer, Disturbance, How, Request, StartService, Stopped, Target};

/// A handle that can be carried to a task of its own: ending takes as long as a service's grace.
#[derive(Clone, Debug)]
pub struct Processes {
    client: Arc<Client>,
    /// Until everything that was asked to end must have ended.
    end_within: Duration,
}

impl Processes {
    pub(super) fn new(client: Arc<Client>, end_within: Duration) -> Self {
        Self { client, end_within }
    }

    /// Kills them, and waits until they are gone.
    ///
    /// # Errors
    /// The keeper is gone or silent.
    pub async fn kill(&self, service: Name) -> Result<(), LocalError> {
        self.stop(service, How::AtOnce).await
    }

    /// Kills that instance of the agent beside them, which the keeper starts again.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill_agent(&self, (service, number): (Name, u32)) -> Result<(), LocalError> {
        self.disturb(Target::Agent(service, number), Disturbance::Kill).await
    }

    /// Starts the instances of agents that stand by.
    ///
    /// # Errors
    /// One cannot be started.
    pub async fn stand_by(&self) -> Result<(), LocalError> {
        match self.client.call(Request::StandBy, CALL_DEADLINE).await? {
            Answer::Started { .. } => Ok(()),
            _ => Err(LocalError::Confused("start what stands by")),
        }
    }

    /// Kills the agents in that zone for good, and these services; waits until they are gone.
    ///
    /// # Errors
    /// The keeper is gone or silent.
    pub async fn kill_zone(&self, zone: String, services: Vec<Name>) -> Result<(), LocalError> {
        match self.client.call(Request::KillZone { zone, services }, self.end_within).await? {
            Answer::Stopped { .. } => Ok(()),
            _ => Err(LocalError::Confused("kill a zone")),
        }
    }

    /// Freezes them until thawed, at most for so long.
    ///
    /// # Errors
    /// None of them runs.
    pub async fn freeze(&self, service: Name, lease_ms: u64) -> Result<(), LocalError> {
        self.signal(service, Disturbance::Freeze { lease_ms }).await
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// None of them runs.
    pub async fn thaw(&self, service: Name) -> Result<(), LocalError> {
        self.signal(service, Disturbance::Thaw).await
    }

    /// Asks them to end, if they run, and starts them anew in the same folder. Gives their ids.
    ///
    /// # Errors
    /// They did not end, or cannot be started.
    pub async fn restart(&self, start: StartService) -> Result<Vec<i32>, LocalError> {
        self.stop(start.name.clone(), How::Asking).await?;
        match self.client.call(Request::StartService(start), CALL_DEADLINE).await? {
            Answer::Started { pids } => Ok(pids),
            _ => Err(LocalError::Confused("start a service")),
        }
    }

    async fn stop(&self, service: Name, how: How) -> Result<(), LocalError> {
        match self.client.call(Request::Stop { what: Stopped::Service(service), how }, self.end_within).await? {
            Answer::Stopped { .. } => Ok(()),
            _ => Err(LocalError::Confused("stop")),
        }
    }

    async fn signal(&self, service: Name, signal: Disturbance) -> Result<(), LocalError> {
        self.disturb(Target::Service(service), signal).await
    }

    async fn disturb(&self, target: Target, signal: Disturbance) -> Result<(), LocalError> {
        match self.client.call(Request::Signal { target, signal }, CALL_DEADLINE).await? {
            Answer::Signalled => Ok(()),
            _ => Err(LocalError::Confused("signal")),
        }
    }
}
