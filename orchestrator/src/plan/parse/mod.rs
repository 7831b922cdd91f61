//! From the tree to the model, one file a noun. Each function lists the keys of its noun; what it cannot read it reports,
//! and goes on with the rest.

mod bounds;
mod calls;
mod commits;
mod conduct;
mod document;
mod ends;
mod expect;
mod faults;
mod groups;
mod load;
mod matchers;
mod metrics;
mod network;
mod params;
mod ports;
mod secrets;
mod services;
mod steps;
mod stubs;
mod suites;
mod tls;
mod topology;
mod verbs;
mod watched;
mod world;

pub(super) use conduct::all as all_steps;
pub use document::document;
pub(super) use params::fits;
pub use steps::VERBS;
pub use stubs::speaks;

use meshproof_proto::expr::{Part, Template};

use super::code::Code;
use super::diagnostic::{Diagnostic, quote};
use super::model::Word;
use super::read::{self, Fields, Reading};
use super::source::Spanned;
use super::tree::{Key, Node};

/// The entries of a map whose keys are names that the plan gives: services, stubs, faults.
fn named<'n>(node: &'n Node, noun: &str, cx: &'n Reading<'n>) -> Vec<(Word, &'n Node)> {
    let entries = read::map(node, &format!("names of {noun}, each with what it is"), cx).unwrap_or_default();
    let good = entries.iter().filter(|(key, _)| read::check_name(&key.name, key.span, cx));
    good.map(|(key, value)| (word(key), value)).collect()
}

fn word(key: &Key) -> Word {
    Spanned::new(key.name.clone(), key.span)
}

/// A map of words to texts, as environment variables are.
fn texts<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<(Word, Spanned<Template>)>> {
    let entries = read::map(node, "names, each with a text", cx)?;
    Some(entries.iter().filter_map(|(key, value)| Some((word(key), read::template(value, cx)?))).collect())
}

/// Environment variables.
fn environment<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<(Word, Spanned<Template>)>> {
    let entries = texts(node, cx)?;
    for (name, _) in entries.iter().filter(|(name, _)| name.value.is_empty() || name.value.contains(['=', ' '])) {
        let message = format!("{} cannot name an environment variable", quote(&name.value));
        cx.report(Diagnostic::new(Code::Name, name.span, message).expected("a name without `=` and spaces"));
    }
    Some(entries)
}

/// A line for a shell, where a program is started directly.
fn no_shell(fields: &mut Fields<'_>) {
    if let Some((key, _)) = fields.entry_quietly("shell") {
        let problem = read::not_yet(key.span, "`shell`");
        fields.reading().report(problem.help("the shell is a program like any other: `argv: [/bin/sh, -c, LINE]`"));
    }
}

/// A command line: a list, the program first, at least one entry.
fn argv<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Spanned<Template>>> {
    if let Some(text) = node.as_text() {
        let split: Vec<&str> = text.split_whitespace().collect();
        cx.report(
            Diagnostic::new(Code::WrongType, node.span, format!("the text {} does not fit here", quote(text)))
                .expected("a list: the program, then each argument")
                .help(format!("write [{}]", split.join(", "))),
        );
        return None;
    }
    let arguments = read::each(node, cx, read::template)?;
    let blank = |part: &Part| matches!(part, Part::Text(text) if text.trim().is_empty());
    if let Some(first) = arguments.first().filter(|first| first.value.parts.iter().all(blank)) {
        let problem = Diagnostic::new(Code::Empty, first.span, "this program has no name");
        cx.report(problem.expected("a program: a path, or a name that is found in PATH"));
        return None;
    }
    if arguments.is_empty() {
        if node.items().is_some_and(<[Node]>::is_empty) {
            cx.report(
                Diagnostic::new(Code::Empty, node.span, "this command is empty")
                    .expected("a program and its arguments"),
            );
        }
        return None;
    }
    Some(arguments)
}

/// The path of a folder inside a folder: relative, without `..`.
fn inner_folder(node: &Node, cx: &Reading<'_>) -> Option<Word> {
    let found = read::some_text(node, cx)?;
    stays_inside(&found, cx).then_some(found)
}

/// The path of a file inside a folder.
fn inner_file(node: &Node, cx: &Reading<'_>) -> Option<Word> {
    let found = read::some_text(node, cx)?;
    names_file(&found, cx).then_some(found)
}

/// Whether a path stays inside and is one of a file; reports it if not.
fn names_file(path: &Word, cx: &Reading<'_>) -> bool {
    let is_folder = path.value.ends_with('/') || path.value.split('/').all(|part| part.is_empty() || part == ".");
    if is_folder && !path.value.starts_with('/') {
        let what = if path.value.is_empty() {
            "this names nothing".to_owned()
        } else {
            format!("{} is a folder", quote(&path.value))
        };
        cx.report(Diagnostic::new(Code::Path, path.span, what).expected("the path of a file"));
        return false;
    }
    stays_inside(path, cx)
}

/// Whether a path is relative and without `..`; reports it if not.
fn stays_inside(path: &Word, cx: &Reading<'_>) -> bool {
    let leaves = path.value.starts_with(['/', '\\', '~']) || path.value.split(['/', '\\']).any(|part| part == "..");
    if leaves {
        let message = format!("{} leaves its folder", quote(&path.value));
        cx.report(Diagnostic::new(Code::Path, path.span, message).expected("a relative path without `..`"));
    }
    !leaves
}
