//! The one matcher, as it is written: a scalar equals, `"< 5s"` compares, `/re/` is a regular expression, a list equals, a map
//! says more or, for JSON, leads along paths.

use jsonpath_rust::parser::parse_json_path;
use meshproof_proto::expr::{Part, Template, ValueTemplate};
use meshproof_proto::matcher::{Comparison, Matcher, Quantity};

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, quote};
use super::super::limits::MAX_PATTERN_CHARS;
use super::super::read::{self, Reading};
use super::super::source::Span;
use super::super::tree::{Key, Kind, Node};

/// What a matcher is held against; says which matchers could ever hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Text,
    Number,
    Json,
    Duration,
    Bytes,
    /// How a call broke: one of a few words.
    Failure,
    /// A number in whatever unit it is asked for.
    Metric,
    /// Per cent.
    Share,
    /// So many a second.
    Rate,
}

/// Words for how a call can break.
const FAILURES: &[(&str, ())] =
    &[("refused", ()), ("reset", ()), ("timeout", ()), ("tls", ()), ("dns", ()), ("protocol", ()), ("too-large", ())];

const WORDS: &[&str] = &["contains", "matches", "in", "exists", "not"];

pub(super) fn matcher(node: &Node, subject: Subject, cx: &Reading<'_>) -> Option<Matcher> {
    match &node.kind {
        Kind::Map(entries) => many(node, entries, subject, cx),
        Kind::List(_) => list(node, subject, cx),
        Kind::Text(text) => written(&text.value, node, subject, cx),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) => equals(node, subject, cx),
    }
}

/// A list equals, where there can be a list.
fn list(node: &Node, subject: Subject, cx: &Reading<'_>) -> Option<Matcher> {
    if subject == Subject::Json {
        return read::json(node, cx).map(Matcher::Equals);
    }
    cx.report(
        Diagnostic::new(Code::Check, node.span, "a list equals only a list, and there will be none here").help(
            format!("for one of several write {{ in: {} }}", cx.source.slice(cx.source.first_line_of(node.span))),
        ),
    );
    None
}

fn equals(node: &Node, subject: Subject, cx: &Reading<'_>) -> Option<Matcher> {
    let value = match (subject, &node.kind) {
        (Subject::Text | Subject::Failure, Kind::Number(text)) => ValueTemplate::Text(Template::text(text)),
        (Subject::Text | Subject::Failure, Kind::Bool(value)) => ValueTemplate::Text(Template::text(value.to_string())),
        (Subject::Duration, Kind::Number(_)) => return bare(node, "\"< 5s\"", cx),
        (Subject::Bytes, Kind::Number(_)) => return bare(node, "\"< 64KiB\"", cx),
        (Subject::Number | Subject::Metric, Kind::Null | Kind::Bool(_)) => {
            read::wrong_type(node, "a number, or a comparison such as \">= 3\"", cx);
            return None;
        }
        (Subject::Share, _) => return bare(node, "\"< 1%\"", cx),
        (Subject::Rate, _) => return bare(node, "\">= 190/s\"", cx),
        _ => read::json(node, cx)?,
    };
    Some(Matcher::Equals(value))
}

fn bare(node: &Node, example: &str, cx: &Reading<'_>) -> Option<Matcher> {
    let problem = Diagnostic::new(Code::BareNumber, node.span, "a bare number where a unit belongs");
    cx.report(problem.expected(format!("a comparison such as {example}")));
    None
}

fn written(text: &str, node: &Node, subject: Subject, cx: &Reading<'_>) -> Option<Matcher> {
    if let Some((comparison, rest)) = Comparison::strip(text)
        && (rest.starts_with(|first: char| first.is_ascii_digit() || first == '.' || first == '-')
            || read::is_template(rest))
    {
        if read::is_template(rest) {
            return looked_up(rest, node, subject, cx).map(|with| Matcher::CompareTo(comparison, with));
        }
        let quantity = compared(rest, node, subject, cx)?;
        return Some(Matcher::Compare(comparison, quantity));
    }
    if let Some(inner) = text.strip_prefix('/').and_then(|text| text.strip_suffix('/'))
        && !inner.is_empty()
    {
        return regex(inner, node.span, cx);
    }
    if let (Subject::Share, Some(share @ Quantity::Percent(_))) = (subject, Quantity::parse(text)) {
        let exactly = [Comparison::GreaterOrEqual, Comparison::LessOrEqual];
        return Some(Matcher::All(exactly.map(|comparison| Matcher::Compare(comparison, share)).to_vec()));
    }
    if !read::is_template(text) {
        check_word(node, subject, cx)?;
    }
    read::json(node, cx).map(Matcher::Equals)
}

