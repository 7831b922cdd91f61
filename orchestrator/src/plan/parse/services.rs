//! `services`: what is under test.

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::limits::MAX_REPLICAS;
use super::super::model::{File, FileContent, Log, Port, Service, Stop, StopSignal, Word};
use super::super::read::{self, Fields, Reading};
use super::super::source::Spanned;
use super::super::tree::{Kind, Node};
use super::{argv, bounds, environment, inner_file, metrics, named, names_file, no_shell, steps, word};

use meshproof_proto::expr::Template;
use meshproof_proto::order::{Listen, Transport};

const LATER: &[&str] = &["dials"];

const LISTENS: &[(&str, Listen)] = &[("udp", Listen::Udp), ("tcp", Listen::Tcp), ("http", Listen::Http)];

const SIGNALS: &[(&str, StopSignal)] = &[
    ("TERM", StopSignal::Term),
    ("INT", StopSignal::Int),
    ("QUIT", StopSignal::Quit),
    ("HUP", StopSignal::Hup),
    ("KILL", StopSignal::Kill),
];

/// The number of a port whose own was reported: nobody can have it.
pub(super) const REPORTED_PORT: u16 = 0;

/// Names that mean something else where a port's name can stand.
const RESERVED_PORTS: &[&str] = &["dir", "name", "host", "direct", "tls", "logs"];

pub(super) fn services<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Service>> {
    Some(named(node, "services", cx).into_iter().filter_map(|(name, node)| service(name, node, cx)).collect())
}

fn service<'n>(name: Word, node: &'n Node, cx: &'n Reading<'n>) -> Option<Service> {
    let Some(mut fields) = Fields::open(node, "a service", cx) else {
        // Its name is known all the same, so that its uses are no second mistake.
        return Some(Service::named(name));
    };
    let service = program(name, &mut fields);
    let (replicas, zones) = instances(&service, &mut fields);
    fields.later(LATER);
    fields.finish();
    Some(Service { replicas, zones, ..service })
}

/// How many there are of it, and in which zones.
fn instances<'n>(service: &Service, fields: &mut Fields<'n>) -> (u64, Vec<Word>) {
    let cx = fields.reading();
    let count = |node: &'n Node, cx: &Reading<'n>| read::integer(node, 1..=MAX_REPLICAS, cx);
    let replicas = fields.optional("replicas", count);
    let zones = fields.optional("zones", |node, cx| read::each(node, cx, read::name)).unwrap_or_default();
    let first = zones.first().map(|zone| zone.span).or(replicas.as_ref().map(|replicas| replicas.span));
    if let Some(span) = first.filter(|_| service.processes.is_empty()) {
        let message = "a service without `exec` runs already, and its instances are where they are";
        cx.report(Diagnostic::new(Code::Choice, span, message).expected("a service with `exec`"));
    }
    for (at, zone) in zones.iter().enumerate() {
        if zones[..at].iter().any(|before| before.value == zone.value) {
            let message = format!("the zone `{}` is named twice", zone.value);
            cx.report(
                Diagnostic::new(Code::DuplicateName, zone.span, message)
                    .help("instances take their turns in the zones"),
            );
        }
    }
    let in_each = u64::try_from(zones.len()).unwrap_or(MAX_REPLICAS).clamp(1, MAX_REPLICAS);
    match replicas {
        Some(replicas) if replicas.value < in_each => {
            let message = format!("{} cannot be in {in_each} zones", replicas.value);
            cx.report(
                Diagnostic::new(Code::OutOfRange, replicas.span, message)
                    .expected("at least as many as there are zones"),
            );
            (in_each, zones)
        }
        Some(replicas) => (replicas.value, zones),
        None => (in_each, zones),
    }
}

/// What a service or each member of a group is.
pub(super) fn program<'n>(name: Word, fields: &mut Fields<'n>) -> Service {
    let cx = fields.reading();
    let mut processes = fields.optional("exec", processes).unwrap_or_default();
    let limits = fields.optional("limits", bounds::bounds).unwrap_or_default();
    let image = fields.optional("image", read::some_text);
    let runs_already = !fields.has("exec") && !fields.has("image");
    if !runs_already && processes.is_empty() {
        // Either the image says what is started, or what is wrong with them was reported. It has some all the same, so that their uses are no further mistakes.
        processes.push(Vec::new());
    }
    let ports = fields.optional("ports", ports).unwrap_or_default();
    let env = fields.optional("env", environment).unwrap_or_default();
    let files = fields.optional("files", files).unwrap_or_default();
    let ready = fields.optional("ready", steps::readiness);
    let needs = fields.optional("needs", |node, cx| read::each(node, cx, read::name)).unwrap_or_default();
    let logs = fields.optional("logs", logs).unwrap_or_default();
    let metrics = fields.optional("metrics", metrics::metrics);
    let stop = fields.optional("stop", stop).unwrap_or_default();
    let tls = fields.optional("tls", |node, cx| read::choice(node, &[("run", ())], cx)).is_some();
    if runs_already {
        for port in ports.iter().filter(|port| port.number.is_none()) {
            let message = "a service without `exec` runs already, so its ports are known";
            cx.report(Diagnostic::new(Code::WrongType, port.name.span, message).expected("a port number"));
        }
    }
    Service {
        processes,
        image,
        ports,
        env,
        files,
        ready,
        needs,
        logs,
        metrics,
        stop,
        limits,
        tls,
        ..Service::named(name)
    }
}

