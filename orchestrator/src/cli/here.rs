//! `meshproof run --mesh FILE --here NAME`: agents that are started beside this run, for services that run on this machine.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, BufRead as _, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use meshproof_proto::id::{BadName, Name};
use meshproof_proto::identity::{Capability, Role};
use tempfile::TempDir;

use crate::membership::{MembershipError, RootFolder, Wish};
use crate::mesh_file::MeshFile;
use crate::report::sanitise;

/// What is shown of the log of an agent that ended.
const LAST_LINES: usize = 5;

/// How long one may take to join: as long as a run waits for agents.
const JOINS_WITHIN: Duration = Duration::from_secs(20);

/// The word that an agent's log has once it is in the mesh.
const JOINED: &str = "joined";

/// Which services this machine stands in for.
#[derive(Debug, clap::Args)]
pub(super) struct HereArgs {
    /// With --mesh: this machine stands in for that service, which runs here where the plan says or `MESHPROOF_SERVICE`, `MESHPROOF_LISTEN` and
    /// `MESHPROOF_LOGS` do, as for `meshproof agent`. An agent is started here for the time of the run; no other of that name may be in
    /// the mesh. Its token is in the file, or is made where the mesh's root key is. May be given several times.
    #[arg(long = "here", value_name = "NAME[=TOKEN-FILE]", requires = "mesh", conflicts_with_all = ["dry_run", "detach"])]
    wanted: Vec<Wanted>,
    /// Folder of the mesh's root key, for --here without a token.
    #[arg(long, value_name = "DIR", env = "MESHPROOF_ROOT", default_value = super::membership::ROOT)]
    root: PathBuf,
}

/// `NAME`, or `NAME=TOKEN-FILE`.
#[derive(Clone, Debug)]
struct Wanted {
    name: Name,
    token: Option<PathBuf>,
}

impl std::str::FromStr for Wanted {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let (name, token) = text.split_once('=').map_or((text, None), |(name, file)| (name, Some(file)));
        Ok(Self { name: name.parse()?, token: token.map(PathBuf::from) })
    }
}

/// The agents that stand in here. They end with this, and with this process.
#[derive(Debug, Default)]
pub(super) struct StandIns(Vec<StandIn>);

#[derive(Debug)]
pub(super) struct StandIn {
    name: Name,
    child: Child,
    /// Its token, if it was made for it, and its state.
    _place: TempDir,
}

impl HereArgs {
    /// The folder of the mesh's root key.
    pub(super) fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// Starts them, and waits until they are in the mesh.
    ///
    /// # Errors
    /// There is no token for one, it cannot be started, or does not join; in words.
    pub(super) fn start(&self, file: &MeshFile, addresses: &[IpAddr]) -> Result<StandIns, String> {
        let started = self.wanted.iter().map(|Wanted { name, token }| {
            let one = StandIn::start((name, token.as_deref()), (&self.root, None), (file, addresses));
            one.map_err(|error| match error {
                NotStarted::Token(error) => {
                    format!(
                        "cannot stand in for {name}: {error}; or give its token, as in `--here {name}={name}.token`"
                    )
                }
                NotStarted::Agent(error) => format!("cannot stand in for {name}: {error}"),
            })
        });
        started.collect::<Result<_, String>>().map(StandIns)
    }
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStarted {
    #[error(transparent)]
    Token(MembershipError),
    #[error("{0}")]
    Agent(String),
}

/// A token that is good for a day.
fn made(
    name: &Name,
    (root, capabilities): (&Path, Option<BTreeSet<Capability>>),
    place: &Path,
) -> Result<PathBuf, MembershipError> {
    let wish = Wish { names: name.to_string(), role: Role::Agent, capabilities, days: 1 };
    let mut root = RootFolder::open(root)?;
    let token = root.invite(wish)?;
    let path = place.join("token");
    root.hand_out(&token, &path)?;
    Ok(path)
}

fn agent(name: &Name, (token, place): (&Path, &Path), file: &MeshFile, addresses: &[IpAddr]) -> io::Result<Child> {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let addresses = if addresses.is_empty() { "auto".to_owned() } else { addresses.join(",") };
    // what runs now, whatever became of its file
    let mut command = Command::new("/proc/self/exe");
    command.args(["agent", "--name", name.as_str(), "--signaling", &file.signaling.join(",")]);
    command.args(["--addresses", &addresses, "--die-with-parent"]).arg("--token-file").arg(token);
    command.arg("--state").arg(place.join("state"));
    if let Some(ca) = &file.ca {
        command.arg("--ca").arg(ca);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn()
}

impl StandIns {
    /// For which services.
    pub(super) fn names(&self) -> Vec<Name> {
        self.0.iter().map(|one| one.name.clone()).collect()
    }
}

impl StandIn {
    /// Starts the agent of that name, with its token or one that is made of this root key, for these capabilities or the usual ones, and waits
    /// until it is in the mesh.
    ///
    /// # Errors
    /// There is no token, or the agent cannot be started, or does not join.
    pub(super) fn start(
        (name, token): (&Name, Option<&Path>),
        root: (&Path, Option<BTreeSet<Capability>>),
        (file, addresses): (&MeshFile, &[IpAddr]),
    ) -> Result<Self, NotStarted> {
        let failed = |error: io::Error| NotStarted::Agent(error.to_string());
        let place = TempDir::with_prefix("meshproof-here-").map_err(failed)?;
        let token = match token {
            Some(token) => token.to_owned(),
            None => made(name, root, place.path()).map_err(NotStarted::Token)?,
        };
        let child = agent(name, (&token, place.path()), file, addresses).map_err(failed)?;
        let mut one = Self { name: name.clone(), child, _place: place };
        one.joined().map_err(NotStarted::Agent)?;
        Ok(one)
    }

    /// Waits until it says that it has joined. What it says later is read and shown to nobody.
    fn joined(&mut self) -> Result<(), String> {
        let Some(log) = self.child.stderr.take() else { return Ok(()) };
        let (told, heard) = sync_channel(1);
        std::thread::spawn(move || read(log, &told));
        match heard.recv_timeout(JOINS_WITHIN) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(last)) => Err(format!("its agent has ended\n{last}")),
            Err(_) => {
                Err(format!("its agent did not join within {JOINS_WITHIN:?}; `meshproof who --mesh FILE` says more"))
            }
        }
    }
}

/// Tells whether the agent joined, or what it said last.
fn read(log: ChildStderr, told: &SyncSender<Result<(), String>>) {
    let mut last = VecDeque::new();
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if line.contains(JOINED) {
            let _ = told.try_send(Ok(()));
        }
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(format!("  {}", sanitise::line(&line)));
    }
    let _ = told.try_send(Err(Vec::from(last).join("\n")));
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let (Ok(None), Some(pid)) = (self.child.try_wait(), pid) {
            // it leaves the mesh, which others then need not find out
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
