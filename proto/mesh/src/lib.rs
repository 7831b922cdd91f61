//! Joining a mesh: signaling client, WebRTC connections, links that outlive them, byte streams, tarpc transport.
//!
//! Nothing here knows plans, steps or reports. What decides is pure and lives in `meshproof-proto`; this crate is the shell
//! with sockets, tasks and clocks. Only `rtc` names the WebRTC crates.

pub mod addresses;
mod api;
pub mod blobs;
mod carrier;
mod config;
mod context;
mod datagrams;
mod limits;
mod link;
mod mesh;
mod node;
mod past;
pub mod proxy;
mod reach;
pub mod relay;
pub mod rpc;
pub mod rtc;
mod signaling;
mod streams;
pub mod tls;
pub mod token_file;
mod udp;

pub use api::{LinkChange, LinkInfo, LinkUp, Loss, MeshEvent, NoLink, Turn};
pub use config::MeshConfig;
pub use datagrams::Datagram;
pub use mesh::{JoinError, Mesh};
pub use rpc::RpcPort;
pub use signaling::Passage;
pub use streams::ByteStream;
