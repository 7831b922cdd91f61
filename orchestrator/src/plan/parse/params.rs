//! `params`: what `--param` may set.

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::model::{Param, ParamKind, Word};
use super::super::read::{self, Fields, Reading};
use super::super::tree::{Kind, Node, Style};
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
    if let Some(meant) = meant(node) {
        read::map(node, &meant, cx);
        return Param { name, kind: None, default: None };
    }
    let Some(mut fields) = Fields::open(node, "a parameter", cx) else {
        return Param { name, kind: None, default: None };
    };
    let kind = fields.required("type", |node, cx| read::choice(node, KINDS, cx));
    let default = fields.optional("default", read::text);
    fields.optional("description", read::text);
    fields.finish();
    Param { name, kind: kind.map(|kind| kind.value), default }
}

/// What somebody meant who wrote a value in the place of a parameter.
fn meant(node: &Node) -> Option<String> {
    let (kind, value) = match &node.kind {
        Kind::Number(number) if number.parse::<i64>().is_ok() => ("int", number.clone()),
        Kind::Number(number) => ("number", number.clone()),
        Kind::Bool(value) => ("bool", value.to_string()),
        Kind::Text(text) if text.style == Style::Plain && units::duration(&text.value).is_ok() => {
            ("duration", text.value.clone())
        }
        Kind::Text(text) if text.style == Style::Plain && units::size(&text.value).is_ok() => {
            ("size", text.value.clone())
        }
        Kind::Null | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => return None,
    };
    Some(format!("`{{ type: {kind}, default: {value} }}`"))
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

#[cfg(test)]
mod tests {
    use crate::plan::{Inputs, Look, check};

    #[test]
    fn a_value_in_the_place_of_a_parameter_is_told_as_the_parameter_that_was_meant() {
        for (value, meant) in [
            ("3", "{ type: int, default: 3 }"),
            ("0.5", "{ type: number, default: 0.5 }"),
            ("true", "{ type: bool, default: true }"),
            ("800ms", "{ type: duration, default: 800ms }"),
            ("64KiB", "{ type: size, default: 64KiB }"),
            ("word", "{ type: string, default: TEXT }"),
        ] {
            let text = format!(
                "meshproof: 1\nplan: p\nparams: {{ n: {value} }}\ntests: [{{ id: t, steps: [{{ say: hi }}] }}]\n"
            );
            let checked = check("plan.yaml", text.as_bytes(), &Inputs::default());
            let told = checked.plan.expect_err("a value is no parameter").render(&checked.source, Look::Plain);
            assert!(told.contains(&format!("expected a map: `{meant}`")), "{told}");
        }
    }
}
