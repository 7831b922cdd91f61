//! Metrics: where a service tells them, and what is expected of one.

use meshproof_proto::matcher::Matcher;

use super::super::model::Metrics;
use super::super::read::{self, Fields, Reading};
use super::super::source::Spanned;
use super::super::tree::{Kind, Node};
use super::matchers::{self, Subject};
use super::steps;

/// What can be asked of a metric.
pub(super) const STATS: [&str; 6] = ["is", "min", "max", "p50", "p95", "p99"];

/// Where Prometheus looks.
const USUAL_PATH: &str = "/metrics";

/// `/metrics`, or `{ path, port, every }`.
pub(super) fn metrics<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Metrics> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Some(Metrics { span: node.span, path: path(node, cx)?, port: None, every: None });
    }
    let mut fields = Fields::open(node, "the metrics of a service", cx)?;
    let path = fields.optional("path", path);
    let port = fields.optional("port", read::name);
    let every = fields.optional("every", steps::some_time);
    fields.finish();
    let path = path.unwrap_or_else(|| Spanned::new(USUAL_PATH.to_owned(), node.span));
    Some(Metrics { span: node.span, path, port, every })
}

fn path(node: &Node, cx: &Reading<'_>) -> Option<Spanned<String>> {
    let path = read::some_text(node, cx)?;
    if !path.value.starts_with('/') {
        read::wrong_type(node, "a path that begins with `/`, as `/metrics`", cx);
        return None;
    }
    Some(path)
}

/// Names of labels, each with what it must be.
pub(super) fn labels<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<(String, Matcher)>> {
    let entries = read::map(node, "names of labels, each with what it must be", cx)?;
    let one = |(key, node): &(super::super::tree::Key, Node)| {
        Some((key.name.clone(), matchers::matcher(node, Subject::Text, cx)?))
    };
    Some(entries.iter().filter_map(one).collect())
}
