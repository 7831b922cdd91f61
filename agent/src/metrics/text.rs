//! Prometheus' text format (exposition format 0.0.4): a line a series, its labels and its number.
//!
//! A line that is not of the format makes the whole text wrong: half of the numbers could pass what all of them would fail.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::limits;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub number: f64,
}

/// A text that is not of the format.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum TextError {
    #[error("line {line} is not of Prometheus' text format: {what}")]
    Line { line: usize, what: &'static str },
    #[error("there are more than {} series", limits::SERIES)]
    TooMany,
}

pub(super) fn parse(text: &str) -> Result<Vec<Line>, TextError> {
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        // `# HELP`, `# TYPE` and `# EOF` say nothing that the numbers do not.
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if lines.len() == limits::SERIES {
            return Err(TextError::TooMany);
        }
        lines.push(series(line).map_err(|what| TextError::Line { line: number, what })?);
    }
    Ok(lines)
}

/// `name{label="value"} number [milliseconds]`
fn series(line: &str) -> Result<Line, &'static str> {
    let end = line.find(|char: char| char == '{' || char.is_whitespace()).ok_or("a number is missing")?;
    let (name, rest) = line.split_at(end);
    if !is_name(name) {
        return Err("the name of a metric was expected");
    }
    let rest = rest.trim_start();
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (BTreeMap::new(), rest),
    };
    // An example (OpenMetrics) stands behind a `#`.
    let mut words = rest.split('#').next().unwrap_or_default().split_whitespace();
    let number = words.next().ok_or("a number is missing")?;
    let number = number_of(number).ok_or("a number was expected")?;
    if words.next().is_some_and(|time| time.parse::<f64>().is_err()) || words.next().is_some() {
        return Err("more than a number and a time");
    }
    Ok(Line { name: name.to_owned(), labels, number })
}

fn is_name(name: &str) -> bool {
    let good = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == ':';
    !name.is_empty() && name.chars().all(good) && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// The labels, and what stands behind their brace.
fn labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str), &'static str> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches(|char: char| char == ',' || char.is_whitespace());
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((labels, behind));
        }
        let (name, behind) = rest.split_once('=').ok_or("a label has no value")?;
        let quoted = behind.trim_start().strip_prefix('"').ok_or("a label's value has no quotes")?;
        let (value, behind) = value(quoted)?;
        if !is_name(name.trim()) || labels.insert(name.trim().to_owned(), value).is_some() {
            return Err("the name of a label was expected, once");
        }
        rest = behind;
    }
}

/// Up to the closing quote; `\\`, `\"` and `\n` are escapes.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                _ => return Err("an escape was expected"),
            },
            other => value.push(other),
        }
    }
    Err("a label's value has no end")
}

/// As Go writes it: `+Inf`, `NaN`, `1.5e-3`.
fn number_of(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        parse(text).expect("of the format").remove(0)
    }

    #[test]
    fn a_series_is_its_name_its_labels_and_its_number() {
        let text = "# HELP up Whether.\n# TYPE up gauge\n\nup 1\nreq_total{code=\"200\", path=\"a\\\"b\\\\c\\nd\",} 1.5e3 1395066363000\n";
        let lines = parse(text).expect("of the format");
        assert_eq!(lines[0], Line { name: "up".to_owned(), labels: BTreeMap::new(), number: 1.0 });
        assert_eq!((lines[1].number, lines[1].labels["code"].as_str()), (1500.0, "200"));
        assert_eq!(lines[1].labels["path"], "a\"b\\c\nd");
        assert_eq!(line("b{le=\"+Inf\"} +Inf # {trace=\"x\"} 0.5").number, f64::INFINITY);
        assert!(line("g NaN").number.is_nan());
        assert_eq!(line("g {} -3").number, -3.0);
    }

    #[test]
    fn what_is_not_of_the_format_is_named_by_its_line() {
        for wrong in [
            "<html>",
            "up",
            "up one",
            "1up 1",
            "up{a=b} 1",
            "up{a=\"b} 1",
            "up{a=\"\\x\"} 1",
            "up{a=\"1\",a=\"2\"} 1",
            "up 1 2 3",
            "up{=\"b\"} 1",
            "up{a} 1",
        ] {
            let found = parse(&format!("good 1\n{wrong}\n"));
            assert!(matches!(found, Err(TextError::Line { line: 2, .. })), "{wrong}: {found:?}");
        }
        let many = "a 1\n".repeat(limits::SERIES + 1);
        assert_eq!(parse(&many), Err(TextError::TooMany));
    }
}
