//! Parameters, and the values that must be known before a run: they may hold expressions, but only of `params` and `plan`.

use std::time::Duration;

use meshproof_proto::expr::{Part, Template};
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order;
use serde_json::{Map, Value, json};

use super::super::code::Code;
use super::super::compiled::BuildCommand;
use super::super::diagnostic::{Diagnostic, quote};
use super::super::model::{Bounds, Command, Document, ParamKind, Time};
use super::super::parse::fits;
use super::super::read::{Given, Reading};
use super::super::source::{Span, Spanned};
use super::super::units::{self, Bandwidth, Percent, QuantityError, Rate};
use super::Inputs;

/// What is known before a run.
pub(super) struct Settled<'d> {
    cx: &'d Reading<'d>,
    scope: Value,
    /// Also those whose values were reported: using them is no second mistake.
    declared: Vec<&'d str>,
}

/// Gives every parameter its value.
pub(super) fn params<'d>(document: &'d Document, inputs: &Inputs, cx: &'d Reading<'d>) -> Settled<'d> {
    let mut values = Map::new();
    for param in &document.params {
        let Some(kind) = param.kind else { continue };
        let given = inputs.params.get(&param.name.value).map(|text| Spanned::new(text.clone(), param.name.span));
        let Some(text) = given.as_ref().or(param.default.as_ref()) else {
            let message = format!("the parameter `{}` has no value", param.name.value);
            let help = format!("give it one: --param {}=…, or a `default`", param.name.value);
            cx.report(Diagnostic::new(Code::MissingKey, param.name.span, message).help(help));
            continue;
        };
        if let Err(problem) = fits(kind, text) {
            let help = given.is_some().then(|| format!("it was given with --param {}", param.name.value));
            cx.report(Diagnostic { help, ..problem });
            continue;
        }
        values.insert(param.name.value.clone(), value(kind, &text.value));
    }
    for name in inputs.params.keys().filter(|name| !document.params.iter().any(|param| param.name.value == **name)) {
        let known = || document.params.iter().map(|param| param.name.value.as_str());
        let message = match known().collect::<Vec<_>>().as_slice() {
            [] => format!("--param cannot set {}: the plan has no parameters", quote(name)),
            known => format!("--param cannot set {}: the plan's parameters are {}", quote(name), known.join(", ")),
        };
        cx.report(Diagnostic::new(Code::UnknownName, Span::NOWHERE, message).did_you_mean(name, known()));
    }
    let scope = json!({"params": values, "plan": {"dir": inputs.dir, "name": document.name.value}});
    let declared = document.params.iter().map(|param| param.name.value.as_str()).collect();
    Settled { cx, scope, declared }
}

/// A parameter's value as expressions see it: numbers and booleans typed, quantities as they are spelled.
fn value(kind: ParamKind, text: &str) -> Value {
    match kind {
        ParamKind::Int | ParamKind::Number => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        ParamKind::Bool => Value::from(text == "true"),
        ParamKind::String
        | ParamKind::Duration
        | ParamKind::Size
        | ParamKind::Percent
        | ParamKind::Rate
        | ParamKind::Bandwidth => Value::from(text),
    }
}

impl Settled<'_> {
    /// What is known beside `params` and `plan` from now on: the values of a matrix, the round of a repeat.
    pub(super) fn set_locals(&mut self, locals: &Map<String, Value>) {
        if let Value::Object(scope) = &mut self.scope {
            scope.retain(|name, _| matches!(name.as_str(), "params" | "plan"));
            scope.extend(locals.clone());
        }
    }

    /// `{name: value}`.
    pub(super) fn params(&self) -> Value {
        self.scope["params"].clone()
    }

    /// The text, if all of it is known before a run.
    pub(super) fn known(&self, text: &Template) -> Option<String> {
        text.render(&self.scope).ok()
    }

    pub(super) fn duration(&self, given: &Time) -> Option<Duration> {
        self.value(given, units::duration)
    }

    pub(super) fn percent(&self, given: &Spanned<Given<Percent>>) -> Option<Percent> {
        self.value(given, units::percent)
    }

    pub(super) fn bandwidth(&self, given: &Spanned<Given<Bandwidth>>) -> Option<Bandwidth> {
        self.value(given, units::bandwidth)
    }

    pub(super) fn rate(&self, given: &Spanned<Given<Rate>>) -> Option<Rate> {
        self.value(given, units::rate)
    }

    pub(super) fn count(&self, given: &Spanned<Given<u64>>) -> Option<u64> {
        self.value(given, |text| text.parse().map_err(|_| QuantityError::Number))
    }

    pub(super) fn size(&self, given: &Spanned<Given<u64>>) -> Option<u64> {
        self.value(given, units::size)
    }

    /// What a program may use. Processor time is counted in whole seconds.
    pub(super) fn bounds(&self, bounds: &Bounds) -> order::Bounds {
        let cpu = bounds.cpu.as_ref().and_then(|cpu| self.duration(cpu));
        order::Bounds {
            memory_bytes: bounds.memory.as_ref().and_then(|memory| self.size(memory)),
            cpu_s: cpu.map(|cpu| cpu.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)),
            descriptors: bounds.descriptors.as_ref().and_then(|count| self.count(count)),
        }
    }

    fn value<T: Copy>(&self, given: &Spanned<Given<T>>, parse: fn(&str) -> Result<T, QuantityError>) -> Option<T> {
        let template = match &given.value {
            Given::Value(value) => return Some(*value),
            Given::Template(template) => template,
        };
        let text = self.text(template, given.span)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                let message = format!("the expression gives {}: {error}", quote(&text));
                self.cx.report(Diagnostic::new(Code::Unit, given.span, message));
                None
            }
        }
    }

    /// The text of a template that sees `params` and `plan`.
    pub(super) fn text(&self, template: &Template, span: Span) -> Option<String> {
        match template.render(&self.scope) {
            Ok(text) => Some(text),
            Err(unset) => {
                if unset.0.strip_prefix("params.").is_some_and(|name| self.declared.contains(&name)) {
                    return None;
                }
                let message = format!("`{}` is not known before the run", unset.0);
                self.cx.report(
                    Diagnostic::new(Code::UnknownName, span, message).expected("an expression of `params` or `plan`"),
                );
                None
            }
        }
    }

    /// The matcher, with all of its expressions put in.
    pub(super) fn matcher(&self, matcher: &Matcher, span: Span) -> Option<Matcher> {
        let settled = matcher.resolve(&self.scope);
        let unknown = settled.exprs().first().map(|unknown| Template { parts: vec![Part::Look((*unknown).clone())] });
        match unknown {
            None => Some(settled),
            Some(unknown) => self.text(&unknown, span).and(None),
        }
    }

    pub(super) fn command(&self, command: &Command) -> Option<BuildCommand> {
        let argv: Vec<_> = command.argv.iter().map(|argument| self.text(&argument.value, argument.span)).collect();
        let cwd = command.cwd.as_ref().map(|cwd| self.text(&cwd.value, cwd.span));
        let env = command.env.iter();
        let env: Vec<_> =
            env.map(|(name, value)| Some((name.value.clone(), self.text(&value.value, value.span)?))).collect();
        Some(BuildCommand {
            span: command.span,
            argv: argv.into_iter().collect::<Option<_>>()?,
            cwd: match cwd {
                Some(cwd) => Some(cwd?),
                None => None,
            },
            env: env.into_iter().collect::<Option<_>>()?,
        })
    }
}
