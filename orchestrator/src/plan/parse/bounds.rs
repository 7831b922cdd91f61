//! What has to be more than nothing, and `limits`: what a program may use.

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::model::Bounds;
use super::super::read::{self, Fields, Given, Reading};
use super::super::source::Spanned;
use super::super::tree::Node;

/// A reader for what may not be nothing. What an expression gives may be: nothing, in one combination of a matrix, is how a test
/// goes without it.
pub(super) fn some<T>(
    reader: fn(&Node, &Reading<'_>) -> Option<Spanned<Given<T>>>,
    is_nothing: fn(&T) -> bool,
    message: &'static str,
) -> impl Fn(&Node, &Reading<'_>) -> Option<Spanned<Given<T>>> {
    move |node, cx| {
        let found = reader(node, cx)?;
        if matches!(&found.value, Given::Value(value) if is_nothing(value)) {
            cx.report(Diagnostic::new(Code::OutOfRange, node.span, message).expected("more than nothing"));
            return None;
        }
        Some(found)
    }
}

pub(super) fn bounds<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Bounds> {
    let mut fields = Fields::open(node, "limits", cx)?;
    let given = ["memory", "cpu", "descriptors"].iter().any(|limit| fields.has(limit));
    let memory = fields.optional("memory", some(read::size, |size| *size == 0, "no program runs without memory"));
    let cpu =
        fields.optional("cpu", some(read::duration, std::time::Duration::is_zero, "no program runs without time"));
    let descriptors =
        fields.optional("descriptors", some(read::count, |count| *count == 0, "no program runs without descriptors"));
    if !given && fields.rest_is_empty() {
        let problem = Diagnostic::new(Code::Empty, node.span, "this limits nothing");
        cx.report(problem.expected("`memory`, `cpu` or `descriptors`"));
    }
    fields.finish();
    Some(Bounds { memory, cpu, descriptors })
}
