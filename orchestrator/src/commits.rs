//! Commit by commit: which change broke it.
//!
//! `request` says what is asked for, `template` how a type of project is tested; `repository` and `git` know the commits;
//! `search`, which is pure, says which of them to test next; `session` has each tested in a `workspace` of its own by a run of its own
//! (`attempt`, whose plan is `check.yaml`); `results` is what came of it, and `report` what people and programs read of that.
//! Never here: processes other than git, the mesh. Both are a run's.

pub mod attempt;
mod course;
pub mod elsewhere;
pub mod git;
pub mod kept;
pub mod limits;
pub mod past;
pub mod report;
pub mod repository;
pub mod request;
pub mod results;
pub mod search;
mod served;
mod session;
pub mod template;
mod workspace;

pub use session::{News, run};
