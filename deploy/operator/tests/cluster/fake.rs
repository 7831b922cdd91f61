//! An API server in this process, under the unmodified client: what `kube` asks is answered as the documentation says.
//!
//! It knows any kind, and of each what its behaviour depends on: whether it is in a namespace, and whether it has a status
//! subresource. What it leaves out: validation and defaults, versions of kinds, lists that are merged by key (an applied list replaces the
//! one before). Who is no service account may do everything. Every behaviour names the page that it follows, and `contract.rs` asks the same of a real server.

mod apply;
mod patch;
mod request;
mod rights;
mod serve;
mod store;
mod watching;

pub use rights::{Right, given};
pub use serve::Fake;
pub use store::Id;
