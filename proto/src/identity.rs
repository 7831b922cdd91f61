//! Who a peer is, and how others know: root key → token → instance.
//!
//! The root signs a *grant* for a token's key; the token signs a *claim* for the key that an instance made for itself at
//! start. Both together are a [`Chain`], checked offline by anyone who knows the root's public key. No secret travels.

mod held;
mod token;

use std::collections::BTreeSet;

use data_encoding::BASE32_NOPAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::base64_bytes;
use crate::id::{Name, PeerId};
use crate::{glob, limits};

use held::verify_once;
pub use token::Token;

/// Seconds since 1970, from a wall clock; only for expiries and display.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

/// What a peer is in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Agent,
    Orchestrator,
    OperatorConsole,
    Observer,
    ZoneOperator,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Agent => "agent",
            Self::Orchestrator => "orchestrator",
            Self::OperatorConsole => "operator console",
            Self::Observer => "observer",
            Self::ZoneOperator => "zone operator",
        })
    }
}

/// No role has that name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no role; there are agent, orchestrator, operator-console, observer and zone-operator")]
pub struct BadRole(String);

impl std::str::FromStr for Role {
    type Err = BadRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "agent" => Ok(Self::Agent),
            "orchestrator" => Ok(Self::Orchestrator),
            "operator-console" => Ok(Self::OperatorConsole),
            "observer" => Ok(Self::Observer),
            "zone-operator" => Ok(Self::ZoneOperator),
            _ => Err(BadRole(text.chars().take(limits::NAME_CHARS).collect())),
        }
    }
}

/// What a peer may be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    Exec,
    Http,
    Grpc,
    Tcp,
    Ws,
    Stub,
    Tunnel,
    Netem,
    Tun,
    Stream,
    Logs,
}

impl Capability {
    /// Every capability, in the order of the design's table.
    pub const ALL: [Capability; 11] = [
        Self::Exec,
        Self::Http,
        Self::Grpc,
        Self::Tcp,
        Self::Ws,
        Self::Stub,
        Self::Tunnel,
        Self::Netem,
        Self::Tun,
        Self::Stream,
        Self::Logs,
    ];

    /// As plans, tokens and refusals write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
            Self::Ws => "ws",
            Self::Stub => "stub",
            Self::Tunnel => "tunnel",
            Self::Netem => "netem",
            Self::Tun => "tun",
            Self::Stream => "stream",
            Self::Logs => "logs",
        }
    }
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// No capability has that name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no capability; there are exec, http, grpc, tcp, ws, stub, tunnel, netem, tun, stream and logs")]
pub struct BadCapability(String);

impl std::str::FromStr for Capability {
    type Err = BadCapability;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|capability| capability.as_str() == text.trim());
        named.ok_or_else(|| BadCapability(text.chars().take(limits::NAME_CHARS).collect()))
    }
}

/// What the root allows the holder of a token's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub mesh: Name,
    /// A glob over peer names; `*` stands for any run of characters.
    pub names: String,
    pub role: Role,
    pub capabilities: BTreeSet<Capability>,
    pub not_after: UnixSeconds,
    /// The token's public key.
    pub token: PeerId,
}

/// What an instance says of itself, signed by its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub name: Name,
    pub instance: PeerId,
}

/// JSON text and a signature over exactly these bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    pub text: String,
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
}

/// Root → token → instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    pub grant: Signed,
    pub claim: Signed,
}

/// A peer whose chain was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub peer: PeerId,
    pub name: Name,
    pub role: Role,
    pub capabilities: BTreeSet<Capability>,
    pub issued: Issued,
}

/// Which token a peer joined with, which root key made it, and until when it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The token's public key.
    pub token: PeerId,
    pub root: PeerId,
    pub not_after: UnixSeconds,
}

/// Why a chain, a token or a signature was not accepted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TrustError {
    #[error("the {0} is not signed by the key it names")]
    BadSignature(&'static str),
    #[error("the {0} cannot be read")]
    Unreadable(&'static str),
    #[error("the grant is for mesh `{theirs}`, this is mesh `{ours}`; use a token of this mesh")]
    OtherMesh { ours: Name, theirs: Name },
    #[error("the grant allows names like `{pattern}`, not `{name}`; invite that name or change it")]
    NameNotGranted { pattern: String, name: Name },
    #[error(
        "token {token} ended {ago_s} s ago by this clock; ask for a new one: `meshproof mesh invite`, or compare the clocks"
    )]
    Expired { token: String, ago_s: u64 },
    #[error("token {token} was revoked (list {list}); ask for a new one: `meshproof mesh invite`")]
    Revoked { token: String, list: u64 },
    #[error(
        "root key {root}, which made the token, was revoked (list {list}); ask for a new token: `meshproof mesh invite`"
    )]
    RootRevoked { root: String, list: u64 },
    #[error("these news are of another line of root keys; take tokens and servers of one mesh")]
    OtherLine,
    #[error("a line of {0} root keys; {limit} at most are followed, begin a new mesh", limit = limits::ROOTS)]
    TooManyRoots(usize),
    #[error("{0} keys are revoked; a list names {limit} at most, rotate the root key and begin a new list", limit = limits::REVOKED_KEYS)]
    TooManyRevoked(usize),
}