/// One process, or a list of them.
fn processes<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Vec<Spanned<Template>>>> {
    match &node.kind {
        Kind::List(items) if items.is_empty() => {
            let problem = Diagnostic::new(Code::Empty, node.span, "this service has no processes");
            cx.report(problem.expected("`{ argv: […] }`, or no `exec` for a service that runs already"));
            None
        }
        Kind::List(items) => Some(items.iter().filter_map(|item| process(item, cx)).collect()),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Map(_) => Some(vec![process(node, cx)?]),
    }
}

fn process<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Spanned<Template>>> {
    let mut fields = Fields::open(node, "exec", cx)?;
    let argv = if fields.has("shell") { fields.optional("argv", argv) } else { fields.required("argv", argv) };
    no_shell(&mut fields);
    fields.finish();
    argv
}

fn ports<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Port>> {
    let read = |(name, node): (Word, &'n Node)| {
        if RESERVED_PORTS.contains(&name.value.as_str()) {
            let message = format!("a port cannot be named `{}`", name.value);
            cx.report(
                Diagnostic::new(Code::Name, name.span, message).help("the word means something else in expressions"),
            );
            return None;
        }
        let wish = match &node.kind {
            Kind::Map(_) => port_with_transport(node, cx),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
                port_wish(node, cx).map(|wish| (wish, Transport::Tcp))
            }
        };
        // One that was reported is known by its name, so that its uses are no further mistakes.
        let (number, transport) = wish.unwrap_or((Some(REPORTED_PORT), Transport::Tcp));
        Some(Port { name, number, transport })
    };
    Some(named(node, "ports", cx).into_iter().filter_map(read).collect())
}

/// `{ udp: dynamic }`, `{ tcp: 7070 }`.
fn port_with_transport<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<(Option<u16>, Transport)> {
    let mut fields = Fields::open(node, "a port", cx)?;
    let found = [("tcp", Transport::Tcp), ("udp", Transport::Udp)]
        .map(|(word, transport)| fields.entry(word).map(|(key, node)| (key, node, transport)));
    if let [Some(_), Some((second, ..))] = &found {
        let problem = Diagnostic::new(Code::Choice, second.span, "a port takes connections or datagrams");
        cx.report(problem.help("write two ports, each with a name"));
    }
    if found.iter().all(Option::is_none) {
        fields.missing("`tcp` or `udp`");
    }
    fields.finish();
    let (_, node, transport) = found.into_iter().flatten().next()?;
    Some((port_wish(node, cx)?, transport))
}

/// A number, or any.
pub(super) fn port_wish(node: &Node, cx: &Reading<'_>) -> Option<Option<u16>> {
    match node.as_text() {
        Some("dynamic") => Some(None),
        Some(_) => {
            read::wrong_type(node, "`dynamic`, or a number from 1 to 65535", cx);
            None
        }
        None => port_number(node, cx).map(Some),
    }
}

fn port_number(node: &Node, cx: &Reading<'_>) -> Option<u16> {
    let found = read::integer(node, 1..=65535, cx)?;
    u16::try_from(found.value).ok()
}

fn files<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<File>> {
    let entries = read::map(node, "paths in the working directory, each with its content", cx)?;
    let read = |(key, node): &'n (_, Node)| {
        let path = word(key);
        let inside = names_file(&path, cx);
        let content = match &node.kind {
            Kind::Map(_) => {
                let mut fields = Fields::open(node, "a file", cx)?;
                let from = fields.required("from", inner_file);
                fields.finish();
                FileContent::From(from?)
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
                FileContent::Text(read::template(node, cx)?)
            }
        };
        inside.then_some(File { path, content })
    };
    Some(entries.iter().filter_map(read).collect())
}

fn logs<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Log>> {
    let read = |(name, node): (Word, &'n Node)| {
        let taken = matches!(name.value.as_str(), "stdout" | "stderr");
        if taken {
            let message = format!("`{}` is always taken", name.value);
            cx.report(Diagnostic::new(Code::DuplicateName, name.span, message).expected("another name"));
        }
        let mut fields = Fields::open(node, "a log", cx)?;
        let listen = fields.optional("listen", |node, cx| read::choice(node, LISTENS, cx)).map(|listen| listen.value);
        let file = if fields.has("listen") { None } else { fields.required("file", inner_file) };
        fields.finish();
        // A log whose file is wrong is still known by its name.
        let kept = if listen.is_some() { format!("endpoints/{}.log", name.value) } else { String::new() };
        let file = file.unwrap_or_else(|| Spanned::new(kept, name.span));
        (!taken).then_some(Log { name, file, listen })
    };
    Some(named(node, "logs", cx).into_iter().filter_map(read).collect())
}

fn stop<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Stop> {
    let mut fields = Fields::open(node, "stop", cx)?;
    let signal = fields.optional("signal", |node, cx| read::choice(node, SIGNALS, cx));
    let grace = fields.optional("grace", read::duration);
    fields.finish();
    Some(Stop { signal: signal.map(|signal| signal.value).unwrap_or_default(), grace })
}
