//! What faults are on, every kind of them there, and between whom.

use std::collections::BTreeSet;
use std::path::Path;

/// What carries the traffic of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Between the listeners of agents.
    Tunnels,
    /// Packets, between namespaces.
    Network,
}

/// How whoever watches a path asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Bytes, which come back.
    Bytes,
    /// `GET /`.
    Http,
    /// Numbered datagrams, which come back.
    Datagrams,
}

/// One kind of fault.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    /// As a plan writes it. `NEAR` is the service that asks, `FAR` the one that answers.
    pub fault: &'static str,
    pub asks: Asks,
}

/// A kind, and between which services.
#[derive(Clone, Copy, Debug)]
pub struct Between {
    pub kind: Kind,
    pub near: usize,
    pub far: usize,
}

const fn kind(name: &'static str, fault: &'static str, asks: Asks) -> Kind {
    Kind { name, fault, asks }
}

const ON_TUNNELS: [Kind; 12] = [
    kind("latency", "traffic: NEAR <-> FAR, latency: 2s", Asks::Bytes),
    kind("jitter", "traffic: NEAR <-> FAR, latency: 2s, jitter: 500ms", Asks::Bytes),
    kind("bandwidth", "traffic: NEAR <-> FAR, bandwidth: 16kbit", Asks::Bytes),
    kind("loss", "traffic: NEAR <-> FAR, loss: 100%", Asks::Bytes),
    kind("one-way", "traffic: FAR -> NEAR, latency: 2s", Asks::Bytes),
    kind("reset", "traffic: NEAR <-> FAR, reset: true", Asks::Bytes),
    kind("slow-close", "traffic: NEAR <-> FAR, slow-close: 3s", Asks::Bytes),
    kind("slice", "traffic: NEAR <-> FAR, slice: 20B", Asks::Bytes),
    kind("refuse", "traffic: NEAR -> FAR, refuse: true", Asks::Bytes),
    kind("partition", "partition: [[NEAR], [FAR]]", Asks::Bytes),
    kind("first", "traffic: NEAR -> FAR, status: 503, first: 100000", Asks::Http),
    kind("percent", "traffic: NEAR -> FAR, status: 503, percent: 50%", Asks::Http),
];

const ON_THE_NETWORK: [Kind; 9] = [
    kind("latency", "traffic: NEAR <-> FAR, latency: 2s", Asks::Datagrams),
    kind("jitter", "traffic: NEAR <-> FAR, latency: 2s, jitter: 500ms", Asks::Datagrams),
    kind("bandwidth", "traffic: NEAR <-> FAR, bandwidth: 16kbit", Asks::Datagrams),
    kind("loss", "traffic: NEAR -> FAR, loss: 100%", Asks::Datagrams),
    kind("duplicate", "traffic: NEAR <-> FAR, duplicate: 100%", Asks::Datagrams),
    kind("corrupt", "traffic: FAR -> NEAR, corrupt: 100%", Asks::Datagrams),
    kind("reorder", "traffic: NEAR <-> FAR, reorder: 50%", Asks::Datagrams),
    kind("partition", "partition: [[NEAR], [FAR]]", Asks::Datagrams),
    kind("regions", "partition: [[east], [west]]", Asks::Datagrams),
];

/// So many services have enough pairs for all kinds.
pub const SERVICES: usize = 6;

/// The number of one that is on no path.
pub const ASIDE: usize = SERVICES + 1;

/// Answers late.
pub const STUB: Kind = kind("stub", "stub: pay, latency: 8s", Asks::Http);

/// The service whose agent is the stub.
pub const STUB_AT: usize = 1;

/// The service aside stands still.
pub const FREEZE: Kind = kind("freeze", "", Asks::Bytes);

impl Ground {
    pub fn is_possible(self) -> bool {
        match self {
            Self::Tunnels => true,
            Self::Network => rustix::process::geteuid().is_root() && Path::new("/dev/net/tun").exists(),
        }
    }

    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Tunnels => &ON_TUNNELS,
            Self::Network => &ON_THE_NETWORK,
        }
    }

    /// Each kind has two services to itself.
    pub fn paths(self) -> Vec<Between> {
        let pairs = (1..=SERVICES).flat_map(|near| (near + 1..=SERVICES).map(move |far| (near, far)));
        self.kinds().iter().zip(pairs).map(|(kind, (near, far))| Between { kind: *kind, near, far }).collect()
    }

    /// The numbers of all services.
    pub fn services(self) -> std::ops::RangeInclusive<usize> {
        1..=if self == Self::Tunnels { ASIDE } else { SERVICES }
    }

    /// Whether traffic passes one of these services' agents before it is disturbed so.
    pub fn is_on_way_of(self, kind: &Kind, agents: &BTreeSet<usize>) -> bool {
        if kind.name == STUB.name {
            return agents.contains(&STUB_AT);
        }
        let path = self.paths().into_iter().find(|path| path.kind.name == kind.name);
        path.is_some_and(|path| agents.contains(&path.near) || agents.contains(&path.far))
    }

    /// Everything that is disturbed, and felt.
    pub fn felt(self) -> Vec<Kind> {
        let beside: &[Kind] = if self == Self::Tunnels { &[STUB, FREEZE] } else { &[] };
        self.kinds().iter().chain(beside).copied().collect()
    }
}
