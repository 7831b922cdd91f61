//! The binary as people use it: whole runs of the sample plans, with real processes, services and connections.
//!
//! What a run claims is held against what others saw: the services' own logs, packets on the loopback interface, `/proc`.
//! One run of the sample plan is shared by all tests that only look at it ([`sample`]).

mod already;
mod attached;
#[path = "../common/browser.rs"]
#[allow(dead_code, reason = "pages on disk need more of it")]
mod browser;
mod chat;
mod commands;
mod commits;
mod conduct;
mod copies;
mod crashes;
mod detached;
mod disk;
mod drawn;
mod facts;
mod failing;
mod files;
mod health;
mod held;
mod hostile;
mod inherited;
mod journal;
mod kept;
mod lanes;
mod leftovers;
mod looking;
mod mutants;
mod networks;
mod observed;
mod processes;
mod programs;
mod reference;
mod replicas;
mod respawn;
mod sample;
mod scene;
mod screen;
mod secrets;
mod services;
mod session;
mod sniff;
mod sockets;
mod stopping;
mod streams;
mod stubs;
mod takeover;
mod together;
mod traced;
mod verbs;
mod waiting;
mod web;
mod wire;
mod workflow;
mod workspace;
