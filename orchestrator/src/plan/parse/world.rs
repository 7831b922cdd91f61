//! `expect` alone: it checks the world, of which it looks at one thing.

use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::matcher::Matcher;

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::model::{Check, Word, World};
use super::super::read::{self, Fields, Reading};
use super::super::tree::{Kind, Node};
use super::expect::paths;
use super::matchers::{self, Subject};
use super::{ends, metrics};

/// What can be looked at, and how that is read.
type Look = for<'n> fn(&'n Node, &mut Looking<'n>) -> Option<World>;

const SUBJECTS: &[(&str, Look)] = &[
    ("log", log),
    ("stub", stub),
    ("value", value),
    ("process", process),
    ("metric", metric),
    ("fault", fault),
    ("link", link),
];

/// What can be expected of some of them.
const CHECKS: &[&str] = &[
    "contains",
    "matches",
    "count",
    "calls",
    "health",
    "order",
    "is",
    "code",
    "min",
    "max",
    "p50",
    "p95",
    "p99",
    "path",
    "rtt",
    "generation",
];

/// How a link can be, as `meshproof links` shows it.
const STATES_OF_LINKS: &[&str] = &["connecting", "up", "suspect", "lost", "idle"];

/// How the datagrams of a link can travel.
const PATHS_OF_LINKS: &[&str] = &["direct", "turn", "relayed"];

/// The map while it is read, and the checks found so far.
struct Looking<'n> {
    fields: Fields<'n>,
    checks: Vec<Check>,
}

/// Reads an `expect` that stands alone.
pub(super) fn alone<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<(World, Vec<Check>)> {
    let mut fields = Fields::open(node, "expect", cx)?;
    let named: Vec<_> = SUBJECTS.iter().filter(|(subject, _)| fields.has(subject)).collect();
    let [(subject, look)] = named[..] else {
        let message = "an `expect` that stands alone looks at exactly one thing";
        let all = SUBJECTS.iter().map(|(subject, _)| *subject);
        cx.report(Diagnostic::new(Code::Check, fields.span(), message).expected(one_of(all)));
        return None;
    };
    // A check that is wrong is told as such, and is one all the same.
    let asks = CHECKS.iter().any(|check| fields.has(check));
    let node = fields.take(subject)?;
    let mut looking = Looking { fields, checks: Vec::new() };
    let world = look(node, &mut looking);
    let Looking { fields, checks } = looking;
    let nothing = !asks && checks.is_empty() && fields.rest_is_empty();
    let span = fields.span();
    fields.finish();
    if nothing {
        let message = "this looks at something and expects nothing of it";
        cx.report(
            Diagnostic::new(Code::Empty, span, message)
                .expected("a check beside it: `contains`, `count`, `calls`, `is`"),
        );
    }
    Some((world?, checks))
}

fn log(node: &Node, looking: &mut Looking<'_>) -> Option<World> {
    looking.check("contains", |node, cx| matchers::scalar(node, Subject::Text, cx).map(Matcher::Contains));
    looking.check("matches", matchers::matches);
    looking.check("count", of(Subject::Number));
    read::some_text(node, looking.cx()).map(World::Log)
}

fn stub(node: &Node, looking: &mut Looking<'_>) -> Option<World> {
    looking.check("calls", of(Subject::Number));
    looking.check("health", health);
    let stub = read::text(node, looking.cx());
    let order = looking.order(stub.as_ref());
    stub.map(|stub| World::Stub(stub, order))
}

fn value(node: &Node, looking: &mut Looking<'_>) -> Option<World> {
    looking.check("is", of(Subject::Json));
    read::value_template(node, looking.cx()).map(World::Value)
}

fn process(node: &Node, looking: &mut Looking<'_>) -> Option<World> {
    looking.check("is", |node, cx| word(node, &["running", "frozen", "ended"], cx));
    looking.check("code", of(Subject::Number));
    read::name(node, looking.cx()).map(World::Process)
}

