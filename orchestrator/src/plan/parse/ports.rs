//! Ports by number: two who listen on this machine cannot have the same.

use std::collections::BTreeMap;

use meshproof_proto::order::Transport;

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::model::{Service, Stub};
use super::super::read::Reading;
use super::super::source::Span;
use super::services::REPORTED_PORT;

/// Reports every number that a second listener of the run wants. Services that run already may be named twice, and their ports with
/// them; nobody else can have these.
pub(super) fn distinct(services: &[Service], stubs: &[Stub], cx: &Reading<'_>) {
    let (started, running): (Vec<&Service>, Vec<&Service>) =
        services.iter().partition(|service| !service.processes.is_empty());
    let of = |service: &Service| -> Vec<(Transport, u16, Span)> {
        let numbered = service.ports.iter().filter_map(|port| Some((port.transport, port.number?, port.name.span)));
        numbered.filter(|(_, number, _)| *number != REPORTED_PORT).collect()
    };
    let mut taken: BTreeMap<(u8, u16), Span> = BTreeMap::new();
    let kind = |transport: Transport| u8::from(transport == Transport::Udp);
    for (transport, number, span) in running.into_iter().flat_map(of) {
        taken.insert((kind(transport), number), span);
    }
    let stubs = stubs.iter().filter_map(|stub| stub.port.as_ref()).map(|port| (Transport::Tcp, port.value, port.span));
    for (transport, number, span) in started.into_iter().flat_map(of).chain(stubs) {
        let Some(first) = taken.insert((kind(transport), number), span) else { continue };
        let message = format!("port {number} is wanted twice, and only one can listen there");
        let problem = Diagnostic::new(Code::OutOfRange, span, message).label(first, "here too");
        cx.report(problem.expected("another number, or `dynamic`"));
    }
}
