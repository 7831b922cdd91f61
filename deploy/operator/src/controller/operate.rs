//! The operator as a whole: it is elected, acts, and leaves.

use std::sync::Arc;

use anyhow::bail;
use kube::Client;
use tokio::sync::watch;

use super::api::Kube;
use super::cache::caches;
use super::leader::{Leader, Standing};
use super::watched::Figures;
use super::world::{Parts, SharedSightings, World};
use super::{pools, runs};
use crate::clock::Clock;
use crate::pool::Settings;
use crate::run::Account;

/// What the operator is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its own namespace, where its Lease is.
    pub namespace: String,
    /// This replica's name, which no other one has.
    pub me: String,
    pub settings: Settings,
    /// Whom runs' namespaces are opened to.
    pub account: Option<Account>,
}

/// Runs until `stop` is done, and lets go of the Lease then.
///
/// # Errors
/// It led and lost its Lease: the process has to end, as another one may act by now.
pub async fn operate(
    client: Client,
    options: Options,
    figures: Arc<Figures>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let clock = Clock::start();
    let (mut leader, mut standing) = Leader::new(client.clone(), &options.namespace, &options.me, clock);
    let sightings = SharedSightings::default();
    let acting = Box::pin(act(client, &options, (clock, &sightings), (&figures, standing.clone())));
    let blind = || sightings.lock().expect("nobody panics with it").blind(clock.now());
    let stopped = tokio::select! {
        () = leader.run(|| figures.beat(), blind) => false,
        () = acting => false,
        () = stop => true,
    };
    if stopped {
        leader.release().await;
        figures.stands(Standing::Follows);
        return Ok(());
    }
    let _ = standing.borrow_and_update();
    bail!("the operator's lease is lost; another replica may act, so this one ends")
}

/// Once it leads, until it is dropped.
async fn act(
    client: Client,
    options: &Options,
    seen: (Clock, &SharedSightings),
    told: (&Arc<Figures>, watch::Receiver<Standing>),
) {
    let ((clock, sightings), (figures, mut standing)) = (seen, told);
    tracing::info!(replica = options.me, "waits for the operator's lease");
    if standing.wait_for(|standing| *standing == Standing::Leads).await.is_err() {
        return;
    }
    tracing::info!(replica = options.me, "leads");
    figures.stands(Standing::Leads);
    let (caches, notices, keeping) = caches(&client, sightings, clock);
    let world = Arc::new(World::new(Parts {
        kube: Kube::new(client),
        caches,
        clock,
        sightings: Arc::clone(sightings),
        settings: options.settings.clone(),
        account: options.account.clone(),
        figures: Arc::clone(figures),
        me: options.me.clone(),
    }));
    tokio::join!(
        keeping.run(),
        pools::run(Arc::clone(&world), notices.pools),
        runs::run(Arc::clone(&world), notices.runs),
        runs::sweep(world),
    );
}
