//! Connections whose datagrams a real signaling server carries: at the level of one connection, over real sockets.

mod common;
mod connections;
mod proxies;
mod refusals;
