//! Who may open the page, and as what.
//!
//! A page is let in with a token that is made when the process starts, is worth nothing anywhere else, and ends with it. It stands in
//! the fragment of the URL, which browsers send to nobody. What the mesh lets the page do is another thing: the grant behind
//! the token, of which the process signs a claim for the page's own key; the key of the grant never leaves the process.

use std::path::PathBuf;

use data_encoding::BASE32_NOPAD;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Chain, Role, TrustError};
use sha2::{Digest as _, Sha256};

use crate::mesh_file::MeshFile;

/// A way in: a token, and the grant that a page has with it.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Where the grant stands, for commands that are told of a mesh.
    pub path: PathBuf,
    pub file: MeshFile,
    pub role: Role,
    digest: [u8; 32],
}

impl Pass {
    /// A new token for the grant of this file, and what is known of it from now on.
    ///
    /// # Errors
    /// The grant cannot be read, or is no person's.
    pub fn new(path: PathBuf, file: MeshFile) -> Result<(String, Self), NoPass> {
        let role = file.token.granted()?.role;
        if !matches!(role, Role::OperatorConsole | Role::Observer) {
            return Err(NoPass::Role(role));
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let token = BASE32_NOPAD.encode(&random).to_ascii_lowercase();
        let digest = Sha256::digest(token.as_bytes()).into();
        Ok((token, Self { path, file, role, digest }))
    }

    /// Whether this is its token. Digests are compared, so that the time it takes says nothing of the token.
    pub(super) fn fits(&self, token: &str) -> bool {
        self.digest == <[u8; 32]>::from(Sha256::digest(token.as_bytes()))
    }

    /// The chain of a page that made this key.
    pub(super) fn claim(&self, name: &Name, instance: PeerId) -> Chain {
        self.file.token.claim(name, instance)
    }

    /// Whether whoever comes with it may have commands done that do more than look.
    #[must_use]
    pub fn commands(&self) -> bool {
        self.role == Role::OperatorConsole
    }
}

/// Why nobody can be let in with a mesh file.
#[derive(Debug, thiserror::Error)]
pub enum NoPass {
    #[error(transparent)]
    Token(#[from] TrustError),
    #[error(
        "the token is for an {0}, and a page is for people; make one with `meshproof mesh invite 'console-*' --role operator-console`, or `--role observer`"
    )]
    Role(Role),
    #[error("the operating system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use meshproof_proto::identity::{Grant, Key, Token, UnixSeconds};

    use super::*;

    fn file(role: Role) -> MeshFile {
        let root = Key::from_seed([1; 32]);
        let mesh: Name = "dev".parse().expect("a name");
        let grant = |token| Grant {
            mesh: mesh.clone(),
            names: "console-*".to_owned(),
            role,
            capabilities: BTreeSet::new(),
            not_after: UnixSeconds(u64::MAX / 2),
            token,
        };
        let token = Token::issue(&root, [2; 32], grant);
        let signaling = vec!["ws://127.0.0.1:1/mesh".to_owned()];
        MeshFile { run: None, mesh: mesh.clone(), root: root.public(), signaling, agents: Vec::new(), token, ca: None }
    }

    #[test]
    fn a_token_opens_its_own_pass_and_no_other_and_the_page_gets_a_claim_and_no_key() {
        let (token, pass) = Pass::new(PathBuf::new(), file(Role::Observer)).expect("a person's");
        let (other, operators) = Pass::new(PathBuf::new(), file(Role::OperatorConsole)).expect("a person's");
        assert!(pass.fits(&token) && !pass.fits(&other) && !pass.fits("") && !operators.fits(&token));
        assert!(operators.commands() && !pass.commands());
        let instance = Key::from_seed([3; 32]).public();
        let name = "console-anna".parse().expect("a name");
        let chain = pass.claim(&name, instance);
        let identity = chain.verify(&pass.file.root, &pass.file.mesh, UnixSeconds(0)).expect("it holds");
        assert_eq!((identity.peer, identity.role), (instance, Role::Observer));
        let NoPass::Role(role) = Pass::new(PathBuf::new(), file(Role::Agent)).expect_err("no person's") else {
            panic!("it is the role")
        };
        assert_eq!(role, Role::Agent);
    }
}
