//! The shop: takes an order at once, and charges and posts it in the background.

mod api;
mod fulfil;
mod ledger;
mod orders;
mod payments;

pub use api::run;
