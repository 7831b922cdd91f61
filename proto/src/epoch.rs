//! Which zone of a mesh counts, as whoever watches over the zones says it.
//!
//! Where agents of one mesh stand in several zones, one zone is active, and the *epoch* counts how often that changed. What the
//! operator of the zones says of it is signed with a token of the role zone-operator, travels with anybody, and is checked offline
//! by anyone who knows the mesh's root key. A lower epoch is refused: a zone that was cut off and comes back cannot say
//! that it is still the active one.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::Name;
use crate::identity::{Chain, Key, Role, Signed, Token, TrustError, UnixSeconds, read, verify};
use crate::labels::{Labels, POOL, ZONE};
use crate::limits;
use crate::trust::Trust;

/// Since that number, the agents of this zone count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    pub mesh: Name,
    /// Whose zones these are: a mesh may have several pools of agents, each with epochs of its own.
    pub pool: Name,
    /// From 1; grows with every change of the zone.
    pub number: u64,
    pub zone: Name,
}

/// `zone b is the active one of pool shop since epoch 2`
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zone {} is the active one of pool {} since epoch {}", self.zone, self.pool, self.number)
    }
}

/// An [`Epoch`] as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochNotice {
    /// Of a zone operator; its instance signs the epoch.
    pub chain: Chain,
    /// JSON of an [`Epoch`].
    pub epoch: Signed,
}

/// Why a notice was not accepted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EpochError {
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("an epoch is said by a zone operator, not by whoever has the role {0}")]
    OtherRole(Role),
    #[error("epoch {offered} of pool `{pool}` is over, its epoch is {known}")]
    Lower { pool: Name, known: u64, offered: u64 },
    #[error("epoch {number} of pool `{pool}` is that of zone `{known}` already, not of `{offered}`")]
    OtherZone { pool: Name, number: u64, known: Name, offered: Name },
    #[error("more than {limit} pools say epochs in this mesh", limit = limits::POOLS)]
    TooMany,
}

const EPOCH: &str = "epoch";

impl EpochNotice {
    /// Signs an epoch with a token's key, which stands in for the key of an instance: the same epoch is the same bytes, whoever of
    /// several operators says it.
    pub fn sign(token: &Token, name: &Name, epoch: &Epoch) -> Self {
        let key: &Key = &token.key;
        let text = serde_json::to_string(epoch).expect("an epoch is plain data");
        let signature = key.sign(EPOCH, text.as_bytes());
        Self { chain: token.claim(name, key.public()), epoch: Signed { text, signature } }
    }

    /// The mesh that it says it is of, before anything is checked.
    pub fn claims(&self) -> Option<Name> {
        let epoch: Epoch = read(&self.epoch, EPOCH).ok()?;
        Some(epoch.mesh)
    }

    /// Checks the chain, the role, the signature and the mesh.
    ///
    /// # Errors
    /// One of them does not hold.
    pub fn verify(&self, trust: &Trust, now: UnixSeconds) -> Result<Epoch, EpochError> {
        let identity = trust.check(&self.chain, now)?;
        if identity.role != Role::ZoneOperator {
            return Err(EpochError::OtherRole(identity.role));
        }
        verify(&identity.peer, EPOCH, self.epoch.text.as_bytes(), &self.epoch.signature)?;
        let epoch: Epoch = read(&self.epoch, EPOCH)?;
        if epoch.mesh != *trust.mesh() {
            return Err(TrustError::OtherMesh { ours: trust.mesh().clone(), theirs: epoch.mesh }.into());
        }
        Ok(epoch)
    }
}

/// The highest epoch that is known of each pool.
#[derive(Clone, Debug, Default)]
pub struct Epochs(BTreeMap<Name, (Epoch, EpochNotice)>);

impl Epochs {
    /// Takes what is new and proved; says whether it was.
    ///
    /// # Errors
    /// It does not hold, or a higher one is known.
    pub fn learn(&mut self, notice: &EpochNotice, trust: &Trust, now: UnixSeconds) -> Result<bool, EpochError> {
        // what is told again and again costs no signature
        if self.0.values().any(|(_, known)| known == notice) {
            return Ok(false);
        }
        let epoch = notice.verify(trust, now)?;
        let pool = epoch.pool.clone();
        match self.0.get(&pool) {
            Some((known, _)) if epoch.number < known.number => {
                return Err(EpochError::Lower { pool, known: known.number, offered: epoch.number });
            }
            Some((known, _)) if epoch.number == known.number => {
                let (number, known) = (known.number, known.zone.clone());
                return match epoch.zone == known {
                    true => Ok(false),
                    false => Err(EpochError::OtherZone { pool, number, known, offered: epoch.zone }),
                };
            }
            Some(_) => {}
            None if self.0.len() >= limits::POOLS => return Err(EpochError::TooMany),
            None => {}
        }
        self.0.insert(pool, (epoch, notice.clone()));
        Ok(true)
    }

    /// The epoch of that pool.
    pub fn of(&self, pool: &Name) -> Option<&Epoch> {
        self.0.get(pool).map(|(epoch, _)| epoch)
    }

    /// Whether nobody has said any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The epoch by which an agent with these labels does not count: of its pool, and of another zone. Without a pool or a zone it counts.
    pub fn against(&self, labels: &Labels) -> Option<&Epoch> {
        let zone = labels.get(ZONE)?;
        let (_, (epoch, _)) = self.0.iter().find(|(pool, _)| labels.get(POOL) == Some(pool.as_str()))?;
        (epoch.zone.as_str() != zone).then_some(epoch)
    }

    /// What is known, for others.
    pub fn notices(&self) -> impl Iterator<Item = &EpochNotice> {
        self.0.values().map(|(_, notice)| notice)
    }
}

#[cfg(test)]
mod tests;
