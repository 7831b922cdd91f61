//! `params`: what `--param` may set.

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::model::{Param, ParamKind, Word};
use super::super::read::{self, Fields, Reading};
use super::super::tree::Node;
use super::super::units;
use super::named;

const KINDS: &[(&str, ParamKind)] = &[
    ("string", ParamKind::String),
    ("int", ParamKind::Int),
    ("number", ParamKind::Number),
    ("bool", ParamKind::Bool),
    ("duration", ParamKind::Duration),
    ("size", ParamKind::Size),
    ("percent", ParamKind::Percent),
    ("rate", ParamKind::Rate),
    ("bandwidth", ParamKind::Bandwidth),
];

pub(super) fn params<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Param>> {
    Some(named(node, "parameters", cx).into_iter().map(|(name, node)| param(name, node, cx)).collect())
}

/// One that is wrong is still known by its name, so that its uses are no second mistake.
fn param<'n>(name: Word, node: &'n Node, cx: &'n Reading<'n>) -> Param {
    let Some(mut fields) = Fields::open(node, "a parameter", cx) else {
        return Param { name, kind: None, default: None };
    };
    let kind = fields.required("type", |node, cx| read::choice(node, KINDS, cx));
    let default = fields.optional("default", read::text);
    fields.optional("description", read::text);
    fields.finish();
    Param { name, kind: kind.map(|kind| kind.value), default }
}

/// Holds a value against the type of its parameter.
pub(in super::super) fn fits(kind: ParamKind, value: &Word) -> Result<(), Diagnostic> {
    let text = value.value.as_str();
    let quantity = |result: Result<(), units::QuantityError>| result.err().map(|error| error.to_string());
    let wrong = match kind {
        ParamKind::String => None,
        // As JSON has them: `007` is a text that somebody may mean as such.
        ParamKind::Int => serde_json::from_str::<i64>(text).err().map(|_| "it is not a whole number".to_owned()),
        ParamKind::Number => serde_json::from_str::<f64>(text).err().map(|_| "it is not a number".to_owned()),
        ParamKind::Bool => (!matches!(text, "true" | "false")).then(|| "it is neither `true` nor `false`".to_owned()),
        ParamKind::Duration => quantity(units::duration(text).map(drop)),
        ParamKind::Size => quantity(units::size(text).map(drop)),
        ParamKind::Percent => quantity(units::percent(text).map(drop)),
        ParamKind::Rate => quantity(units::rate(text).map(drop)),
        ParamKind::Bandwidth => quantity(units::bandwidth(text).map(drop)),
    };
    let Some(wrong) = wrong else { return Ok(()) };
    let kind_name = one_of(KINDS.iter().filter(|(_, known)| *known == kind).map(|(name, _)| *name));
    let message = format!("{} does not fit the type {kind_name}: {wrong}", quote(text));
    Err(Diagnostic::new(Code::WrongType, value.span, message).expected(format!("a value of type {kind_name}")))
}