fn metric(node: &Node, looking: &mut Looking<'_>) -> Option<World> {
    for stat in metrics::STATS {
        looking.check(stat, of(Subject::Metric));
    }
    let labels = looking.fields.optional("labels", metrics::labels).unwrap_or_default();
    read::some_text(node, looking.cx()).map(|metric| World::Metric(metric, labels))
}

fn fault(node: &Node, looking: &mut Looking<'_>) -> Option<World> {
    looking.check("is", |node, cx| word(node, &["active", "ended"], cx));
    read::name(node, looking.cx()).map(World::Fault)
}

/// `shop <-> site`
fn link(node: &Node, looking: &mut Looking<'_>) -> Option<World> {
    looking.check("is", |node, cx| word(node, STATES_OF_LINKS, cx));
    looking.check("path", |node, cx| word(node, PATHS_OF_LINKS, cx));
    looking.check("rtt", of(Subject::Duration));
    looking.check("generation", of(Subject::Number));
    let cx = looking.cx();
    let between = read::text(node, cx)?;
    let Some((left, right)) = ends::of(&between, "<->", cx) else {
        let message = match between.value.contains("->") {
            true => "a link has no direction: it is looked at from the side of the first one".to_owned(),
            false => format!("{} does not say which link", quote(&between.value)),
        };
        cx.report(Diagnostic::new(Code::Check, node.span, message).expected("`a <-> b`"));
        return None;
    };
    if left.value == right.value {
        let message = "an agent has no link to itself";
        cx.report(Diagnostic::new(Code::Check, node.span, message).expected("two services"));
        return None;
    }
    let good = [&left, &right].map(|name| read::check_name(&name.value, name.span, cx));
    good.iter().all(|good| *good).then_some(World::Link { from: left, to: right })
}

fn of(subject: Subject) -> impl Fn(&Node, &Reading<'_>) -> Option<Matcher> {
    move |node, cx| matchers::matcher(node, subject, cx)
}

/// One of these words, or a map that says more.
fn word(node: &Node, words: &[&'static str], cx: &Reading<'_>) -> Option<Matcher> {
    if !matches!(node.kind, Kind::Map(_)) {
        let words: Vec<_> = words.iter().map(|word| (*word, ())).collect();
        read::choice(node, &words, cx)?;
    }
    matchers::matcher(node, Subject::Text, cx)
}

/// Whether a stub answers.
fn health(node: &Node, cx: &Reading<'_>) -> Option<Matcher> {
    read::choice(node, &[("ok", ()), ("silent", ())], cx)?;
    matchers::matcher(node, Subject::Text, cx)
}

impl<'n> Looking<'n> {
    fn cx(&self) -> &'n Reading<'n> {
        self.fields.reading()
    }

    /// Reads one check, if it is there.
    fn check(&mut self, name: &'static str, reader: impl FnOnce(&'n Node, &'n Reading<'n>) -> Option<Matcher>) {
        let cx = self.cx();
        let Some((key, node)) = self.fields.entry(name) else { return };
        let Some(matcher) = reader(node, cx) else { return };
        let span = key.span.to(node.span);
        self.checks.push(Check { span, field: name.to_owned(), matcher, paths: paths(node) });
    }

    /// `order: [authorise, capture]`: the routes of a stub that were called one after the other.
    fn order(&mut self, stub: Option<&Word>) -> Vec<Word> {
        let cx = self.cx();
        let Some((key, node)) = self.fields.entry("order") else { return Vec::new() };
        if let Some(stub) = stub.filter(|stub| stub.value.contains('.')) {
            let problem = Diagnostic::new(Code::Check, stub.span, "one route has no order");
            cx.report(problem.expected("the stub alone, and its routes in `order`"));
        }
        let routes = read::each(node, cx, read::name).unwrap_or_default();
        if routes.is_empty() {
            cx.report(Diagnostic::new(Code::Empty, node.span, "there is no order here").expected("ids of routes"));
        }
        let list = routes.iter().map(|route| ValueTemplate::Text(Template::text(&route.value))).collect();
        let matcher = Matcher::Equals(ValueTemplate::List(list));
        self.checks.push(Check { span: key.span.to(node.span), field: key.name.clone(), matcher, paths: Vec::new() });
        routes
    }
}
