//! What stubs that are kept for the mesh leave to the runs that come after theirs.

use std::collections::BTreeMap;

use meshproof_proto::order::{Keep, StubOrder};
use meshproof_proto::rpc::Refusal;

use crate::limits;
use crate::stub::{Kept, StubServer};

/// By the stub's name. It lives as long as the agent.
#[derive(Debug, Default)]
pub(super) struct KeptStubs(BTreeMap<String, Kept>);

impl KeptStubs {
    /// What the stub goes on with. More stubs than are kept are refused: forgetting one in silence would be a wrong answer.
    pub(super) fn of(&self, order: &StubOrder) -> Result<Option<Kept>, Refusal> {
        match order.keep {
            Keep::Test | Keep::Run => Ok(None),
            Keep::Mesh if self.0.len() >= limits::STUBS_KEPT && !self.0.contains_key(&order.name) => {
                Err(Refusal::Failed(format!("unsupported: more than {} stubs kept for the mesh", limits::STUBS_KEPT)))
            }
            Keep::Mesh => Ok(self.0.get(&order.name).cloned()),
        }
    }

    pub(super) fn keep(&mut self, stub: &StubServer) {
        if let Some(kept) = stub.kept() {
            self.0.insert(stub.name().to_owned(), kept);
        }
    }
}
