//! A fault on the traffic with one other service.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use meshproof_mesh::NoLink;
use meshproof_proto::order::{Direction, FaultOrder, FaultReport};
use meshproof_proto::seed::Seed;
use meshproof_proto::shaper::Shape;
use tokio::time::{interval, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::limits;
use crate::struck::Struck;
use crate::traffic::{Tally, Traveller, ping, ping_undisturbed};
use crate::tunnel::{Far, Way};

/// It disturbs the path until [`TrafficFault::end`]. Probes travel the path from time to time, so that something is measured
/// even when the services are silent.
#[derive(Debug)]
pub(super) struct TrafficFault {
    far: Far,
    fault: String,
    shape: Shape,
    tally: Arc<Tally>,
    prober: AbortOnDropHandle<()>,
}

/// How long an end may wait for a first measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Measure,
    /// The lease is over.
    AtOnce,
}

impl TrafficFault {
    pub(super) fn begin(far: &Far, order: &FaultOrder, direction: Direction, seed: &mut Seed) -> Self {
        let struck = Struck::by(&order.shape, &order.authority.run);
        let tally = far.path.begin(&order.fault, (&order.shape, direction, struck), seed);
        let probing = probe_on(far.clone(), order.shape.clone());
        Self {
            far: far.clone(),
            fault: order.fault.clone(),
            shape: order.shape.clone(),
            tally,
            prober: AbortOnDropHandle::new(tokio::spawn(probing)),
        }
    }

    /// Lets everything flow, sees that it does, and says what was measured.
    pub(super) async fn end(self, patience: Patience) -> FaultReport {
        if patience == Patience::Measure && !self.tally.is_measured(&self.shape) {
            // It is held, or takes its time; what it meets is counted either way.
            let _ = timeout(probe_takes(&self.shape), probe(&self.far, &self.shape)).await;
        }
        let report = self.tally.report(&self.fault, &self.shape);
        self.far.path.end(&self.fault);
        self.prober.abort();
        let healed = timeout(limits::HEALED_WITHIN, self.flows()).await;
        if self.tally.is_empty() && matches!(&healed, Ok(Err(error)) if error.kind() == io::ErrorKind::NotConnected) {
            // No link, and none was needed: there was nothing to disturb, so there is nothing that could be healed.
            let measured = "nothing passes between them through the mesh".to_owned();
            return FaultReport { measured, effective: false, healed: true, ..report };
        }
        if let Ok(Err(error)) = &healed {
            tracing::warn!(fault = self.fault, %error, "no probe came back after the end of a fault");
        }
        FaultReport { healed: matches!(healed, Ok(Ok(_))), ..report }
    }

    /// Other faults may still disturb the path; then the probe goes past them.
    async fn flows(&self) -> io::Result<Duration> {
        let undisturbed = self.far.path.is_undisturbed();
        if undisturbed {
            self.far.listeners.all_open().await;
        }
        if self.shape.is_for_datagrams() {
            self.datagrams_flow().await;
        }
        match undisturbed {
            true => ping(&self.far.path, self.far.open_probe().await.map_err(not_connected)?).await,
            false => ping_undisturbed(self.far.open_probe().await.map_err(not_connected)?).await,
        }
    }

    /// One of them may be lost by itself, and the way may be long: others follow before it is given up.
    async fn datagrams_flow(&self) {
        let mut probes = FuturesUnordered::new();
        let mut again = interval(limits::DATAGRAM_PROBE_EVERY);
        loop {
            tokio::select! {
                _ = again.tick() => probes.push(self.far.datagrams.probe(Way::Past)),
                Some(true) = probes.next() => return,
            }
        }
    }
}

async fn probe_on(far: Far, shape: Shape) {
    let (probes, every) = match shape.is_for_datagrams() {
        true => (limits::DATAGRAM_PROBES, limits::DATAGRAM_PROBE_EVERY),
        false => (limits::PROBES, limits::PROBE_EVERY),
    };
    for _ in 0..probes {
        if shape.is_for_datagrams() {
            // it is counted where it passes
            drop(far.datagrams.probe(Way::Through));
        } else if let Err(error) = probe(&far, &shape).await {
            tracing::debug!(%error, "a probe did not come back");
        }
        sleep(every).await;
    }
}

/// One probe, of the kind that meets such a fault.
async fn probe(far: &Far, shape: &Shape) -> io::Result<()> {
    if shape.connections.refuse {
        // the kernel begins to refuse a moment after the fault does
        far.listeners.all_closed().await;
        for tried in far.listeners.try_all().await {
            match tried {
                Ok(_) => far.path.outgoing.let_in(Traveller::Probe),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    far.path.outgoing.refused(Traveller::Probe);
                }
                Err(error) => tracing::debug!(%error, "a listener could not be tried"),
            }
        }
        return Ok(());
    }
    if shape.is_for_datagrams() {
        far.datagrams.probe(Way::Through).await;
        return Ok(());
    }
    ping(&far.path, far.open_probe().await.map_err(not_connected)?).await.map(drop)
}

fn not_connected(error: NoLink) -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, error)
}

/// How long a probe needs to show such a shape, within reason.
fn probe_takes(shape: &Shape) -> Duration {
    if shape.is_black_hole() {
        return limits::HOLE_HOLDS;
    }
    let connections = &shape.connections;
    let one_way = shape.latency_us.saturating_add(shape.jitter_us).saturating_add(connections.slow_close_us);
    let there_and_back = Duration::from_micros(one_way.saturating_mul(2));
    let reset = Duration::from_micros(connections.reset_after_us.unwrap_or_default());
    there_and_back.max(reset).saturating_add(limits::HOLE_HOLDS).min(limits::MEASURED_WITHIN)
}
