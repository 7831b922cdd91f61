//! A mesh that is made in a cluster for this run alone: its pods first, and then it is one that stands.

use std::collections::BTreeMap;
use std::path::PathBuf;

use meshproof_proto::event::Evidence;
use meshproof_proto::id::Name;

use super::driver::Driver;
use super::outcome::Broken;
use super::{Clustered, Standing};
use crate::cluster::{Cluster, Making, NotMade};
use crate::local::Root;
use crate::mesh_file::MeshFile;
use crate::record::Happening;

/// What the mesh is called.
const MESH: &str = "run";

/// For consoles, in the run's folder.
pub(super) const CONSOLE_FILE: &str = "mesh.toml";

impl Driver {
    /// Makes a namespace with everything in it. What was begun is where the teardown ends it.
    pub(super) async fn make_cluster(
        &mut self,
        Clustered { wanted, addresses }: Clustered,
        held: &BTreeMap<String, String>,
    ) -> Result<Standing, Broken> {
        let mesh: Name = MESH.parse().map_err(|error| Broken::because(format!("{error}")))?;
        let root = Root::new(mesh.clone(), self.plan.capabilities())?;
        let mut tokens = BTreeMap::new();
        for service in &self.plan.services {
            tokens.insert(service.name.clone(), root.agent(&service.name)?.to_text());
        }
        let named = Cluster::named(&self.plan.name, &self.options.run, (wanted.context.clone(), wanted.keep));
        let cluster = self.cluster.insert(named);
        let (scribe, mut unsaid) = (&mut self.scribe, None);
        let mut tell = |text: String| {
            if let Err(error) = scribe.say_early(Happening::Noted { text }) {
                unsaid.get_or_insert(error);
            }
        };
        let making = Making {
            wanted: &wanted,
            run: &self.options.run,
            plan_dir: &self.options.plan_dir,
            held,
            mesh: (&mesh, root.public()),
            tokens,
        };
        let made = cluster.make(&making, &mut tell).await;
        unsaid.map_or(Ok(()), Err)?;
        made?;
        let signaling = cluster.signaling();
        let agents: Vec<Name> = self.plan.services.iter().map(|service| service.name.clone()).collect();
        let file = |token| MeshFile {
            run: None,
            mesh: mesh.clone(),
            root: root.public(),
            signaling: signaling.clone(),
            agents: agents.clone(),
            token,
            ca: None,
        };
        let path = self.console_file();
        // of a run before it, which wrote to the same folder and was killed
        let _ = std::fs::remove_file(&path);
        file(root.console()?).write_new(&path).map_err(|error| Broken::because(error.to_string()))?;
        let look = format!("look at its mesh with `meshproof links --mesh {}`", path.display());
        self.scribe.say_early(Happening::Noted { text: look })?;
        Ok(Standing { file: file(root.orchestrator()?), addresses, here: Vec::new() })
    }

    /// A failure of a service to become ready gets what the cluster says of its pod.
    pub(super) async fn explained(&self, mut what: Happening) -> Happening {
        let (Some(cluster), Happening::Failure(failure)) = (&self.cluster, &mut what) else { return what };
        let service = failure.step.as_ref().and_then(|step| step.key.step.strip_prefix("ready."));
        if let Some(service) = service.and_then(|service| service.parse().ok()) {
            failure.evidence.extend(cluster.evidence(&service).await);
        }
        what
    }

    fn console_file(&self) -> PathBuf {
        self.options.out.join(CONSOLE_FILE)
    }
}

impl From<NotMade> for Broken {
    fn from(error: NotMade) -> Self {
        let what = error.to_string();
        let evidence: Vec<Evidence> = match error {
            NotMade::NotReady { evidence, .. } => evidence,
            NotMade::Unset { .. }
            | NotMade::File { .. }
            | NotMade::TooLarge { .. }
            | NotMade::Kubectl(_)
            | NotMade::Way(_) => Vec::new(),
        };
        Self { what, at: None, evidence }
    }
}
