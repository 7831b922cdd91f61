//! What time it is.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// Counts on from when it was started, whatever is done to the machine's clock meanwhile: leases and hold-downs are judged by it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    at: Timestamp,
    since: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { at: Timestamp::now(), since: Instant::now() }
    }

    pub fn now(&self) -> Timestamp {
        self.at + self.elapsed()
    }

    /// Since it was started.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}
