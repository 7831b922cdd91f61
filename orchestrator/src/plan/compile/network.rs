//! The data network: who has which address, and what lies between whom.

use std::collections::BTreeMap;

use meshproof_proto::id::Name;
use meshproof_proto::order::network;
use meshproof_proto::shaper::{DatagramShape, Shape};

use super::super::code::Code;
use super::super::compiled::Network;
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::model::{self, Conditions, Document, Region, Word};
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
            regions: network.regions.iter().filter_map(|(name, region)| self.in_region(name, region)).collect(),
        })
    }

    /// A region has a name that no service has, and all of them are at most everybody.
    fn regions_are_apart(&self, network: &model::Network) {
        for (region, _) in network.regions.iter().filter(|(region, _)| self.names.is_service(&region.value)) {
            let message = format!("{} is a service, so it cannot be a region too", quote(&region.value));
            self.cx.report(Diagnostic::new(Code::DuplicateName, region.span, message));
        }
        let shares = network.regions.iter().filter_map(|(_, region)| match region {
            Region::Share(share) => Some((share.span, self.share(Some(share))?)),
            Region::Of(_) => None,
        });
        let mut all = 0.0;
        for (span, share) in shares {
            all += share;
            if all > 100.0 {
                let message = format!("with this region all shares are {all}%");
                return self.cx.report(Diagnostic::new(Code::OutOfRange, span, message).expected("at most 100%"));
            }
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
            Some(region) => self.placed(&word.value, region),
            None if self.names.is_group(&word.value) => Some(self.names.members(word)),
            None if self.names.is_service(&word.value) => Some(vec![super::name(&word.value)?]),
            None => {
                let known = || self.regions.iter().map(|(region, _)| region.value.as_str());
                let message = format!("{} is neither a region nor a service or group", quote(&word.value));
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
            Some(region) => self.placed(&word.value, region),
            None => Some(self.names.members(word)).filter(|members| !members.is_empty()),
        }
    }

    fn region(&self, word: &Word) -> Option<&'d Region> {
        self.regions.iter().find(|(region, _)| region.value == word.value).map(|(_, region)| region)
    }

    fn in_region(&self, name: &Word, region: &Region) -> Option<(String, Vec<Name>)> {
        Some((name.value.clone(), self.placed(&name.value, region)?))
    }

    /// Who is in a region; `None` after a report.
    fn placed(&self, name: &str, region: &Region) -> Option<Vec<Name>> {
        match region {
            Region::Of(words) => self.listed(words),
            Region::Share(_) => self.dealt()?.remove(name),
        }
    }

    /// Services, and members of groups.
    fn listed(&self, words: &[Word]) -> Option<Vec<Name>> {
        let members: Vec<Vec<Name>> = words.iter().map(|word| self.names.members(word)).collect();
        members.iter().all(|members| !members.is_empty()).then(|| members.concat())
    }

    /// Everybody who is in no list is dealt out to the regions that are shares, one after the other, so that each group is spread over them.
    fn dealt(&self) -> Option<BTreeMap<&'d str, Vec<Name>>> {
        let mut listed = Vec::new();
        // what the shares leave is nowhere
        let (mut shares, mut left) = (Vec::new(), 100.0);
        for (name, region) in self.regions {
            match region {
                Region::Of(words) => listed.extend(self.listed(words)?),
                Region::Share(share) => {
                    let share = self.share(Some(share))?;
                    left -= share;
                    shares.push((Some(name.value.as_str()), share / 100.0, Vec::new()));
                }
            }
        }
        shares.push((None, left / 100.0, Vec::new()));
        let members: Vec<Name> = self.names.groups().flat_map(|(_, members)| members.to_vec()).collect();
        let everybody = if members.is_empty() { self.names.services().collect() } else { members };
        for (number, name) in everybody.into_iter().filter(|name| !listed.contains(name)).enumerate() {
            let behind = |share: &f64, has: &Vec<Name>| share * (number + 1) as f64 - has.len() as f64;
            let furthest =
                shares.iter_mut().max_by(|(_, a, has), (_, b, had)| behind(a, has).total_cmp(&behind(b, had)));
            if let Some((_, _, has)) = furthest {
                has.push(name);
            }
        }
        Some(shares.into_iter().filter_map(|(name, _, has)| Some((name?, has))).collect())
    }
}
