//! `meshproof run`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::verdict::Exit;

use super::cluster::{ClusterArgs, On};
use super::front::{self, Until};
use super::given::Given;
use super::here::{HereArgs, StandIns};
use super::history::{Keeping, Place};
use super::mesh::{self, LocalAddresses, MeshArgs};
use super::{check, commits};
use crate::console::resolve::Resolved;
use crate::console::{Console, find};
use crate::coordinator::{self, Clustered, Options, Standing};
use crate::memory;
use crate::plan::compiled::commits::Commits;
use crate::plan::{Plan, Selection, Source, Wanted};
use crate::progress::{FailureOutput, Mode, StatusLevel};
use crate::run::{FirstFailure, Flaky};
use crate::say;

/// The arguments of `meshproof run`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof run plan.yaml                          build, start, test, and exit with the verdict\n  \
    meshproof run plan.yaml --test 'order-*' --param slow=2s\n  \
    meshproof run plan.yaml --progress json --out ci-out > records.ndjson\n  \
    meshproof run plan.yaml --detach                 in the background; prints its name, for `meshproof attach`\n  \
    meshproof run plan.yaml --mesh run.toml          in a mesh that is there, beside services that run\n  \
    meshproof run plan.yaml --on podman              in containers, one for each service and one for its agent\n  \
    meshproof run plan.yaml --on kubernetes          in a namespace of its own in the cluster of the kubeconfig"
)]
#[command(
    after_help = "On a terminal, the key d detaches, as --detach does from the beginning: the run goes on, and `meshproof attach` follows it.\n\n\
    Exit codes: 0 pass, 1 a check failed, 2 usage, 3 invalid plan, 4 nothing selected, 5 mesh or tool failure,\n\
    6 a load missed its expectation, 7 flaky, 8 deadline, 9 a fault could not be confirmed as healed, 70 bug, 130 Ctrl-C,\n\
    143 SIGTERM."
)]
pub(super) struct Args {
    /// The plan file.
    plan: PathBuf,
    #[command(flatten)]
    given: Given,
    /// Where reports go: events.jsonl, junit.xml, logs. Default: a folder of the run's own among the kept runs (`meshproof runs`).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    keeping: Keeping,
    /// How to show what happens.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    progress: Mode,
    /// Which steps and tests have a line.
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t)]
    status_level: StatusLevel,
    /// When what is known of a failure is shown.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    failure_output: FailureOutput,
    /// Seed of jitter and generated data; printed with every run.
    #[arg(long)]
    seed: Option<u64>,
    /// Only tests with such an id; `*` stands for anything. May be given several times.
    #[arg(long = "test", value_name = "GLOB")]
    tests: Vec<String>,
    /// Only steps with such an id, title or place; `after` runs in any case. May be given several times.
    #[arg(long = "step", value_name = "GLOB")]
    steps: Vec<String>,
    /// Run every test so many times.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: u32,
    /// What a test comes to that passes at times and fails at times.
    #[arg(long, value_enum, default_value_t)]
    flaky: Flaky,
    /// End the run after so long, as in `--deadline 10m`.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    deadline: Option<Duration>,
    /// Begin no other test after the first that does not pass.
    #[arg(long)]
    fail_fast: bool,
    /// Show what would be started and who would do what; start nothing.
    #[arg(long)]
    dry_run: bool,
    /// Once everything is ready, let the run go on in the background, whatever becomes of the terminal, and print its name; `meshproof attach`
    /// follows it.
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// Run in a mesh that is there already, beside services that run already: its mesh file, with an orchestrator's token. With
    /// --dry-run: hold the plan against the agents that are there now, also those of a run that goes on; it only looks.
    #[arg(long, value_name = "FILE|RUN")]
    mesh: Option<String>,
    /// podman, docker: start services and agents in containers, and let them see this machine's programs and the plan's repository, or what
    /// their `image` holds. kubernetes: in pods of a namespace of the run's own, made from images and the templates of services. Everything
    /// made for the run is removed at its end; a namespace only if it passed.
    #[arg(long, value_name = "WHERE", value_enum, conflicts_with = "mesh")]
    on: Option<On>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Answer /healthz, /readyz and /metrics there while the run goes on, as in `--health 127.0.0.1:9464`. Default: nowhere.
    #[arg(long, value_name = "ADDRESS")]
    health: Option<SocketAddr>,
    /// Should agents of that mesh take part in another run, wait so long for its end, as in `--wait 10m`. Default: the run that has them is
    /// named, and this one ends with 5.
    #[arg(long, value_name = "DURATION", requires = "mesh", value_parser = duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    local: LocalAddresses,
    #[command(flatten)]
    here: HereArgs,
}

