//! The server from outside: real sockets, real processes.

mod common;
mod introductions;
mod process;
mod refusals;
