//! One root key for every scenario; a scenario's network is its own, so nobody else is there to be mistaken for.

use std::net::IpAddr;

use meshproof_mesh::MeshConfig;
use meshproof_mesh::proxy::Proxies;
use meshproof_mesh::rtc::{IceServer, RtcConfig};
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Capability, Grant, Key, Role, Token, UnixSeconds};

use crate::wire::Ways;

pub const MESH: &str = "dev";

/// Who may use the TURN server.
pub const TURN_USER: &str = "mesh";
pub const TURN_PASSWORD: &str = "secret";

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
pub fn config(who: &str, ways: Ways, addresses: Vec<IpAddr>) -> MeshConfig {
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
        signaling: ways.signaling,
        rtc: RtcConfig { addresses, ice_servers: ways.turn.into_iter().map(turn).collect(), ..RtcConfig::default() },
        authorities: Default::default(),
        proxies: ways.proxy.map_or(Proxies::Direct, |proxy| Proxies::Always(proxy.parse().expect("a good address"))),
    }
}

fn turn(url: String) -> IceServer {
    IceServer { urls: vec![url], username: TURN_USER.to_owned(), credential: TURN_PASSWORD.to_owned() }
}
