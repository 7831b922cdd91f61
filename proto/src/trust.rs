//! What a root key says beside its grants: which key comes after it, and which tokens are no longer good.
//!
//! Each peer begins with one root key, that of its token, and learns the rest as *news* that anybody may carry: it is signed.
//! A succession is signed by both keys, the old one and the new one, so whoever trusts either comes to trust the other, and
//! tokens of both are good. The *line* of root keys never forks: the first successor that is known stays. The list of what is
//! revoked is signed by a key of the line; of two lists the one by the later key is right, of one key the one with the higher
//! number. So a root key that was stolen is made worthless by a rotation and a list that names it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::codec::base64_bytes;
use crate::id::{Name, PeerId};
use crate::identity::{Chain, Identity, Issued, Key, Signed, TrustError, UnixSeconds, read, verify};
use crate::limits;

/// A text that both root keys signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossSigned {
    pub text: String,
    #[serde(with = "base64_bytes")]
    pub by_old: Vec<u8>,
    #[serde(with = "base64_bytes")]
    pub by_new: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Succession {
    mesh: Name,
    old: PeerId,
    new: PeerId,
}

/// The keys that are no longer good: of tokens, or of former roots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    pub mesh: Name,
    /// The key that signs this.
    pub root: PeerId,
    /// The highest of a root key counts.
    pub number: u64,
    pub keys: BTreeSet<PeerId>,
}

/// What the root keys of a mesh have said, as it travels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootNews {
    /// From each root key to the next, in order.
    pub successions: Vec<CrossSigned>,
    /// A [`Revoked`].
    pub revoked: Option<Signed>,
}

const SUCCESSION: &str = "succession";
const REVOKED: &str = "revoked list";

impl CrossSigned {
    /// `new` comes after `old`.
    pub fn succession(mesh: &Name, old: &Key, new: &Key) -> Self {
        let succession = Succession { mesh: mesh.clone(), old: old.public(), new: new.public() };
        let text = serde_json::to_string(&succession).expect("a succession is plain data");
        let (by_old, by_new) = (old.sign(SUCCESSION, text.as_bytes()), new.sign(SUCCESSION, text.as_bytes()));
        Self { text, by_old, by_new }
    }

    fn open(&self, mesh: &Name) -> Result<Succession, TrustError> {
        let unreadable = || TrustError::Unreadable(SUCCESSION);
        let succession: Succession = serde_json::from_str(&self.text).map_err(|_| unreadable())?;
        verify(&succession.old, SUCCESSION, self.text.as_bytes(), &self.by_old)?;
        verify(&succession.new, SUCCESSION, self.text.as_bytes(), &self.by_new)?;
        if succession.mesh != *mesh {
            return Err(TrustError::OtherMesh { ours: mesh.clone(), theirs: succession.mesh });
        }
        Ok(succession)
    }
}

impl Revoked {
    /// Signs the list.
    pub fn seal(&self, root: &Key) -> Signed {
        let text = serde_json::to_string(self).expect("a list is plain data");
        let signature = root.sign(REVOKED, text.as_bytes());
        Signed { text, signature }
    }

    fn open(signed: &Signed, mesh: &Name) -> Result<Self, TrustError> {
        let list: Self = read(signed, REVOKED)?;
        if list.mesh != *mesh {
            return Err(TrustError::OtherMesh { ours: mesh.clone(), theirs: list.mesh });
        }
        if list.keys.len() > limits::REVOKED_KEYS {
            return Err(TrustError::TooManyRevoked(list.keys.len()));
        }
        verify(&list.root, REVOKED, signed.text.as_bytes(), &signed.signature)?;
        Ok(list)
    }
}

impl RootNews {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.successions.is_empty() && self.revoked.is_none()
    }
}

/// Whom a peer trusts in its mesh.
#[derive(Clone, Debug)]
pub struct Trust {
    mesh: Name,
    /// The root keys, each signed for by its neighbours. Never empty.
    line: Vec<PeerId>,
    /// Between the keys of the line, in its order.
    successions: Vec<CrossSigned>,
    revoked: Option<(Revoked, Signed)>,
}

impl Trust {
    /// Begins with one root key.
    pub fn new(mesh: Name, root: PeerId) -> Self {
        Self { mesh, line: vec![root], successions: Vec::new(), revoked: None }
    }

    /// Whose keys these are.
    pub fn mesh(&self) -> &Name {
        &self.mesh
    }

    /// The key that grants now.
    pub fn newest(&self) -> PeerId {
        *self.line.last().expect("a line has a key")
    }

