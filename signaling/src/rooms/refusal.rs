//! Why the server does not serve a peer, in words that say what to do.

use std::time::Duration;

use meshproof_proto::id::Name;
use meshproof_proto::identity::TrustError;
use meshproof_proto::limits::{PEERS_PER_MESH, SIGNAL_BYTES};
use meshproof_proto::version::{PROTOCOL, Version};
use thiserror::Error;

use crate::limits;

/// The text travels to the peer as `refused`; the socket closes behind it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    #[error("the peer speaks protocol {theirs}, the signaling server {ours}; upgrade the {older}", ours = PROTOCOL, older = older(*theirs))]
    Version { theirs: Version },
    #[error(
        "mesh `{0}` is not served here; check mesh and signaling URL, or start the server with --mesh {0}=ROOT-KEY"
    )]
    UnknownMesh(Name),
    #[error(
        "{error} (mesh `{mesh}`); use a token of the root key that the signaling server has for it, or correct the server's --mesh"
    )]
    NotOfThisRoot { mesh: Name, error: TrustError },
    #[error(transparent)]
    Trust(TrustError),
    #[error("the proof is not the instance key's signature over this socket's challenge; sign the newest nonce")]
    BadProof,
    #[error("a chain of {0} bytes is over the limit of {limit}; shorten the grant or the claim", limit = limits::CHAIN_BYTES)]
    ChainTooLarge(usize),
    #[error(
        "mesh `{0}` is full: {PEERS_PER_MESH} peers, or as many as fit into a roster; end some or use another server"
    )]
    Full(Name),
    #[error("signals are carried for registered peers only; register first")]
    NotRegistered,
    #[error("this socket is registered already; open another one to register again")]
    AlreadyRegistered,
    #[error("nobody registered within {after:?}; answer the challenge at once")]
    Late { after: Duration },
    #[error("a signal of {0} bytes is over the limit of {SIGNAL_BYTES}; send fewer candidates")]
    SignalTooLarge(usize),
    #[error("not a message of protocol {PROTOCOL}: {0}")]
    Unreadable(String),
}

fn older(theirs: Version) -> &'static str {
    if theirs < PROTOCOL { "peer" } else { "server" }
}
