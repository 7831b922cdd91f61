//! The mesh file (`mesh.toml`): what a console needs to find and join a mesh.
//!
//! `meshproof mesh join` writes one, and a keeper writes one into the folder of its run and removes it with the run. It holds a token, so it is its owner's secret:
//! whoever reads it can look at the mesh.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use meshproof_mesh::proxy::Proxies;
use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::tls::{Authorities, BadAuthorities};
use meshproof_mesh::{MeshConfig, token_file};
use meshproof_proto::id::{Name, PeerId, RunId};
use meshproof_proto::identity::{Role, Token, TrustError};
use serde::Deserialize;
use thiserror::Error;

/// A mesh, as a file says it.
#[derive(Clone, Debug)]
pub struct MeshFile {
    /// The run whose mesh it is, if it is one's.
    pub run: Option<RunId>,
    pub mesh: Name,
    /// The mesh's root key.
    pub root: PeerId,
    /// `ws://host:port/mesh`
    pub signaling: Vec<String>,
    /// The agents that are to be there; there may be others.
    pub agents: Vec<Name>,
    /// A console's or an orchestrator's.
    pub token: Token,
    /// Certificates of the authority that signed the servers', for `wss`, beside those that this machine trusts.
    pub ca: Option<PathBuf>,
}

/// Why a mesh file is none.
#[derive(Debug, Error)]
pub enum MeshFileError {
    #[error("cannot read the mesh file {path}: {cause}")]
    Io { path: PathBuf, cause: std::io::Error },
    #[error(
        "{path}:{line}: {problem}; a mesh file says `mesh`, `root`, `signaling` and `token`, as in one that `meshproof mesh join` writes"
    )]
    Unreadable { path: PathBuf, line: usize, problem: String },
    #[error("{path}: the token is of no use: {cause}; have `meshproof mesh join` write the file")]
    Token { path: PathBuf, cause: TrustError },
    #[error("{path}: `root` is {root}, the token is of {of}; take both from one mesh")]
    OtherRoot { path: PathBuf, root: PeerId, of: PeerId },
    #[error("{path}: `signaling` is empty; at least one `ws://host:port/mesh` was expected")]
    NoSignaling { path: PathBuf },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    run: Option<RunId>,
    mesh: Name,
    root: PeerId,
    signaling: Vec<String>,
    #[serde(default)]
    agents: Vec<Name>,
    token: String,
    ca: Option<PathBuf>,
}

