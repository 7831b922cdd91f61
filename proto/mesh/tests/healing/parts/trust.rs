//! One root key for every scenario; a scenario's network is its own, so nobody else is there to be mistaken for.

use std::net::IpAddr;

use meshproof_mesh::MeshConfig;
use meshproof_mesh::proxy::Proxies;
use meshproof_mesh::rtc::RtcConfig;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Capability, Grant, Key, Role, Token, UnixSeconds};

pub const MESH: &str = "dev";

pub fn name(text: &str) -> Name {
    text.parse().expect("a good name")
}

fn root() -> Key {
    Key::from_seed([1; 32])
}

pub fn root_id() -> PeerId {
    root().public()
}

/// How this peer joins. Without addresses it uses those that its namespace has, and follows their changes.
pub fn config(who: &str, signaling: String, addresses: Vec<IpAddr>) -> MeshConfig {
    let token = Token::issue(&root(), [2; 32], |token| Grant {
        mesh: name(MESH),
        names: who.to_owned(),
        role: Role::Agent,
        capabilities: Capability::ALL.into(),
        not_after: UnixSeconds(u64::MAX / 2),
        token,
    });
    MeshConfig {
        mesh: name(MESH),
        name: name(who),
        token,
        signaling: vec![signaling],
        rtc: RtcConfig { addresses, ..RtcConfig::default() },
        proxies: Proxies::default(),
    }
}
