//! Several paths that are cut at once.

use meshproof_proto::order::FaultReport;

use super::traffic::{Patience, TrafficFault};

/// Ends all of them at once; one report tells of all.
pub(super) async fn end(cuts: Vec<TrafficFault>, patience: Patience) -> Option<FaultReport> {
    let ending = cuts.into_iter().map(|cut| cut.end(patience));
    futures::future::join_all(ending).await.into_iter().reduce(both)
}

/// It did something if one of the cuts did, and is over when all are.
fn both(one: FaultReport, other: FaultReport) -> FaultReport {
    // Where nothing passes through the mesh there was nothing to cut, which says nothing beside what was.
    let telling = |report: &&FaultReport| report.effective || !(one.effective || other.effective);
    let told: Vec<&str> = [&one, &other].into_iter().filter(telling).map(|report| report.measured.as_str()).collect();
    let worst = one.deviation_percent.into_iter().chain(other.deviation_percent).reduce(f64::max);
    FaultReport {
        measured: told.join("; "),
        deviation_percent: worst,
        effective: one.effective || other.effective,
        healed: one.healed && other.healed,
        ..one
    }
}
