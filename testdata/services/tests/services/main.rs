//! The two services as processes: what they promise on their sockets, in their files and in their logs.

mod ledger;
mod process;
mod shop;
mod support;
