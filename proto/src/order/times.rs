//! How orders carry times.

use std::time::Duration;

/// Whole milliseconds; what is longer than a `u64` of them is as long as that.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
