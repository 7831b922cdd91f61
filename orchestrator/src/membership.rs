//! Who may join a mesh: its root key, the tokens made with it, and what is said of them later.
//!
//! Everything is in one folder ([`RootFolder`]) that only its owner can read; the signaling servers and peers of the mesh know the
//! public key alone. Nothing secret is ever an argument: keys and tokens come from files or stdin.

mod error;
mod folder;
mod invite;
mod join;
mod limits;
mod publish;

pub use error::MembershipError;
pub use folder::{Issued, RootFolder};
pub use invite::{Wish, usual};
pub use join::{Joining, join, name_for, name_of};
pub use limits::TOKEN_DAYS;
pub use publish::{Origin, Told, publish};
