//! The web console: a page from this binary that is a peer of the mesh, and what the process behind it does for it.
//!
//! The page makes its own key in the browser, links to the agents over WebRTC and calls them itself. What a page cannot do, or may
//! not because it asks nobody but who served it, the process does, over one socket a tab: it signs the page's claim, carries its
//! signals, reads the run's journal to it, reads its lines with the chat's one parser, and stands in for it where no UDP passes.
//! Nothing here decides what a tab may do: agents do, by the role of its grant; only for commands of this machine
//! it is [`access`](access) that does. Reading of lines comes from [`crate::cli`], which gives it to [`server::serve`].

pub mod access;
pub(crate) mod feed;
mod guard;
mod health;
mod limits;
mod page;
mod passage;
pub mod server;
mod stand_in;
mod tab;
pub mod through;
pub mod wire;
