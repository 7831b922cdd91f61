//! What stands inside the verbs.

use meshproof_proto::expr::{Filter, Part, Template};

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, quote};
use super::super::elsewhere;
use super::super::model::{Artefact, Content, Data, Exec, Http, Stream, Tcp, Verb};
use super::super::read::{self, Fields, Given, Reading};
use super::super::source::Spanned;
use super::super::tree::{Key, Kind, Node};
use super::super::units::Rate;
use super::steps::MODIFIERS;
use super::{argv, bounds, calls, conduct, environment, faults, inner_file, inner_folder, load, stubs};

const METHODS: &[(&str, &str)] = &[
    ("get", "GET"),
    ("head", "HEAD"),
    ("post", "POST"),
    ("put", "PUT"),
    ("patch", "PATCH"),
    ("delete", "DELETE"),
    ("options", "OPTIONS"),
];

/// Reads the verb with this name; `None` after a report. `expect` is not among them.
pub(super) fn verb<'n>(name: &str, node: &'n Node, cx: &'n Reading<'n>) -> Option<Verb> {
    match name {
        "http" => http(node, cx).map(Verb::Http),
        "tcp" => tcp(node, cx).map(Verb::Tcp),
        "exec" => exec(node, cx).map(Verb::Exec),
        "grpc" => calls::grpc(node, cx).map(Verb::Grpc),
        "ws" => calls::ws(node, cx).map(Verb::Ws),
        "stream" => stream(node, cx).map(|stream| Verb::Stream(Box::new(stream))),
        "load" => load::load(node, cx).map(|load| Verb::Load(Box::new(load))),
        "fault" => faults::fault_use(node, cx).map(Verb::Fault),
        "heal" => faults::heal(node, cx).map(Verb::Heal),
        "collect" => collect(node, cx).map(Verb::Collect),
        "stub" => stubs::stub_use(node, cx).map(Verb::Stub),
        "say" => some_template(node, cx).map(Verb::Say),
        other => conduct::conduct(other, node, cx).map(Verb::Conduct),
    }
}

/// Ends the reading of a verb's keys; a modifier among them is in the wrong place.
pub(super) fn finish(fields: Fields<'_>, verb: &str) {
    fields.finish_with(|key, problem| {
        if !MODIFIERS.contains(&key.name.as_str()) {
            let hint = || elsewhere::hint(&key.name, |word| MODIFIERS.contains(&word));
            let help = problem.help.clone().or_else(|| Some(format!("{}; it stands beside `{verb}`", hint()?)));
            return Diagnostic { help, ..problem };
        }
        let message = format!("`{}` is a modifier and stands on the step", key.name);
        Diagnostic::new(Code::Modifier, key.span, message).help(format!("move it beside `{verb}`"))
    });
}

/// Text with expressions in it, for people to read.
pub(super) fn some_template(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Template>> {
    read::some_text(node, cx)?;
    read::template(node, cx)
}

fn http<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Http> {
    let mut fields = Fields::open(node, "http", cx)?;
    let mut requests = Vec::new();
    for (name, method) in METHODS {
        if let Some((key, node)) = fields.entry(name) {
            requests.push((key, *method, node));
        }
    }
    let query = fields.take("query");
    let headers = fields.optional("headers", headers).unwrap_or_default();
    let body = content(&mut fields);
    let tls = fields.optional("tls", super::tls::tls).map(Box::new);
    fields.later(&["form", "multipart", "auth"]);
    if requests.is_empty() {
        fields.missing("a method with a path, such as `get: /`");
    }
    finish(fields, "http");
    if let [(first, ..), (second, ..), ..] = requests.as_slice() {
        let problem = Diagnostic::new(Code::Choice, second.span, "an exchange has one method");
        cx.report(problem.label(first.span, "first here"));
    }
    let (_, method, node) = requests.first()?;
    let mut path = target(node, cx)?;
    if let Some(query) = query {
        append_query(&mut path.value, query, cx)?;
    }
    Some(Http { method, path, headers, body, tls })
}

/// Path and query of a request.
pub(super) fn target(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Template>> {
    let path = read::template(node, cx)?;
    let wrong = match path.value.parts.first() {
        Some(Part::Look(_)) => None,
        Some(Part::Text(text)) if text.starts_with("http://") || text.starts_with("https://") => {
            Some("which service is called is said by `to`; here stands only the path")
        }
        Some(Part::Text(text)) if text.starts_with('/') => None,
        Some(Part::Text(_)) | None => Some("a path begins with `/`"),
    };
    let texts = path.value.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text),
        Part::Look(_) => None,
    });
    let unfit =
        |text: &String| text.contains(|found: char| found.is_whitespace() || found.is_control() || found == '#');
    let wrong =
        wrong.or_else(|| texts.clone().any(unfit).then_some("a path has no spaces and no `#`; write %20 and %23"));
    if let Some(wrong) = wrong {
        cx.report(Diagnostic::new(Code::Path, node.span, wrong).expected("a path such as `/orders?limit=3`"));
        return None;
    }
    Some(path)
}

