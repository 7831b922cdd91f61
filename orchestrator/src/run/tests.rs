//! Runs played through: a script answers what the machine asks.

mod ahead;
mod churning;
mod conduct;
mod drawing;
mod everywhere;
mod faults;
mod losses;
mod members;
mod ordinary;
mod programs;
mod property;
mod respawned;
mod spreading;
mod stalling;
mod steering;
mod watched;
pub(crate) mod world;
