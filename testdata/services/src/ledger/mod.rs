//! The ledger: takes orders as lines over TCP, answers at once, and writes its audit file a little later.

mod book;
mod lines;
mod protocol;
mod run;

pub use run::run;
