//! Signatures of chains that held, so that a process checks none of them twice.
//!
//! A peer meets the same chain again and again: every signaling server lists it, lists it once more after each reconnection,
//! and the peer itself shows it with each connection. Checking an Ed25519 signature takes some 50 µs, hashing it one. Whether
//! a signature holds never changes, so only that is kept: expiry and revocation are judged anew each time.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::{TrustError, verify};
use crate::id::PeerId;
use crate::limits;

static HELD: LazyLock<Mutex<HashSet<[u8; 32]>>> = LazyLock::new(Mutex::default);

/// Two for each chain of several full meshes; then all are forgotten and checked again.
const MOST: usize = 8 * limits::PEERS_PER_MESH;

/// [`verify`], which remembers what held.
pub(super) fn verify_once(
    public: &PeerId,
    label: &'static str,
    bytes: &[u8],
    signature: &[u8],
) -> Result<(), TrustError> {
    let digest = digest([&public.0, label.as_bytes(), bytes, signature]);
    if HELD.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest) {
        return Ok(());
    }
    verify(public, label, bytes, signature)?;
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if held.len() >= MOST {
        held.clear();
    }
    held.insert(digest);
    Ok(())
}

/// Of all parts, each after its length, so that no two lists of parts look alike.
fn digest(parts: [&[u8]; 4]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Key;

    #[test]
    fn what_held_once_vouches_for_nothing_that_differs_from_it() {
        let (key, other) = (Key::from_seed([1; 32]), Key::from_seed([2; 32]));
        let signature = key.sign("grant", b"text");
        for _ in 0..2 {
            assert_eq!(verify_once(&key.public(), "grant", b"text", &signature), Ok(()));
            assert!(verify_once(&other.public(), "grant", b"text", &signature).is_err(), "another key");
            assert!(verify_once(&key.public(), "claim", b"text", &signature).is_err(), "another label");
            assert!(verify_once(&key.public(), "grant", b"texts", &signature).is_err(), "another text");
            assert!(verify_once(&key.public(), "grantt", b"ext", &signature).is_err(), "the parts' border moved");
            assert!(verify_once(&key.public(), "grant", b"text", &other.sign("grant", b"text")).is_err());
        }
    }
}