/// Appends `?a=b&c=d`, percent-encoded, also what expressions give.
fn append_query(path: &mut Template, node: &Node, cx: &Reading<'_>) -> Option<()> {
    let entries = read::map(node, "names, each with a value", cx)?;
    let has_query = path.parts.iter().any(|part| matches!(part, Part::Text(text) if text.contains('?')));
    let mut sign = if has_query { '&' } else { '?' };
    for (key, node) in entries {
        let value = read::template(node, cx)?;
        path.parts.push(Part::Text(format!("{sign}{}=", percent_encoded(&key.name))));
        sign = '&';
        path.parts.extend(value.value.parts.into_iter().map(|part| match part {
            Part::Text(text) => Part::Text(percent_encoded(&text)),
            Part::Look(mut expression) => {
                expression.filters.push(Filter::Url);
                Part::Look(expression)
            }
        }));
    }
    Some(())
}

/// RFC 3986: everything but the unreserved characters.
fn percent_encoded(text: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Header fields of a request or a reply.
pub(super) fn headers<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<(String, Template)>> {
    let entries = read::map(node, "names of headers, each with a text", cx)?;
    let entries = entries.iter().filter(|(key, _)| header_name(key, cx).is_some());
    Some(entries.filter_map(|(key, node)| Some((key.name.clone(), header_value(node, cx)?))).collect())
}

/// A header ends with its line, so what is written out of its value has one.
fn header_value(node: &Node, cx: &Reading<'_>) -> Option<Template> {
    let value = read::template(node, cx)?.value;
    let broken = |part: &Part| matches!(part, Part::Text(text) if text.contains(|c: char| c.is_control() && c != '\t'));
    if value.parts.iter().any(broken) {
        let problem = Diagnostic::new(Code::ForbiddenCharacter, node.span, "a header's value cannot hold a line break");
        cx.report(problem.expected("text on one line, without control characters"));
        return None;
    }
    Some(value)
}

/// Whether a header can have this name.
pub(super) fn header_name(key: &Key, cx: &Reading<'_>) -> Option<()> {
    // The characters of a token after RFC 9110, section 5.6.2.
    let token = |found: char| found.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(found);
    if !key.name.is_empty() && key.name.chars().all(token) {
        return Some(());
    }
    let message = format!("{} cannot name a header", quote(&key.name));
    cx.report(Diagnostic::new(Code::Name, key.span, message).expected("letters, digits and `-`"));
    None
}

/// `json` or `body`, of a request or a reply.
pub(super) fn content(fields: &mut Fields<'_>) -> Content {
    let json = fields.optional("json", read::json);
    if fields.has("json")
        && let Some((key, _)) = fields.entry("body")
    {
        fields.reading().report(Diagnostic::new(Code::Choice, key.span, "`json` and `body` exclude each other"));
    }
    match (json, fields.optional("body", read::template)) {
        (Some(json), _) => Content::Json(json),
        (None, Some(text)) => Content::Text(text.value),
        (None, None) => Content::Empty,
    }
}

fn tcp<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Tcp> {
    let mut fields = Fields::open(node, "tcp", cx)?;
    let send = fields.optional("send", read::template);
    let tls = fields.optional("tls", super::tls::tls).map(Box::new);
    finish(fields, "tcp");
    Some(Tcp { send: send.map(|send| send.value).unwrap_or_default(), tls })
}

fn exec<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Exec> {
    let mut fields = Fields::open(node, "exec", cx)?;
    let given = fields.optional("argv", argv).map(|argv| argv.into_iter().map(|argument| argument.value).collect());
    let shell = fields.optional("shell", read::template).map(|line| shell(line.value));
    match (fields.entry("argv"), fields.entry("shell")) {
        (Some((first, _)), Some((second, _))) => {
            let problem = Diagnostic::new(Code::Choice, second.span, "`argv` and `shell` exclude each other");
            cx.report(problem.label(first.span, "first here"));
        }
        (None, None) => fields.missing("`argv`"),
        _ => {}
    }
    let env = fields.optional("env", environment).unwrap_or_default();
    let stdin = fields.optional("stdin", read::template);
    let cwd = fields.optional("cwd", inner_folder);
    let limits = fields.optional("limits", bounds::bounds).unwrap_or_default();
    finish(fields, "exec");
    Some(Exec {
        argv: given.or(shell)?,
        env: env.into_iter().map(|(name, value)| (name.value, value.value)).collect(),
        stdin: stdin.map(|stdin| stdin.value),
        cwd,
        limits,
    })
}

/// A line for a shell, as a command line.
fn shell(line: Template) -> Vec<Template> {
    vec![Template::text("/bin/sh"), Template::text("-c"), line]
}

fn stream<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Stream> {
    let mut fields = Fields::open(node, "stream", cx)?;
    let data = fields.required("data", data);
    let apply = fields.required("apply", apply);
    let rate = fields.optional("rate", some_rate);
    finish(fields, "stream");
    Some(Stream { data: data?, rate, apply: apply? })
}

fn data<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Data> {
    let mut fields = Fields::open(node, "data", cx)?;
    let sources: Vec<_> =
        ["file", "log", "generate"].iter().filter_map(|source| fields.entry_quietly(source)).collect();
    if let [(first, _), (second, _), ..] = sources[..] {
        let message = format!("`{}` and `{}` exclude each other", first.name, second.name);
        cx.report(Diagnostic::new(Code::Choice, second.span, message).label(first.span, "first here"));
    }
    let is_given = !sources.is_empty();
    let file = fields.optional("file", inner_file).map(Data::File);
    let log = fields.optional("log", read::text);
    let no_lines = "there is no line to send";
    let count = match log {
        Some(_) => fields.required("count", bounds::some(read::count, |count| *count == 0, no_lines)),
        None => None,
    };
    let logged = log.zip(count).map(|(log, count)| Data::Log { log, count });
    let generate = if is_given { fields.optional("generate", generate) } else { fields.required("generate", generate) };
    fields.finish();
    file.or(logged).or(generate)
}

pub(super) fn some_rate(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Given<Rate>>> {
    let found = read::rate(node, cx)?;
    if matches!(found.value, Given::Value(Rate { events: 0, .. })) {
        let problem = Diagnostic::new(Code::OutOfRange, node.span, "at this rate nothing is ever sent");
        cx.report(problem.expected("a rate such as `500/s`"));
        return None;
    }
    Some(found)
}

fn generate<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Data> {
    let mut fields = Fields::open(node, "generate", cx)?;
    let no_records = "a stream of no records proves nothing";
    let count = fields.required("count", bounds::some(read::count, |count| *count == 0, no_records));
    let json = fields.required("json", read::json);
    fields.finish();
    Some(Data::Generate { count: count?, json: json? })
}

/// What the receiver does with each record: one verb that asks a service.
fn apply<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Spanned<Verb>> {
    let mut fields = Fields::open(node, "apply", cx)?;
    let found = call(&mut fields, "a record is applied with one verb", cx);
    finish(fields, "stream");
    found
}

/// The one verb here that asks a service.
pub(super) fn call<'n>(fields: &mut Fields<'n>, one: &'static str, cx: &'n Reading<'n>) -> Option<Spanned<Verb>> {
    let mut found = Vec::new();
    for name in ["http", "tcp", "exec", "grpc", "ws"] {
        if let Some((key, node)) = fields.entry(name) {
            found.push((key, verb(name, node, cx).map(|verb| Spanned::new(verb, key.span.to(node.span)))));
        }
    }
    match found.as_slice() {
        [] if fields.rest_is_empty() => fields.missing("a verb: `http`, `tcp`, `grpc`, `ws` or `exec`"),
        [] | [_] => {}
        [(first, _), (second, _), ..] => {
            cx.report(Diagnostic::new(Code::SeveralVerbs, second.span, one).label(first.span, "first here"));
        }
    }
    found.into_iter().next().and_then(|(_, verb)| verb)
}

/// `logs`, `journal`, or a list of them.
fn collect(node: &Node, cx: &Reading<'_>) -> Option<Vec<Spanned<Artefact>>> {
    let one = |node: &Node| read::choice(node, &[("logs", Artefact::Logs), ("journal", Artefact::Journal)], cx);
    match &node.kind {
        Kind::List(items) if items.is_empty() => {
            cx.report(
                Diagnostic::new(Code::Empty, node.span, "nothing is collected here").expected("`logs` or `journal`"),
            );
            None
        }
        Kind::List(items) => Some(items.iter().filter_map(one).collect()),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Map(_) => Some(vec![one(node)?]),
    }
}
