//! Small real services that meshproof's sample plans test: a shop that takes orders over HTTP, charges a payment
//! provider and tells a ledger, that ledger, which speaks lines over TCP, and a moody one, which does what a service should not.
//!
//! They know nothing of meshproof: no code of it, no agent, no mesh. Everything they do they say on stdout, one fact a line
//! behind a time stamp, so that what a run claims can be checked against what the services saw.

pub mod facts;
pub mod hostile;
pub mod http_client;
pub mod http_server;
pub mod ledger;
pub mod limits;
pub mod moody;
pub mod net;
pub mod settings;
pub mod shop;
pub mod slots;
