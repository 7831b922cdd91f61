//! The data network of a run: every service has one address on it, the same for all.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::id::Name;
use crate::shaper::Shape;

/// The network that these addresses are of: set aside for tests of networks (RFC 2544), so no real one is hidden by it.
pub const NETWORK: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 18, 0, 0), 15);

/// The same, as text.
pub const SUBNET: &str = "198.18.0.0/15";

/// Stands in for everybody who is not on the network: its last address.
pub const STAND_IN: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 254);

/// The data network as the agent beside one service sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataNetwork {
    /// That of the service beside this agent.
    pub address: Ipv4Addr,
    /// Every other service, and what befalls packets on their way there.
    pub others: BTreeMap<Name, Other>,
    pub egress: Egress,
}

/// Another service on the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Other {
    pub address: Ipv4Addr,
    pub shape: Shape,
}

/// Where a service gets beside the data network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Egress {
    /// Where the machine gets.
    #[default]
    Host,
    Nowhere,
}

/// The address of the service of that number, from 0. `None`: there are more than addresses.
#[must_use]
pub fn address(number: usize) -> Option<Ipv4Addr> {
    let (network, prefix) = NETWORK;
    let offset = u32::try_from(number).ok()?.checked_add(1)?;
    // the last ones stand in for others, and for all
    (offset < (1 << (32 - prefix)) - 2).then(|| Ipv4Addr::from(u32::from(network) + offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_begin_behind_the_networks_own_and_end_before_those_that_stand_for_others() {
        assert_eq!(address(0), Some(Ipv4Addr::new(198, 18, 0, 1)));
        assert_eq!(address((1 << 17) - 4), Some(Ipv4Addr::new(198, 19, 255, 253)));
        assert_eq!(address((1 << 17) - 3), None);
        assert_eq!(address(usize::MAX), None);
    }
}
