//! Figures as people read them.

/// `12 ms`, `3.4 s`, `5 min 20 s`
pub fn duration(milliseconds: f64) -> String {
    let seconds = milliseconds / 1_000.0;
    match milliseconds {
        below if below < 0.0005 => "0 ms".to_owned(),
        below if below < 0.0995 => format!("{:.0} µs", milliseconds * 1_000.0),
        below if below < 9.95 => trimmed(milliseconds, 1) + " ms",
        below if below < 999.5 => format!("{milliseconds:.0} ms"),
        below if below < 9_995.0 => trimmed(seconds, 2) + " s",
        below if below < 119_950.0 => trimmed(seconds, 1) + " s",
        below if below < 7_200_000.0 => {
            let whole = seconds.round() as u64;
            let rest = if whole.is_multiple_of(60) { String::new() } else { format!(" {} s", whole % 60) };
            format!("{} min{rest}", whole / 60)
        }
        _ => format!("{} h {} min", (seconds / 3_600.0) as u64, (seconds / 60.0) as u64 % 60),
    }
}

/// With at most so many digits, and no zeroes behind the last that counts.
fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `2026-11-29 07:14:03 UTC`
pub fn day_and_time(since_1970_ms: u64) -> String {
    let seconds = since_1970_ms / 1_000;
    let rest = seconds % 86_400;
    format!("{} {:02}:{:02}:{:02} UTC", day(seconds), rest / 3_600, rest / 60 % 60, rest % 60)
}

/// `2026-11-29`, in UTC.
pub fn day(since_1970_s: u64) -> String {
    let (year, month, day) = date(since_1970_s / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days since 1970 as a date, after Howard Hinnant, <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_at_a_glance() {
        let table = [
            (0.0, "0 ms"),
            (0.05, "50 µs"),
            (0.5, "0.5 ms"),
            (12.4, "12 ms"),
            (1_000.0, "1 s"),
            (5_153.0, "5.15 s"),
            (60_000.0, "60 s"),
            (125_000.0, "2 min 5 s"),
            (7_260_000.0, "2 h 1 min"),
        ];
        for (milliseconds, text) in table {
            assert_eq!(duration(milliseconds), text);
        }
    }

    #[test]
    fn moments_are_written_as_dates() {
        assert_eq!(day_and_time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(day_and_time(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(day_and_time(1_795_936_443_999), "2026-11-29 07:14:03 UTC");
    }
}
