//! Starting processes: each with an environment that is exactly known, and a process group of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Component, Path};
use std::process::{Command, Stdio};

use meshproof_proto::id::Name;
use thiserror::Error;

use super::containers::Containers;
use super::engine::EngineError;
use super::folder::{RunFolder, make_private_dir, open_log};
use super::limits;
use super::marked::MARK;
use super::namespace::Namespace;
use super::opening;
use super::parent::DIE_WITH_PARENT;
use super::protocol::{File, StartService};
use super::setup::Setup;

/// What a process sees of the machine's environment.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];
/// What our own processes see beside it: how much they tell.
const INHERITED_BY_OURS: [&str; 2] = ["MESHPROOF_LOG", "RUST_BACKTRACE"];

/// By which tokio is told how many threads of a process work.
pub const WORKER_THREADS: &str = "TOKIO_WORKER_THREADS";

/// Why a process did not start.
#[derive(Debug, Error)]
pub enum SpawnError {
    #[error("{what}: process {} has an empty command line", process + 1)]
    Empty { what: String, process: usize },
    #[error("{what}: there is no program `{program}` in PATH")]
    NotInPath { what: String, program: String },
    #[error("{what}: cannot start `{program}`: {cause}")]
    Start { what: String, program: String, cause: io::Error },
    #[error("{what}: its container cannot be made: {cause}")]
    Container { what: String, cause: EngineError },
    #[error("{what}: the file `{path}` is not inside the service's folder")]
    Outside { what: String, path: String },
    #[error("{what}: cannot write `{path}`: {cause}")]
    Write { what: String, path: String, cause: io::Error },
}

/// Writes the files of a service into its folder.
///
/// # Errors
/// A path leads out of the folder, or cannot be written.
pub fn write_files(folder: &RunFolder, name: &Name, files: &[File]) -> Result<(), SpawnError> {
    let what = format!("service {name}");
    for File { path, content } in files {
        if path.is_empty() || !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(SpawnError::Outside { what, path: path.clone() });
        }
        let place = folder.service(name).join(path);
        let parent = place.parent().unwrap_or(&place);
        make_private_dir(parent).and_then(|()| write_private(&place, content)).map_err(|cause| SpawnError::Write {
            what: what.clone(),
            path: path.clone(),
            cause,
        })?;
    }
    Ok(())
}

/// Keys are among these files.
fn write_private(place: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(place)?;
    file.write_all(content)
}

/// Where a service lives.
#[derive(Clone, Copy, Debug)]
pub enum Home<'a> {
    /// As everything else on this machine.
    Machine,
    /// In namespaces of its own.
    Namespace(&'a Namespace),
    Container(&'a Containers),
}

/// Starts one process of a service, in its folder. Its output goes straight into files, so that it needs nobody alive to
/// take it. Gives the process id.
pub fn service(
    folder: &RunFolder,
    (start, process): (&StartService, usize),
    home: Home<'_>,
) -> Result<i32, SpawnError> {
    let what = format!("service {}", start.name);
    let argv = start.processes.get(process).map_or(&[][..], Vec::as_slice);
    let (mut command, namespace) = match home {
        Home::Container(containers) => (contained(containers.service(start, process), &what)?, None),
        Home::Machine => (at_home(folder, (start, process), argv)?, None),
        Home::Namespace(namespace) => (at_home(folder, (start, process), argv)?, Some(namespace)),
    };
    let output =
        open_log(&folder.stdout(&start.name)).and_then(|out| Ok((out, open_log(&folder.stderr(&start.name))?)));
    let (stdout, stderr) =
        output.map_err(|cause| SpawnError::Write { what: what.clone(), path: "its logs".to_owned(), cause })?;
    command.stdout(stdout).stderr(stderr);
    launch(command, (what, namespace)).map(|(pid, _)| pid)
}

/// A process of a service on this machine itself.
fn at_home(
    folder: &RunFolder,
    (start, process): (&StartService, usize),
    argv: &[String],
) -> Result<Command, SpawnError> {
    let mut command =
        command(folder, argv).ok_or_else(|| SpawnError::Empty { what: format!("service {}", start.name), process })?;
    command.current_dir(folder.service(&start.name)).envs(&start.env);
    Ok(command)
}

/// What stands for a process in a container, as leader of a group.
fn contained(made: Result<Command, EngineError>, what: &str) -> Result<Command, SpawnError> {
    let mut command = made.map_err(|cause| SpawnError::Container { what: what.to_owned(), cause })?;
    command.process_group(0);
    Ok(command)
}

/// Starts the agent of a service, which acts in the service's namespace and lives outside of it. Gives the process id.
pub fn agent(
    (folder, setup): (&RunFolder, &Setup),
    (name, number): (&Name, u32),
    home: Home<'_>,
    signaling: &str,
) -> Result<i32, SpawnError> {
    let what = format!("agent {name}");
    let argv = &setup.programs.agent;
    let environment = agent_environment((folder, setup), (name, number), signaling);
    let mut command = match home {
        Home::Container(containers) => {
            let environment = inherited(&INHERITED_BY_OURS).into_iter().chain(environment);
            let environment = environment.chain([("MESHPROOF_ADDRESSES", "auto".into())]).collect();
            contained(containers.agent(name, argv, environment), &what)?
        }
        Home::Machine | Home::Namespace(_) => {
            let mut command = command(folder, argv).ok_or(SpawnError::Empty { what: what.clone(), process: 0 })?;
            command.current_dir(folder.service(name)).envs(own_environment()).envs(environment);
            command
        }
    };
    if let Home::Namespace(namespace) = home {
        command.envs([("MESHPROOF_NETNS", namespace.path()), ("MESHPROOF_HOSTS", folder.hosts())]);
    }
    let log = open_log(&folder.agent_log(name)).and_then(|log| Ok((log.try_clone()?, log)));
    let (stdout, stderr) =
        log.map_err(|cause| SpawnError::Write { what: what.clone(), path: "its log".to_owned(), cause })?;
    command.stdout(stdout).stderr(stderr);
    launch(command, (what, None)).map(|(pid, _)| pid)
}

/// What an agent of a run on this machine is told, wherever it lives.
fn agent_environment(
    (folder, setup): (&RunFolder, &Setup),
    (name, number): (&Name, u32),
    signaling: &str,
) -> BTreeMap<&'static str, OsString> {
    let mut environment = BTreeMap::from([
        ("MESHPROOF_SIGNALING", OsString::from(signaling)),
        ("MESHPROOF_NAME", name.as_str().into()),
        ("MESHPROOF_TOKEN_FILE", folder.token(name).into()),
        ("MESHPROOF_STATE", folder.state(name).into()),
        // where signaling is, others come by
        ("MESHPROOF_ADDRESSES", host(signaling).into()),
        // whoever wrote the plan runs it, on a machine of their own
        ("MESHPROOF_SHELL", "true".into()),
    ]);
    environment.extend(setup.labels_of(name, number).map(|labels| ("MESHPROOF_LABELS", labels.to_string().into())));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if setup.agents().count() > limits::TWO_THREADED_AGENTS * cores {
        environment.insert(WORKER_THREADS, "1".into());
    }
    environment
}

