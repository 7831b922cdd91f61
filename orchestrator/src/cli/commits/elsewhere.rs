//! `--mesh`: commits that agents of a mesh test, and who of them does.

use std::path::PathBuf;

use meshproof_proto::id::Name;
use meshproof_proto::identity::{Capability, Role};
use meshproof_proto::labels::{Labels, Selector};
use meshproof_proto::verdict::Exit;

use crate::cli::here::StandIn;
use crate::cli::mesh::{LocalAddresses, MeshArgs, with_console};
use crate::commits::elsewhere::{OnMesh, Pair};
use crate::commits::limits::PARALLEL_MOST;
use crate::commits::request::Request;
use crate::console::meant::{holders, labelled, meant};
use crate::console::{Console, Look};
use crate::say;

/// Where commits are tested, if not on this machine.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ElsewhereArgs {
    /// Test at agents of that mesh, each a commit at a time, instead of on this machine: its mesh file, with an orchestrator's token.
    /// Agents clone the commit from here, through the mesh; they need `exec`, and git.
    #[arg(long, value_name = "FILE", conflicts_with = "then")]
    mesh: Option<String>,
    /// With --mesh: which agents test: a name, a pattern, a group, labels (`role=build`), or `all` that may `exec`.
    #[arg(long, value_name = "AGENTS", default_value = ALL, requires = "mesh")]
    agents: String,
    #[command(flatten)]
    local: LocalAddresses,
    /// Folder of the mesh's root key, which makes tokens for the agents that offer the commits here.
    #[arg(long, value_name = "DIR", env = "MESHPROOF_ROOT", default_value = crate::cli::membership::ROOT)]
    root: PathBuf,
    /// With --mesh: the token of those agents, where the root key is elsewhere: `meshproof mesh invite 'commits-*'`.
    #[arg(long, value_name = "FILE", requires = "mesh")]
    source_token: Option<PathBuf>,
}

const ALL: &str = "all";

/// How agents are called that offer commits.
const SOURCES: &str = "commits-";

/// What they may be asked for: they test nothing.
const OF_A_SOURCE: [Capability; 3] = [Capability::Tunnel, Capability::Stream, Capability::Logs];

/// An agent that was looked at, and whether it can test now.
type Seen = (Name, Labels, bool);

impl ElsewhereArgs {
    /// As `meshproof run` is asked for it.
    pub(in crate::cli) fn of_a_run(mesh: Option<String>, local: LocalAddresses, root: PathBuf) -> Self {
        Self { mesh, agents: ALL.to_owned(), local, root, source_token: None }
    }

    /// Does it where it is asked for, at no more agents than that.
    pub(in crate::cli) fn conduct(
        &self,
        request: Request,
        most: Option<u32>,
        conduct: impl FnOnce(&Request) -> Exit,
    ) -> Exit {
        match self.gather(most) {
            Ok(None) => conduct(&request),
            // agents here end with this
            Ok(Some((mesh, _stand_ins))) => {
                conduct(&Request { parallel: mesh.pairs.len(), mesh: Some(mesh), ..request })
            }
            Err(exit) => exit,
        }
    }

    /// Finds the agents, and starts one here for each; none: no mesh is asked for. Else it was said what is wrong.
    fn gather(&self, most: Option<u32>) -> Result<Option<(OnMesh, Vec<StandIn>)>, Exit> {
        let Some(mesh) = &self.mesh else { return Ok(None) };
        let mut found = None;
        let args = MeshArgs { mesh: Some(mesh.clone()), local: self.local.clone() };
        let exit = with_console(&args, async |console: &mut Console| {
            let look = console.look().await;
            match self.runners(&look) {
                Ok(runners) => {
                    found = Some((runners, console.file().clone()));
                    Exit::Passed
                }
                Err(why) => say::failed(&why, Exit::Usage),
            }
        });
        let Some((mut runners, file)) = found else { return Err(exit) };
        runners.truncate(most.unwrap_or(PARALLEL_MOST) as usize);
        let addresses = self.local.addresses.addresses();
        let (mut pairs, mut stand_ins) = (Vec::new(), Vec::new());
        // of several sessions in one mesh each has its own
        let session = &uuid::Uuid::new_v4().simple().to_string()[..8];
        for (number, runner) in runners.into_iter().enumerate() {
            let source: Name =
                format!("{SOURCES}{session}-{}", number + 1).parse().expect("letters, digits and dashes");
            let token = self.source_token.as_deref();
            let root = (self.root.as_path(), Some(OF_A_SOURCE.into()));
            let stand_in = StandIn::start((&source, token), root, (&file, &addresses)).map_err(|error| {
                let why = format!(
                    "cannot offer commits to {runner}: {error}; --source-token names a token that `meshproof mesh invite 'commits-*'` has made"
                );
                say::failed(&why, Exit::MeshFailed)
            })?;
            stand_ins.push(stand_in);
            pairs.push(Pair { runner, source });
        }
        say::note(format_args!(
            "tested by {}",
            pairs.iter().map(|pair| pair.runner.to_string()).collect::<Vec<_>>().join(", ")
        ));
        Ok(Some((OnMesh { file, addresses, pairs }, stand_ins)))
    }

    /// Those that are meant, may run programs, and take part in no run.
    fn runners(&self, look: &Look) -> Result<Vec<Name>, String> {
        let is_agent = |role: Role, name: &Name| role == Role::Agent && !name.as_str().starts_with(SOURCES);
        let agents = look.roster.iter().filter(|peer| is_agent(peer.role, &peer.name));
        let mut seen: Vec<Seen> = agents
            .filter_map(|agent| {
                let about = &look.answers.get(&agent.peer)?.about;
                let may = agent.capabilities.contains(&Capability::Exec) && about.run.is_none();
                Some((agent.name.clone(), about.labels.clone(), may))
            })
            .collect();
        seen.sort_by(|left, right| left.0.cmp(&right.0));
        let chosen = match Selector::parse(&self.agents) {
            Some(selector) => labelled(&selector.map_err(|error| error.to_string())?, seen.clone()),
            None => meant(&self.agents, seen.iter().map(|(name, _, may)| (name, *may))),
        };
        let good: Vec<Name> = chosen.iter().filter(|(_, may)| *may).map(|(name, _)| name.clone()).collect();
        if !good.is_empty() {
            return Ok(good);
        }
        let names: Vec<&str> = seen.iter().map(|(name, ..)| name.as_str()).collect();
        let labels = holders(seen.iter().map(|(name, labels, _)| (name, labels)));
        Err(match (chosen.is_empty(), names.is_empty()) {
            (_, true) => "no agent answers in that mesh".to_owned(),
            (true, false) => {
                format!("no agent is meant by `{}`; there are: {}; labels: {labels}", self.agents, names.join(", "))
            }
            (false, false) => {
                let names: Vec<&str> = chosen.iter().map(|(name, _)| name.as_str()).collect();
                format!(
                    "none of these can test now: {}; an agent needs `exec` in its token (`meshproof mesh invite --allow exec`), and takes part in one run at a time",
                    names.join(", ")
                )
            }
        })
    }
}
