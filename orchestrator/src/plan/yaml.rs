//! YAML text to a [`Node`] tree.
//!
//! It reads the events of granit-parser, which `serde-saphyr` is built on and re-exports, rather than a
//! `Spanned<Node>` through serde: serde hands over `4242` and `4.20` as numbers, so their spelling is gone; it gives no spans
//! to the keys of a dynamic map; and it resolves aliases before their cost can be counted. Aliases are copied here, each
//! copy charged to a budget, so a bomb ends at the budget and not at the memory's end.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError, StructureStyle, Tag};

use super::code::Code;
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::limits::{MAX_DEPTH, MAX_NODES, MAX_TEXT_BYTES};
use super::scalar;
use super::source::{Source, Span, reorders_text};
use super::tree::{Key, Kind, Node, Style, Text};

/// The tree of a plan file. `None` when there is none to speak of; why is in the sink.
#[must_use]
pub fn parse(source: &Source, sink: &Diagnostics) -> Option<Node> {
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH * 2, // ours is reached first, and says so better
        block_nesting_limit: MAX_DEPTH * 2,
    };
    let mut builder = Builder::new(sink);
    for event in Parser::new_from_str_with_options(source.text(), options) {
        let step = match event {
            Ok((event, span)) => builder.event(event, &span),
            Err(error) => Err(syntax_error(source, &error)),
        };
        if let Err(problem) = step {
            sink.report(*problem);
            return None;
        }
    }
    if builder.root.is_none() {
        sink.report(
            Diagnostic::new(Code::EmptyPlan, Span::default(), "there is nothing in this file")
                .expected("a plan, which begins with `meshproof: 1`"),
        );
    }
    builder.root
}

fn syntax_error(source: &Source, error: &ScanError) -> Box<Diagnostic> {
    let text = source.text();
    let at = text.floor_char_boundary(error.marker().byte_offset().unwrap_or(text.len()).min(text.len()));
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].split('\n').next().unwrap_or_default();
    let problem = |code, span, message: &str| Box::new(Diagnostic::new(code, span, message));
    if let Some(found) = unquoted_expression(line) {
        let span = Span::new(line_start + found, line_start + found + 3);
        let mut problem = problem(Code::UnquotedExpression, span, "an expression inside `{ }` or `[ ]` needs quotes");
        problem.help = Some("write \"${{ … }}\", with the quotes".to_owned());
        return problem;
    }
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        let mut problem = problem(Code::TooLarge, Span::new(at, at), "the plan is nested too deeply");
        problem.expected = Some(format!("at most {MAX_DEPTH} levels"));
        return problem;
    }
    let width = text[at..].chars().next().filter(|character| *character != '\n').map_or(0, char::len_utf8);
    let mut problem =
        problem(Code::YamlSyntax, Span::new(at, at + width), &format!("this is not YAML: {}", error.info()));
    if line.contains(['{', '[']) {
        problem.help = Some("inside `{ }` and `[ ]`, quote values that contain any of , : # { } [ ]".to_owned());
    }
    problem
}

/// Where on a line an expression stands that no quote opens.
fn unquoted_expression(line: &str) -> Option<usize> {
    let mut quote = None;
    for (at, character) in line.char_indices() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '$') if line[at..].starts_with("${{") && line[..at].contains(['{', '[']) => return Some(at),
            _ => {}
        }
    }
    None
}

/// A collection whose end has not come yet.
struct Open {
    span: Span,
    style: StructureStyle,
    anchor: usize,
    body: Body,
}

enum Body {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, seen: HashMap<String, Span>, key: Pending },
}

/// The key whose value comes next.
enum Pending {
    None,
    Key(Key),
    /// It was reported; its value is read and dropped.
    Refused,
}

/// A finished node that an alias may copy, and what a copy costs.
struct Anchored {
    node: Node,
    cost: Cost,
}

#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    text_bytes: usize,
    depth: usize,
}

struct Builder<'s> {
    sink: &'s Diagnostics,
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    spent: Cost,
}

type Step = Result<(), Box<Diagnostic>>;

impl<'s> Builder<'s> {
    fn new(sink: &'s Diagnostics) -> Self {
        Self { sink, root: None, open: Vec::new(), anchors: HashMap::new(), spent: Cost::default() }
    }

    fn event(&mut self, event: Event<'_>, span: &granit_parser::Span) -> Step {
        let place = range(span);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                let node = self.scalar(&value, style, place);
                self.finished(node, anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                self.begin(Open { span: place, style, anchor, body: Body::List(Vec::new()) })
            }
            Event::MappingStart(style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                let body = Body::Map { entries: Vec::new(), seen: HashMap::new(), key: Pending::None };
                self.begin(Open { span: place, style, anchor, body })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(place),
            Event::Alias(id) => self.alias(id, place),
            Event::DocumentStart(..) if self.root.is_some() => {
                let problem = Diagnostic::new(Code::YamlFeature, place, "a second document begins here");
                Err(Box::new(problem.expected("one plan in a file")))
            }
            _ => Ok(()),
        }
    }

    fn scalar(&self, value: &str, style: ScalarStyle, span: Span) -> Node {
        if let Some(found) = value.chars().find(|found| *found == '\0' || reorders_text(*found)) {
            let message = format!("the character U+{:04X} may not stand in a plan", u32::from(found));
            self.sink.report(Diagnostic::new(Code::ForbiddenCharacter, span, message));
        }
        let kind = match style {
            ScalarStyle::Plain => scalar::plain(value),
            _ => Kind::Text(Text { value: value.to_owned(), style: Style::Quoted }),
        };
        Node::new(kind, span)
    }

