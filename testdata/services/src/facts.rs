//! The log: one fact a line on stdout, behind the milliseconds since 1970.

use std::io::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 by the system's clock.
pub fn unix_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
}

/// Writes `<unix_ms> <fact>` as one line. A log that nobody reads any more is no reason to stop serving.
pub fn say(fact: std::fmt::Arguments<'_>) {
    let line = format!("{} {fact}\n", unix_ms());
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

/// Whole milliseconds since `start`.
pub fn took_ms(start: Instant) -> u128 {
    start.elapsed().as_millis()
}
