//! `secrets`: texts that are given from outside and shown to nobody.

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, quote};
use super::super::model::{Secret, Word};
use super::super::read::{self, Fields, Reading};
use super::super::tree::{Kind, Node};
use super::named;

pub(super) fn secrets<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Secret>> {
    Some(named(node, "secrets", cx).into_iter().map(|(name, node)| secret(name, node, cx)).collect())
}

/// One whose details are wrong is still known by its name, so that its uses are no second mistake.
fn secret<'n>(name: Word, node: &'n Node, cx: &'n Reading<'n>) -> Secret {
    if let Kind::Text(text) = &node.kind {
        cx.report(
            Diagnostic::new(Code::WrongType, node.span, format!("the text {} does not fit here", hidden(&text.value)))
                .expected("a map: `env` or `description`")
                .help("a secret's value never stands in a plan: it is given with --secret NAME@FILE or by the environment"),
        );
        return Secret { name, env: None };
    }
    let Some(mut fields) = Fields::open(node, "a secret", cx) else { return Secret { name, env: None } };
    let env = fields.optional("env", variable);
    fields.optional("description", read::text);
    fields.finish();
    Secret { name, env }
}

/// The picture below shows the line anyway; what is copied into chats and tickets is the message.
fn hidden(text: &str) -> String {
    format!("of {} characters", text.chars().count())
}

fn variable(node: &Node, cx: &Reading<'_>) -> Option<Word> {
    let name = read::some_text(node, cx)?;
    if name.value.contains(['=', ' ', '\0']) {
        let message = format!("{} cannot name an environment variable", quote(&name.value));
        cx.report(Diagnostic::new(Code::Name, name.span, message).expected("a name without `=` and spaces"));
        return None;
    }
    Some(name)
}
