//! `repo`, `commits`, `workspace`, `check`, `then`, `verdict` and `parallel`: a plan that tests commits.

use std::time::Duration;

use meshproof_proto::expr::{Expr, Part, Segment};

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::model::Word;
use super::super::model::commits::{Check, Commits, Keep, Repo, Verdict, Which, Workspace};
use super::super::read::{self, Fields, Given, Reading};
use super::super::source::Spanned;
use super::super::tree::Node;
use super::verbs::some_template;
use super::{inner_file, stays_inside};
use crate::commits::limits::{PARALLEL_MOST, REPEAT_MOST};
use crate::commits::search::BadWhen;
use crate::run::Flaky;

/// Keys that stand beside `commits` and mean nothing without it.
const BESIDE: [&str; 6] = ["repo", "workspace", "check", "then", "verdict", "parallel"];

/// Keys of a plan that starts services and tests them: a commit's are in the plan that `then` names.
const ELSEWHERE: [&str; 6] = ["build", "services", "stubs", "network", "faults", "matrix"];

/// Reads them from a plan's keys; none: it is a plan of tests.
pub(super) fn commits(fields: &mut Fields<'_>) -> Option<Commits> {
    let Some((_, node)) = fields.entry("commits") else {
        alone(fields);
        return None;
    };
    exclude(fields);
    let which = which(node, fields.reading());
    let repo = fields.optional("repo", repo);
    let workspace = fields.optional("workspace", workspace).unwrap_or_default();
    let templated = if workspace.template.is_some() { Templated::Yes } else { Templated::No };
    let given = fields.optional("check", |node, cx| check(node, templated, cx));
    if !fields.has("check") && workspace.template.is_none() {
        fields.missing("`check`, or a `template` in `workspace`,");
    }
    let then = fields.optional("then", then);
    let verdict = fields.optional("verdict", verdict).unwrap_or_default();
    let parallel = fields.optional("parallel", |node, cx| read::integer(node, 1..=u64::from(PARALLEL_MOST), cx));
    let parallel = parallel.map(|parallel| parallel.value);
    Some(Commits {
        span: fields.span(),
        repo,
        which,
        workspace,
        check: given.unwrap_or_default(),
        then,
        verdict,
        parallel,
    })
}

fn exclude(fields: &mut Fields<'_>) {
    let tests = std::iter::once("tests");
    for key in tests.chain(ELSEWHERE) {
        if let Some((found, _)) = fields.entry_quietly(key) {
            let message = format!("`commits` and `{key}` exclude each other");
            let problem = Diagnostic::new(Code::Choice, found.span, message);
            fields
                .reading()
                .report(problem.help("what runs for each commit is a plan of its own: `then: { plan: FILE }`"));
        }
    }
}

fn alone(fields: &mut Fields<'_>) {
    for key in BESIDE {
        if let Some((found, _)) = fields.entry_quietly(key) {
            let message = format!("`{key}` needs `commits`");
            let problem = Diagnostic::new(Code::MissingKey, found.span, message);
            fields
                .reading()
                .report(problem.expected("`commits` beside this, as in `commits: { good: v1, bad: HEAD }`"));
        }
    }
}

fn repo<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Repo> {
    let mut fields = Fields::open(node, "a repository", cx)?;
    let path = fields.optional("path", some_template);
    let url = fields.optional("url", some_template);
    match (fields.entry("path"), fields.entry("url")) {
        (Some((first, _)), Some((second, _))) => {
            let problem = Diagnostic::new(Code::Choice, second.span, "`path` and `url` exclude each other");
            cx.report(problem.label(first.span, "first here"));
        }
        (None, None) => fields.missing("`path` or `url`"),
        _ => {}
    }
    let credentials = fields.optional("credentials", secret);
    fields.finish();
    let is_url = url.is_some();
    Some(Repo { at: url.or(path)?, is_url, credentials })
}

/// Nothing but a secret: what stands in a plan is read by many.
fn secret(node: &Node, cx: &Reading<'_>) -> Option<Word> {
    let found = read::template(node, cx)?;
    let name = match &found.value.parts[..] {
        [Part::Look(Expr { path, filters })] if filters.is_empty() => match &path[..] {
            [Segment::Key(root), Segment::Key(name)] if root == "secrets" => Some(name.clone()),
            _ => None,
        },
        _ => None,
    };
    if name.is_none() {
        let problem = Diagnostic::new(Code::WrongType, node.span, "credentials do not stand in a plan");
        cx.report(problem.expected("a secret, as `\"${{ secrets.git }}\"`"));
    }
    Some(Spanned::new(name?, node.span))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Bisect,
    Each,
}