impl MeshFile {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is no mesh file.
    pub fn read(path: &Path) -> Result<Self, MeshFileError> {
        let io = |cause| MeshFileError::Io { path: path.to_owned(), cause };
        token_file::warn_if_loose(path);
        Self::parse(path, &std::fs::read_to_string(path).map_err(io)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, MeshFileError> {
        let path = || path.to_owned();
        let content: Content = toml::from_str(text).map_err(|error| {
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            MeshFileError::Unreadable { path: path(), line, problem: error.message().replace('\n', " ") }
        })?;
        let token = Token::from_text(&content.token).map_err(|cause| MeshFileError::Token { path: path(), cause })?;
        if token.root != content.root {
            return Err(MeshFileError::OtherRoot { path: path(), root: content.root, of: token.root });
        }
        if content.signaling.is_empty() {
            return Err(MeshFileError::NoSignaling { path: path() });
        }
        let Content { run, mesh, root, signaling, agents, ca, .. } = content;
        Ok(Self { run, mesh, root, signaling, agents, token, ca })
    }

    /// How to join the mesh under that name, from these addresses.
    ///
    /// # Errors
    /// The certificates that the file names are of no use.
    pub fn config(&self, name: Name, addresses: Vec<IpAddr>) -> Result<MeshConfig, BadAuthorities> {
        Ok(MeshConfig {
            mesh: self.mesh.clone(),
            name,
            token: self.token.clone(),
            signaling: self.signaling.clone(),
            rtc: RtcConfig { addresses, ..RtcConfig::default() },
            proxies: Proxies::default(),
            authorities: Authorities::named(self.ca.as_deref())?,
        })
    }

    /// The file's text. Nothing in it needs more than plain quotes: names are letters, digits, `-` and `_`, keys are base32, and
    /// a URL with a quote is no URL.
    pub fn text(&self) -> String {
        let list = |items: Vec<String>| {
            let quoted: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
            format!("[{}]", quoted.join(", "))
        };
        let is_orchestrators = self.token.granted().is_ok_and(|grant| grant.role == Role::Orchestrator);
        let mut text = String::from(match is_orchestrators {
            true => "# For `meshproof run --mesh`. Secret: whoever reads the token commands the mesh's agents.\n",
            false => {
                "# For `meshproof links`, `who` and `bench`. Secret: whoever reads the token can look at the mesh.\n"
            }
        });
        // Writing to a String cannot fail.
        if let Some(run) = &self.run {
            let _ = writeln!(text, "run = \"{run}\"");
        }
        let _ = writeln!(text, "mesh = \"{}\"", self.mesh);
        let _ = writeln!(text, "root = \"{}\"", self.root);
        let _ = writeln!(text, "signaling = {}", list(self.signaling.clone()));
        let _ = writeln!(text, "agents = {}", list(self.agents.iter().map(Name::to_string).collect()));
        if let Some(ca) = &self.ca {
            let _ = writeln!(text, "ca = {:?}", ca.display().to_string());
        }
        let _ = writeln!(text, "token = \"{}\"", self.token.to_text());
        text
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::identity::{Capability, Grant, Key, Role, UnixSeconds};

    use super::*;

    fn file() -> MeshFile {
        let root = Key::from_seed([1; 32]);
        let token = Token::issue(&root, [2; 32], |token| Grant {
            mesh: "local".parse().expect("a name"),
            names: "console-*".to_owned(),
            role: Role::OperatorConsole,
            capabilities: Capability::ALL.into(),
            not_after: UnixSeconds(1_000),
            token,
        });
        let names = ["ledger", "shop"].map(|name| name.parse().expect("a name"));
        MeshFile {
            run: Some(RunId("r-1".to_owned())),
            mesh: "local".parse().expect("a name"),
            root: root.public(),
            signaling: vec!["ws://127.0.0.1:1/mesh".to_owned()],
            agents: names.into(),
            token,
            ca: Some("/etc/a \"ca\".pem".into()),
        }
    }

    fn refused(text: &str) -> String {
        MeshFile::parse(Path::new("mesh.toml"), text).expect_err("no mesh file").to_string()
    }

    #[test]
    fn a_mesh_file_survives_its_text() {
        let text = file().text();
        let back = MeshFile::parse(Path::new("mesh.toml"), &text).expect("its own text");
        assert_eq!(back.text(), text);
    }

    #[test]
    fn what_is_no_mesh_file_is_told_with_its_line_and_what_to_do() {
        let good = file().text();
        let unknown = refused(&good.replace("agents", "agent"));
        assert!(unknown.starts_with("mesh.toml:6: unknown field `agent`"), "{unknown}");
        assert!(unknown.ends_with("as in one that `meshproof mesh join` writes"), "{unknown}");
        assert!(refused("mesh = 3\n").starts_with("mesh.toml:1: "));
        assert!(refused("").contains("missing field `mesh`"));
        assert!(refused(&good.replace("mpt1-", "mpt9-")).contains("the token is of no use"));
        // Once: the token may hold the same characters, and would then be of that root too.
        let root = file().root.to_string();
        let other = Key::from_seed([7; 32]).public().to_string();
        assert!(refused(&good.replacen(&root, &other, 1)).contains("take both from one mesh"));
        assert!(refused(&good.replace("\"ws://127.0.0.1:1/mesh\"", "")).contains("`signaling` is empty"));
    }
}
