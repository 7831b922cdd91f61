//! Keeps asking for the operator's Lease, and says when it is had and when it is lost.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::failure::Failure;
use crate::clock::Clock;
use crate::election::{Claim, Election, Held};
use crate::limits;

/// The Lease that operators are elected by.
pub const LEASE: &str = "meshproof-operator";

/// What a candidate knows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Follows,
    Leads,
    /// It led, and does no more.
    Lost,
}

/// One candidate at work.
pub struct Leader {
    leases: Api<Lease>,
    election: Election,
    clock: Clock,
    standing: watch::Sender<Standing>,
    /// As this one wrote it last: it can be written again without being read.
    own: Option<Lease>,
}

impl Leader {
    pub fn new(client: Client, namespace: &str, me: &str, clock: Clock) -> (Self, watch::Receiver<Standing>) {
        let (standing, seen) = watch::channel(Standing::Follows);
        let leases = Api::namespaced(client, namespace);
        (Self { leases, election: Election::new(me), clock, standing, own: None }, seen)
    }

    /// Asks every two seconds, until it had the Lease and lost it, or is stopped. `beat` is called each time, and `blind` when
    /// the API server did not answer.
    pub async fn run(&mut self, beat: impl Fn(), blind: impl Fn()) {
        let mut ticks = interval(limits::LEADER_RETRY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while *self.standing.borrow() != Standing::Lost {
            ticks.tick().await;
            beat();
            let left = self.election.until_lost(self.clock.now()).unwrap_or(limits::LEADER_DEADLINE);
            match timeout(left, self.ask()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) if error.is_conflict() => tracing::debug!("another replica was first"),
                Ok(Err(error)) => {
                    blind();
                    tracing::warn!(%error, "the operator's lease could not be looked at");
                }
                Err(_) => {
                    blind();
                    tracing::warn!("the operator's lease could not be looked at before its deadline");
                }
            }
            self.say();
        }
    }

    fn say(&self) {
        let now = self.clock.now();
        let standing = match (self.election.is_lost(now), self.election.leads(now)) {
            (true, _) => Standing::Lost,
            (false, true) => Standing::Leads,
            (false, false) => match *self.standing.borrow() {
                Standing::Leads | Standing::Lost => Standing::Lost,
                Standing::Follows => Standing::Follows,
            },
        };
        self.standing.send_if_modified(|known| std::mem::replace(known, standing) != standing);
    }

    /// Reads, and claims what may be claimed. No call may take so long that the deadline passes unnoticed.
    async fn ask(&mut self) -> Result<(), Failure> {
        let lease = match self.own.take() {
            Some(own) => Some(own),
            None => self.within(self.leases.get_opt(LEASE)).await?,
        };
        let held = lease.as_ref().map(held);
        let Some(claim) = self.election.read(held, self.clock.now()) else {
            self.election.refused();
            return Ok(());
        };
        let began = self.clock.now();
        let body = self.body(&claim, lease, self.election.me());
        let written = match claim.seen {
            None => self.within(self.leases.create(&PostParams::default(), &body)).await?,
            Some(_) => self.within(self.leases.replace(LEASE, &PostParams::default(), &body)).await?,
        };
        self.own = Some(written);
        self.election.written(began);
        Ok(())
    }

    async fn within<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        match timeout(limits::LEADER_CALL, call).await {
            Ok(answered) => answered.map_err(|error| Failure::api("the operator's lease", error)),
            Err(_) => Err(Failure::Waiting("the operator's lease".to_owned())),
        }
    }

    fn body(&self, claim: &Claim, lease: Option<Lease>, holder: &str) -> Lease {
        let before = lease.unwrap_or_default();
        let spec = before.spec.unwrap_or_default();
        let is_new = spec.holder_identity.as_deref() != Some(holder);
        let now = MicroTime(self.clock.now());
        let acquired = spec.acquire_time.filter(|_| !is_new).unwrap_or_else(|| now.clone());
        let metadata =
            ObjectMeta { name: Some(LEASE.to_owned()), resource_version: claim.seen.clone(), ..before.metadata };
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(seconds(limits::LEADER_LEASE)),
            lease_transitions: i32::try_from(claim.transitions).ok(),
            acquire_time: Some(acquired),
            renew_time: Some(now),
            ..spec
        };
        Lease { metadata, spec: Some(spec) }
    }

    /// Lets go of it, so that another one need not wait for its end.
    pub async fn release(&mut self) {
        if !self.election.leads(self.clock.now()) {
            return;
        }
        let released = async {
            let Some(lease) = self.within(self.leases.get_opt(LEASE)).await? else { return Ok(()) };
            let held = held(&lease);
            if held.holder != self.election.me() {
                return Ok(());
            }
            let claim = Claim { seen: Some(held.resource_version), transitions: held.transitions };
            let mut body = self.body(&claim, Some(lease), "");
            body.spec = body.spec.map(|spec| LeaseSpec { lease_duration_seconds: Some(1), ..spec });
            self.within(self.leases.replace(LEASE, &PostParams::default(), &body)).await.map(drop)
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "the operator's lease could not be released; another one waits for its end");
        }
    }
}

fn held(lease: &Lease) -> Held {
    let spec = lease.spec.clone().unwrap_or_default();
    Held {
        holder: spec.holder_identity.unwrap_or_default(),
        transitions: spec.lease_transitions.unwrap_or_default().into(),
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}
