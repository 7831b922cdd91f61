//! Everything meshproof's peers agree on, and every decision that needs no world to be made.
//!
//! What lives here is pure: ids, limits, wire types and their codec, identity, step orders, expressions and matchers, events,
//! verdicts, and the machines that decide (link, stream flow, shaper). Never sockets, tasks, clocks, randomness or files:
//! time and seeds are arguments.

pub mod allowance;
pub mod backoff;
pub mod bench;
pub mod blob;
pub mod codec;
pub mod epoch;
pub mod event;
pub mod expr;
pub mod flow;
pub mod frame;
pub mod glob;
pub mod grpc;
pub mod header;
pub mod hello;
pub mod histogram;
pub mod ice;
pub mod id;
pub mod identity;
pub mod labels;
pub mod limits;
pub mod link;
pub mod links;
pub mod mask;
pub mod matcher;
pub mod memory;
mod nesting;
pub mod order;
pub mod rendezvous;
#[cfg(feature = "rpc")]
pub mod rpc;
pub mod secrets;
pub mod seed;
pub mod shaper;
pub mod signal;
pub mod stat;
pub mod stub;
pub mod sync;
pub mod trace;
pub mod trust;
pub mod units;
pub mod verdict;
pub mod version;
pub mod ways;
