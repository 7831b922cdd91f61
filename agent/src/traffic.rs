//! Faults on tunnelled traffic.
//!
//! All bytes between the service beside this agent and another service pass two [`Gate`]s here, one each way, whichever side
//! of the tunnel this agent is. A fault puts a [`Disturbance`] into a gate; connections that are open feel it at once, and
//! are released when it ends. What waits is bounded: behind a full gate the sender is not read any more, as with TCP.
//!
//! A new connection passes both gates once, without bytes, before it is dialled: the handshake of a real network.
//! The end of a stream and its reset wait their turn behind its bytes.

mod answer;
mod carry;
mod gate;
mod measured;
mod passage;
mod probe;
mod requests;
mod tally;

#[cfg(test)]
mod tests;

pub use answer::{Stopped, answer};
pub use carry::{Carries, carry};
pub use gate::{Crossing, Disturbance, Gate, Traveller};
pub use passage::Passage;
pub use probe::{echo, ping, ping_undisturbed};
pub use tally::Tally;

use std::sync::Arc;

use meshproof_proto::order::Direction;
use meshproof_proto::seed::Seed;
use meshproof_proto::shaper::Shape;

use crate::struck::Struck;

/// Stands where a fault's name stands, for what the data network itself does.
const NETWORK: &str = "network";

/// The traffic between the service beside this agent and one other service.
#[derive(Debug, Default)]
pub struct Path {
    /// From the service beside this agent.
    pub outgoing: Gate,
    /// To it.
    pub incoming: Gate,
    /// What packets of the data network pass last on their way from it: what the network itself does to them.
    pub network: Gate,
}

impl Path {
    /// Disturbs the path until [`Path::end`], for all or for the requests that are struck. What happens meanwhile is counted in the tally.
    pub fn begin(
        &self,
        fault: &str,
        (shape, direction, struck): (&Shape, Direction, Option<Struck>),
        seed: &mut Seed,
    ) -> Arc<Tally> {
        let struck = struck.map(Arc::new);
        let tally = Arc::new(Tally::default());
        for gate in self.gates(direction) {
            let disturbance = Disturbance::new(fault, shape.clone(), seed.next_u64(), Arc::clone(&tally));
            gate.begin(disturbance.only(struck.clone()));
        }
        tally
    }

    /// What the data network does to every packet on its way from here, from now on.
    pub fn shape(&self, shape: &Shape, seed: u64) {
        let some = (*shape != Shape::default()).then(|| Disturbance::new(NETWORK, shape.clone(), seed, Arc::default()));
        self.network.replace(NETWORK, some);
    }

    /// Lets everything flow that waits for this fault alone.
    pub fn end(&self, fault: &str) {
        self.outgoing.end(fault);
        self.incoming.end(fault);
    }

    /// Whether no fault disturbs it.
    pub fn is_undisturbed(&self) -> bool {
        self.outgoing.is_open() && self.incoming.is_open()
    }

    fn gates(&self, direction: Direction) -> Vec<&Gate> {
        match direction {
            Direction::Outgoing => vec![&self.outgoing],
            Direction::Incoming => vec![&self.incoming],
            Direction::Both => vec![&self.outgoing, &self.incoming],
        }
    }
}
