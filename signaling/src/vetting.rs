//! Whether a peer is who it says and belongs here: asked of every socket, whatever it came for.

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{self, Chain, Issued, TrustError, UnixSeconds};
use meshproof_proto::trust::Trust;
use meshproof_proto::version::{PROTOCOL, Version};

use crate::limits;
use crate::rooms::{Nonce, Refusal};

/// What a peer says of itself in answer to a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it was to sign, and under which label.
    pub(crate) asked: (&'static str, Nonce),
    pub(crate) protocol: Version,
    pub(crate) mesh: Name,
    pub(crate) chain: Chain,
    pub(crate) proof: Vec<u8>,
}

/// A peer whose claim holds, and its chain's size as JSON.
#[derive(Clone, Debug)]
pub struct Vetted {
    pub(crate) peer: PeerId,
    pub(crate) issued: Issued,
    pub(crate) bytes: usize,
}

impl Claim {
    /// `trust` is that of the mesh, if it is served. The cheap checks come first; the others take a tenth of a millisecond, for which
    /// nobody who is served already should wait.
    ///
    /// # Errors
    /// The peer is not who it says, or does not belong here.
    pub fn vet(&self, trust: Option<&Trust>, now: UnixSeconds) -> Result<Vetted, Refusal> {
        let Self { asked: (label, nonce), protocol, mesh, chain, proof } = self;
        PROTOCOL.check(*protocol).map_err(|_| Refusal::Version { theirs: *protocol })?;
        let trust = trust.ok_or_else(|| Refusal::UnknownMesh(mesh.clone()))?;
        let bytes = json_bytes(chain);
        if bytes > limits::CHAIN_BYTES {
            return Err(Refusal::ChainTooLarge(bytes));
        }
        let identity = trust.check(chain, now).map_err(|error| untrusted(mesh, error))?;
        identity::verify(&identity.peer, label, nonce, proof).map_err(|_| Refusal::BadProof)?;
        Ok(Vetted { peer: identity.peer, issued: identity.issued, bytes })
    }
}

/// The other errors say what to do by themselves.
fn untrusted(mesh: &Name, error: TrustError) -> Refusal {
    match error {
        TrustError::BadSignature(_) | TrustError::Unreadable(_) => Refusal::NotOfThisRoot { mesh: mesh.clone(), error },
        TrustError::OtherMesh { .. }
        | TrustError::NameNotGranted { .. }
        | TrustError::Expired { .. }
        | TrustError::Revoked { .. }
        | TrustError::RootRevoked { .. }
        | TrustError::OtherLine
        | TrustError::TooManyRoots(_)
        | TrustError::TooManyRevoked(_) => Refusal::Trust(error),
    }
}

pub(crate) fn json_bytes(chain: &Chain) -> usize {
    serde_json::to_vec(chain).expect("a chain is plain data").len()
}
