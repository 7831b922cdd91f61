//! What can be asked of a number that changes, and of many.

use std::time::Duration;

use serde_json::Value;

use crate::matcher::{Actual, Matcher, Quantity};

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
pub fn percentile(numbers: impl Iterator<Item = f64>, share: f64) -> Option<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    of_sorted(&numbers, share)
}

/// As [`percentile`], of numbers in their order.
#[must_use]
pub fn of_sorted(numbers: &[f64], share: f64) -> Option<f64> {
    let rank = (share * numbers.len() as f64).ceil() as usize;
    numbers.get(rank.saturating_sub(1)).copied()
}

/// A number in the unit that it is compared with: metrics are told in seconds and bytes.
#[must_use]
pub fn actual(matcher: &Matcher, number: f64) -> Actual {
    match serde_json::Number::from_f64(number) {
        _ if is_of_time(matcher) => Actual::Duration(Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX)),
        // whole numbers as people write them
        Some(_) if number.fract() == 0.0 && number.abs() < 1e15 => Actual::Json(Value::from(number as i64)),
        Some(number) => Actual::Json(Value::Number(number)),
        None => Actual::Text(number.to_string()),
    }
}

fn is_of_time(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::Compare(_, Quantity::DurationNs(_)) => true,
        Matcher::Not(inner) => is_of_time(inner),
        Matcher::All(all) => all.iter().any(is_of_time),
        Matcher::Equals(_)
        | Matcher::Compare(..)
        | Matcher::Regex(_)
        | Matcher::Contains(_)
        | Matcher::In(_)
        | Matcher::Exists(_)
        | Matcher::Paths(_)
        | Matcher::CompareTo(..)
        | Matcher::RegexOf(_) => false,
    }
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
