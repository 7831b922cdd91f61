//! How long many calls took, in memory that does not grow: a high-dynamic-range histogram.
//!
//! Microseconds are counted in cells that are at most a thousandth of their value wide, so that a percentile is right to 0.1 %
//! wherever it lies. Two of them add up to what one would have counted, so several agents' parts are one distribution.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Cells of one width: half of them are of the next range too, where each is twice as wide.
const CELLS: u64 = 2048;
const HALF: u64 = CELLS / 2;

/// A longer time counts as this one: a day.
const LONGEST_US: u64 = 86_400_000_000;

/// Counts of times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// By cell, as far as one was counted.
    counts: Vec<u64>,
    total: u64,
    max_us: u64,
}

/// The cells that are not empty, in their order, as pairs of the distance from the one before and the count.
#[derive(Serialize, Deserialize)]
struct Sparse {
    cells: Vec<(u32, u64)>,
    max_us: u64,
}

fn cell(us: u64) -> usize {
    let wide = u64::from((64 - (us / CELLS).leading_zeros()).min(63));
    usize::try_from(wide * HALF + (us >> wide)).expect("a day has few cells")
}

/// The greatest time that is counted in this cell.
fn greatest(cell: usize) -> u64 {
    let cell = cell as u64;
    let wide = (cell / HALF).saturating_sub(1);
    ((cell - wide * HALF + 1) << wide) - 1
}

impl Histogram {
    pub fn add(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).min(LONGEST_US);
        self.count(cell(us), 1);
        self.max_us = self.max_us.max(us);
    }

    /// All that the other one has counted as well.
    pub fn merge(&mut self, other: &Self) {
        for (cell, count) in other.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.count(cell, *count);
        }
        self.max_us = self.max_us.max(other.max_us);
    }

    /// How many were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The longest, exactly.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.total > 0).then(|| Duration::from_micros(self.max_us))
    }

    /// What this share of them, from 0 to 1, did not exceed; none where none was counted.
    #[must_use]
    pub fn at(&self, share: f64) -> Option<Duration> {
        let rank = ((share * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let cell = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_micros(greatest(cell).min(self.max_us)))
    }

    fn count(&mut self, cell: usize, count: u64) {
        if self.counts.len() <= cell {
            self.counts.resize(cell + 1, 0);
        }
        self.counts[cell] = self.counts[cell].saturating_add(count);
        self.total = self.total.saturating_add(count);
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut cells, mut before) = (Vec::new(), 0);
        for (at, count) in (0..).zip(&self.counts).filter(|(_, count)| **count > 0) {
            cells.push((at - before, *count));
            before = at;
        }
        Sparse { cells, max_us: self.max_us }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Sparse { cells, max_us } = Sparse::deserialize(deserializer)?;
        let last = cell(LONGEST_US);
        let (mut histogram, mut at) = (Self { max_us: max_us.min(LONGEST_US), ..Self::default() }, 0_usize);
        for (distance, count) in cells {
            at = at.saturating_add(distance as usize);
            if at > last {
                return Err(serde::de::Error::custom("a histogram with a cell that none has"));
            }
            histogram.count(at, count);
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(times: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        times.iter().for_each(|us| histogram.add(Duration::from_micros(*us)));
        histogram
    }

    #[test]
    fn every_time_is_in_a_cell_that_is_a_thousandth_of_it_wide() {
        let mut before = None;
        for at in 0..cell(LONGEST_US) {
            let top = greatest(at);
            assert_eq!((cell(top), cell(top + 1)), (at, at + 1));
            let width = before.map_or(1, |before| top - before);
            assert!(width == 1 || width * 1000 <= top, "cell {at} is {width} wide at {top}");
            before = Some(top);
        }
    }

    #[test]
    fn of_none_there_is_no_percentile_and_of_one_all_are_that_one() {
        assert_eq!((of(&[]).at(0.5), of(&[]).max()), (None, None));
        let one = of(&[123_457]);
        assert_eq!((one.at(0.0), one.at(0.99)), (one.max(), one.max()));
    }

    #[test]
    fn a_cell_that_no_histogram_has_is_refused() {
        let read = |text: &str| serde_json::from_str::<Histogram>(text);
        assert!(read(r#"{"cells":[[4294967295,1]],"max_us":1}"#).is_err());
        assert_eq!(read(r#"{"cells":[[3,1]],"max_us":3}"#).expect("a good one"), of(&[3]));
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_times_to_a_thousandth(
            mut times in prop::collection::vec(prop_oneof![0_u64..5_000, 0_u64..10_000_000_000], 1..300), share in 0.0..=1.0_f64,
        ) {
            let found = of(&times).at(share).expect("there are some").as_micros() as u64;
            times.sort_unstable();
            let exact = times[((share * times.len() as f64).ceil() as usize).max(1) - 1];
            prop_assert!(found >= exact && found - exact <= exact / 1000, "{found} for {exact}");
        }

        #[test]
        fn parts_add_up_to_the_whole_and_survive_their_bytes(
            left in prop::collection::vec(0_u64..100_000_000_000, 0..100), right in prop::collection::vec(0_u64..3_000, 0..100),
        ) {
            let mut merged = of(&left);
            merged.merge(&of(&right));
            let whole = of(&[left, right].concat());
            prop_assert_eq!(&merged, &whole);
            let bytes = crate::codec::Codec::Bincode.encode(&merged).expect("small");
            prop_assert_eq!(crate::codec::Codec::Bincode.decode::<Histogram>(&bytes).expect("its own"), whole);
        }
    }
}
