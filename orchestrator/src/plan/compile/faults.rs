//! Faults.

use std::collections::BTreeSet;

use meshproof_proto::order::{Direction, FaultTarget};
use meshproof_proto::shaper::Shape;

use super::super::code::Code;
use super::super::compiled::Fault;
use super::super::diagnostic::Diagnostic;
use super::super::model::{self, Disturbed, Document, FaultUse, Verb, Ways, Word};
use super::super::parse::all_steps;
use super::super::read;
use super::super::source::Span;
use super::Compiler;

impl Compiler<'_> {
    /// The fault with what it disturbs, and the agent that makes it.
    pub(super) fn fault(&self, name: &str, fault: &model::Fault) -> Option<Fault> {
        let target = match &fault.target {
            Disturbed::Stub(stub) => self.names.stub(stub).and_then(|found| {
                let at = self.names.service_name(&found.at)?;
                Some((at, FaultTarget::Stub { stub: stub.value.clone() }))
            }),
            Disturbed::Traffic { from, to, ways } => {
                let (at, peer) = (self.names.service_name(from), self.names.service_name(to));
                let direction = match ways {
                    Ways::One => Direction::Outgoing,
                    Ways::Both => Direction::Both,
                };
                at.zip(peer).map(|(at, peer)| (at, FaultTarget::Traffic { peer, direction }))
            }
        };
        let shape = self.shape(fault)?;
        let (at, target) = target?;
        Some(Fault { name: name.to_owned(), span: fault.span, at, target, shape })
    }

    /// Refuses a proof for which nothing measures a number: it would fail whatever the fault does.
    pub(super) fn provable(&self, fault: &Fault, prove: Span) {
        let Shape { latency_us, bandwidth_bits_per_s, .. } = fault.shape;
        let is_hole = fault.shape.is_black_hole();
        let what = match &fault.target {
            _ if latency_us > 0 => return,
            FaultTarget::Stub { .. } if is_hole => "`prove` of the loss of a stub",
            _ if bandwidth_bits_per_s.is_some() && !is_hole => "`prove` of a bandwidth without a latency",
            _ => return,
        };
        self.cx.report(read::not_yet(prove, what));
    }

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
        let joined: BTreeSet<(&str, &str)> =
            self.tunnels.iter().map(|tunnel| (tunnel.at.as_str(), tunnel.to.service.as_str())).collect();
        // A tunnel's bytes go both ways, whoever dials, and so do faults on one of them.
        let is_path = |one: &Word, other: &Word| {
            let (one, other) = (one.value.as_str(), other.value.as_str());
            joined.contains(&(one, other)) || joined.contains(&(other, one))
        };
        for fault in document.faults.iter().filter_map(|(_, fault)| fault.as_ref()).chain(inline) {
            if let Disturbed::Traffic { from, to, ways } = &fault.target
                && !is_path(from, to)
            {
                self.no_path(from, to, *ways);
            }
        }
    }

    fn no_path(&self, from: &Word, to: &Word, ways: Ways) {
        let arrow = match ways {
            Ways::One => "->",
            Ways::Both => "<->",
        };
        let (a, b) = (&from.value, &to.value);
        let message = format!("nothing in this plan sends {a} {arrow} {b} through the mesh");
        let expected =
            format!("`${{{{ services.{b}.PORT }}}}` in `{a}`, or an http or tcp step `at` one of them `to` the other");
        let problem = Diagnostic::new(Code::NoPath, from.span.to(to.span), message).expected(expected);
        self.cx.report(problem.help("`.direct` bypasses the mesh, and with it every fault on traffic"));
    }

    fn shape(&self, fault: &model::Fault) -> Option<Shape> {
        let micros = |time: &Option<model::Time>| match time {
            Some(time) => self.settled.duration(time).map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            None => Some(0),
        };
        let (latency_us, jitter_us) = (micros(&fault.latency)?, micros(&fault.jitter)?);
        let bandwidth_bits_per_s = match &fault.bandwidth {
            Some(bandwidth) => Some(self.settled.bandwidth(bandwidth)?.bits_per_second),
            None => None,
        };
        let loss_percent = match &fault.loss {
            Some(loss) => self.settled.percent(loss)?.value(),
            None => 0.0,
        };
        if loss_percent > 0.0 && loss_percent < 100.0 {
            let message = "a byte stream loses everything or nothing";
            self.cx.report(Diagnostic::new(Code::OutOfRange, fault.span, message).expected("a loss of 0% or 100%"));
            return None;
        }
        Some(Shape { latency_us, jitter_us, bandwidth_bits_per_s, loss_percent })
    }
}