    /// The root keys, the newest last.
    pub fn line(&self) -> &[PeerId] {
        &self.line
    }

    /// The keys that are no longer good, if there is a list.
    pub fn revoked(&self) -> Option<&BTreeSet<PeerId>> {
        self.revoked.as_ref().map(|(list, _)| &list.keys)
    }

    /// The number of the list that is known.
    pub fn list(&self) -> Option<u64> {
        self.revoked.as_ref().map(|(list, _)| list.number)
    }

    /// What is known, for others.
    pub fn news(&self) -> RootNews {
        RootNews {
            successions: self.successions.clone(),
            revoked: self.revoked.as_ref().map(|(_, signed)| signed.clone()),
        }
    }

    /// Takes what is new and proved; says whether there was any.
    ///
    /// # Errors
    /// Something is not signed as it should be, or leads away from what is known. What came before it was taken.
    pub fn learn(&mut self, news: &RootNews) -> Result<bool, TrustError> {
        if news.successions.len() >= limits::ROOTS {
            return Err(TrustError::TooManyRoots(news.successions.len() + 1));
        }
        let mut fresh: Vec<&CrossSigned> =
            news.successions.iter().filter(|one| !self.successions.contains(one)).collect();
        let before = self.line.len();
        // Each pass attaches at least one, at either end, or there is one that never will be.
        while !fresh.is_empty() {
            let left = fresh.len();
            let mut apart = Vec::new();
            for one in fresh {
                if !self.attach(one)? {
                    apart.push(one);
                }
            }
            if apart.len() == left {
                return Err(TrustError::OtherLine);
            }
            fresh = apart;
        }
        let list = news.revoked.as_ref().is_some_and(|signed| !self.knows(signed));
        let newer = if list { self.take_list(news)? } else { false };
        Ok(newer || self.line.len() > before)
    }

    /// Checks a chain against every root key, the newest first, and against the list.
    ///
    /// # Errors
    /// No root key signed it, it does not hold, or it was revoked.
    pub fn check(&self, chain: &Chain, now: UnixSeconds) -> Result<Identity, TrustError> {
        let mut refused = TrustError::BadSignature("grant");
        for root in self.line.iter().rev() {
            match chain.verify(root, &self.mesh, now) {
                Ok(identity) => return self.admits(&identity.issued, now).map(|()| identity),
                // of another root key, perhaps of the one before
                Err(error @ TrustError::BadSignature("grant")) => refused = error,
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }

    /// Whether what was issued is still good.
    ///
    /// # Errors
    /// It ended, or was revoked.
    pub fn admits(&self, issued: &Issued, now: UnixSeconds) -> Result<(), TrustError> {
        issued.still_good(now)?;
        let Some((list, _)) = &self.revoked else { return Ok(()) };
        if list.keys.contains(&issued.token) {
            return Err(TrustError::Revoked { token: issued.token.short(), list: list.number });
        }
        if list.keys.contains(&issued.root) {
            return Err(TrustError::RootRevoked { root: issued.root.short(), list: list.number });
        }
        Ok(())
    }

    /// False when it fits neither end (yet).
    fn attach(&mut self, signed: &CrossSigned) -> Result<bool, TrustError> {
        let Succession { old, new, .. } = signed.open(&self.mesh)?;
        let has = |key| self.line.contains(key);
        if self.line.len() >= limits::ROOTS {
            return Err(TrustError::TooManyRoots(self.line.len() + 1));
        }
        if old == self.newest() && !has(&new) {
            self.line.push(new);
            self.successions.push(signed.clone());
        } else if new == self.line[0] && !has(&old) {
            self.line.insert(0, old);
            self.successions.insert(0, signed.clone());
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn knows(&self, list: &Signed) -> bool {
        self.revoked.as_ref().is_some_and(|(_, known)| known == list)
    }

    fn take_list(&mut self, news: &RootNews) -> Result<bool, TrustError> {
        let Some(signed) = &news.revoked else { return Ok(false) };
        let list = Revoked::open(signed, &self.mesh)?;
        let rank = |list: &Revoked| {
            let place = self.line.iter().position(|root| *root == list.root);
            place.map(|place| (place, list.number))
        };
        let offered = rank(&list).ok_or(TrustError::OtherLine)?;
        if self.revoked.as_ref().is_some_and(|(known, _)| rank(known) >= Some(offered)) {
            return Ok(false);
        }
        self.revoked = Some((list, signed.clone()));
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
