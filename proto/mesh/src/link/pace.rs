//! How fast a link carries bytes, for people to look at.

use std::time::Instant;

use crate::limits::PACE_SPAN;

/// What was counted last, sent and received.
#[derive(Debug)]
pub(super) struct Pace {
    at: Instant,
    bytes: (u64, u64),
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, bytes: (0, 0) }
    }

    /// Bytes a second since the last measurement, when that was long enough ago.
    pub(super) fn measured(&mut self, bytes: (u64, u64), now: Instant) -> Option<(u64, u64)> {
        let span = now.saturating_duration_since(self.at);
        if span < PACE_SPAN {
            return None;
        }
        let a_second = |count: u64, before: u64| (count.saturating_sub(before) as f64 / span.as_secs_f64()) as u64;
        let pace = (a_second(bytes.0, self.bytes.0), a_second(bytes.1, self.bytes.1));
        *self = Self { at: now, bytes };
        Some(pace)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bytes_a_second_are_those_since_the_last_measurement() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.measured((10, 10), start + Duration::from_millis(100)), None);
        assert_eq!(pace.measured((500, 100), start + Duration::from_millis(500)), Some((1_000, 200)));
        assert_eq!(pace.measured((1_500, 100), start + Duration::from_millis(1_500)), Some((1_000, 0)));
    }
}
