//! The keys of a mesh that lives as long as a run: made on the spot, the user sees none of them.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Capability, Grant, Key, Role, Token, UnixSeconds};

use super::error::LocalError;
use super::limits::TOKEN_LIFETIME;

/// What the orchestrator of a run calls itself.
pub const ORCHESTRATOR: &str = "orchestrator";

/// What consoles of a run may call themselves.
const CONSOLES: &str = "console-*";

/// Signs the tokens of one mesh. Forgotten once they are made.
pub struct Root {
    key: Key,
    mesh: Name,
    /// What agents and the orchestrator may do.
    capabilities: BTreeSet<Capability>,
    not_after: UnixSeconds,
}

impl Root {
    pub fn new(mesh: Name, capabilities: BTreeSet<Capability>) -> Result<Self, LocalError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let not_after = UnixSeconds((now + TOKEN_LIFETIME).as_secs());
        Ok(Self { key: Key::from_seed(random()?), mesh, capabilities, not_after })
    }

    pub fn public(&self) -> PeerId {
        self.key.public()
    }

    /// The token of the agent beside a service: good for that name only.
    pub fn agent(&self, name: &Name) -> Result<Token, LocalError> {
        self.issue(name.to_string(), Role::Agent, self.capabilities.clone())
    }

    /// The token of the orchestrator.
    pub fn orchestrator(&self) -> Result<Token, LocalError> {
        self.issue(ORCHESTRATOR.to_owned(), Role::Orchestrator, self.capabilities.clone())
    }

    /// The token of whoever looks at the mesh from a terminal, measures its links, and asks its agents for what the plan asks them for.
    pub fn console(&self) -> Result<Token, LocalError> {
        let mut capabilities = self.capabilities.clone();
        capabilities.extend([Capability::Stream, Capability::Stub]);
        self.issue(CONSOLES.to_owned(), Role::OperatorConsole, capabilities)
    }

    /// The token of whoever looks at the mesh and does nothing there.
    pub fn observer(&self) -> Result<Token, LocalError> {
        let reads = self.capabilities.contains(&Capability::Logs).then_some(Capability::Logs);
        self.issue(CONSOLES.to_owned(), Role::Observer, reads.into_iter().collect())
    }

    fn issue(&self, names: String, role: Role, capabilities: BTreeSet<Capability>) -> Result<Token, LocalError> {
        let (mesh, not_after) = (self.mesh.clone(), self.not_after);
        let seed = random()?;
        Ok(Token::issue(&self.key, seed, |token| Grant { mesh, names, role, capabilities, not_after, token }))
    }
}

fn random() -> Result<[u8; 32], LocalError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(LocalError::Random)?;
    Ok(seed)
}
