//! A fault on the traffic with one other service.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use meshproof_mesh::NoLink;
use meshproof_proto::order::{Direction, FaultOrder, FaultReport};
use meshproof_proto::seed::Seed;
use meshproof_proto::shaper::Shape;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::limits;
use crate::traffic::{Tally, ping, ping_undisturbed};
use crate::tunnel::Far;

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
        let tally = far.path.begin(&order.fault, (&order.shape, direction), seed);
        let probing = probe_on(far.clone());
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
            let _ = timeout(probe_takes(&self.shape), self.far_ping()).await;
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

    async fn far_ping(&self) -> io::Result<Duration> {
        probe(&self.far).await
    }

    /// Other faults may still disturb the path; then the probe goes past them.
    async fn flows(&self) -> io::Result<Duration> {
        if self.far.path.is_undisturbed() {
            return probe(&self.far).await;
        }
        ping_undisturbed(self.far.open_probe().await.map_err(not_connected)?).await
    }
}

async fn probe_on(far: Far) {
    for _ in 0..limits::PROBES {
        if let Err(error) = probe(&far).await {
            tracing::debug!(%error, "a probe did not come back");
        }
        sleep(limits::PROBE_EVERY).await;
    }
}

async fn probe(far: &Far) -> io::Result<Duration> {
    ping(&far.path, far.open_probe().await.map_err(not_connected)?).await
}

fn not_connected(error: NoLink) -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, error)
}

/// How long a probe needs to show such a shape, within reason.
fn probe_takes(shape: &Shape) -> Duration {
    if shape.is_black_hole() {
        return limits::HOLE_HOLDS;
    }
    let there_and_back = Duration::from_micros(shape.latency_us.saturating_add(shape.jitter_us).saturating_mul(2));
    there_and_back.saturating_add(limits::HOLE_HOLDS).min(limits::MEASURED_WITHIN)
}
