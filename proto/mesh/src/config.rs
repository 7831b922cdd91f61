//! What a peer needs to join a mesh.

use meshproof_proto::id::Name;
use meshproof_proto::identity::Token;

use crate::proxy::Proxies;
use crate::rtc::RtcConfig;

/// How to join a mesh.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// The mesh's name; the token must be for it.
    pub mesh: Name,
    /// What this peer calls itself; the token must allow it.
    pub name: Name,
    pub token: Token,
    /// Signaling servers, `ws://host:port/mesh`; the peer registers with all of them.
    pub signaling: Vec<String>,
    pub rtc: RtcConfig,
    /// The way to the signaling servers.
    pub proxies: Proxies,
}
