//! The operator's controllers, unmodified, in a cluster of this process: an API server that behaves as the documentation says, scripted
//! kubelets, and virtual time.

mod cluster;
mod contract;
mod fake;
mod figures;
mod process;
mod rights;
mod scenarios;
mod stage;
