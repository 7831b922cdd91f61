//! The first frames of every connection, after DTLS: each side shows its chain and a fresh nonce, then signs both nonces and
//! both certificates as *presented* in this very handshake. Nothing else is accepted before. Replay safety rests on the
//! nonces alone, never on clocks.

use serde::{Deserialize, Serialize};

use crate::id::{Generation, PeerId};
use crate::identity::{self, Chain, Key, TrustError};
use crate::signal::ConnectionKind;
use crate::version::Version;

/// Who speaks, and a nonce for the other side to sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: Version,
    pub chain: Chain,
    pub nonce: [u8; 32],
}

/// One side's part of what both sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Party {
    pub peer: PeerId,
    pub nonce: [u8; 32],
    /// SHA-256 of the DTLS certificate this party presented.
    pub certificate: [u8; 32],
}

/// What a proof covers, seen from its signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Transcript {
    pub signer: Party,
    pub other: Party,
    pub kind: ConnectionKind,
    pub generation: Generation,
}

const LABEL: &str = "hello";

impl Transcript {
    /// The signer's proof.
    pub fn prove(&self, key: &Key) -> Vec<u8> {
        key.sign(LABEL, &self.bytes())
    }

    /// Checks the signer's proof.
    pub fn verify(&self, proof: &[u8]) -> Result<(), TrustError> {
        identity::verify(&self.signer.peer, LABEL, &self.bytes(), proof)
    }

    /// The same connection seen from the other side.
    pub fn mirrored(&self) -> Self {
        Self { signer: self.other, other: self.signer, ..*self }
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a transcript is plain data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_handshake_and_for_no_other() {
        let (a, b) = (Key::from_seed([1; 32]), Key::from_seed([2; 32]));
        let party = |key: &Key, n| Party { peer: key.public(), nonce: [n; 32], certificate: [n + 1; 32] };
        let seen_by_a = Transcript {
            signer: party(&a, 1),
            other: party(&b, 5),
            kind: ConnectionKind::Control,
            generation: Generation(1),
        };
        let proof = seen_by_a.prove(&a);
        let seen_by_b = seen_by_a.mirrored();
        assert_eq!(seen_by_b.mirrored().verify(&proof), Ok(()));
        assert!(seen_by_b.verify(&proof).is_err(), "a's proof is not b's");
        let mut middle = seen_by_a;
        middle.other.certificate = [99; 32];
        assert!(middle.verify(&proof).is_err(), "another certificate was presented");
        assert!(Transcript { generation: Generation(2), ..seen_by_a }.verify(&proof).is_err());
    }
}
