//! Readers for quantities: what `units` understands, or an expression for it.

use std::time::Duration;

use super::Reading;
use super::templates::parse_at;
use super::values::{Given, is_template, wrong_type};
use crate::plan::code::Code;
use crate::plan::diagnostic::{Diagnostic, one_of, quote};
use crate::plan::source::{Span, Spanned};
use crate::plan::suggest;
use crate::plan::tree::{Kind, Node};
use crate::plan::units::{self, Bandwidth, Percent, QuantityError, Rate};

/// A duration, or an expression for one.
pub fn duration(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Given<Duration>>> {
    quantity(
        node,
        &Unit { name: "a duration", example: "800ms", units: &["us", "ms", "s", "m", "h", "d"] },
        units::duration,
        cx,
    )
}

/// A size in bytes, or an expression for one.
pub fn size(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Given<u64>>> {
    quantity(node, &Unit { name: "a size", example: "64KiB", units: &["B", "KiB", "MiB", "GiB"] }, units::size, cx)
}

/// A rate, or an expression for one.
pub fn rate(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Given<Rate>>> {
    quantity(node, &Unit { name: "a rate", example: "500/s", units: &["/s", "/m"] }, units::rate, cx)
}

/// A bandwidth, or an expression for one.
pub fn bandwidth(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Given<Bandwidth>>> {
    quantity(
        node,
        &Unit { name: "a bandwidth", example: "10mbit", units: &["kbit", "mbit", "gbit"] },
        units::bandwidth,
        cx,
    )
}

/// A share from 0% to 100%, or an expression for one.
pub fn percent(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Given<Percent>>> {
    quantity(node, &Unit { name: "a share", example: "15%", units: &["%"] }, units::percent, cx)
}

/// What a quantity is called, for messages.
struct Unit {
    name: &'static str,
    example: &'static str,
    units: &'static [&'static str],
}

fn quantity<T>(
    node: &Node,
    unit: &Unit,
    parse: fn(&str) -> Result<T, QuantityError>,
    cx: &Reading<'_>,
) -> Option<Spanned<Given<T>>> {
    let expected = format!("{} such as {}", unit.name, unit.example);
    let written = match &node.kind {
        Kind::Text(text) if is_template(&text.value) => {
            return parse_at(&text.value, node.span, cx)
                .map(|template| Spanned::new(Given::Template(template), node.span));
        }
        Kind::Text(text) => &text.value,
        Kind::Number(text) => text,
        Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Map(_) => {
            wrong_type(node, &expected, cx);
            return None;
        }
    };
    match parse(written) {
        Ok(value) => Some(Spanned::new(Given::Value(value), node.span)),
        Err(error) => {
            cx.report(quantity_problem(written, &error, unit, node.span).expected(expected));
            None
        }
    }
}

/// The unit that people mean who write another word for it.
fn ours(found: &str, units: &[&'static str]) -> Option<&'static str> {
    let unit = match found.to_ascii_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hr" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "k" | "kb" | "ki" => "KiB",
        "m" | "mb" | "mi" => "MiB",
        "g" | "gb" | "gi" => "GiB",
        "kbps" => "kbit",
        "mbps" => "mbit",
        "gbps" => "gbit",
        _ => return None,
    };
    units.iter().copied().find(|known| *known == unit)
}

fn quantity_problem(written: &str, error: &QuantityError, unit: &Unit, span: Span) -> Diagnostic {
    match error {
        QuantityError::Bare => Diagnostic::new(Code::BareNumber, span, "a bare number where a unit belongs")
            .help(format!("write its unit: {}", one_of(unit.units.iter().copied()))),
        QuantityError::Number => Diagnostic::new(Code::Unit, span, format!("{} is not {}", quote(written), unit.name)),
        QuantityError::Unit(found) => {
            let message = format!("{} is not a unit of {}", quote(found), unit.name);
            let near = ours(found, unit.units).or_else(|| suggest::nearest(found, unit.units.iter().copied()));
            let help = match near {
                _ if written.contains(' ') => "number and unit stand together, without a space".to_owned(),
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the units are {}", unit.units.join(" ")),
            };
            Diagnostic::new(Code::Unit, span, message).help(help)
        }
        QuantityError::Order(_) => Diagnostic::new(Code::Unit, span, format!("in {} {error}", quote(written)))
            .help("greater units come first, each once, as in 1h30m"),
        QuantityError::TooMuch(most) => {
            Diagnostic::new(Code::OutOfRange, span, format!("{} is out of range", quote(written)))
                .help(format!("at most {most}"))
        }
    }
}
