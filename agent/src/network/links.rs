//! What lies between the service here and the others on the data network: as the plan says it, or as the service's own program wants it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshproof_proto::id::Name;
use meshproof_proto::order::network::{Filter, Wanted};
use meshproof_proto::order::{DataNetwork, Egress};
use meshproof_proto::seed::Seed;
use meshproof_proto::shaper::Shape;

use crate::traffic::Path;
use crate::tunnel::{Exchange, Tunnels};

/// The links of the service here.
#[derive(Debug)]
pub(crate) struct Links {
    own: Ipv4Addr,
    ways: BTreeMap<Ipv4Addr, Way>,
    now: Mutex<Now>,
}

/// The way to another service.
#[derive(Debug)]
struct Way {
    name: Name,
    exchange: Arc<Exchange>,
    path: Arc<Path>,
    /// What the plan says.
    planned: Shape,
}

#[derive(Debug)]
struct Now {
    seed: Seed,
    cut: bool,
    /// What goes nowhere else is stopped here.
    stays: bool,
    /// What a program wants let through; everything, to those that are not here.
    filters: BTreeMap<Ipv4Addr, Filter>,
}

/// What becomes of a packet that the service sends.
pub(super) enum Onward<'l> {
    To(&'l Arc<Exchange>),
    /// Wherever the machine gets.
    Out,
    /// Its sender is told that it may not.
    Rejected,
    Dropped,
}

impl Links {
    /// As the plan says; or the name of a service that is not in the run.
    pub(super) fn new(order: &DataNetwork, (tunnels, seed): (&Tunnels, u64)) -> Result<Self, Name> {
        let mut ways = BTreeMap::new();
        for (name, other) in &order.others {
            let far = tunnels.far(name).ok_or_else(|| name.clone())?;
            let (exchange, path) = (Arc::clone(&far.datagrams), Arc::clone(&far.path));
            ways.insert(other.address, Way { name: name.clone(), exchange, path, planned: other.shape.clone() });
        }
        let now = Now { seed: Seed::new(seed), cut: false, stays: false, filters: BTreeMap::new() };
        let links = Self { own: order.address, ways, now: Mutex::new(now) };
        links.make(None);
        Ok(links)
    }

    /// The address of the service here.
    pub(crate) fn own(&self) -> Ipv4Addr {
        self.own
    }

    /// Where another service is.
    pub(crate) fn address(&self, name: &str) -> Option<Ipv4Addr> {
        self.ways.iter().find(|(_, way)| way.name.as_str() == name).map(|(address, _)| *address)
    }

    /// From now on they are what a program wants, or as the plan says. What waits on its way goes on as it came.
    pub(crate) fn make(&self, wanted: Option<&Wanted>) {
        let mut now = self.lock();
        now.cut = wanted.is_some_and(|wanted| wanted.cut);
        // what the plan shuts stays shut
        now.stays = wanted.is_some_and(|wanted| wanted.egress == Egress::Nowhere);
        now.filters.clear();
        for (address, way) in &self.ways {
            let outward = wanted.map(|wanted| wanted.to(*address));
            way.path.shape(outward.map_or(&way.planned, |outward| &outward.shape), now.seed.next_u64());
            now.filters.extend(outward.map(|outward| (*address, outward.filter)));
        }
    }

    /// What becomes of a packet for that address.
    pub(super) fn onward(&self, destination: Ipv4Addr) -> Onward<'_> {
        let now = self.lock();
        match self.ways.get(&destination) {
            _ if now.cut => Onward::Dropped,
            Some(way) => match now.filters.get(&destination) {
                None | Some(Filter::Accept) => Onward::To(&way.exchange),
                Some(Filter::Reject) => Onward::Rejected,
                Some(Filter::Drop) => Onward::Dropped,
            },
            None if now.stays => Onward::Dropped,
            None => Onward::Out,
        }
    }

    /// Whether that agent may send packets of that address here.
    pub(super) fn expects(&self, from: &Name, source: Ipv4Addr) -> bool {
        self.ways.get(&source).is_some_and(|way| way.name == *from) && !self.lock().cut
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
