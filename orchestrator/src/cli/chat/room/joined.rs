//! The mesh that a chat is in: of the run that goes on, and of the next one when that is over; or that of a page, which is in it itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use meshproof_mesh::MeshEvent;
use meshproof_proto::id::{Name, RunId};
use meshproof_proto::labels::Labels;
use meshproof_proto::rpc::AgentClient;
use meshproof_proto::verdict::Exit;
use tokio::sync::mpsc;

use super::Happened;
use super::seat::Seat;
use crate::chat::complete::Known;
use crate::chat::ground::{Ground, Ids};
use crate::cli::chat::ask::Agent;
use crate::cli::mesh::MeshArgs;
use crate::console::{Console, Heard, find};
use crate::history::{Brief, Kept};
use crate::local;
use crate::mesh_file::MeshFile;
use crate::plan::Inputs;
use crate::web::through::Through;

/// How often a chat that is in no mesh looks whether there is one now.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why there is nobody to ask.
pub(super) struct Alone {
    pub(super) why: String,
    pub(super) exit: Exit,
}

/// Whether somebody sits there who would like to be in a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    ForAMesh,
    ForNothing,
}

/// The mesh, or none so far.
pub(super) struct Joined {
    args: MeshArgs,
    person: String,
    ear: mpsc::Sender<Heard>,
    seat: Option<Seat>,
    ground: Option<Ground>,
    /// The run that lines were meant for so far.
    of: Option<RunId>,
    /// Labels that agents were seen with, as `zone=eu`.
    seen: BTreeSet<String>,
}

/// Agents with their labels, and answers of those that did not tell them.
pub(super) struct Labelled {
    pub(super) known: Vec<(Name, Labels, AgentClient)>,
    pub(super) silent: Vec<String>,
}

impl Joined {
    pub(super) fn new(args: MeshArgs, person: String, ear: mpsc::Sender<Heard>) -> Self {
        Self { args, person, ear, seat: None, ground: None, of: None, seen: BTreeSet::new() }
    }

    /// Through a page, which is in the mesh for as long as it is open.
    pub(super) fn through(args: MeshArgs, page: Through, ear: mpsc::Sender<Heard>) -> Self {
        let person = page.name().to_string();
        Self {
            args,
            person,
            ear,
            seat: Some(Seat::Page(Box::new(page))),
            ground: None,
            of: None,
            seen: BTreeSet::new(),
        }
    }

    /// Which mesh was asked for, to pass it on.
    pub(super) fn wanted(&self) -> Option<&str> {
        self.args.mesh.as_deref()
    }

    /// The run whose mesh it is, if it is one's: as commands name it.
    pub(super) fn run(&self) -> Option<String> {
        // one who has asked no agent so far is in no mesh yet, and may have named one
        let named = || self.args.mesh.as_deref().and_then(|mesh| find::find(Some(mesh)).ok());
        let run = &self.seat.as_ref().map(|seat| seat.file().clone()).or_else(named)?.run?.0;
        if kept().is_some_and(|kept| kept.find(run).is_ok()) {
            return Some(run.clone());
        }
        // one whose reports go elsewhere is known by them
        let running = local::running().ok()?.into_iter().find(|running| running.run == *run)?;
        Some(running.reports?.to_string_lossy().into_owned())
    }

    /// The place in the mesh, if there is one.
    pub(super) fn here_mut(&mut self) -> Option<&mut Seat> {
        self.seat.as_mut()
    }

    /// The place in the mesh; joins it first, or the next one when its run is over. A line that was meant for that run is done in no other.
    pub(super) async fn console(&mut self) -> Result<&mut Seat, Alone> {
        let run = self.join().await?.file().run.clone();
        match std::mem::replace(&mut self.of, run.clone()) {
            Some(over) if Some(&over) != run.as_ref() => {
                let now = run.map_or_else(|| "another mesh".to_owned(), |run| run.to_string());
                let why =
                    format!("{over} is over, and nothing was done; this is {now} now: say it again if you mean that");
                Err(Alone { why, exit: Exit::MeshFailed })
            }
            _ => Ok(self.seat.as_mut().expect("it was joined just now")),
        }
    }

    async fn join(&mut self) -> Result<&mut Seat, Alone> {
        if self.seat.as_ref().is_some_and(is_over)
            && let Some(over) = self.seat.take()
        {
            over.leave().await;
        }
        if self.seat.is_none() {
            self.ground = None;
            let failed = |error: &dyn std::fmt::Display| Alone { why: error.to_string(), exit: Exit::MeshFailed };
            let file = find::find(self.args.mesh.as_deref())
                .map_err(|error| Alone { exit: error.exit(), why: error.to_string() })?;
            let addresses = self.args.local.addresses.addresses();
            let mut console = Console::join_for(file, addresses, &self.person).map_err(|error| failed(&error))?;
            console.enter(self.ear.clone());
            if let Err(error) = Box::pin(console.gather()).await {
                console.leave().await;
                return Err(failed(&error));
            }
            self.seat = Some(Seat::Own(Box::new(console)));
        }
        Ok(self.seat.as_mut().expect("it was put there just now"))
    }

