//! What a person runs: the plan language, the run of a plan, the environment it runs in, and everything a person sees of it.
//!
//! `plan` reads a plan, and `beside` the files that it names, `run` decides what happens, `coordinator` makes it happen over the mesh, `local` and `keeper` are the
//! environment on this machine, `cluster` the one in a Kubernetes cluster, `journal` keeps what happened, `progress` and `report` show it, `history` knows the runs that were, `commits` tests commit by commit, each in a run, `attach` follows one that goes on, `memory` has agents remember a run so that another orchestrator can go on with it. `console` looks at the mesh of a
//! run that goes on, and `web` is the console that a browser opens. Nothing here knows stubs or proxies, and only `local` and the keeper behind it know processes.

pub mod attach;
pub mod beside;
pub mod chat;
pub mod cli;
pub mod cluster;
pub mod commits;
pub mod console;
pub mod coordinator;
pub mod doctor;
mod figures;
pub mod history;
pub mod import;
pub mod inject;
pub mod journal;
pub mod keeper;
pub mod library;
pub mod local;
pub mod membership;
pub mod memory;
pub mod mesh_file;
pub mod plan;
pub mod progress;
pub mod record;
pub mod report;
pub mod run;
mod say;
mod traces;
pub mod web;

/// The examples in Rust of the reference compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/plan-language.md")]
struct Reference;
