//! Faults.

use meshproof_proto::order::{Direction, FaultTarget};
use meshproof_proto::shaper::Shape;

use super::super::code::Code;
use super::super::compiled::Fault;
use super::super::diagnostic::Diagnostic;
use super::super::model::{self, Disturbed, Ways};
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
