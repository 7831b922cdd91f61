//! What a run's orchestrator has the agents remember, so that another one can go on where it stopped.
//!
//! The machine of a run is pure: the same inputs at the same times make the same run. So it is its inputs that are remembered
//! ([`Remembered`]): facts by agent and number, for the agents have them anyway; everything else in full. They are written as numbered
//! pieces ([`Log`]), and what more than half of the names that keep them ([`keepers()`]) have stored is *kept*.
//!
//! What the machine wants done is done once everything that it was decided from is kept ([`Conducted`]). Steps alone wait for no fact: facts
//! come again from their agents and lead to the same orders, and agents execute each key once. So decisions by time and by what happened
//! beside the agents (processes that ended, people, what was refused) are never taken twice and differently, what is done to processes
//! is known to whoever goes on, and a step costs nothing.
//!
//! Whoever goes on ([`rebuild`]) feeds a fresh machine with what was kept. It is then where the other one was, or a few facts behind;
//! these follow, each once the order that led to it has been given. What had been asked for and has no answer is asked for again. Which
//! instance has which name is held against the instances that are there ([`Hands`]).
//!
//! Who that is among several who would is decided by the promises of the names ([`Candidate`]).
//!
//! Here is nothing but decisions: no clock, no file, no call.

mod candidate;
mod conducted;
mod hands;
mod keepers;
mod log;
mod outstanding;
mod rebuilt;
mod record;

pub use candidate::{Asked, Candidate, Next, Wish, is_nobodys};
pub use conducted::Conducted;
pub use hands::{Hands, Present};
pub use keepers::{KEEPERS, Votes, keepers, majority};
pub use log::Log;
pub use outstanding::Outstanding;
pub use rebuilt::{Deeds, Events, Late, Moment, NotRebuilt, Rebuilt, Recollected, Recollection, Told, rebuild};
pub use record::{Began, Given, Ready, Remembered, Unreadable};
