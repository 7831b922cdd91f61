//! Many calls beside one service, from one agent or from several together.
//!
//! The agent of the step leads. It and each helper make a share of the calls on a thread of their own, so that what the mesh and the
//! run need is not held up. Helpers say that they are ready, begin when they are told to, and tell what came of their part; the leader
//! adds the parts up and judges them. What is kept of a call is a count in a histogram: a load of an hour takes the memory of one of
//! a second. A helper that is gone makes the load an error, for nobody knows what its part came to.
//!
//! How long a call took counts, in the open model, from when it was due: that it had to wait for others is what its user would feel.

mod generator;
mod judge;
mod tally;
mod together;

#[cfg(test)]
mod tests;

pub(crate) use generator::Under;
pub(crate) use together::{Helper, help, lead};
