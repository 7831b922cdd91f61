//! What a peer needs to join a mesh.

use meshproof_proto::id::Name;
use meshproof_proto::identity::Token;

use crate::proxy::Proxies;
use crate::rtc::RtcConfig;
use crate::tls::Authorities;

/// How to join a mesh.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// The mesh's name; the token must be for it.
    pub mesh: Name,
    /// What this peer calls itself; the token must allow it.
    pub name: Name,
    pub token: Token,
    /// Signaling servers, `wss://host:port/mesh` or `ws://`; the peer registers with all of them.
    pub signaling: Vec<String>,
    pub rtc: RtcConfig,
    /// The way to the signaling servers.
    pub proxies: Proxies,
    /// Who says that they are theirs, for `wss`.
    pub authorities: Authorities,
}
