//! What a run labels its agents with, so that a chat can choose them: their group, their region of the data network, their zone, and which
//! instance of several they are.

use std::collections::BTreeMap;

use meshproof_proto::id::Name;
use meshproof_proto::labels::{Labels, REPLICA, ZONE};

use super::compiled::{Plan, Service};

impl Plan {
    /// Of each service, those of its instances, from the first.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<Name, Vec<Labels>> {
        let labels = |service: &Service| {
            (1..).zip(&service.instances).map(|instance| self.labels_of(service, instance)).collect()
        };
        self.services.iter().map(|service| (service.name.clone(), labels(service))).collect()
    }

    fn labels_of(&self, service: &Service, (number, zone): (u32, &Option<String>)) -> Labels {
        let group = service.member.iter().map(|member| ("group", member.group.clone()));
        let regions = self.network.iter().flat_map(|network| &network.regions);
        let region = regions
            .filter(|(_, members)| members.contains(&service.name))
            .map(|(region, _)| ("region", region.clone()));
        let zone = zone.iter().map(|zone| (ZONE, zone.clone()));
        let number = (service.instances.len() > 1).then(|| (REPLICA, number.to_string()));
        // who is in two lists is in the first
        let labels = group.chain(region.take(1)).chain(zone).chain(number);
        Labels::new(labels).expect("names of a plan and numbers may stand in labels")
    }
}
