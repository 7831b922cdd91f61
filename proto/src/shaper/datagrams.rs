//! What becomes of single datagrams.

use std::time::{Duration, Instant};

use super::Shape;
use crate::limits::{DATAGRAM_LINE, REORDER_HOLDS};
use crate::seed::Seed;

/// Applies a shape to the datagrams of one direction, which share its bandwidth.
#[derive(Debug)]
pub struct DatagramShaper {
    shape: Shape,
    seed: Seed,
    line_free: Option<Instant>,
}

/// One copy of a datagram that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Onward {
    pub due: Instant,
    /// Which of its bits is turned, counted round and round; none: it is whole.
    pub turned: Option<u64>,
    /// Whether it is kept back, so that others overtake it.
    pub held_back: bool,
    /// How long it waits until the line is free.
    pub waits: Duration,
}

/// Turns one bit of it.
pub fn turn(bytes: &mut [u8], bit: u64) {
    let bits = bytes.len() as u64 * 8;
    if let Some(bit) = bit.checked_rem(bits)
        && let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| bytes.get_mut(at))
    {
        *byte ^= 1 << (bit % 8);
    }
}

impl DatagramShaper {
    pub fn new(shape: Shape, seed: Seed) -> Self {
        Self { shape, seed, line_free: None }
    }

    /// A datagram of `bytes` came at `now`: each copy of it; none if it is lost. The first is no later than the second.
    pub fn datagram(&mut self, bytes: usize, now: Instant) -> Vec<Onward> {
        let Shape { loss_percent, datagrams, .. } = &self.shape;
        // Each is drawn for each datagram, so that what befalls one does not depend on the other effects.
        let mut strikes = |percent: f64| self.seed.unit() * 100.0 < percent;
        let lost = strikes(*loss_percent);
        let doubled = strikes(datagrams.duplicate_percent);
        let held_back = strikes(datagrams.reorder_percent);
        let corrupted = strikes(datagrams.corrupt_percent);
        let bit = self.seed.next_u64();
        let delay = self.shape.delay(&mut self.seed);
        if lost {
            return Vec::new();
        }
        let Some((starts, leaves)) = self.leaves_line(bytes, now) else { return Vec::new() };
        let due = leaves + delay + if held_back { REORDER_HOLDS } else { Duration::ZERO };
        let (turned, waits) = (corrupted.then_some(bit), starts - now);
        vec![Onward { due, turned, held_back, waits }; if doubled { 2 } else { 1 }]
    }

    /// When it begins to go through the line, and when it has; `None` when too much waits there.
    fn leaves_line(&mut self, bytes: usize, now: Instant) -> Option<(Instant, Instant)> {
        let Some(bits) = self.shape.bandwidth_bits_per_s else { return Some((now, now)) };
        let start = self.line_free.map_or(now, |free| free.max(now));
        if start - now > DATAGRAM_LINE {
            return None;
        }
        let leaves = start + Duration::from_secs_f64(bytes as f64 * 8.0 / bits.max(1) as f64);
        self.line_free = Some(leaves);
        Some((start, leaves))
    }
}

#[cfg(test)]
mod tests {
    use super::super::DatagramShape;
    use super::*;

    const MANY: usize = 100_000;

    /// How many copies each of many datagrams has.
    fn copies(shape: Shape) -> Vec<usize> {
        let seed = 42;
        println!("seed {seed}");
        let mut shaper = DatagramShaper::new(shape, Seed::new(seed));
        let now = Instant::now();
        (0..MANY).map(|_| shaper.datagram(100, now).len()).collect()
    }

    fn share(copies: &[usize], wanted: usize) -> f64 {
        100.0 * copies.iter().filter(|copies| **copies == wanted).count() as f64 / MANY as f64
    }

    #[test]
    fn loss_and_duplicates_strike_the_share_that_was_asked_for() {
        let datagrams = DatagramShape { duplicate_percent: 5.0, ..DatagramShape::default() };
        let copies = copies(Shape { loss_percent: 10.0, datagrams, ..Shape::default() });
        assert!((share(&copies, 0) - 10.0).abs() < 0.5, "{}", share(&copies, 0));
        assert!((share(&copies, 2) - 4.5).abs() < 0.5, "{}", share(&copies, 2));
    }

    #[test]
    fn everything_is_lost_in_a_black_hole_and_nothing_on_a_good_path() {
        assert!(share(&copies(Shape { loss_percent: 100.0, ..Shape::default() }), 0) > 99.99);
        assert!(share(&copies(Shape::default()), 1) > 99.99);
    }

    #[test]
    fn some_are_kept_back_and_the_others_pass_at_once() {
        let datagrams = DatagramShape { reorder_percent: 20.0, ..DatagramShape::default() };
        let mut shaper = DatagramShaper::new(Shape { datagrams, ..Shape::default() }, Seed::new(7));
        let now = Instant::now();
        let copies: Vec<Onward> = (0..MANY).flat_map(|_| shaper.datagram(100, now)).collect();
        assert!(copies.iter().all(|copy| copy.held_back == (copy.due == now + REORDER_HOLDS)));
        let due: Vec<Instant> = copies.iter().map(|copy| copy.due).collect();
        assert!(due.iter().all(|due| *due == now || *due == now + REORDER_HOLDS));
        let kept = 100.0 * due.iter().filter(|due| **due > now).count() as f64 / MANY as f64;
        assert!((kept - 20.0).abs() < 0.5, "{kept}");
    }

    #[test]
    fn of_the_share_that_was_asked_for_one_bit_is_turned() {
        let datagrams = DatagramShape { corrupt_percent: 10.0, ..DatagramShape::default() };
        let seed = 11;
        println!("seed {seed}");
        let mut shaper = DatagramShaper::new(Shape { datagrams, ..Shape::default() }, Seed::new(seed));
        let now = Instant::now();
        let bits: Vec<u64> = (0..MANY).flat_map(|_| shaper.datagram(100, now)).filter_map(|copy| copy.turned).collect();
        let share = 100.0 * bits.len() as f64 / MANY as f64;
        assert!((share - 10.0).abs() < 0.5, "{share}");
        for bit in bits {
            let mut bytes = [0x5a; 100];
            turn(&mut bytes, bit);
            let turned: u32 = bytes.iter().map(|byte| (byte ^ 0x5a).count_ones()).sum();
            assert_eq!(turned, 1);
        }
        turn(&mut [], 7);
    }

    #[test]
    fn a_narrow_line_is_shared_and_what_would_wait_too_long_there_is_lost() {
        let mut shaper =
            DatagramShaper::new(Shape { bandwidth_bits_per_s: Some(80_000), ..Shape::default() }, Seed::new(1));
        let now = Instant::now();
        let at = |millis, waits| Onward {
            due: now + Duration::from_millis(millis),
            turned: None,
            held_back: false,
            waits: Duration::from_millis(waits),
        };
        assert_eq!(shaper.datagram(1_000, now), [at(100, 0)]);
        assert_eq!(shaper.datagram(1_000, now), [at(200, 100)]);
        let passed = (0..100).filter(|_| !shaper.datagram(1_000, now).is_empty()).count();
        assert!(passed < 12, "{passed}");
    }
}