impl Args {
    /// The parameters that the plan is given.
    pub(super) fn params(&self) -> std::collections::BTreeMap<String, String> {
        self.given.params()
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match crate::plan::duration(text) {
        Ok(Duration::ZERO) => Err("a run needs time, as in `10m`".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs a plan to its verdict.
pub(super) fn run(args: Args) -> Exit {
    let wanted = if args.dry_run { Wanted::Names } else { Wanted::Values };
    let (plan, source) = match check::read(&args.plan, &args.given, wanted) {
        Ok(read) => read,
        Err(exit) => return exit,
    };
    if let Some(form) = &plan.commits {
        return of_commits(&plan, form, &args);
    }
    if !args.dry_run
        && let Some(until) = front::wanted(args.progress, args.detach.then_some(Until::Begun))
    {
        return front::stand(until);
    }
    let Some(plan) = plan.select(&selection(&args)) else {
        let why = format!("no test or step of {} is selected", args.plan.display());
        return say::failed(&why, Exit::NothingSelected);
    };
    let read = (&source, &*args.plan, &args.given);
    if args.dry_run {
        // what a cluster does not do, and templates that are missing, are mistakes before anything is started
        let placed = args.on.filter(|on| *on == On::Kubernetes).map(|_| placed(plan.clone(), &args, read));
        return match placed {
            Some(Err(exit)) => exit,
            Some(Ok(_)) | None => intent(&plan, &check::left_to_build(&plan, &source), args),
        };
    }
    let (plan, cluster) = match placed(plan, &args, read) {
        Ok(placed) => placed,
        Err(exit) => return exit,
    };
    super::log_to_stderr();
    let standing = match args.mesh.as_deref().map(|mesh| find::find(Some(mesh))).transpose() {
        Ok(file) => file.map(|file| Standing { file, addresses: args.local.addresses.addresses(), here: Vec::new() }),
        Err(error) => return say::failed(&error, error.exit()),
    };
    let (standing, stand_ins) = match with_stand_ins(&args, standing) {
        Ok(both) => both,
        Err(error) => return say::failed(&error, Exit::MeshFailed),
    };
    let prepared = options(&args, standing);
    let options = match prepared {
        // whoever takes a run over needs the keeper of its services
        Ok(options) if cluster.is_some() => Options { cluster, given: None, ..options },
        Ok(options) => options,
        Err(error) => return say::failed(&error, Exit::Usage),
    };
    let exit = super::on_a_worker(super::Threads::Two, coordinator::run(Arc::new(plan), Arc::new(source), options));
    drop(stand_ins);
    // A run with a folder of its own is its owner's; it takes no other's place.
    if let (None, Ok(kept)) = (&args.out, args.place.kept()) {
        args.keeping.prune(&kept);
    }
    exit
}

/// The plan for where it is to run, and the cluster if that is one.
fn placed(plan: Plan, args: &Args, read: (&Source, &Path, &Given)) -> Result<(Plan, Option<Clustered>), Exit> {
    let plan = match (&args.mesh, args.on) {
        (Some(_), _) => plan.standing(),
        (None, Some(On::Podman | On::Docker)) => plan.contained(),
        (None, Some(On::Kubernetes)) => return args.cluster.placed(plan, args.local.addresses.addresses(), read),
        (None, None) => plan.at_home(),
    };
    Ok((check::allowed(plan, read)?, None))
}

/// The mesh that is there, and the agents that are started here for the time of the run.
fn with_stand_ins(args: &Args, standing: Option<Standing>) -> Result<(Option<Standing>, StandIns), String> {
    let Some(standing) = standing else { return Ok((None, StandIns::default())) };
    let stand_ins = args.here.start(&standing.file, &standing.addresses)?;
    Ok((Some(Standing { here: stand_ins.names(), ..standing }), stand_ins))
}

/// A plan that tests commits: it has no tests to select from, and each commit is a run.
fn of_commits(plan: &Plan, form: &Commits, args: &Args) -> Exit {
    let senseless = [
        ("--test", !args.tests.is_empty()),
        ("--step", !args.steps.is_empty()),
        ("--repeat", args.repeat != 1),
        ("--flaky", args.flaky != Flaky::default()),
        ("--deadline", args.deadline.is_some()),
        ("--fail-fast", args.fail_fast),
        ("--mesh and `then`", args.mesh.is_some() && form.then.is_some()),
        ("--on", args.on.is_some()),
        ("--detach", args.detach),
    ];
    if let Some((option, _)) = senseless.iter().find(|(_, is_given)| *is_given) {
        let why = format!("unsupported: {option} with a plan of commits; `verdict` and `check` stand in the plan");
        return say::failed(&why, Exit::Usage);
    }
    if args.dry_run {
        return say::result(&commits::intent(plan, form));
    }
    let dir = match check::plan_dir(&args.plan) {
        Ok(dir) => dir,
        Err(error) => return say::failed(&error, Exit::Usage),
    };
    let show = match args.progress {
        Mode::Json => commits::Show::Json,
        Mode::Quiet => commits::Show::Quiet,
        Mode::Auto | Mode::Tty | Mode::Plain | Mode::Silent => commits::Show::Table,
    };
    let output = commits::Output { show, out: args.out.as_deref() };
    let request = match commits::of_plan(plan, form, (&dir, &args.given)) {
        Ok(request) => request,
        Err(exit) => return exit,
    };
    let elsewhere = commits::ElsewhereArgs::of_a_run(args.mesh.clone(), args.local.clone(), args.here.root());
    elsewhere.conduct(request, Some(u32::try_from(form.parallel).unwrap_or(u32::MAX)), |request| {
        commits::conduct(request, &output, (&args.place, &args.keeping))
    })
}

fn selection(args: &Args) -> Selection {
    Selection { tests: args.tests.clone(), steps: args.steps.clone(), repeat: args.repeat.try_into().unwrap_or(1) }
}

/// What stands after `run` on the command line.
fn arguments_of(all: impl Iterator<Item = std::ffi::OsString>) -> Vec<String> {
    let after = all.skip_while(|argument| argument != "run").skip(1);
    after.map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// What would be done, and whether the mesh that is named has who would do it.
fn intent(plan: &Plan, left_to_build: &str, args: Args) -> Exit {
    let text = crate::report::intent::text(plan) + left_to_build;
    let Some(mesh) = args.mesh else { return say::result(&text) };
    mesh::with_console(&MeshArgs { mesh: Some(mesh), local: args.local }, async |console: &mut Console| {
        let resolved = Resolved::of(plan, &console.look().await);
        match say::result(&(text + &resolved.text())) {
            Exit::Passed if !resolved.is_complete() => {
                let why = format!("{} could not run in this mesh as it is", plan.name);
                say::failed(&why, Exit::MeshFailed)
            }
            said => said,
        }
    })
}

fn options(args: &Args, mesh: Option<Standing>) -> anyhow::Result<Options> {
    let run = coordinator::fresh_id();
    let out = match &args.out {
        Some(out) => std::path::absolute(out)?,
        None => args.place.kept()?.place_of(&run.0),
    };
    let plan_dir = check::plan_dir(&args.plan)?;
    Ok(Options {
        out,
        mode: args.progress,
        status_level: args.status_level,
        failure_output: args.failure_output,
        seed: args.seed.unwrap_or_else(coordinator::fresh_seed),
        flaky: args.flaky,
        first_failure: if args.fail_fast { FirstFailure::Stop } else { FirstFailure::GoOn },
        deadline: args.deadline,
        arguments: arguments_of(std::env::args_os()),
        // whoever takes a run over needs the keeper of its services
        given: mesh.is_none().then(|| memory::Given { params: args.given.params(), selection: selection(args) }),
        health: args.health,
        mesh,
        on: args.on.and_then(On::engine),
        wait: args.wait,
        ..Options::new(run, plan_dir)
    })
}
