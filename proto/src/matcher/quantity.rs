//! Numbers with units, compared.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;

/// How two numbers relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// Reads `<`, `<=`, `>`, `>=` at the front of a text; gives the rest.
    pub fn strip(text: &str) -> Option<(Self, &str)> {
        for (sign, comparison) in
            [("<=", Self::LessOrEqual), (">=", Self::GreaterOrEqual), ("<", Self::Less), (">", Self::Greater)]
        {
            if let Some(rest) = text.trim_start().strip_prefix(sign) {
                return Some((comparison, rest.trim()));
            }
        }
        None
    }

    /// Whether `left` relates so to `right`.
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

/// A number with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Quantity {
    Number(f64),
    DurationNs(u64),
    Bytes(u64),
    Percent(f64),
    PerSecond(f64),
}

impl Quantity {
    /// `3`, `5s`, `64KiB`, `98%`, `200/s`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<f64>() {
            return number.is_finite().then_some(Self::Number(number));
        }
        if let Ok(duration) = units::duration(text) {
            return u64::try_from(duration.as_nanos()).ok().map(Self::DurationNs);
        }
        if let Ok(bytes) = units::size(text) {
            return Some(Self::Bytes(bytes));
        }
        if let Ok(rate) = units::rate(text) {
            return Some(Self::PerSecond(rate.per_second()));
        }
        units::percent(text).ok().map(|share| Self::Percent(share.value()))
    }

    /// The bare number, in the unit's base: a number, nanoseconds, bytes, per cent, so many a second.
    pub fn number(&self) -> f64 {
        match *self {
            Self::Number(number) | Self::Percent(number) | Self::PerSecond(number) => number,
            Self::DurationNs(number) | Self::Bytes(number) => number as f64,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Number(number) => write!(f, "{number}"),
            Self::DurationNs(ns) => write!(f, "{:?}", Duration::from_nanos(ns)),
            Self::Bytes(bytes) => write!(f, "{bytes} B"),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::PerSecond(rate) => write!(f, "{rate}/s"),
        }
    }
}
