//! What can be asked of a number that changes, and of many.

/// What is asked of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stat {
    /// The last one.
    Is,
    Min,
    Max,
    /// A share: 0.99.
    Percentile(f64),
}

impl Stat {
    /// By the field of a check.
    #[must_use]
    pub fn of(field: &str) -> Option<Self> {
        Some(match field {
            "is" => Self::Is,
            "min" => Self::Min,
            "max" => Self::Max,
            "p50" => Self::Percentile(0.5),
            "p95" => Self::Percentile(0.95),
            "p99" => Self::Percentile(0.99),
            _ => return None,
        })
    }
}

/// The least of them that is not below this share of all (nearest rank).
pub(super) fn percentile(numbers: impl Iterator<Item = f64>, share: f64) -> Option<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    let rank = (share * numbers.len() as f64).ceil() as usize;
    numbers.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        let hundred = || (1..=100).map(f64::from);
        assert_eq!(percentile(hundred(), 0.99), Some(99.0));
        assert_eq!(percentile(hundred(), 0.5), Some(50.0));
        assert_eq!(percentile([7.0].into_iter(), 0.99), Some(7.0));
        assert_eq!(percentile([].into_iter(), 0.5), None);
    }
}