/// A text written out must be something that the subject can be.
fn check_word(node: &Node, subject: Subject, cx: &Reading<'_>) -> Option<()> {
    let expected = match subject {
        Subject::Text | Subject::Json => return Some(()),
        Subject::Failure => return read::choice(node, FAILURES, cx).map(drop),
        Subject::Number | Subject::Metric => "a number, or a comparison such as \">= 3\"",
        Subject::Duration => "a comparison such as \"< 5s\"",
        Subject::Bytes => "a comparison such as \"< 64KiB\"",
        Subject::Share => "a comparison such as \"< 1%\"",
        Subject::Rate => "a comparison such as \">= 190/s\"",
    };
    let message = format!("the text {} does not fit here", quote(node.as_text().unwrap_or_default()));
    let mut problem = Diagnostic::new(Code::WrongType, node.span, message).expected(expected);
    problem.help = node.as_text().and_then(meant);
    cx.report(problem);
    None
}

/// What a text that is no number may be meant as.
fn meant(text: &str) -> Option<String> {
    if let Some(value) = text.strip_prefix("==").or_else(|| text.strip_prefix('=')) {
        return Some(format!("what stands alone is to be equal: write {}", value.trim()));
    }
    if let Some(value) = text.strip_prefix("!=").or_else(|| text.strip_prefix("not ")) {
        return Some(format!("write {{ not: {} }}", value.trim()));
    }
    match text.as_bytes() {
        [first @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => {
            let first = char::from(*first);
            Some(format!(
                "a class of answers is a comparison, such as \"< 300\", or a list: {{ in: [{first}00, {first}01] }}"
            ))
        }
        _ => None,
    }
}

/// The right side of a comparison that is only known later.
fn looked_up(text: &str, node: &Node, subject: Subject, cx: &Reading<'_>) -> Option<Template> {
    if matches!(subject, Subject::Text | Subject::Failure) {
        cx.report(Diagnostic::new(Code::Check, node.span, "text has no size to compare"));
        return None;
    }
    read::parse_at(text, node.span, cx)
}

/// The right side of a comparison, in a unit that the subject can have.
fn compared(text: &str, node: &Node, subject: Subject, cx: &Reading<'_>) -> Option<Quantity> {
    let Some(quantity) = Quantity::parse(text) else {
        let message = format!("{} is not a quantity", quote(text));
        cx.report(
            Diagnostic::new(Code::Unit, node.span, message).expected("a number with its unit, such as 5s, 64KiB or 3"),
        );
        return None;
    };
    let fits = match (subject, &quantity) {
        (Subject::Duration, Quantity::Number(_)) => return bare(node, "\"< 5s\"", cx).and(None),
        (Subject::Bytes, Quantity::Number(_)) => return bare(node, "\"< 64KiB\"", cx).and(None),
        (Subject::Share, Quantity::Number(_)) => return bare(node, "\"< 1%\"", cx).and(None),
        (Subject::Rate, Quantity::Number(_)) => return bare(node, "\">= 190/s\"", cx).and(None),
        (Subject::Share, quantity) => matches!(quantity, Quantity::Percent(_)),
        (Subject::Rate, quantity) => matches!(quantity, Quantity::PerSecond(_)),
        (_, Quantity::PerSecond(_)) => false,
        (Subject::Duration, quantity) => matches!(quantity, Quantity::DurationNs(_)),
        (Subject::Bytes, quantity) => matches!(quantity, Quantity::Bytes(_)),
        (Subject::Number, quantity) => matches!(quantity, Quantity::Number(_)),
        (Subject::Json, quantity) => !matches!(quantity, Quantity::DurationNs(_)),
        (Subject::Metric, _) => true,
        (Subject::Text | Subject::Failure, _) => false,
    };
    if !fits {
        let what = match subject {
            Subject::Text | Subject::Failure => "text has no size to compare",
            Subject::Number | Subject::Json | Subject::Metric => "a plain number is compared here, without a unit",
            Subject::Duration => "a duration is compared here",
            Subject::Bytes => "a size is compared here",
            Subject::Share => "a share is compared here",
            Subject::Rate => "a rate is compared here",
        };
        cx.report(Diagnostic::new(Code::Check, node.span, what).help("for exactly this text write { in: [\"…\"] }"));
        return None;
    }
    Some(quantity)
}

/// A regular expression, without its slashes.
fn regex(pattern: &str, span: Span, cx: &Reading<'_>) -> Option<Matcher> {
    let template = read::parse_at(pattern, span, cx)?;
    let matcher = match template.exprs().next() {
        Some(_) => Matcher::RegexOf(template.clone()),
        None => Matcher::Regex(pattern.to_owned()),
    };
    // what is found will stand there for itself, as a letter does
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Look(_) => "x".to_owned(),
    };
    let problem = match regex::Regex::new(&template.parts.iter().map(part).collect::<String>()) {
        Ok(_) if pattern.len() <= MAX_PATTERN_CHARS => return Some(matcher),
        Ok(_) => "it is too long".to_owned(),
        Err(error) => reason(&error.to_string()),
    };
    cx.report(Diagnostic::new(Code::Pattern, span, format!("this is not a regular expression: {problem}")));
    None
}

