//! `limits`: what a program may use.

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::model::Bounds;
use super::super::read::{self, Fields, Reading};
use super::super::tree::Node;

pub(super) fn bounds<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Bounds> {
    let mut fields = Fields::open(node, "limits", cx)?;
    let memory = fields.optional("memory", read::size);
    let cpu = fields.optional("cpu", read::duration);
    let descriptors = fields.optional("descriptors", read::count);
    if descriptors.is_none() && memory.is_none() && cpu.is_none() && fields.rest_is_empty() {
        let problem = Diagnostic::new(Code::Empty, node.span, "this limits nothing");
        cx.report(problem.expected("`memory`, `cpu` or `descriptors`"));
    }
    fields.finish();
    Some(Bounds { memory, cpu, descriptors })
}
