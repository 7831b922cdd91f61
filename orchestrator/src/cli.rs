//! The command tree. Each command is a few lines that call the module of its name.

#![deny(clippy::print_stdout, clippy::print_stderr)] // `say` prints, which bears that nobody reads

mod attach;
mod bench;
mod chat;
mod check;
mod clean;
mod cluster;
mod commits;
mod completions;
mod doctor;
mod front;
mod given;
mod here;
mod history;
mod import;
mod init;
mod inject;
mod limits;
mod links;
mod membership;
mod mesh;
mod report;
mod run;
mod schema;
mod show;
mod stubs;
mod web;
mod who;

use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use clap::{Parser, Subcommand};
use meshproof_proto::verdict::Exit;
use rustix::process::Signal;

use crate::say;

/// Integration testing of distributed systems from inside: one plan, one binary, one verdict.
#[derive(Debug, Parser)]
#[command(
    name = "meshproof",
    version,
    about,
    max_term_width = 100,
    before_help = "Examples:\n  meshproof init && meshproof run plan.yaml    a small plan, and its verdict\n  \
    meshproof check plan.yaml                    all that is wrong with a plan; nothing is started\n  \
    meshproof chat                               with the agents of a run that goes on\n  \
    meshproof report                             a page about the last run",
    after_help = "Exit codes: 0 pass or done, 1 a check failed, 2 usage, or there is no such run, 3 invalid plan, 4 nothing selected,\n\
    5 mesh or tool failure, 6 a load missed its expectation, 7 flaky, 8 deadline, 9 a fault could not be confirmed as healed,\n\
    70 bug, 130 Ctrl-C, 143 SIGTERM. `meshproof COMMAND --help` says which a command has."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Of commands that do one small thing.
const ONLY_USAGE: &str = "Exit codes: 0 done, 2 usage.";

/// Of the processes behind a run.
const SERVED: &str = "Exit codes: 0 stopped by SIGTERM or Ctrl-C, 2 usage, 5 it could not begin.";

/// Of commands that read a run that is named.
const READ: &str = "Exit codes: 0 done, 2 usage, or there is no such run, 5 its journal cannot be read.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a plan and exit with its verdict.
    Run(Box<run::Args>),
    /// Build and test commits, each in a folder of its own.
    Commits(Box<commits::CommitsArgs>),
    /// Find the commit that broke it.
    Bisect(Box<commits::BisectArgs>),
    /// Say everything that is wrong with a plan; start nothing.
    Check(check::Args),
    /// Write a small plan that passes, to begin with.
    Init(init::Args),
    /// Make a plan of commits from the config.json of backend.im.
    Import(import::Args),
    /// Put an agent beside the containers of a Kubernetes workload: its manifest with one sidecar more.
    Inject(inject::Args),
    /// Print the JSON Schema of plans, for editors.
    #[command(before_help = "Examples:\n  meshproof schema > plan.schema.json", after_help = ONLY_USAGE)]
    Schema,
    /// Explain a diagnostic's code: `meshproof explain MP0107`.
    #[command(
        before_help = "Examples:\n  meshproof explain MP0107",
        after_help = "Exit codes: 0 done, 2 there is no such code."
    )]
    Explain { code: String },
    /// Make a mesh of your own, let others in, and take it back.
    #[command(subcommand)]
    Mesh(membership::Command),
    /// Follow a run that goes on, from its beginning, and exit with its code.
    Attach(attach::Args),
    /// Show a run: what it came to, or what each of its agents holds of it.
    Show(show::Args),
    /// Talk with the agents of a run that goes on, and with the other people there.
    Chat(chat::Args),
    /// Serve a page that joins the mesh of a run from a browser: topology, lanes, feed, chat.
    Web(web::Args),
    /// Show who is in the mesh of a run that goes on.
    Who(who::Args),
    /// Show its links: state, path, round trip, throughput, and why it last changed.
    Links(links::Args),
    /// Show what its stubs were called for and whether they answer; make one forget.
    Stubs(stubs::Args),
    /// Measure the link of two agents: round trips, and bytes each way.
    Bench(bench::Args),
    /// List the runs that were, what each came to, and which tests are flaky.
    Runs(history::RunsArgs),
    /// Show what the services of a run logged.
    Logs(history::LogsArgs),
    /// Make a report of a run: a page, JUnit, Markdown, JSON, or a trace for Perfetto.
    Report(report::ReportArgs),
    /// Hold two runs of a plan against each other.
    Diff(report::DiffArgs),
    /// Run again what was run, with the same arguments and seed; --failed: only what did not pass.
    Rerun(history::RerunArgs),
    /// End and remove what runs have left of which everything was killed at once.
    Clean(clean::Args),
    /// Say what this machine can do for a run, and what is missing for what.
    Doctor(doctor::Args),
    /// Print what a shell needs to complete commands.
    Completions(completions::CompletionsArgs),
    /// Write the manual pages.
    Man(completions::ManArgs),
    /// Act for one service; what runs beside it.
    #[command(
        before_help = "Examples:\n  meshproof agent --token-file shop.token --service http=127.0.0.1:8080",
        after_help = SERVED
    )]
    Agent(Box<meshproof_agent::cli::Args>),
    /// Introduce the peers of a mesh to each other.
    #[command(
        before_help = "Examples:\n  meshproof signaling --listen 127.0.0.1:7447 --mesh dev=KEY    as `meshproof mesh new` says it",
        after_help = SERVED
    )]
    Signaling(meshproof_signaling::cli::Args),
    /// Keep a local environment alive; started by `run`.
    #[command(hide = true)]
    Keep(crate::keeper::Args),
    /// Be a program that ends with whoever started it; started by `run`.
    #[command(hide = true)]
    Follow(crate::keeper::Follower),
}

