//! Runs played through: a script answers what the machine asks.

mod faults;
mod losses;
mod ordinary;
mod property;
pub(crate) mod world;
