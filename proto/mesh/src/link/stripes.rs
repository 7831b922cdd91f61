//! When one bulk connection is not enough.
//!
//! One SCTP association carries a window per round trip, and under loss much less; so on a long path a link with much to send
//! makes several, each with a window and a congestion control of its own.

use std::sync::PoisonError;
use std::time::Duration;

use meshproof_proto::limits;
use meshproof_proto::link::Input;
use meshproof_proto::links::LinkPath;
use meshproof_proto::signal::ConnectionKind;

use super::actor::LinkTask;

impl LinkTask {
    /// Called with each measured round trip. A link that is full of its own data, or a machine that is busy, answers late; the path
    /// is as long as its quickest answer. One relay serves all connections of a link, so there more of them bring nothing.
    pub(super) fn stripe(&mut self, rtt: Duration) {
        let long = self.tracks.control.beats.path().is_some_and(|path| path >= limits::LONG_PATH);
        if !long || self.is_relayed() || !self.speaks.is_some_and(|version| version.has_stripes()) {
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

    fn is_relayed(&self) -> bool {
        let info = self.info.lock().unwrap_or_else(PoisonError::into_inner);
        info.path.is_some_and(|path| path.kind == LinkPath::Relayed)
    }
}