/// `host` of a URL with a port.
fn host(url: &str) -> &str {
    let authority = opening::authority(url);
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// Where signaling is to listen.
#[derive(Clone, Copy, Debug)]
pub enum Listen<'a> {
    /// On a free port of this address.
    Anywhere(IpAddr),
    /// At this `host:port`.
    At(&'a str),
}

/// Starts signaling. Gives the process id and its standard output, where it says at which port it listens.
pub fn signaling(folder: &RunFolder, setup: &Setup, listen: Listen<'_>) -> Result<(i32, OwnedFd), SpawnError> {
    let what = "signaling".to_owned();
    let mut command =
        command(folder, &setup.programs.signaling).ok_or(SpawnError::Empty { what: what.clone(), process: 0 })?;
    let stderr = open_log(&folder.signaling_log()).map_err(|cause| SpawnError::Write {
        what: what.clone(),
        path: "its log".to_owned(),
        cause,
    })?;
    let mesh = format!("{}={}", setup.mesh, setup.root);
    let listen = match listen {
        Listen::Anywhere(address) => SocketAddr::from((address, 0)).to_string(),
        Listen::At(address) => address.to_owned(),
    };
    command.args(["--listen", &listen, "--mesh", &mesh]).envs(own_environment());
    command.stdout(Stdio::piped()).stderr(stderr).current_dir(folder.path());
    let (pid, stdout) = launch(command, (what, None))?;
    Ok((pid, stdout.expect("its standard output was asked to be a pipe")))
}

/// A command with nothing but the machine's few variables and the mark of its run, as leader of a group.
fn command(folder: &RunFolder, argv: &[String]) -> Option<Command> {
    let (program, arguments) = argv.split_first().filter(|(program, _)| !program.is_empty())?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(inherited(&INHERITED)).env(MARK, folder.path());
    command.stdin(Stdio::null()).process_group(0);
    Some(command)
}

fn own_environment() -> BTreeMap<&'static str, OsString> {
    let mut environment = inherited(&INHERITED_BY_OURS);
    environment.insert(DIE_WITH_PARENT, std::process::id().to_string().into());
    environment
}

/// Those of these variables that this process has.
pub fn inherited(names: &[&'static str]) -> BTreeMap<&'static str, OsString> {
    names.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))).collect()
}

/// Starts it. Nobody waits through the handle: the reaper sees every end.
fn launch(
    mut command: Command,
    (what, namespace): (String, Option<&Namespace>),
) -> Result<(i32, Option<OwnedFd>), SpawnError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let started = match namespace {
        Some(namespace) => namespace.spawn(&mut command),
        None => command.spawn(),
    };
    match started {
        Ok(mut child) => {
            let pid = i32::try_from(child.id()).expect("the kernel's process ids are positive and fit");
            Ok((pid, child.stdout.take().map(OwnedFd::from)))
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound && !program.contains('/') => {
            Err(SpawnError::NotInPath { what, program })
        }
        Err(cause) => Err(SpawnError::Start { what, program, cause }),
    }
}
