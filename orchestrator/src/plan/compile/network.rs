//! The data network: who has which address, and what lies between whom.

use std::collections::BTreeMap;

use meshproof_proto::id::Name;
use meshproof_proto::order::network;
use meshproof_proto::shaper::{DatagramShape, Shape};

use super::super::code::Code;
use super::super::compiled::Network;
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::model::{self, Conditions, Document, Word};
use super::super::read;
use super::{Compiler, faults};

impl<'d> Compiler<'d> {
    pub(super) fn network(&self, document: &'d Document) -> Option<Network> {
        let network = document.network.as_ref()?;
        let mut addresses = BTreeMap::new();
        for (number, service) in document.services.iter().enumerate() {
            if service.processes.is_empty() {
                let problem =
                    read::not_yet(service.name.span, "a service that runs already, in a plan with `network`,");
                self.cx.report(problem.label(network.span, "here is the network").expected("`exec`"));
                continue;
            }
            if let (Some(name), Some(address)) = (super::name(&service.name.value), network::address(number)) {
                addresses.insert(name, address);
            }
        }
        self.regions_are_apart(network);
        let shapes = self.matrix_of(network, &addresses.keys().cloned().collect::<Vec<_>>());
        Some(Network {
            span: network.span,
            egress: network.egress.value,
            addresses,
            shapes: shapes.unwrap_or_default(),
        })
    }

    /// A region has a name that no service has.
    fn regions_are_apart(&self, network: &model::Network) {
        for (region, _) in network.regions.iter().filter(|(region, _)| self.names.is_service(&region.value)) {
            let message = format!("{} is a service, so it cannot be a region too", quote(&region.value));
            self.cx.report(Diagnostic::new(Code::DuplicateName, region.span, message));
        }
    }

    /// Every ordered pair of services and what befalls packets between them.
    fn matrix_of(&self, network: &model::Network, services: &[Name]) -> Option<BTreeMap<(Name, Name), Shape>> {
        let base = self.conditions(&Shape::default(), &network.default)?;
        let pairs = services.iter().flat_map(|from| services.iter().map(move |to| (from.clone(), to.clone())));
        let mut shapes: BTreeMap<(Name, Name), Shape> =
            pairs.filter(|(from, to)| from != to).map(|pair| (pair, base.clone())).collect();
        for between in &network.between {
            let shape = self.conditions(&base, &between.conditions)?;
            let [one, other] = &between.ends;
            let (ones, others) = (self.members(one)?, self.members(other)?);
            for (from, to) in ones.iter().flat_map(|from| others.iter().map(move |to| (from, to))) {
                for pair in [(from.clone(), to.clone()), (to.clone(), from.clone())] {
                    shapes.entry(pair).and_modify(|before| *before = shape.clone());
                }
            }
        }
        shapes.retain(|_, shape| *shape != Shape::default());
        Some(shapes)
    }

    /// The services of a region, or the service of that name.
    fn members(&self, word: &Word) -> Option<Vec<Name>> {
        match self.region(word) {
            Some(services) => self.named_services(services),
            None if self.names.is_service(&word.value) => Some(vec![super::name(&word.value)?]),
            None => {
                let known = || self.regions.iter().map(|(region, _)| region.value.as_str());
                let message = format!("{} is neither a region nor a service", quote(&word.value));
                let problem = Diagnostic::new(Code::UnknownService, word.span, message).expected(one_of(known()));
                self.cx.report(problem.did_you_mean(&word.value, known()));
                None
            }
        }
    }

    fn conditions(&self, base: &Shape, conditions: &Conditions) -> Option<Shape> {
        let Conditions { latency, jitter, loss, bandwidth, duplicate, reorder, corrupt } = conditions;
        let or = |given: Option<u64>, base: u64| given.unwrap_or(base);
        let latency_us = or(self.given(latency.as_ref(), |time| self.micros(Some(time)))?, base.latency_us);
        let jitter_us = or(self.given(jitter.as_ref(), |time| self.micros(Some(time)))?, base.jitter_us);
        if jitter_us > latency_us
            && let Some(place) = jitter.as_ref().or(latency.as_ref())
        {
            self.cx.report(faults::too_much_jitter(place.span).expected("at most the latency"));
        }
        let share = |share: &_| self.share(Some(share));
        let loss_percent = self.given(loss.as_ref(), share)?.unwrap_or(base.loss_percent);
        let duplicate_percent = self.given(duplicate.as_ref(), share)?.unwrap_or(base.datagrams.duplicate_percent);
        let reorder_percent = self.given(reorder.as_ref(), share)?.unwrap_or(base.datagrams.reorder_percent);
        let corrupt_percent = self.given(corrupt.as_ref(), share)?.unwrap_or(base.datagrams.corrupt_percent);
        let bandwidth = self.given(bandwidth.as_ref(), |given| self.settled.bandwidth(given))?;
        let bandwidth_bits_per_s = bandwidth.map(|bandwidth| bandwidth.bits_per_second).or(base.bandwidth_bits_per_s);
        let datagrams = DatagramShape { duplicate_percent, reorder_percent, corrupt_percent };
        Some(Shape { latency_us, jitter_us, bandwidth_bits_per_s, loss_percent, datagrams, ..Shape::default() })
    }

    /// The value of what is given; `None` after a report.
    fn given<G, T>(&self, given: Option<&G>, settle: impl Fn(&G) -> Option<T>) -> Option<Option<T>> {
        match given {
            Some(given) => settle(given).map(Some),
            None => Some(None),
        }
    }

    /// The services that a side of a partition names: one, or all of a region.
    pub(super) fn side(&self, word: &Word) -> Option<Vec<Name>> {
        match self.region(word) {
            Some(services) => self.named_services(services),
            None => self.names.service_name(word).map(|name| vec![name]),
        }
    }

    /// What that region lists, if it is one.
    fn region(&self, word: &Word) -> Option<&'d [Word]> {
        self.regions.iter().find(|(region, _)| region.value == word.value).map(|(_, services)| services.as_slice())
    }

    fn named_services(&self, services: &[Word]) -> Option<Vec<Name>> {
        services.iter().map(|service| self.names.service_name(service)).collect()
    }
}
