//! From a spec to an environment that runs.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use meshproof_proto::identity::Token;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::client::Client;
use super::collect::NamedLogs;
use super::environment::{Guard, LocalEnvironment};
use super::error::LocalError;
use super::folders;
use super::hold::Hold;
use super::keys::Root;
use super::limits::{LAST_WORDS_BYTES, OPEN_CONTAINERS_DEADLINE, OPEN_DEADLINE};
use super::spec::Spec;
use crate::keeper::DIE_WITH_PARENT;
use crate::keeper::folder::{self, RunFolder, make_private_dir, write_private};
use crate::keeper::marked::MARK;
use crate::keeper::protocol::{Answer, Notice, PROTOCOL, Request, Welcome};
use crate::keeper::setup::Setup;
use std::sync::Arc;

/// Makes keys and folder, starts the keeper and waits until it has opened.
pub async fn open(spec: Spec) -> Result<(LocalEnvironment, mpsc::Receiver<Notice>), LocalError> {
    let root = Root::new(spec.mesh.clone(), spec.capabilities.clone())?;
    let token = root.orchestrator()?;
    let (run_folder, alone) = folders::make(spec.base.clone(), &spec.run)?;
    let (mut guard, keeper_log) =
        start_keeper(&run_folder, &spec, (&root, &token)).inspect_err(|_| discard(&run_folder))?;
    drop(alone);
    let mut hold = Hold::new(run_folder, FIRST_TERM);
    let within = if spec.contained.is_some() { OPEN_CONTAINERS_DEADLINE } else { OPEN_DEADLINE };
    match greet(hold.folder(), (FIRST_TERM, within)).await {
        Ok((client, notices, welcome)) => {
            let (named_logs, longest_grace_ms) = (NamedLogs::new(), AtomicU64::new(0));
            let root = root.public();
            let environment = LocalEnvironment {
                hold,
                client: Arc::new(client),
                guard: Guard::Ours(guard),
                keeper_log,
                welcome,
                root,
                token,
                named_logs,
                longest_grace_ms,
            };
            Ok((environment, notices))
        }
        Err(error) => {
            let error = keeper_log.explain(error);
            hold.end_now();
            if timeout(OPEN_DEADLINE, guard.wait()).await.is_err() {
                tracing::warn!("the keeper does not end");
            }
            Err(error)
        }
    }
}

/// The environment of a run that another orchestrator has made, under our control at this term.
pub async fn take_over(
    run_folder: RunFolder,
    (setup, token, term): (&Setup, Token, u64),
) -> Result<(LocalEnvironment, mpsc::Receiver<Notice>), LocalError> {
    let keeper_log = KeeperLog::open(&run_folder)?;
    let (client, notices, welcome) =
        greet(&run_folder, (term, OPEN_DEADLINE)).await.map_err(|error| keeper_log.explain(error))?;
    let environment = LocalEnvironment {
        hold: Hold::new(run_folder, term),
        client: Arc::new(client),
        guard: Guard::behind(welcome.keeper),
        keeper_log,
        welcome,
        root: setup.root,
        token,
        named_logs: NamedLogs::new(),
        longest_grace_ms: AtomicU64::new(0),
    };
    Ok((environment, notices))
}

/// Of whoever makes an environment.
const FIRST_TERM: u64 = 1;

async fn greet(
    run_folder: &RunFolder,
    (term, within): (u64, Duration),
) -> Result<(Client, mpsc::Receiver<Notice>, Welcome), LocalError> {
    let stream = UnixStream::connect(run_folder.socket()).await;
    let cannot = |cause| LocalError::Folder { what: "reach the keeper at", path: run_folder.socket(), cause };
    let (client, notices) = Client::new(stream.map_err(cannot)?);
    match client.call(Request::Hello { protocol: PROTOCOL, term }, within).await? {
        Answer::Welcome(welcome) => Ok((client, notices, *welcome)),
        _ => Err(LocalError::Confused("hello")),
    }
}

fn discard(run_folder: &RunFolder) {
    if let Err(error) = folder::remove(run_folder.path()) {
        tracing::warn!(%error, folder = %run_folder.path().display(), "cannot remove the folder of a run that never began");
    }
}

