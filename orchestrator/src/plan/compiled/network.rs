//! The data network of a plan, every address and every condition known.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use meshproof_proto::id::Name;
use meshproof_proto::order::{DataNetwork, Egress, Other};
use meshproof_proto::shaper::Shape;

use super::super::source::Span;

/// The network that all services of a plan live on.
#[derive(Debug, Clone)]
pub struct Network {
    pub span: Span,
    pub egress: Egress,
    /// Of every service.
    pub addresses: BTreeMap<Name, Ipv4Addr>,
    /// Where something befalls packets, from the first to the second.
    pub shapes: BTreeMap<(Name, Name), Shape>,
    /// Who is in which, in the order of the file.
    pub regions: Vec<(String, Vec<Name>)>,
}

impl Network {
    /// As the agent beside a service sees it; none, if that does not live on it.
    #[must_use]
    pub fn seen_from(&self, service: &Name) -> Option<DataNetwork> {
        let address = *self.addresses.get(service)?;
        let others = self.addresses.iter().filter(|(name, _)| *name != service).map(|(name, address)| {
            let shape = self.shapes.get(&(service.clone(), name.clone())).cloned().unwrap_or_default();
            (name.clone(), Other { address: *address, shape })
        });
        Some(DataNetwork { address, others: others.collect(), egress: self.egress })
    }
}
