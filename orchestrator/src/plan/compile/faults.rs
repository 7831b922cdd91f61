//! Faults.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proto::id::Name;
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{Direction, FaultTarget, Protocol};
use meshproof_proto::shaper::{ConnectionShape, DatagramShape, HttpShape, Only, Shape};

use super::super::code::Code;
use super::super::compiled::Fault;
use super::super::diagnostic::Diagnostic;
use super::super::model::{self, Answered, Disturbed, Reset, Ways, Word};
use super::super::read::Given;
use super::super::source::{Span, Spanned};
use super::super::units::Percent;
use super::Compiler;

/// A jitter at this place is more than the latency that it varies.
pub(super) fn too_much_jitter(place: Span) -> Diagnostic {
    Diagnostic::new(Code::OutOfRange, place, "with so much jitter some would come before they are sent")
}

impl Compiler<'_> {
    /// The fault with what it disturbs, and the agents that make it.
    pub(super) fn fault(&self, name: &str, fault: &model::Fault) -> Option<Fault> {
        let found = match &fault.target {
            Disturbed::Stub(stub) => self.on_stub(stub),
            Disturbed::Traffic { from, to, ways } => self.on_traffic((from, to), *ways),
            Disturbed::Partition(sides) => self.between_sides(sides),
        };
        let shape = self.shape(fault)?;
        if !self.fits_requests(fault, &shape) {
            return None;
        }
        let (parts, target) = found?;
        let is_stub = parts.values().any(|target| matches!(target, FaultTarget::Stub { .. }));
        let is_narrow = shape.bandwidth_bits_per_s.is_some();
        if is_stub && (shape.is_for_datagrams() || shape.is_for_connections() || is_narrow) {
            let message = format!("a stub cannot do this to its calls: {shape}");
            let problem = Diagnostic::new(Code::FaultEffect, fault.span, message);
            self.cx.report(problem.expected("`latency`, `jitter`, or a loss of 100%").help(
                "what a stub answers, and how it ends, is said by its routes: `status`, `reset`, `slow`, `times`",
            ));
            return None;
        }
        self.shapes.borrow_mut().push((fault.clone(), shape.clone()));
        Some(Fault { name: name.to_owned(), span: fault.span, parts, target, shape })
    }

    fn on_stub(&self, stub: &Word) -> Option<Found> {
        let found = self.names.stub(stub)?;
        let at = self.names.service_name(&found.at)?;
        let target = FaultTarget::Stub { stub: stub.value.clone() };
        Some(([(at, target)].into(), format!("stub {}", stub.value)))
    }

    fn on_traffic(&self, (from, to): (&Word, &Word), ways: Ways) -> Option<Found> {
        let (at, peer) = (self.names.service_name(from), self.names.service_name(to));
        let (at, peer) = at.zip(peer)?;
        let direction = match ways {
            Ways::One => Direction::Outgoing,
            Ways::Both => Direction::Both,
        };
        let text = format!("traffic {at} {} {peer}", arrow(ways));
        Some(([(at, FaultTarget::Traffic { peer, direction })].into(), text))
    }

    /// Each side's agents cut themselves off from the sides after it.
    fn between_sides(&self, sides: &Spanned<Vec<Vec<Word>>>) -> Option<Found> {
        let named = |side: &Vec<Word>| -> Vec<Option<Vec<Name>>> { side.iter().map(|name| self.side(name)).collect() };
        let named: Vec<Vec<Option<Vec<Name>>>> = sides.value.iter().map(named).collect();
        let named = named.into_iter().map(|side| Some(side.into_iter().collect::<Option<Vec<_>>>()?.concat()));
        let named: Vec<Vec<Name>> = named.collect::<Option<_>>()?;
        let mut seen = BTreeSet::new();
        if let Some(name) = named.iter().flatten().find(|name| !seen.insert(*name)) {
            self.cx.report(Diagnostic::new(Code::DuplicateName, sides.span, format!("`{name}` is on two sides")));
            return None;
        }
        let mut parts: BTreeMap<Name, FaultTarget> = BTreeMap::new();
        for (index, side) in named.iter().enumerate() {
            let others: BTreeSet<Name> = named.iter().skip(index + 1).flatten().cloned().collect();
            let cut = side.iter().filter(|_| !others.is_empty());
            parts.extend(cut.map(|name| (name.clone(), FaultTarget::Partition { peers: others.clone() })));
        }
        let side = |side: &Vec<Name>| side.iter().map(Name::as_str).collect::<Vec<_>>().join(" ");
        let text = named.iter().map(side).collect::<Vec<_>>().join(" | ");
        Some((parts, format!("partition {text}")))
    }

    pub(super) fn shape(&self, fault: &model::Fault) -> Option<Shape> {
        let (latency_us, jitter_us) = (self.micros(fault.latency.as_ref())?, self.micros(fault.jitter.as_ref())?);
        let bandwidth_bits_per_s = match &fault.bandwidth {
            Some(bandwidth) => Some(self.settled.bandwidth(bandwidth)?.bits_per_second),
            None => None,
        };
        let loss_percent = match &fault.target {
            Disturbed::Partition(_) => 100.0,
            Disturbed::Stub(_) | Disturbed::Traffic { .. } => self.share(fault.loss.as_ref())?,
        };
        let datagrams = DatagramShape {
            duplicate_percent: self.share(fault.duplicate.as_ref())?,
            reorder_percent: self.share(fault.reorder.as_ref())?,
            corrupt_percent: self.share(fault.corrupt.as_ref())?,
        };
        if latency_us > 0
            && jitter_us > latency_us
            && let (Some(_), Some(jitter)) = (&fault.latency, &fault.jitter)
        {
            self.cx.report(too_much_jitter(jitter.span).expected("at most as much as the `latency`"));
            return None;
        }
        let (connections, http, only) = (self.connections(fault)?, self.http(fault)?, self.only(fault)?);
        Some(Shape { latency_us, jitter_us, bandwidth_bits_per_s, loss_percent, datagrams, connections, http, only })
    }

    fn connections(&self, fault: &model::Fault) -> Option<ConnectionShape> {
        let reset_after_us = match &fault.reset {
            Some(Reset::AtOnce) => Some(0),
            Some(Reset::After(after)) => Some(self.micros(Some(after))?),
            None => None,
        };
        let slice_bytes = match &fault.slice {
            Some(size) => Some(self.settled.size(size)?),
            None => None,
        };
        let slow_close_us = self.micros(fault.slow_close.as_ref())?;
        Some(ConnectionShape { refuse: fault.refuse, reset_after_us, slice_bytes, slow_close_us })
    }

    fn http(&self, fault: &model::Fault) -> Option<Option<HttpShape>> {
        let Some(Answered { status, first, percent }) = &fault.status else { return Some(None) };
        let first = match first {
            Some(first) => Some(self.settled.count(first)?),
            None => None,
        };
        let percent = match percent {
            Some(percent) => Some(self.settled.percent(percent)?.value()),
            None => None,
        };
        Some(Some(HttpShape { status: *status, first, percent }))
    }

    /// Which requests, if not all.
    fn only(&self, fault: &model::Fault) -> Option<Option<Only>> {
        let Some(only) = &fault.only else { return Some(None) };
        match &only.value {
            model::Only::Run => Some(Some(Only::Run)),
            model::Only::Headers(headers) => {
                let header = |(name, matcher): &(String, Matcher)| {
                    Some((name.clone(), self.settled.matcher(matcher, only.span)?))
                };
                Some(Some(Only::Headers(headers.iter().map(header).collect::<Option<_>>()?)))
            }
        }
    }

    /// Whether what is done can be done to single requests, and there are any.
    fn fits_requests(&self, fault: &model::Fault, shape: &Shape) -> bool {
        let Some(only) = &fault.only else { return true };
        let speaks = match &fault.target {
            Disturbed::Stub(stub) => self.names.stub(stub).map(|stub| stub.protocol),
            Disturbed::Traffic { .. } | Disturbed::Partition(_) => None,
        };
        let whole = &shape.connections;
        let to_whole = whole.refuse || whole.slice_bytes.is_some() || whole.slow_close_us > 0;
        let (message, expected) = match &fault.target {
            Disturbed::Partition(_) => ("a partition is of everything that is sent", "no `only` beside it"),
            _ if speaks == Some(Protocol::Tcp) => ("a raw connection has no requests", "a stub for `http` or `grpc`"),
            _ if shape.is_for_datagrams() || shape.bandwidth_bits_per_s.is_some() || to_whole => (
                "this is done to whole connections or to datagrams, not to single requests",
                "`latency`, `jitter`, `loss: 100%`, `reset` or `status`",
            ),
            _ => return true,
        };
        self.cx.report(Diagnostic::new(Code::FaultEffect, only.span, message).expected(expected));
        false
    }

    pub(super) fn micros(&self, time: Option<&model::Time>) -> Option<u64> {
        match time {
            Some(time) => self.settled.duration(time).map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            None => Some(0),
        }
    }

    pub(super) fn share(&self, share: Option<&Spanned<Given<Percent>>>) -> Option<f64> {
        share.map_or(Some(0.0), |share| Some(self.settled.percent(share)?.value()))
    }
}

/// Agents and what each disturbs, and both for people.
type Found = (BTreeMap<Name, FaultTarget>, String);

pub(super) fn arrow(ways: Ways) -> &'static str {
    match ways {
        Ways::One => "->",
        Ways::Both => "<->",
    }
}