/// Fills the folder and starts the keeper with its socket as standard input, so that it can be connected to at once.
fn start_keeper(run_folder: &RunFolder, spec: &Spec, keys: (&Root, &Token)) -> Result<(Child, KeeperLog), LocalError> {
    fill(run_folder, spec, keys)?;
    let socket_path = run_folder.socket();
    let socket = UnixListener::bind(&socket_path);
    let socket = socket.map_err(|cause| LocalError::Folder { what: "listen at", path: socket_path, cause })?;
    let log = KeeperLog::open(run_folder)?;
    let keeper = &spec.programs.keeper;
    let program = keeper.first().cloned().unwrap_or_default();
    let outputs = log.0.try_clone().and_then(|out| Ok((out, log.0.try_clone()?)));
    let (stdout, stderr) = outputs.map_err(|cause| LocalError::Keeper { program: program.clone(), cause })?;
    let mut command = Command::new(&program);
    command.args(keeper.iter().skip(1)).arg("--dir").arg(run_folder.path());
    command.stdin(Stdio::from(OwnedFd::from(socket))).stdout(stdout).stderr(stderr);
    // It removes folders, so it stands in none; and it keeps no file system busy.
    command.current_dir("/");
    // A run may be started by a step of another run, whose agent has a parent that is not ours.
    command.env_remove(DIE_WITH_PARENT).env(MARK, run_folder.path());
    spec.withheld.keep_from(command.as_std_mut());
    let guard = command.spawn().map_err(|cause| LocalError::Keeper { program, cause })?;
    Ok((guard, log))
}

fn fill(run_folder: &RunFolder, spec: &Spec, (root, token): (&Root, &Token)) -> Result<(), LocalError> {
    let cannot = |path| move |cause: io::Error| LocalError::Folder { what: "write", path, cause };
    let tokens = run_folder.path().join("tokens");
    make_private_dir(&tokens).map_err(cannot(tokens.clone()))?;
    for name in spec.services.iter().filter(|name| !spec.guests.contains(*name)) {
        let path = run_folder.token(name);
        write_private(&path, root.agent(name)?.to_text().as_bytes()).map_err(cannot(path.clone()))?;
    }
    let path = run_folder.console_token();
    write_private(&path, root.console()?.to_text().as_bytes()).map_err(cannot(path.clone()))?;
    let path = run_folder.observer_token();
    write_private(&path, root.observer()?.to_text().as_bytes()).map_err(cannot(path.clone()))?;
    let path = run_folder.orchestrator_token();
    write_private(&path, token.to_text().as_bytes()).map_err(cannot(path.clone()))?;
    let setup = Setup {
        run: spec.run.clone(),
        mesh: spec.mesh.clone(),
        root: root.public(),
        services: spec.services.clone(),
        guests: spec.guests.clone(),
        networked: spec.networked.clone(),
        labels: spec.labels.clone(),
        orphan_grace_ms: u64::try_from(spec.orphan_grace.as_millis()).unwrap_or(u64::MAX),
        programs: spec.programs.clone(),
        reports: spec.reports.clone(),
        contained: spec.contained.clone(),
    };
    setup.write(run_folder).map_err(cannot(run_folder.setup()))
}

/// What the keeper prints. Stays readable when the keeper has removed it, which is when it is needed.
#[derive(Debug)]
pub struct KeeperLog(File);

impl KeeperLog {
    fn open(run_folder: &RunFolder) -> Result<Self, LocalError> {
        let path = run_folder.keeper_log();
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
        file.map(Self).map_err(|cause| LocalError::Folder { what: "write", path, cause })
    }

    /// Adds the keeper's last words to the news of its end.
    pub fn explain(&self, error: LocalError) -> LocalError {
        match error {
            LocalError::Gone { last_words: None } => LocalError::Gone { last_words: self.last_words().ok().flatten() },
            other => other,
        }
    }

    fn last_words(&self) -> io::Result<Option<String>> {
        let mut file = &self.0;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES)))?;
        let mut end = Vec::new();
        file.take(LAST_WORDS_BYTES).read_to_end(&mut end)?;
        let end = String::from_utf8_lossy(&end);
        Ok(end.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned))
    }
}