/// The last line of a regex error is its reason; the lines before draw the pattern, which the diagnostic does anyway.
fn reason(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// A JSONPath after RFC 9535.
pub(super) fn json_path(path: &str, span: Span, cx: &Reading<'_>) -> bool {
    let good = path.starts_with('$') && path.len() <= MAX_PATTERN_CHARS && parse_json_path(path).is_ok();
    if !good {
        let message = format!("{} is not a JSONPath", quote(path));
        cx.report(Diagnostic::new(Code::Pattern, span, message).expected("a path such as `$.items[0].id`"));
    }
    good
}

/// A map: all of its matchers must hold.
fn many(node: &Node, entries: &[(Key, Node)], subject: Subject, cx: &Reading<'_>) -> Option<Matcher> {
    if entries.is_empty() {
        cx.report(Diagnostic::new(Code::Empty, node.span, "this matches anything").expected("a matcher"));
        return None;
    }
    let mut all = Vec::new();
    let mut paths = Vec::new();
    let mut complete = true;
    for (key, value) in entries {
        if key.name.starts_with('$') && subject == Subject::Json {
            let good = json_path(&key.name, key.span, cx);
            match matcher(value, Subject::Json, cx) {
                Some(matcher) if good => paths.push((key.name.clone(), matcher)),
                Some(_) | None => complete = false,
            }
        } else {
            match one(key, value, subject, cx) {
                Some(matcher) => all.push(matcher),
                None => complete = false,
            }
        }
    }
    if !paths.is_empty() {
        all.push(Matcher::Paths(paths));
    }
    if !complete {
        return None;
    }
    if all.len() == 1 { all.pop() } else { Some(Matcher::All(all)) }
}

fn one(key: &Key, value: &Node, subject: Subject, cx: &Reading<'_>) -> Option<Matcher> {
    match key.name.as_str() {
        "contains" if !matches!(subject, Subject::Text | Subject::Failure | Subject::Json) => {
            let problem = Diagnostic::new(Code::Check, key.span, "a number contains nothing");
            cx.report(problem.expected("a comparison, `in` or `not`"));
            None
        }
        "contains" => scalar(value, subject, cx).map(Matcher::Contains),
        "matches" => matches(value, cx),
        "in" => {
            let items = read::list(value, cx)?;
            if items.is_empty() {
                let problem = Diagnostic::new(Code::Empty, value.span, "nothing is among these");
                cx.report(problem.expected("at least one value"));
                return None;
            }
            let items: Vec<Option<ValueTemplate>> = items.iter().map(|item| scalar(item, subject, cx)).collect();
            items.into_iter().collect::<Option<Vec<_>>>().map(Matcher::In)
        }
        "exists" => read::boolean(value, cx).map(|wanted| Matcher::Exists(wanted.value)),
        "not" => matcher(value, subject, cx).map(|inner| Matcher::Not(Box::new(inner))),
        _ => {
            unknown(key, subject, cx);
            None
        }
    }
}

fn unknown(key: &Key, subject: Subject, cx: &Reading<'_>) {
    let message = format!("{} is not a matcher", quote(&key.name));
    let mut problem =
        Diagnostic::new(Code::UnknownKey, key.span, message).expected("`contains`, `matches`, `in`, `exists` or `not`");
    if key.name.starts_with('$') {
        problem.help = Some("paths lead into JSON; use them under `json`".to_owned());
    } else if subject == Subject::Json {
        problem.help = Some(format!("a path into the JSON begins with `$`, as {}", path_of(&key.name)));
        problem.expected =
            Some("`contains`, `matches`, `in`, `exists`, `not`, or a path that begins with `$`".to_owned());
        // a short name is the name of a member, not a slip of `in`
        if key.name.chars().count() <= SHORT {
            cx.report(problem);
            return;
        }
    }
    cx.report(problem.did_you_mean(&key.name, WORDS.iter().copied()));
}

/// Letters of a name that is near to some matcher whatever it is.
const SHORT: usize = 3;

/// How the member with this name is found.
fn path_of(name: &str) -> String {
    let plain = |found: char| found.is_alphanumeric() || found == '_';
    match name.starts_with(char::is_alphabetic) && name.chars().all(plain) {
        true => quote(&format!("$.{name}")),
        false => "`$.items[0].id`".to_owned(),
    }
}

/// The text or regular expression of `matches`, with or without slashes.
pub(super) fn matches(node: &Node, cx: &Reading<'_>) -> Option<Matcher> {
    let found = read::some_text(node, cx)?;
    let pattern = found.value.strip_prefix('/').and_then(|text| text.strip_suffix('/')).unwrap_or(&found.value);
    regex(pattern, node.span, cx)
}

/// A value to look for. Inside a text a number is looked for as it is written.
pub(super) fn scalar(node: &Node, subject: Subject, cx: &Reading<'_>) -> Option<ValueTemplate> {
    match (subject, &node.kind) {
        (Subject::Text | Subject::Failure, Kind::Number(_) | Kind::Bool(_)) => {
            read::text(node, cx).map(|text| ValueTemplate::Text(Template::text(text.value)))
        }
        _ => read::json(node, cx),
    }
}