impl Command {
    /// Whether it is about one run, and leaves open which.
    fn names_no_run(&self) -> bool {
        match self {
            Self::Attach(args) => args.run.is_none(),
            Self::Show(args) => args.run.is_none(),
            Self::Report(args) => args.run.is_none(),
            _ => false,
        }
    }

    /// Whether it shows a mesh and its run, and does nothing else.
    fn only_looks(&self) -> bool {
        match self {
            Self::Schema | Self::Explain { .. } | Self::Show(_) | Self::Who(_) | Self::Links(_) => true,
            Self::Attach(args) => args.only_looks(),
            Self::Stubs(args) => args.only_looks(),
            // files and runs of this machine are not the mesh's
            Self::Check(_)
            | Self::Runs(_)
            | Self::Logs(_)
            | Self::Report(_)
            | Self::Diff(_)
            | Self::Doctor(_)
            | Self::Run(_)
            | Self::Commits(_)
            | Self::Bisect(_)
            | Self::Init(_)
            | Self::Import(_)
            | Self::Inject(_)
            | Self::Mesh(_)
            | Self::Chat(_)
            | Self::Web(_)
            | Self::Bench(_)
            | Self::Rerun(_)
            | Self::Clean(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Agent(_)
            | Self::Signaling(_)
            | Self::Keep(_)
            | Self::Follow(_) => false,
        }
    }
}

/// Parses the command line, runs the command, and gives the exit code. A bug of ours (a panic) exits with 70.
pub fn main() -> ExitCode {
    completions::answer_a_shell();
    meshproof_agent::own_log::mask_panics();
    let cli = Cli::parse();
    match std::panic::catch_unwind(|| dispatch(cli.command)) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(_) => ExitCode::from(Exit::Bug.code()),
    }
}

