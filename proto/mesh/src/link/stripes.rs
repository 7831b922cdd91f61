//! When one bulk connection is not enough.
//!
//! One SCTP association carries a window per round trip, and under loss much less; so on a long path a link with much to send
//! makes several, each with a window and a congestion control of its own.

use std::time::Duration;

use meshproof_proto::limits;
use meshproof_proto::link::Input;
use meshproof_proto::signal::ConnectionKind;

use super::actor::LinkTask;

impl LinkTask {
    /// Called with each measured round trip.
    pub(super) fn stripe(&mut self, rtt: Duration) {
        if rtt < limits::LONG_PATH || !self.speaks.is_some_and(|version| version.has_stripes()) {
            return;
        }
        self.mux.note_round_trip(rtt);
        let (_, waiting) = self.mux.queued();
        if waiting >= limits::STRIPE_DEMAND_BYTES && self.mux.ways() > 0 {
            for stripe in 1..limits::STRIPES {
                self.feed(ConnectionKind::Bulk(stripe), Input::Want);
            }
        }
    }
}
