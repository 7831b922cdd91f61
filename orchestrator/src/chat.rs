//! What a line of the chat means, before anybody is asked: pure, so that every line can be tested without a mesh.
//!
//! A line is a command (`/who`), something for agents (`@shop http get /healthz`), about a run (`#last show`), or words for the other
//! people. What is done beside a run is a step of the plan language: the line becomes one, is checked against the plan of the run
//! as any step is, and is what `/save` writes. Commands are those of the command line. So the chat has no language of its own, and
//! nothing here knows sockets, terminals or processes; [`crate::cli`] has the shell around it.

pub mod answers;
pub mod complete;
pub mod disturbance;
pub mod filter;
pub mod flow;
pub mod ground;
pub mod line;
pub mod news;
pub mod notes;
pub mod threads;
pub mod verbs;
