//! Renews a zone's Lease while the zone is well.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::judge::{Answer, judge};
use crate::clock::Clock;
use crate::limits;

/// What a reporter is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    pub namespace: String,
    pub lease: String,
    /// This reporter's name, which no other one has.
    pub me: String,
}

/// Asks every three seconds, and renews after each time that the zone was found well. Of two reporters of a zone one writes; the
/// other looks on, and takes over when the Lease has not changed for seven seconds. Until it is dropped.
pub async fn report<Asking>(client: Client, options: Options, ask: impl Fn() -> Asking)
where
    Asking: Future<Output = Vec<Result<Answer, String>>>,
{
    let leases = Api::namespaced(client, &options.namespace);
    let mut renewing = Renewing { leases, options, clock: Clock::start(), seen: None, own: None };
    let mut ticks = interval(limits::ZONE_RENEWAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_well = true;
    loop {
        ticks.tick().await;
        match judge(&ask().await) {
            Ok(()) => {
                if !std::mem::replace(&mut was_well, true) {
                    tracing::info!("the zone's mesh is well again");
                }
                renewing.renew().await;
            }
            Err(why) => {
                if std::mem::replace(&mut was_well, false) {
                    tracing::warn!("the zone's lease is not renewed: {why}");
                }
                renewing.own = None;
            }
        }
    }
}

struct Renewing {
    leases: Api<Lease>,
    options: Options,
    clock: Clock,
    /// The version that was last seen, and since when.
    seen: Option<(String, Timestamp)>,
    /// As this one wrote it last: it can be written again without being read.
    own: Option<Lease>,
}

impl Renewing {
    async fn renew(&mut self) {
        match timeout(limits::ZONE_RENEWAL, self.try_renew()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the zone's lease could not be renewed");
                self.own = None;
            }
            Err(_) => {
                tracing::warn!("the zone's lease could not be renewed in time");
                self.own = None;
            }
        }
    }

    async fn try_renew(&mut self) -> kube::Result<()> {
        let lease = match self.own.take() {
            Some(own) => own,
            None => {
                let lease = self.leases.get(&self.options.lease).await?;
                if !self.may_write(&lease) {
                    return Ok(());
                }
                lease
            }
        };
        let written = self.leases.replace(&self.options.lease, &PostParams::default(), &self.renewed(lease)).await?;
        self.own = Some(written);
        Ok(())
    }

    /// Its own, nobody's, or one that its holder has stopped to renew.
    fn may_write(&mut self, lease: &Lease) -> bool {
        let now = self.clock.now();
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let since = match &self.seen {
            Some((known, since)) if *known == version => *since,
            _ => {
                self.seen = Some((version, now));
                now
            }
        };
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        holder.is_empty() || holder == self.options.me || now >= since + limits::REPORTER_PATIENCE
    }

    fn renewed(&self, lease: Lease) -> Lease {
        let spec = lease.spec.unwrap_or_default();
        let renew_time = Some(MicroTime(self.clock.now()));
        let spec = LeaseSpec { holder_identity: Some(self.options.me.clone()), renew_time, ..spec };
        Lease { spec: Some(spec), ..lease }
    }
}