fn dispatch(command: Command) -> Exit {
    match command {
        Command::Run(args) => run::run(*args),
        Command::Commits(args) => commits::commits(*args),
        Command::Bisect(args) => commits::bisect(*args),
        Command::Check(args) => check::check(&args),
        Command::Init(args) => init::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Inject(args) => inject::run(&args),
        Command::Schema => schema::run(),
        Command::Explain { code } => check::explain(&code),
        Command::Mesh(command) => membership::run(command),
        Command::Attach(args) => attach::run(&args),
        Command::Show(args) => show::run(args),
        Command::Chat(args) => chat::run(args),
        Command::Web(args) => web::run(args),
        Command::Who(args) => who::run(&args),
        Command::Links(args) => links::run(&args),
        Command::Stubs(args) => stubs::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Runs(args) => history::runs(&args),
        Command::Logs(args) => history::logs(&args),
        Command::Report(args) => report::report(&args),
        Command::Diff(args) => report::diff(&args),
        Command::Rerun(args) => history::rerun(&args),
        Command::Clean(args) => clean::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => completions::man(&args),
        Command::Agent(args) => serve(Threads::Two, meshproof_agent::cli::run(*args)),
        Command::Signaling(args) => serve(Threads::One, meshproof_signaling::cli::run(args)),
        Command::Keep(args) => serve(Threads::One, crate::keeper::run(args)),
        Command::Follow(follower) => {
            say::note(format_args!("meshproof: {}", follower.become_it()));
            Exit::MeshFailed
        }
    }
}

/// The parameters among what stood behind `meshproof run`.
fn params_of(arguments: &[String]) -> std::collections::BTreeMap<String, String> {
    let line = ["meshproof", "run"].map(str::to_owned).into_iter().chain(arguments.iter().cloned());
    match Cli::try_parse_from(line) {
        Ok(Cli { command: Command::Run(args) }) => args.params(),
        Ok(_) | Err(_) => std::collections::BTreeMap::new(),
    }
}

/// How many threads a runtime gets.
#[derive(Clone, Copy)]
enum Threads {
    One,
    Two,
}

/// Runs one of the processes behind a run.
fn serve(threads: Threads, service: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> Exit {
    log_to_stderr();
    if let Err(error) = crate::keeper::die_with_parent() {
        tracing::error!(%error, "cannot tie this process to its parent");
        return Exit::MeshFailed;
    }
    match on_a_worker(threads, service) {
        Ok(()) => Exit::Passed,
        Err(error) => {
            say::note(format_args!("meshproof: {error:#}"));
            Exit::MeshFailed
        }
    }
}

/// What one of our commands came to, by its process; a signal that it had no handler for yet ends it as its handler would have.
fn exit_of(status: ExitStatus) -> Option<Exit> {
    match status.signal() {
        Some(number) if number == Signal::INT.as_raw() => Some(Exit::Interrupted),
        Some(number) if number == Signal::TERM.as_raw() => Some(Exit::Terminated),
        _ => u8::try_from(status.code()?).ok().and_then(Exit::from_code),
    }
}

/// Runs this as one task among the others: from the thread of `main`, each word with a task would wake another thread.
fn on_a_worker<T: Send + 'static>(threads: Threads, work: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = runtime(threads);
    match runtime.block_on(runtime.spawn(work)) {
        Ok(done) => done,
        // it is not cancelled while the runtime lives
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

fn runtime(threads: Threads) -> tokio::runtime::Runtime {
    let mut builder = match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::Two => tokio::runtime::Builder::new_multi_thread(),
    };
    // whoever starts many of us may want fewer
    if matches!(threads, Threads::Two) && std::env::var_os(crate::keeper::WORKER_THREADS).is_none() {
        builder.worker_threads(2);
    }
    builder.enable_all().build().expect("the operating system gives threads and timers")
}

/// Logs for whoever operates the process; `MESHPROOF_LOG` sets the level (`warn`, or `meshproof_mesh=debug`). A call that is
/// not answered in time is an error to tarpc and an ordinary thing to us, who repeat it. That an agent has joined is told wherever it is.
fn log_to_stderr() {
    // somebody who starts an agent by hand wants to see what becomes of it
    let agent = if std::io::stderr().is_terminal() { "info" } else { "warn" };
    let usual = format!("warn,meshproof_agent={agent},meshproof_agent::joined=info,webrtc=error,rtc=error,tarpc=off");
    meshproof_agent::own_log::to_stderr_as_named("MESHPROOF_LOG", &usual);
}
