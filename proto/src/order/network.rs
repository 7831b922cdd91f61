//! The data network of a run: every service has one address on it, the same for all.

use std::collections::BTreeMap;
use std::fmt;
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

/// What a program wants the network to do to what its service sends, in the place of what the plan says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Nothing comes in or goes out.
    pub cut: bool,
    /// On the way to everybody.
    pub default: Outward,
    /// On the way to some, in the place of that; the last that fits counts.
    pub rules: Vec<Rule>,
    /// Beside the data network.
    pub egress: Egress,
}

/// What befalls packets that a service sends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outward {
    pub shape: Shape,
    pub filter: Filter,
}

/// Whether packets are let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    #[default]
    Accept,
    /// Their sender is told.
    Reject,
    Drop,
}

/// What befalls packets to these addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub network: Ipv4Addr,
    /// Bits of the addresses that are those of the network.
    pub prefix: u8,
    pub outward: Outward,
}

impl Rule {
    #[must_use]
    pub fn fits(&self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(self.prefix.into())).unwrap_or_default();
        u32::from(address) & mask == u32::from(self.network) & mask
    }
}

impl Wanted {
    /// What befalls packets to that address.
    #[must_use]
    pub fn to(&self, address: Ipv4Addr) -> &Outward {
        self.rules.iter().rev().find(|rule| rule.fits(address)).map_or(&self.default, |rule| &rule.outward)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cut {
            return f.write_str("cut off");
        }
        write!(f, "{}", self.default)?;
        for Rule { network, prefix, outward } in &self.rules {
            write!(f, "; to {network}/{prefix} {outward}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Outward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.filter {
            Filter::Accept => self.shape.fmt(f),
            Filter::Reject => f.write_str("rejected"),
            Filter::Drop => f.write_str("dropped"),
        }
    }
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
    fn the_last_rule_that_fits_an_address_counts() {
        let outward = |latency_us| Outward { shape: Shape { latency_us, ..Shape::default() }, ..Outward::default() };
        let rule = |[a, b, c, d]: [u8; 4], prefix, latency_us| Rule {
            network: Ipv4Addr::new(a, b, c, d),
            prefix,
            outward: outward(latency_us),
        };
        let rules = vec![rule([198, 18, 1, 9], 24, 1), rule([198, 18, 1, 2], 32, 2), rule([0, 0, 0, 0], 40, 3)];
        let mut wanted = Wanted { default: outward(9), rules, ..Wanted::default() };
        let latency = |wanted: &Wanted, d| wanted.to(Ipv4Addr::new(198, 18, d, 2)).shape.latency_us;
        assert_eq!((latency(&wanted, 1), latency(&wanted, 2)), (2, 9));
        wanted.rules.pop();
        wanted.rules.pop();
        assert_eq!((latency(&wanted, 1), latency(&wanted, 2)), (1, 9));
        wanted.rules.push(rule([1, 2, 3, 4], 0, 4));
        assert_eq!((latency(&wanted, 1), latency(&wanted, 2)), (4, 4));
    }

    #[test]
    fn addresses_begin_behind_the_networks_own_and_end_before_those_that_stand_for_others() {
        assert_eq!(address(0), Some(Ipv4Addr::new(198, 18, 0, 1)));
        assert_eq!(address((1 << 17) - 4), Some(Ipv4Addr::new(198, 19, 255, 253)));
        assert_eq!(address((1 << 17) - 3), None);
        assert_eq!(address(usize::MAX), None);
    }
}
