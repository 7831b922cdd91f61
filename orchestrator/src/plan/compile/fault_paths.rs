//! Whether what a fault disturbs passes through the mesh at all, and is of a kind that can suffer it.

use std::collections::BTreeSet;

use meshproof_proto::order::Transport;
use meshproof_proto::shaper::Shape;

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::model::{Disturbed, Document, Fault, FaultUse, Verb, Ways, Word};
use super::super::parse::all_steps;
use super::super::source::Spanned;
use super::Compiler;
use super::faults::arrow;

impl Compiler<'_> {
    /// A fault on traffic that never passes through the mesh would disturb nothing. To be asked when everything else is
    /// compiled and right: a look-up that could not be read may be the very path.
    pub(super) fn traffic_has_paths(&self, document: &Document) {
        if !self.cx.is_clean() {
            return;
        }
        let steps = document.tests.iter().flat_map(|test| all_steps(test.steps.iter().chain(&test.after)));
        let inline = steps.filter_map(|step| match &step.verb.value {
            Verb::Fault(FaultUse::Inline(fault)) => Some(&**fault),
            _ => None,
        });
        for fault in document.faults.iter().filter_map(|(_, fault)| fault.as_ref()).chain(inline) {
            match &fault.target {
                // on the data network there is a way from everywhere to everywhere
                _ if self.networked.is_some() => {}
                Disturbed::Stub(_) => {}
                Disturbed::Traffic { from, to, ways } => {
                    if self.transports(document, from, to).is_empty() {
                        self.no_path(from, to, *ways);
                    }
                }
                Disturbed::Partition(sides) => self.cuts_something(document, sides),
            }
        }
        // A matrix brings a fault more than once; what is wrong with it is said once.
        let mut seen = BTreeSet::new();
        for (fault, shape) in self.shapes.borrow().iter() {
            if let Disturbed::Traffic { from, to, ways } = &fault.target
                && seen.insert((fault.span, shape.to_string()))
            {
                if self.networked.is_some() {
                    self.fits_packets(fault, shape);
                    continue;
                }
                self.fits_path(document, (fault, shape), (from, to, *ways));
            }
        }
    }

    fn fits_path(&self, document: &Document, (fault, shape): (&Fault, &Shape), (from, to, ways): (&Word, &Word, Ways)) {
        let found = self.transports(document, from, to);
        if found.is_empty() {
            return;
        }
        let (a, b) = (&from.value, &to.value);
        if shape.is_for_datagrams() && !found.contains(&Transport::Udp) {
            self.no_datagrams(fault, shape, &format!("{a} {} {b}", arrow(ways)));
        }
        if (shape.is_for_connections() || shape.only.is_some()) && !found.contains(&Transport::Tcp) {
            let message = format!("{a} {} {b} are datagrams, and this is done to connections: {shape}", arrow(ways));
            let problem = Diagnostic::new(Code::FaultEffect, fault.span, message);
            self.cx.report(
                problem.expected("`latency`, `jitter`, `loss`, `bandwidth`, `duplicate`, `reorder` or `corrupt`"),
            );
        }
    }

    /// Connections are the kernels' on the data network; packets pass as they are.
    fn fits_packets(&self, fault: &Fault, shape: &Shape) {
        if shape.is_for_connections() || shape.only.is_some() {
            let message = format!("this is done to connections, and a network carries packets: {shape}");
            let problem = Diagnostic::new(Code::FaultEffect, fault.span, message);
            self.cx.report(
                problem.expected("`latency`, `jitter`, `loss`, `bandwidth`, `duplicate`, `reorder` or `corrupt`"),
            );
        }
    }

    fn no_datagrams(&self, fault: &Fault, shape: &Shape, path: &str) {
        let problem = match &fault.loss {
            Some(loss) if !shape.is_black_hole() && shape.loss_percent > 0.0 => {
                Diagnostic::new(Code::OutOfRange, loss.span, "a byte stream loses everything or nothing")
                    .expected("0% or 100%; another share only of datagrams, which need a port with `udp`")
                    .help("for a slow and shaky connection use latency, jitter and bandwidth")
            }
            Some(_) | None => {
                let message = format!("{path} are byte streams, and this is done to datagrams: {shape}");
                Diagnostic::new(Code::FaultEffect, fault.span, message).expected("a port with `udp` on that path")
            }
        };
        self.cx.report(problem);
    }

    fn cuts_something(&self, document: &Document, sides: &Spanned<Vec<Vec<Word>>>) {
        let across = sides.value.iter().enumerate().flat_map(|(index, side)| {
            let others = sides.value.iter().skip(index + 1).flatten();
            side.iter().flat_map(move |one| others.clone().map(move |other| (one, other)))
        });
        if across.into_iter().any(|(one, other)| !self.transports(document, one, other).is_empty()) {
            return;
        }
        let message = "nothing in this plan passes through the mesh from one side to another";
        let problem = Diagnostic::new(Code::NoPath, sides.span, message);
        self.cx.report(problem.help("`.direct` bypasses the mesh, and with it every fault on traffic"));
    }

    /// What goes between two services through the mesh, whoever dials: a tunnel's bytes go both ways, and so do faults on one of
    /// them.
    fn transports(&self, document: &Document, one: &Word, other: &Word) -> BTreeSet<Transport> {
        let (one, other) = (one.value.as_str(), other.value.as_str());
        let joins = self.tunnels.iter().filter(|tunnel| {
            let (at, to) = (tunnel.at.as_str(), tunnel.to.service.as_str());
            (at, to) == (one, other) || (at, to) == (other, one)
        });
        let transport = joins.filter_map(|tunnel| {
            let service = document.services.iter().find(|service| service.name.value == tunnel.to.service.as_str());
            service?.ports.iter().find(|port| port.name.value == tunnel.to.port).map(|port| port.transport)
        });
        transport.collect()
    }

    fn no_path(&self, from: &Word, to: &Word, ways: Ways) {
        let (a, b, arrow) = (&from.value, &to.value, arrow(ways));
        let message = format!("nothing in this plan sends {a} {arrow} {b} through the mesh");
        let expected =
            format!("`${{{{ services.{b}.PORT }}}}` in `{a}`, or an http or tcp step `at` one of them `to` the other");
        let problem = Diagnostic::new(Code::NoPath, from.span.to(to.span), message).expected(expected);
        self.cx.report(problem.help("`.direct` bypasses the mesh, and with it every fault on traffic"));
    }
}
