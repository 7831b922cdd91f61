//! Whether a peer is who it says and belongs here: asked of every socket, whatever it came for.

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{self, Chain, TrustError, UnixSeconds};
use meshproof_proto::version::{PROTOCOL, Version};

use crate::limits;
use crate::rooms::{Nonce, Refusal};

/// What a peer says of itself in answer to a challenge.
#[derive(Debug)]
pub(crate) struct Claimed<'a> {
    pub(crate) protocol: Version,
    pub(crate) mesh: &'a Name,
    pub(crate) chain: &'a Chain,
    pub(crate) proof: &'a [u8],
}

/// A peer whose claim holds, and its chain's size as JSON.
#[derive(Debug)]
pub(crate) struct Vetted {
    pub(crate) peer: PeerId,
    pub(crate) bytes: usize,
}

impl Claimed<'_> {
    /// `root` is that of the mesh, if it is served; `asked` is the challenge and the label it is to be signed under. The cheap
    /// checks come first.
    pub(crate) fn vet(
        &self,
        root: Option<&PeerId>,
        asked: (&'static str, &Nonce),
        now: UnixSeconds,
    ) -> Result<Vetted, Refusal> {
        let Self { protocol, mesh, chain, proof } = *self;
        PROTOCOL.check(protocol).map_err(|_| Refusal::Version { theirs: protocol })?;
        let root = root.ok_or_else(|| Refusal::UnknownMesh(mesh.clone()))?;
        let bytes = json_bytes(chain);
        if bytes > limits::CHAIN_BYTES {
            return Err(Refusal::ChainTooLarge(bytes));
        }
        let peer = chain.verify(root, mesh, now).map_err(|error| untrusted(mesh, error))?.peer;
        let (label, nonce) = asked;
        identity::verify(&peer, label, nonce, proof).map_err(|_| Refusal::BadProof)?;
        Ok(Vetted { peer, bytes })
    }
}

/// The other errors say what to do by themselves.
fn untrusted(mesh: &Name, error: TrustError) -> Refusal {
    match error {
        TrustError::BadSignature(_) | TrustError::Unreadable(_) => Refusal::NotOfThisRoot { mesh: mesh.clone(), error },
        TrustError::OtherMesh { .. } | TrustError::NameNotGranted { .. } | TrustError::Expired { .. } => {
            Refusal::Trust(error)
        }
    }
}

pub(crate) fn json_bytes(chain: &Chain) -> usize {
    serde_json::to_vec(chain).expect("a chain is plain data").len()
}
