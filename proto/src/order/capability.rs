//! What orders take of whoever gives them, and of the agent that carries them out.

use super::{Action, FaultTarget};
use crate::identity::Capability;

impl Action {
    /// A verb takes its own; what a service says of itself, in lines or in numbers, is logs, and so is how its agent is linked.
    pub fn capability(&self) -> Capability {
        match self {
            Self::Http(_) => Capability::Http,
            Self::Tcp(_) => Capability::Tcp,
            Self::Exec(_) => Capability::Exec,
            Self::Grpc(_) => Capability::Grpc,
            Self::Ws(_) => Capability::Ws,
            Self::Stream(_) => Capability::Stream,
            // that of the verb inside
            Self::Load(load) => load.call.capability(),
            Self::ExpectLog { .. }
            | Self::WatchLog { .. }
            | Self::Settle { .. }
            | Self::ExpectMetric { .. }
            | Self::WatchMetric { .. }
            | Self::ExpectLink { .. }
            | Self::CountLog { .. } => Capability::Logs,
            Self::ExpectStub { .. } | Self::WatchStub { .. } | Self::ChangeStub { .. } => Capability::Stub,
        }
    }
}

impl FaultTarget {
    /// That of what is disturbed.
    pub fn capability(&self) -> Capability {
        match self {
            Self::Stub { .. } => Capability::Stub,
            Self::Traffic { .. } | Self::Partition { .. } => Capability::Tunnel,
        }
    }
}