/// A key that signs: of a root, a token or an instance. Made from 32 random bytes, which the caller draws.
#[derive(Clone)]
pub struct Key(SigningKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key(of {:?})", self.public())
    }
}

impl Key {
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// One line of text: `mpr1-` and base32. Secret: whoever has that of a root key makes tokens.
    pub fn to_secret_text(&self) -> String {
        format!("mpr1-{}", BASE32_NOPAD.encode(&self.0.to_bytes()).to_ascii_lowercase())
    }

    /// Reads [`Key::to_secret_text`].
    pub fn from_secret_text(text: &str) -> Result<Self, TrustError> {
        let unreadable = || TrustError::Unreadable("key");
        let encoded = text.trim().strip_prefix("mpr1-").ok_or_else(unreadable)?;
        let bytes = BASE32_NOPAD.decode(encoded.to_ascii_uppercase().as_bytes()).map_err(|_| unreadable())?;
        Ok(Self::from_seed(bytes.try_into().map_err(|_| unreadable())?))
    }

    pub fn public(&self) -> PeerId {
        PeerId(self.0.verifying_key().to_bytes())
    }

    /// Signs bytes under a label, so that a signature for one purpose is none for another.
    pub fn sign(&self, label: &'static str, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(&labelled(label, bytes)).to_bytes().to_vec()
    }
}

/// Checks a signature made by [`Key::sign`]. Small-order keys and malleable signatures are refused (`verify_strict`).
pub fn verify(public: &PeerId, label: &'static str, bytes: &[u8], signature: &[u8]) -> Result<(), TrustError> {
    let refused = TrustError::BadSignature(label);
    let key = VerifyingKey::from_bytes(&public.0).map_err(|_| refused.clone())?;
    let signature = Signature::from_slice(signature).map_err(|_| refused.clone())?;
    key.verify_strict(&labelled(label, bytes), &signature).map_err(|_| refused)
}

fn labelled(label: &'static str, bytes: &[u8]) -> Vec<u8> {
    [b"meshproof 1 ", label.as_bytes(), b"\0", bytes].concat()
}

const GRANT: &str = "grant";
const CLAIM: &str = "claim";

impl Chain {
    /// Checks both signatures, the mesh, the name and the expiry.
    pub fn verify(&self, root: &PeerId, mesh: &Name, now: UnixSeconds) -> Result<Identity, TrustError> {
        verify_once(root, GRANT, self.grant.text.as_bytes(), &self.grant.signature)?;
        let grant: Grant = read(&self.grant, GRANT)?;
        verify_once(&grant.token, CLAIM, self.claim.text.as_bytes(), &self.claim.signature)?;
        let claim: Claim = read(&self.claim, CLAIM)?;
        if grant.mesh != *mesh {
            return Err(TrustError::OtherMesh { ours: mesh.clone(), theirs: grant.mesh });
        }
        if !glob::matches(&grant.names, claim.name.as_str()) {
            return Err(TrustError::NameNotGranted { pattern: grant.names, name: claim.name });
        }
        let issued = Issued { token: grant.token, root: *root, not_after: grant.not_after };
        issued.still_good(now)?;
        Ok(Identity {
            peer: claim.instance,
            name: claim.name,
            role: grant.role,
            capabilities: grant.capabilities,
            issued,
        })
    }
}

impl Issued {
    /// Whether the token has not ended, also by a clock that is a little behind.
    ///
    /// # Errors
    /// It has.
    pub fn still_good(&self, now: UnixSeconds) -> Result<(), TrustError> {
        let Self { token, not_after, .. } = self;
        if now.0 <= not_after.0.saturating_add(limits::CLOCK_SKEW.as_secs()) {
            return Ok(());
        }
        Err(TrustError::Expired { token: token.short(), ago_s: now.0 - not_after.0 })
    }
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(signed: &Signed, what: &'static str) -> Result<T, TrustError> {
    serde_json::from_str(&signed.text).map_err(|_| TrustError::Unreadable(what))
}

#[cfg(test)]
mod tests;
