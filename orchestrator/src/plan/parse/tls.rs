//! `tls` inside a verb: whom the call trusts, and who it is.

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::model::{Own, StubTls, Tls, Word};
use super::super::read::{self, Fields, Reading};
use super::super::tree::{Kind, Node};
use super::inner_file;

/// `run`, or a map. Without more, a call trusts the authority of the run and shows no certificate.
pub(super) fn tls<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Tls> {
    if !matches!(node.kind, Kind::Map(_)) {
        return read::choice(node, &[("run", ())], cx).map(|_| Tls::of_run());
    }
    let mut fields = Fields::open(node, "tls", cx)?;
    let name = fields.optional("as", identity);
    let ca = fields.optional("ca", inner_file);
    let cert = fields.optional("cert", inner_file);
    let key = fields.optional("key", inner_file);
    let skip = fields.optional("skip", read::boolean).is_some_and(|skip| skip.value);
    let server_name = fields.optional("server-name", read::some_text);
    match (&cert, &key) {
        (Some(_), None) if !fields.has("key") => fields.missing("`key`, which belongs to `cert`"),
        (None, Some(_)) if !fields.has("cert") => fields.missing("`cert`, which belongs to `key`"),
        _ => {}
    }
    let both = |first: &Option<Word>, second: &Option<Word>, message: &str| {
        if let (Some(first), Some(second)) = (first, second) {
            let problem = Diagnostic::new(Code::Choice, second.span, message);
            cx.report(problem.label(first.span, "first here"));
        }
    };
    both(&name, &cert, "`as` and `cert` exclude each other: a call has one identity");
    if let (true, Some(ca)) = (skip, &ca) {
        cx.report(Diagnostic::new(
            Code::Choice,
            ca.span,
            "`ca` means nothing beside `skip: true`, which trusts anyone",
        ));
    }
    fields.finish();
    let own = match (name, cert.zip(key)) {
        (Some(name), _) => Some(Own::Named(name)),
        (None, Some((cert, key))) => Some(Own::Files { cert, key }),
        (None, None) => None,
    };
    Some(Tls { ca, skip, own, server_name })
}

/// Of a stub: `run`, or `{ clients: run }`.
pub(super) fn of_stub<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<StubTls> {
    if !matches!(node.kind, Kind::Map(_)) {
        return read::choice(node, &[("run", StubTls::Anyone)], cx).map(|found| found.value);
    }
    let mut fields = Fields::open(node, "a stub's tls", cx)?;
    let clients = fields.required("clients", |node, cx| read::choice(node, &[("run", StubTls::Known)], cx));
    fields.finish();
    clients.map(|found| found.value)
}

/// The name of an identity.
fn identity(node: &Node, cx: &Reading<'_>) -> Option<Word> {
    let name = read::name(node, cx)?;
    if name.value == "ca" {
        let problem = Diagnostic::new(Code::Name, name.span, "`ca` is the authority itself");
        cx.report(problem.expected("the name of a service, or any other"));
        return None;
    }
    Some(name)
}