    /// Asks every agent what it is labelled with.
    pub(super) async fn labels(&mut self) -> Result<Labelled, Alone> {
        let console = self.console().await?;
        console.settle().await;
        let asking = console.agents_named("all").into_iter().map(|(name, client)| Agent { name, client }.labels());
        let mut labelled = Labelled { known: Vec::new(), silent: console.missing() };
        for answered in Box::pin(console.during(join_all(asking))).await {
            match answered {
                Ok(known) => labelled.known.push(known),
                Err(answer) => labelled.silent.push(answer.status),
            }
        }
        let seen = labelled.known.iter().flat_map(|(_, labels, _)| labels.iter());
        self.seen = seen.map(|(key, value)| format!("{key}={value}")).collect();
        Ok(labelled)
    }

    /// What steps are checked against: the plan of the run, where this machine knows it.
    pub(super) fn ground(&mut self) -> Ground {
        let known = || {
            let file = self.seat.as_ref()?.file();
            plan_of(file)
        };
        let bare = || {
            let names = self.seat.as_ref().map(Seat::names).unwrap_or_default();
            Ground::bare(&names.iter().filter_map(|name| name.parse().ok()).collect::<Vec<_>>())
        };
        let ground = self.ground.clone().or_else(known).unwrap_or_else(bare);
        self.ground.insert(ground).clone()
    }

    /// Names that a line may hold.
    pub(super) fn known(&mut self) -> Known {
        let agents = self.seat.as_ref().map(Seat::names).unwrap_or_default();
        let ground = self.ground();
        let Ids { logs, tests, steps } = ground.ids();
        let (stubs, faults) = (ground.names("stubs"), ground.names("faults"));
        let labels = self.seen.iter().cloned().collect();
        Known { agents, labels, stubs, faults, runs: runs(), logs, tests, steps }
    }

    pub(super) async fn greeting(&mut self) -> String {
        match self.join().await {
            Ok(console) => {
                let mesh =
                    console.file().run.as_ref().map_or_else(|| console.file().mesh.to_string(), ToString::to_string);
                let agents = console.names().join(", ");
                format!("{} is in {mesh} with {agents}; /help lists commands, /quit leaves", console.name())
            }
            Err(alone) => format!("nobody is here: {}; /help lists commands, /quit leaves", alone.why),
        }
    }

    /// Whether there is a mesh now; says so when there is.
    pub(super) async fn look_again(&mut self) -> Option<String> {
        match find::find(self.args.mesh.as_deref()) {
            Ok(_) => Some(self.greeting().await),
            Err(_) => None,
        }
    }

    /// The next event; without a mesh, and with somebody waiting for one, the time to look.
    pub(super) async fn next(&mut self, waits: Waits) -> Happened {
        match &mut self.seat {
            Some(Seat::Own(console)) => Happened::Mesh(console.event().await.map(Box::new)),
            Some(Seat::Page(_)) => std::future::pending().await,
            None if waits == Waits::ForAMesh => {
                tokio::time::sleep(LOOK_EVERY).await;
                Happened::Looked
            }
            None => std::future::pending().await,
        }
    }

    pub(super) async fn took(&mut self, event: Option<Box<MeshEvent>>) {
        match (event, &mut self.seat) {
            (Some(event), Some(Seat::Own(console))) => Box::pin(console.take(*event)).await,
            // the mesh has ended
            (None, _) => self.seat = None,
            (Some(_), Some(Seat::Page(_)) | None) => {}
        }
    }

    pub(super) async fn leave(self) {
        if let Some(seat) = self.seat {
            seat.leave().await;
        }
    }
}

/// Whether the run of that mesh is over. A mesh that is no run's stays, and so does a page in its mesh.
fn is_over(seat: &Seat) -> bool {
    let (Seat::Own(_), Some(run)) = (seat, &seat.file().run) else { return false };
    local::running().is_ok_and(|running| running.iter().all(|running| running.run != run.0))
}

fn kept() -> Option<Kept> {
    Kept::in_folder(std::env::var_os("MESHPROOF_RUNS").as_deref().map(Path::new)).ok()
}

/// The runs that are kept; a folder has no more than that.
fn runs() -> Vec<String> {
    let folders = kept().and_then(|kept| std::fs::read_dir(kept.folder()).ok()).into_iter().flatten();
    folders.filter_map(|folder| folder.ok()?.file_name().into_string().ok()).collect()
}

/// The plan that the run of this mesh was begun with.
fn plan_of(file: &MeshFile) -> Option<Ground> {
    let run = file.run.as_ref()?;
    let running = local::running().ok()?.into_iter().find(|running| running.run == run.0)?;
    let brief = Brief::read(&running.reports?).ok()?;
    let how = brief.invocation.as_ref()?;
    let path = Path::new(&how.directory).join(&brief.file);
    let params: BTreeMap<String, String> = crate::cli::params_of(&how.arguments);
    let dir = path.parent()?.to_string_lossy().into_owned();
    Some(Ground::of(&how.plan, Inputs { dir, params, ..Inputs::default() }))
}
