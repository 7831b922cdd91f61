//! Runs played through: a script answers what the machine asks.

mod ahead;
mod conduct;
mod everywhere;
mod faults;
mod losses;
mod ordinary;
mod property;
mod respawned;
mod stalling;
mod steering;
mod watched;
pub(crate) mod world;
