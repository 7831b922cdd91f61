//! Tokens, and how they are written down.

use data_encoding::BASE32_NOPAD;

use super::{CLAIM, Chain, Claim, GRANT, Grant, Key, Signed, TrustError, read, verify};
use crate::codec::Codec;
use crate::id::{Name, PeerId};
use crate::trust::RootNews;

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

    /// Whether it is as its root made it. Whether that root is a mesh's is for others to say.
    ///
    /// # Errors
    /// Somebody changed what it allows.
    pub fn check(&self) -> Result<(), TrustError> {
        verify(&self.root, GRANT, self.grant.text.as_bytes(), &self.grant.signature)?;
        self.granted().map(drop)
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