fn which<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Which> {
    let mut fields = Fields::open(node, "the commits", cx)?;
    let list = fields.optional("list", |node, cx| read::each(node, cx, some_template));
    let has_list = fields.has("list");
    if let (Some((first, _)), Some((second, _))) = (fields.entry_quietly("list"), fields.entry_quietly("good")) {
        let problem = Diagnostic::new(Code::Choice, second.span, "`list` and `good` exclude each other");
        cx.report(problem.label(first.span, "first here"));
    }
    let good = if has_list { fields.optional("good", some_template) } else { fields.required("good", some_template) };
    let bad = fields.optional("bad", some_template);
    let modes = [("bisect", Mode::Bisect), ("each", Mode::Each)];
    let mode = fields.optional("mode", |node, cx| read::choice(node, &modes, cx));
    fields.finish();
    if let Some(list) = list {
        if list.is_empty() && node.get("list").and_then(Node::items).is_some_and(<[Node]>::is_empty) {
            cx.report(Diagnostic::new(Code::Empty, node.span, "no commit is named here").expected("at least one"));
        }
        return Some(Which::List(list));
    }
    match mode.map(|mode| mode.value) {
        None | Some(Mode::Bisect) => Some(Which::Bisect { good: good?, bad }),
        Some(Mode::Each) => Some(Which::Each { good: good?, bad }),
    }
}

fn workspace<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Workspace> {
    let mut fields = Fields::open(node, "a workspace", cx)?;
    let template = fields.optional("template", read::name);
    let _the_only_one = fields.optional("per", |node, cx| read::choice(node, &[("commit", ())], cx));
    let inside = |node: &Node, cx: &Reading<'_>| {
        let path = read::some_text(node, cx)?;
        stays_inside(&path, cx).then_some(path)
    };
    let overlay = fields.optional("overlay", |node, cx| read::each(node, cx, inside)).unwrap_or_default();
    let keep = fields.optional("keep", keep);
    fields.finish();
    Some(Workspace { template, overlay, keep })
}

fn keep<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Keep> {
    let mut fields = Fields::open(node, "keep", cx)?;
    let on_failure = fields.optional("on-failure", some_duration).map(Keep::OnFailure);
    let always = fields.optional("always", some_duration).map(Keep::Always);
    if !fields.has("on-failure") && !fields.has("always") {
        fields.missing("`on-failure` or `always`, each with a duration");
    }
    fields.finish();
    always.or(on_failure)
}

/// A duration that is written out, and is one.
fn some_duration(node: &Node, cx: &Reading<'_>) -> Option<Duration> {
    let found = read::duration(node, cx)?;
    match found.value {
        Given::Value(Duration::ZERO) | Given::Template(_) => {
            let problem = Diagnostic::new(Code::OutOfRange, node.span, "this takes a time that is written out");
            cx.report(problem.expected("more than nothing, such as `24h`"));
            None
        }
        Given::Value(duration) => Some(duration),
    }
}

fn check<'n>(node: &'n Node, templated: Templated, cx: &'n Reading<'n>) -> Option<Check> {
    let mut fields = Fields::open(node, "the check", cx)?;
    let build = fields.optional("build", some_template);
    let run = match templated {
        Templated::Yes => fields.optional("run", some_template),
        Templated::No => fields.required("run", some_template),
    };
    let within = fields.optional("within", some_duration);
    fields.finish();
    Some(Check { build, run, within })
}

/// Whether a template says what the check does not.
enum Templated {
    Yes,
    No,
}

fn then<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Word> {
    let mut fields = Fields::open(node, "then", cx)?;
    let plan = fields.required("plan", inner_file);
    fields.finish();
    plan
}

fn verdict<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Verdict> {
    let mut fields = Fields::open(node, "the verdict", cx)?;
    let repeat = fields.optional("repeat", |node, cx| read::integer(node, 1..=u64::from(REPEAT_MOST), cx));
    let when = [("majority", BadWhen::Majority), ("any", BadWhen::Any), ("all", BadWhen::All)];
    let bad_when = fields.optional("bad-when", |node, cx| read::choice(node, &when, cx));
    let skip_exit = fields.optional("skip-exit", |node, cx| read::integer(node, 1..=255, cx));
    let flaky = [("pass", Flaky::Pass), ("warn", Flaky::Warn), ("fail", Flaky::Fail)];
    let flaky = fields.optional("flaky", |node, cx| read::choice(node, &flaky, cx));
    fields.finish();
    Some(Verdict {
        repeat: repeat.map(|repeat| repeat.value),
        bad_when: bad_when.map(|when| when.value),
        skip_exit: skip_exit.map(|code| code.value),
        flaky: flaky.map(|flaky| flaky.value),
    })
}
