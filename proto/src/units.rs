//! Quantities as they stand in a plan: a number directly followed by its unit. Pure text to value.

use std::time::Duration;

use crate::limits::{MAX_BANDWIDTH_BITS, MAX_DURATION, MAX_RATE, MAX_SIZE_BYTES};

/// Why a text is no quantity of the kind wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("a bare number where a unit belongs")]
    Bare,
    #[error("`{0}` is not a unit of it")]
    Unit(String),
    #[error("it does not begin with a number")]
    Number,
    #[error("`{0}` does not stand after a greater unit")]
    Order(String),
    #[error("it is more than {0}")]
    TooMuch(&'static str),
}

/// A share of a whole, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// 0 to 100.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }

    /// 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        self.0 / 100.0
    }
}

/// So many events in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub events: u64,
    pub per: Per,
}

/// The time of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    Second,
    Minute,
}

impl Rate {
    /// Events in a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "rates are bounded far below 2^52")]
    pub fn per_second(self) -> f64 {
        match self.per {
            Per::Second => self.events as f64,
            Per::Minute => self.events as f64 / 60.0,
        }
    }
}

/// Bits in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bandwidth {
    pub bits_per_second: u64,
}

type Quantity<T> = Result<T, QuantityError>;

/// `800ms`, `1.5s`, `1m30s`.
pub fn duration(text: &str) -> Quantity<Duration> {
    let mut rest = text;
    let mut nanos: u128 = 0;
    let mut greatest = u128::MAX;
    loop {
        let (number, after) = number(rest)?;
        let unit_end = after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let scale: u128 = match unit {
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return Err(bad_unit(unit)),
        };
        if scale >= greatest {
            return Err(QuantityError::Order(unit.to_owned()));
        }
        greatest = scale;
        nanos = nanos.saturating_add(number.scaled(scale));
        if next.is_empty() {
            break;
        }
        rest = next;
    }
    if nanos > MAX_DURATION.as_nanos() {
        return Err(QuantityError::TooMuch("30d"));
    }
    Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

/// `512B`, `64KiB`, `1.5MiB`, in bytes.
pub fn size(text: &str) -> Quantity<u64> {
    let (number, unit) = number(text)?;
    let scale = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(bad_unit(unit)),
    };
    bounded(number.scaled(scale), MAX_SIZE_BYTES).ok_or(QuantityError::TooMuch("1024GiB"))
}

/// `500/s`, `30/m`.
pub fn rate(text: &str) -> Quantity<Rate> {
    let (number, unit) = number(text)?;
    let per = match unit {
        "/s" => Per::Second,
        "/m" => Per::Minute,
        _ => return Err(bad_unit(unit)),
    };
    let events = bounded(number.scaled(1), MAX_RATE).ok_or(QuantityError::TooMuch("10000000"))?;
    Ok(Rate { events, per })
}

/// `512kbit`, `10mbit`, `1gbit`, a second.
pub fn bandwidth(text: &str) -> Quantity<Bandwidth> {
    let (number, unit) = number(text)?;
    let scale = match unit {
        "kbit" => 1_000,
        "mbit" => 1_000_000,
        "gbit" => 1_000_000_000,
        _ => return Err(bad_unit(unit)),
    };
    let bits = bounded(number.scaled(scale), MAX_BANDWIDTH_BITS).ok_or(QuantityError::TooMuch("1000gbit"))?;
    Ok(Bandwidth { bits_per_second: bits })
}

/// `5%`, `0.1%`, `100%`.
pub fn percent(text: &str) -> Quantity<Percent> {
    let (number, unit) = number(text)?;
    if unit != "%" {
        return Err(bad_unit(unit));
    }
    let value = number.value();
    if value > 100.0 { Err(QuantityError::TooMuch("100%")) } else { Ok(Percent(value)) }
}

/// A decimal number that is not negative, kept exact.
struct Decimal<'t> {
    text: &'t str,
}

/// Splits a text into the number it begins with and the rest.
fn number(text: &str) -> Quantity<(Decimal<'_>, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(QuantityError::Number);
    }
    Ok((Decimal { text: number }, rest))
}

impl Decimal<'_> {
    /// The number times a scale, in whole units; huge numbers saturate.
    fn scaled(&self, scale: u128) -> u128 {
        let (whole, fraction) = self.text.split_once('.').unwrap_or((self.text, ""));
        let whole = whole.parse::<u128>().unwrap_or(u128::MAX).saturating_mul(scale);
        let mut rest = scale;
        let mut parts: u128 = 0;
        // Each further digit is worth a tenth; past the scale they are worth less than one unit.
        for digit in fraction.bytes().map(|byte| u128::from(byte - b'0')) {
            parts = parts.saturating_add(digit * rest / 10);
            rest /= 10;
        }
        whole.saturating_add(parts)
    }

    fn value(&self) -> f64 {
        self.text.parse().unwrap_or(f64::INFINITY)
    }
}

fn bad_unit(unit: &str) -> QuantityError {
    if unit.is_empty() { QuantityError::Bare } else { QuantityError::Unit(unit.trim().to_owned()) }
}

fn bounded(value: u128, most: u64) -> Option<u64> {
    u64::try_from(value).ok().filter(|value| *value <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact() {
        for (text, nanos) in [
            ("0s", 0),
            ("1us", 1_000),
            ("800ms", 800_000_000),
            ("1.5s", 1_500_000_000),
            ("0.000000001s", 1),
            ("1m30s", 90_000_000_000),
            ("2h", 7_200_000_000_000),
            ("30d", 2_592_000_000_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn a_quantity_without_its_unit_or_with_another_is_refused() {
        assert_eq!(duration("5"), Err(QuantityError::Bare));
        assert_eq!(duration("5 s"), Err(QuantityError::Unit("s".to_owned())));
        assert_eq!(duration("5sec"), Err(QuantityError::Unit("sec".to_owned())));
        assert_eq!(duration("soon"), Err(QuantityError::Number));
        assert_eq!(duration("-5s"), Err(QuantityError::Number));
        assert_eq!(duration("1..5s"), Err(QuantityError::Number));
        assert_eq!(duration(&format!("1{}s", "0".repeat(18))), Err(QuantityError::TooMuch("30d")));
        assert_eq!(duration(&format!("1{}s", "0".repeat(400))), Err(QuantityError::TooMuch("30d")));
        assert_eq!(percent("200%"), Err(QuantityError::TooMuch("100%")));
        assert_eq!(percent("20"), Err(QuantityError::Bare));
        assert_eq!(size("64KB"), Err(QuantityError::Unit("KB".to_owned())));
        assert_eq!(rate("5/h"), Err(QuantityError::Unit("/h".to_owned())));
    }

    #[test]
    fn sizes_rates_bandwidths_and_shares_are_read() {
        assert_eq!(size("1.5KiB"), Ok(1536));
        assert_eq!(rate("500/s"), Ok(Rate { events: 500, per: Per::Second }));
        assert_eq!(bandwidth("0.5mbit"), Ok(Bandwidth { bits_per_second: 500_000 }));
        assert!(percent("0.1%").is_ok_and(|share| (share.fraction() - 0.001).abs() < 1e-12));
    }
}
