//! What a fault does to traffic, decided without clocks or sockets.
//!
//! Bytes of a reliable stream cannot be dropped without breaking it, so full loss is a black hole: bytes are held and flow on
//! when the fault ends, as TCP's own retransmissions would make them. Datagrams are lost, doubled and overtaken one by one.

mod datagrams;
mod only;
mod shape;

pub use datagrams::{DatagramShaper, Onward, turn};
pub use only::Only;
pub use shape::{ConnectionShape, DatagramShape, HttpShape, Shape};

use std::time::{Duration, Instant};

use crate::seed::Seed;

/// Applies a shape to the chunks of one direction of one stream, keeping their order.
#[derive(Debug)]
pub struct Shaper {
    shape: Shape,
    seed: Seed,
    last_release: Option<Instant>,
    line_free: Option<Instant>,
}

/// What becomes of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Pass it on then, which may be now.
    At(Instant),
    /// Keep it until the fault ends.
    Hold,
}

impl Shaper {
    pub fn new(shape: Shape, seed: Seed) -> Self {
        Self { shape, seed, last_release: None, line_free: None }
    }

    /// A chunk of `bytes` came at `now`.
    pub fn chunk(&mut self, bytes: usize, now: Instant) -> Fate {
        if self.shape.is_black_hole() {
            return Fate::Hold;
        }
        let mut leave = now;
        if let Some(bits) = self.shape.bandwidth_bits_per_s {
            let start = self.line_free.map_or(now, |free| free.max(now));
            leave = start + Duration::from_secs_f64(bytes as f64 * 8.0 / bits.max(1) as f64);
            self.line_free = Some(leave);
        }
        let release = leave + self.shape.delay(&mut self.seed);
        let release = self.last_release.map_or(release, |last| last.max(release));
        self.last_release = Some(release);
        Fate::At(release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_added_and_order_is_kept_under_jitter() {
        let shape = Shape { latency_us: 10_000, jitter_us: 9_000, ..Shape::default() };
        let mut shaper = Shaper::new(shape, Seed::new(3));
        let start = Instant::now();
        let mut last = start;
        for i in 0..1_000 {
            let now = start + Duration::from_millis(i);
            let Fate::At(release) = shaper.chunk(100, now) else { panic!("nothing is held") };
            assert!(release >= last && release >= now + Duration::from_millis(1));
            last = release;
        }
    }

    #[test]
    fn bandwidth_spreads_chunks_over_time() {
        let mut shaper = Shaper::new(Shape { bandwidth_bits_per_s: Some(8_000), ..Shape::default() }, Seed::new(1));
        let now = Instant::now();
        assert_eq!(shaper.chunk(500, now), Fate::At(now + Duration::from_millis(500)));
        assert_eq!(shaper.chunk(500, now), Fate::At(now + Duration::from_millis(1_000)));
    }

    #[test]
    fn a_black_hole_holds_everything() {
        let mut shaper = Shaper::new(Shape { loss_percent: 100.0, ..Shape::default() }, Seed::new(1));
        assert_eq!(shaper.chunk(1, Instant::now()), Fate::Hold);
    }
}