    fn refuse_tag(&self, tag: Option<&Tag>, span: &granit_parser::Span) {
        if tag.is_none() {
            return;
        }
        let place = span.tag_span().unwrap_or(*span);
        self.sink.report(
            Diagnostic::new(Code::YamlFeature, range(&place), "YAML tags have no meaning in a plan")
                .help("leave the tag out; quotes make text of a number"),
        );
    }

    fn begin(&mut self, open: Open) -> Step {
        self.charge(Cost { nodes: 0, text_bytes: 0, depth: self.open.len() + 1 }, open.span)?;
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, end: Span) -> Step {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let (kind, last) = match open.body {
            Body::List(items) => {
                let last = items.last().map(|item| item.span);
                (Kind::List(items), last)
            }
            Body::Map { entries, key, .. } => {
                let last = entries.last().map(|(key, value)| key.span.to(value.span));
                let pending = match key {
                    Pending::Key(key) => Some(key.span),
                    Pending::None | Pending::Refused => None,
                };
                (Kind::Map(entries), pending.or(last))
            }
        };
        // A block collection ends where the next token begins; people see its end where its last value ends.
        let span = match open.style {
            StructureStyle::Flow => open.span.to(end),
            StructureStyle::Block => open.span.to(last.unwrap_or(open.span)),
        };
        self.finished(Node::new(kind, span), open.anchor)
    }

    fn alias(&mut self, id: usize, span: Span) -> Step {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(Box::new(Diagnostic::new(
                Code::YamlFeature,
                span,
                "this alias stands inside what it stands for",
            )));
        };
        let (node, cost) = (anchored.node.clone(), anchored.cost);
        self.charge(Cost { depth: self.open.len() + cost.depth, ..cost }, span)?;
        self.place(node);
        Ok(())
    }

    fn finished(&mut self, node: Node, anchor: usize) -> Step {
        let own = Cost { nodes: 1, text_bytes: own_text_bytes(&node), depth: 0 };
        self.charge(own, node.span)?;
        if anchor != 0 {
            let cost = cost_of(&node);
            self.charge(Cost { depth: 0, ..cost }, node.span)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), cost });
        }
        self.place(node);
        Ok(())
    }

    fn place(&mut self, node: Node) {
        match self.open.last_mut().map(|open| &mut open.body) {
            None => self.root = Some(node),
            Some(Body::List(items)) => items.push(node),
            Some(Body::Map { entries, seen, key }) => match std::mem::replace(key, Pending::None) {
                Pending::None => *key = pending_key(node, seen, self.sink),
                Pending::Key(key) => entries.push((key, node)),
                Pending::Refused => {}
            },
        }
    }

    fn charge(&mut self, cost: Cost, span: Span) -> Step {
        self.spent.nodes += cost.nodes;
        self.spent.text_bytes += cost.text_bytes;
        let problem = |message: &str, expected: String| {
            Err(Box::new(Diagnostic::new(Code::TooLarge, span, message).expected(expected)))
        };
        if self.spent.nodes > MAX_NODES {
            return problem("the plan has too many values", format!("at most {MAX_NODES}, copies by aliases included"));
        }
        if self.spent.text_bytes > MAX_TEXT_BYTES {
            return problem(
                "the plan has too much text",
                format!("at most {MAX_TEXT_BYTES} bytes, copies by aliases included"),
            );
        }
        if cost.depth > MAX_DEPTH {
            return problem("the plan is nested too deeply", format!("at most {MAX_DEPTH} levels"));
        }
        Ok(())
    }
}

fn range(span: &granit_parser::Span) -> Span {
    span.byte_range().map(|range| Span::new(range.start, range.end)).unwrap_or_default()
}

fn pending_key(node: Node, seen: &mut HashMap<String, Span>, sink: &Diagnostics) -> Pending {
    let span = node.span;
    let name = match node.kind {
        Kind::Text(text) => text.value,
        Kind::Number(number) => number,
        Kind::Bool(value) => value.to_string(),
        Kind::Null | Kind::List(_) | Kind::Map(_) => {
            sink.report(
                Diagnostic::new(Code::YamlFeature, span, format!("a key cannot be {}", node.what())).expected("a name"),
            );
            return Pending::Refused;
        }
    };
    if let Some(first) = seen.get(&name) {
        sink.report(
            Diagnostic::new(Code::DuplicateKey, span, format!("the key {} stands here twice", quote(&name)))
                .label(*first, "first here"),
        );
        return Pending::Refused;
    }
    seen.insert(name.clone(), span);
    Pending::Key(Key { name, span })
}

fn own_text_bytes(node: &Node) -> usize {
    match &node.kind {
        Kind::Null | Kind::Bool(_) | Kind::List(_) => 0,
        Kind::Number(text) => text.len(),
        Kind::Text(text) => text.value.len(),
        Kind::Map(entries) => entries.iter().map(|(key, _)| key.name.len()).sum(),
    }
}

fn cost_of(node: &Node) -> Cost {
    let own = Cost { nodes: 1, text_bytes: own_text_bytes(node), depth: 0 };
    let children: Vec<&Node> = match &node.kind {
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => return own,
        Kind::List(items) => items.iter().collect(),
        Kind::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
    };
    let mut total = Cost { depth: 1, ..own };
    for cost in children.into_iter().map(cost_of) {
        total.nodes += cost.nodes;
        total.text_bytes += cost.text_bytes;
        total.depth = total.depth.max(cost.depth + 1);
    }
    total
}

#[cfg(test)]
mod tests;
