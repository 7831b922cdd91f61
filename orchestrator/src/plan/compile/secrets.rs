//! Which secrets a plan needs, and their values.

use std::collections::BTreeSet;

use meshproof_proto::limits::{SECRET_LEAST_BYTES, SECRET_MOST_BYTES};
use meshproof_proto::mask::{MaskError, Masker};
use meshproof_proto::secrets::Secrets;

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, quote};
use super::super::model::Document;
use super::super::read;
use super::super::secrets::{self, Wanted};
use super::super::source::Span;
use super::{Compiler, Inputs};

/// Where a value came from, for people.
enum From {
    Flag,
    Variable(String),
}

impl Compiler<'_> {
    /// `secrets.api-key`.
    pub(super) fn look_secret(&mut self, span: Span, rest: &[&str]) {
        let [name, parts @ ..] = rest else {
            let message = "it is not said which: the word after the dot is missing, a secret";
            self.cx.report(Diagnostic::new(Code::UnknownName, span, message).expected("`secrets.NAME`"));
            return;
        };
        if !parts.is_empty() {
            let message = format!("the secret {} is a text and has no parts", quote(name));
            self.cx.report(Diagnostic::new(Code::UnknownName, span, message).expected(format!("`secrets.{name}`")));
            return;
        }
        match self.names.secrets.clone() {
            Some(declared) if !declared.contains(name) => {
                let message = format!("{} is not a secret of this plan", quote(name));
                let problem = Diagnostic::new(Code::UnknownName, span, message).did_you_mean(name, declared);
                self.cx.report(problem.help(format!("its secrets stand under `secrets:`; add `{name}` there")));
            }
            Some(_) => self.mentioned(name, span),
            None if read::check_name(name, span, self.cx) => self.mentioned(name, span),
            None => {}
        }
    }

    fn mentioned(&mut self, name: &str, span: Span) {
        self.secrets.entry(name.to_owned()).or_insert(span);
    }

    /// The values of all that are mentioned; what is missing or cannot be masked is reported where it is first mentioned.
    pub(super) fn settled_secrets(&self, document: &Document, inputs: &Inputs) -> Secrets {
        let mut secrets = Secrets::default();
        for (name, span) in &self.secrets {
            let declared = document.secrets.iter().flatten().find(|secret| secret.name.value == *name);
            let variable = declared.and_then(|secret| secret.env.as_ref());
            let variable = variable.map_or_else(|| secrets::variable(name), |word| word.value.clone());
            let given = inputs.secrets.given.get(name).map(|value| (value, From::Flag));
            let found =
                || inputs.secrets.environment.get(&variable).map(|value| (value, From::Variable(variable.clone())));
            match given.or_else(found) {
                Some((value, from)) => match Masker::new([(name.as_str(), value.as_str())]) {
                    Ok(_) => secrets.insert(name, value),
                    Err(error) => self.cx.report(unusable(*span, &error, &from)),
                },
                None if inputs.secrets.wanted == Wanted::Values => {
                    let message = format!("the secret `{name}` has no value");
                    let help = format!("give it one: --secret {name}@FILE, or {variable} in the environment");
                    self.cx.report(Diagnostic::new(Code::MissingSecret, *span, message).help(help));
                }
                None => {}
            }
        }
        if let Err(error @ MaskError::TooMany(_)) = secrets.masker() {
            self.cx.report(Diagnostic::new(Code::UnusableSecret, Span::NOWHERE, error.to_string()));
        }
        self.no_strangers(document, inputs);
        secrets
    }

    /// A value that nobody asked for is a name that was mistyped.
    fn no_strangers(&self, document: &Document, inputs: &Inputs) {
        let declared = document.secrets.iter().flatten().map(|secret| secret.name.value.as_str());
        let known: Vec<&str> = declared.chain(self.secrets.keys().map(String::as_str)).collect();
        for name in inputs.secrets.given.keys().filter(|name| !known.contains(&name.as_str())) {
            let message = match known.as_slice() {
                [] => format!("--secret cannot set {}: the plan has no secrets", quote(name)),
                known => format!("--secret cannot set {}: the plan's secrets are {}", quote(name), known.join(", ")),
            };
            let problem = Diagnostic::new(Code::UnknownName, Span::NOWHERE, message);
            self.cx.report(problem.did_you_mean(name, known.iter().copied()));
        }
    }
}

/// The variables that `env` names.
pub(super) fn variables(document: &Document) -> BTreeSet<String> {
    let declared = document.secrets.iter().flatten();
    declared.filter_map(|secret| secret.env.as_ref()).map(|variable| variable.value.clone()).collect()
}

/// Says what is wrong with a value, and never the value.
fn unusable(span: Span, error: &MaskError, from: &From) -> Diagnostic {
    let origin = match from {
        From::Flag => "it was given with --secret".to_owned(),
        From::Variable(variable) => format!("it was given by {variable} in the environment"),
    };
    let (message, advice) = match error {
        MaskError::TooShort { name, bytes: 0 } => {
            (format!("the secret `{name}` is empty"), "is the file the right one, and was it filled?".to_owned())
        }
        MaskError::TooShort { .. } => (
            error.to_string(),
            format!("take one of at least {SECRET_LEAST_BYTES} bytes, or a parameter if all may see it"),
        ),
        MaskError::TooLong { .. } => (
            error.to_string(),
            format!("a secret has at most {} KiB; larger things are files", SECRET_MOST_BYTES / 1024),
        ),
        MaskError::TooMany(_) | MaskError::Search(_) => (error.to_string(), "take fewer and shorter ones".to_owned()),
    };
    Diagnostic::new(Code::UnusableSecret, span, message).help(format!("{origin}; {advice}"))
}
