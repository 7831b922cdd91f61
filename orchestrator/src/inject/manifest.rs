//! The documents of a manifest as trees that know where each thing stands in the text.

use serde_saphyr::granit_parser::{self, Event, Parser, StructureStyle};

use super::{NotInjected, line_of};

/// Kubernetes' own objects stay far below.
const MAX_DEPTH: usize = 64;

/// A part of a document. `at` is its first byte, `column` how many characters stand before it on its line.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: usize,
    pub(super) column: usize,
    pub(super) line: usize,
    pub(super) kind: Kind,
    is_flow: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    Text(String),
    List(Vec<Node>),
    /// Keys that are no text are left out.
    Map(Vec<(Node, Node)>),
    /// A copy of what stands elsewhere.
    Alias,
}

impl Node {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    fn entry(&self, name: &str) -> Option<&(Node, Node)> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(key, _)| key.text() == Some(name)),
            _ => None,
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|(_, value)| value)
    }

    /// Where the key itself stands.
    pub(super) fn key(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|(key, _)| key)
    }

    /// Whether it is written in brackets or braces, as JSON is.
    pub(super) fn is_flow(&self) -> bool {
        self.is_flow
    }
}

/// The documents of a text; empty ones are left out.
pub(super) fn read(text: &str) -> Result<Vec<Node>, NotInjected> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut reading = Reading::default();
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => reading.event(&event, &span),
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or_default();
                return Err(NotInjected::Unreadable { line: line_of(text, at), why: error.info().to_owned() });
            }
        }
    }
    Ok(reading.documents)
}

#[derive(Default)]
struct Reading {
    documents: Vec<Node>,
    /// Collections whose end has not come, and of maps the key whose value comes next.
    open: Vec<(Node, Option<Node>)>,
}

impl Reading {
    fn event(&mut self, event: &Event<'_>, span: &granit_parser::Span) {
        let node = |kind, is_flow| Node {
            at: span.start.byte_offset().unwrap_or_default(),
            column: span.start.col(),
            line: span.start.line(),
            kind,
            is_flow,
        };
        match event {
            Event::Scalar(value, ..) => self.put(node(Kind::Text(value.to_string()), false)),
            Event::Alias(_) => self.put(node(Kind::Alias, false)),
            Event::SequenceStart(style, ..) => {
                self.open.push((node(Kind::List(Vec::new()), *style == StructureStyle::Flow), None));
            }
            Event::MappingStart(style, ..) => {
                self.open.push((node(Kind::Map(Vec::new()), *style == StructureStyle::Flow), None));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((ended, _)) = self.open.pop() {
                    self.put(ended);
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, node: Node) {
        let Some((into, key)) = self.open.last_mut() else {
            return self.documents.push(node);
        };
        match (&mut into.kind, key.take()) {
            (Kind::List(members), _) => members.push(node),
            (Kind::Map(entries), Some(key)) => entries.push((key, node)),
            (Kind::Map(_), None) => *key = Some(node),
            (Kind::Text(_) | Kind::Alias, _) => {}
        }
    }
}
