//! Who a peer is, and how others know: root key → token → instance.
//!
//! The root signs a *grant* for a token's key; the token signs a *claim* for the key that an instance made for itself at
//! start. Both together are a [`Chain`], checked offline by anyone who knows the root's public key. No secret travels.

use std::collections::BTreeSet;

use data_encoding::BASE32_NOPAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::{Codec, base64_bytes};
use crate::id::{Name, PeerId};
use crate::limits;
use crate::trust::RootNews;

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
    pub not_after: UnixSeconds,
    pub issued: Issued,
}

/// Which token a peer joined with, and which root key made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The token's public key.
    pub token: PeerId,
    pub root: PeerId,
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
    #[error("the grant ended {ago_s} s ago by this clock; make a new token, or compare the clocks")]
    Expired { ago_s: u64 },
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

/// What its holder needs to join a mesh: the token's key and the grant for it. Secret.
#[derive(Clone, Debug)]
pub struct Token {
    pub key: Key,
    pub grant: Signed,
    pub root: PeerId,
    /// What the root has said until then.
    pub news: RootNews,
    /// Where the mesh is found: `wss://host:port/mesh`. Known to whoever made the token, or empty.
    pub signaling: Vec<String>,
}

impl Token {
    /// Makes a token: the root signs a grant for a fresh key.
    pub fn issue(root: &Key, seed: [u8; 32], grant: impl FnOnce(PeerId) -> Grant) -> Self {
        let key = Key::from_seed(seed);
        let text = serde_json::to_string(&grant(key.public())).expect("a grant is plain data");
        let signature = root.sign(GRANT, text.as_bytes());
        let (news, signaling) = (RootNews::default(), Vec::new());
        Self { key, grant: Signed { text, signature }, root: root.public(), news, signaling }
    }

    /// The chain of an instance that calls itself `name`.
    pub fn claim(&self, name: &Name, instance: PeerId) -> Chain {
        let claim = Claim { name: name.clone(), instance };
        let text = serde_json::to_string(&claim).expect("a claim is plain data");
        let signature = self.key.sign(CLAIM, text.as_bytes());
        Chain { grant: self.grant.clone(), claim: Signed { text, signature } }
    }

    /// One line of text: `mpt1-` and base32, `mpt2-` when it says more than key and grant. Whoever reads it can join.
    pub fn to_text(&self) -> String {
        let key = (self.key.0.to_bytes(), &self.grant, self.root);
        let (version, bytes) = if self.news.is_empty() && self.signaling.is_empty() {
            ("mpt1", Codec::Bincode.encode(&key))
        } else {
            ("mpt2", Codec::Bincode.encode(&(key, &self.news, &self.signaling)))
        };
        format!("{version}-{}", BASE32_NOPAD.encode(&bytes.expect("a token is small")).to_ascii_lowercase())
    }

    /// Reads [`Token::to_text`]: alone, in lines that begin with `#`, or as `MESHPROOF_TOKEN=` in an environment file.
    pub fn from_text(text: &str) -> Result<Self, TrustError> {
        let unreadable = || TrustError::Unreadable("token");
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut tokens = lines.filter_map(|line| {
            let bare = line.strip_prefix("export ").unwrap_or(line);
            let bare = bare.strip_prefix("MESHPROOF_TOKEN=").unwrap_or(bare).trim_matches(['"', '\'']);
            bare.split_once('-').filter(|(version, _)| matches!(*version, "mpt1" | "mpt2"))
        });
        let (version, encoded) = tokens.next().ok_or_else(unreadable)?;
        // which of two?
        if tokens.next().is_some() {
            return Err(unreadable());
        }
        let bytes = BASE32_NOPAD.decode(encoded.to_ascii_uppercase().as_bytes()).map_err(|_| unreadable())?;
        let ((seed, grant, root), news, signaling) = match version {
            "mpt1" => Codec::Bincode.decode(&bytes).map(|key| (key, RootNews::default(), Vec::new())),
            _ => Codec::Bincode.decode(&bytes),
        }
        .map_err(|_| unreadable())?;
        Ok(Self { key: Key::from_seed(seed), grant, root, news, signaling })
    }

    /// What the token allows, unverified: for messages and defaults.
    pub fn granted(&self) -> Result<Grant, TrustError> {
        read(&self.grant, GRANT)
    }

    /// The mesh this token is for, unverified: for messages and defaults.
    pub fn mesh(&self) -> Result<Name, TrustError> {
        self.granted().map(|grant| grant.mesh)
    }
}

