//! The server from outside: real sockets, real processes.

mod common;
mod floods;
mod introductions;
mod process;
mod refusals;