impl Chain {
    /// Checks both signatures, the mesh, the name and the expiry.
    pub fn verify(&self, root: &PeerId, mesh: &Name, now: UnixSeconds) -> Result<Identity, TrustError> {
        verify(root, GRANT, self.grant.text.as_bytes(), &self.grant.signature)?;
        let grant: Grant = read(&self.grant, GRANT)?;
        verify(&grant.token, CLAIM, self.claim.text.as_bytes(), &self.claim.signature)?;
        let claim: Claim = read(&self.claim, CLAIM)?;
        if grant.mesh != *mesh {
            return Err(TrustError::OtherMesh { ours: mesh.clone(), theirs: grant.mesh });
        }
        if !glob(&grant.names, claim.name.as_str()) {
            return Err(TrustError::NameNotGranted { pattern: grant.names, name: claim.name });
        }
        if let Some(ago_s) =
            now.0.checked_sub(grant.not_after.0.saturating_add(limits::CLOCK_SKEW.as_secs())).filter(|ago| *ago > 0)
        {
            return Err(TrustError::Expired { ago_s });
        }
        Ok(Identity {
            peer: claim.instance,
            name: claim.name,
            role: grant.role,
            capabilities: grant.capabilities,
            not_after: grant.not_after,
            issued: Issued { token: grant.token, root: *root },
        })
    }
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(signed: &Signed, what: &'static str) -> Result<T, TrustError> {
    serde_json::from_str(&signed.text).map_err(|_| TrustError::Unreadable(what))
}

/// `*` matches any run of characters, everything else itself.
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut open = false;
    let mut last = "";
    for part in parts {
        open = true;
        last = part;
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    if open { text.len() >= first.len() + last.len() && text.ends_with(last) } else { rest.is_empty() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a good name")
    }

    fn token(root: &Key, pattern: &str) -> Token {
        Token::issue(root, [2; 32], |token| Grant {
            mesh: name("dev"),
            names: pattern.to_owned(),
            role: Role::Agent,
            capabilities: Capability::ALL.into(),
            not_after: UnixSeconds(1_000),
            token,
        })
    }

    #[test]
    fn a_chain_is_checked_offline_against_the_root() {
        let root = Key::from_seed([1; 32]);
        let token = Token::from_text(&token(&root, "shop*").to_text()).expect("its own text");
        let instance = Key::from_seed([3; 32]).public();
        let chain = token.claim(&name("shop-1"), instance);
        let identity = chain.verify(&root.public(), &name("dev"), UnixSeconds(900)).expect("all in order");
        assert_eq!((identity.peer, identity.role), (instance, Role::Agent));

        let other_root = Key::from_seed([9; 32]).public();
        assert_eq!(chain.verify(&other_root, &name("dev"), UnixSeconds(900)), Err(TrustError::BadSignature(GRANT)));
        assert!(matches!(
            chain.verify(&root.public(), &name("prod"), UnixSeconds(900)),
            Err(TrustError::OtherMesh { .. })
        ));
        assert_eq!(
            chain.verify(&root.public(), &name("dev"), UnixSeconds(1_121)),
            Err(TrustError::Expired { ago_s: 1 })
        );
        let stranger = token.claim(&name("ledger"), instance);
        assert!(matches!(
            stranger.verify(&root.public(), &name("dev"), UnixSeconds(900)),
            Err(TrustError::NameNotGranted { .. })
        ));
    }

    #[test]
    fn a_token_is_read_alone_in_comments_and_in_an_environment_file_and_keeps_what_it_says() {
        let root = Key::from_seed([1; 32]);
        let mut token = token(&root, "shop*");
        assert!(token.to_text().starts_with("mpt1-"));
        token.signaling = vec!["wss://mesh.example/mesh".to_owned()];
        let text = token.to_text();
        assert!(text.starts_with("mpt2-"));
        for file in [
            text.clone(),
            format!("# of mesh dev\n\n{text}\n"),
            format!("A=b\nMESHPROOF_TOKEN={text}\n"),
            format!("export MESHPROOF_TOKEN=\"{text}\"\n"),
        ] {
            let back = Token::from_text(&file).expect("a token");
            assert_eq!((back.to_text(), &back.signaling), (text.clone(), &token.signaling), "{file}");
        }
        for file in ["", "# nothing", "mpt9-aa", &format!("{text}\n{text}"), &text[..40]] {
            assert_eq!(Token::from_text(file).map(|_| ()), Err(TrustError::Unreadable("token")), "{file}");
        }
    }

    #[test]
    fn a_changed_claim_breaks_the_chain() {
        let root = Key::from_seed([1; 32]);
        let mut chain = token(&root, "*").claim(&name("shop"), Key::from_seed([3; 32]).public());
        chain.claim.text = chain.claim.text.replace("shop", "shep");
        assert_eq!(chain.verify(&root.public(), &name("dev"), UnixSeconds(900)), Err(TrustError::BadSignature(CLAIM)));
    }

    #[test]
    fn globs_match_whole_names() {
        for (pattern, text, expected) in [
            ("*", "anything", true),
            ("shop", "shop", true),
            ("shop", "shop2", false),
            ("shop*", "shop2", true),
            ("*-eu", "shop-eu", true),
            ("*-eu", "shop-eu2", false),
            ("a*b", "ab", true),
            ("ab*b", "ab", false),
            ("a*b*c", "axxbyyc", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
