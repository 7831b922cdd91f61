//! The containers of a run: a network, and for each service one container that holds its addresses and its processes' numbers, one for
//! its agent, and one for each process of its own.
//!
//! They are made of this machine's programs, read-only and at the places that they have here, on an image with nothing in it; or of
//! the service's own image. What stands for a process is the engine's command that is attached to its container: it gives its output, passes
//! signals that ask it to end, and ends as it does. Everything has the run's label, by which it is found again by whoever is left.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use meshproof_proto::id::{Name, RunId};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::engine::{Engine, EngineError};
use super::folder::RunFolder;
use super::marked::MARK;
use super::protocol::{StartService, What};
use super::setup::Setup;
use super::spawn::inherited;

/// The image with nothing in it.
pub const NOTHING: &str = "meshproof-nothing:1";

/// What everything of a run is labelled with; its value is the run's id.
pub const LABEL: &str = "dev.meshproof.run";

/// The same, with the run's folder.
pub const FOLDER_LABEL: &str = "dev.meshproof.folder";

/// Those that hold others, and are removed after them.
const HOLDER_LABEL: &str = "dev.meshproof.holds";

/// Variables that the engine's own command heeds: these are told it as words, all others in its environment, where nobody else sees them.
const HEEDED: [&str; 4] = ["PATH", "HOME", "TMPDIR", "LANG"];
const HEEDED_FAMILIES: [&str; 8] = ["LD_", "XDG_", "CONTAINER", "DOCKER_", "STORAGE_", "REGISTRY_", "GO", "BUILDAH_"];

/// What programs of this machine see of its environment; each container has a folder for temporary files of its own.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// What a run's containers are made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contained {
    pub engine: Engine,
    /// Folders of this machine that its programs need.
    pub mounts: BTreeSet<PathBuf>,
    /// The services that are started in containers, each with its image; none: a program of this machine.
    pub services: BTreeMap<Name, Option<String>>,
}

/// The containers of one run.
#[derive(Clone, Debug)]
pub struct Containers {
    folder: RunFolder,
    run: RunId,
    contained: Contained,
}

impl Containers {
    /// Those of a run that has some.
    pub fn of(folder: &RunFolder, setup: &Setup) -> Option<Self> {
        let contained = setup.contained.clone()?;
        Some(Self { folder: folder.clone(), run: setup.run.clone(), contained })
    }

    /// Whether this service lives in one.
    pub fn has(&self, service: &Name) -> bool {
        self.contained.services.contains_key(service)
    }

    /// Makes the network and a container for each service that holds what its others share. Gives this machine's address there.
    ///
    /// # Errors
    /// The engine does not make one of them.
    pub fn open(&self) -> Result<IpAddr, EngineError> {
        let engine = self.contained.engine;
        let network = self.name(&[]);
        let mut words = ["network", "create"].map(str::to_owned).to_vec();
        words.extend(self.labels());
        words.push(network.clone());
        engine.done(&words)?;
        for service in self.contained.services.keys() {
            let name = self.name(&[service.as_str()]);
            let mut words = self.create(&name);
            words.extend(["--network", &network, "--hostname", service.as_str(), "--label"].map(str::to_owned));
            words.push(format!("{HOLDER_LABEL}={service}"));
            words.extend(self.machine([]));
            words.extend([NOTHING, "sleep", "infinity"].map(str::to_owned));
            engine.done(&words)?;
            engine.done(&["start", &name])?;
        }
        let first = self.contained.services.keys().next().map(|service| self.name(&[service.as_str()]));
        let gateway = "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}";
        let said = engine.done(&["inspect", "--format", gateway, &first.unwrap_or_default()])?;
        said.parse().map_err(|_| EngineError::Unclear { engine, said })
    }

    /// Makes the container of a process of a service. Gives the command that starts it and stands for it.
    ///
    /// # Errors
    /// The engine does not make it: there is no such image, for example.
    pub fn service(&self, start: &StartService, process: usize) -> Result<Command, EngineError> {
        let name = self.of_process(&start.name, process);
        let argv = start.processes.get(process).map_or(&[][..], Vec::as_slice);
        let dir = self.folder.service(&start.name);
        let mut variables: BTreeMap<String, OsString> =
            start.env.iter().map(|(name, value)| (name.clone(), value.into())).collect();
        variables.insert(MARK.to_owned(), self.folder.path().into());
        let mut words = self.beside(&name, &start.name);
        words.push(bind(&dir, ""));
        match self.contained.services.get(&start.name).and_then(Option::as_ref) {
            Some(image) => {
                self.open_to_all(start)?;
                if !argv.is_empty() {
                    words.extend(["--workdir".to_owned(), shown(&dir)]);
                }
                let (entry, arguments) = argv.split_first().unzip();
                words.extend(entry.into_iter().flat_map(|entry| ["--entrypoint".to_owned(), entry.clone()]));
                self.made(words, &variables, (image, arguments.unwrap_or_default()))?;
            }
            None => {
                words.extend(["--workdir".to_owned(), shown(&dir)]);
                words.extend(self.machine(argv.first().map(Path::new)));
                for (name, value) in inherited(&INHERITED) {
                    variables.entry(name.to_owned()).or_insert(value);
                }
                self.made(words, &variables, (NOTHING, argv))?;
            }
        }
        Ok(self.contained.engine.command(&["start", "--attach", &name]))
    }

    /// Makes the container of the agent of a service, whose folders it finds where they are here.
    ///
    /// # Errors
    /// The engine does not make it.
    pub fn agent(
        &self,
        service: &Name,
        argv: &[String],
        environment: BTreeMap<&'static str, OsString>,
    ) -> Result<Command, EngineError> {
        let name = self.name(&[service.as_str(), "agent"]);
        let folder = &self.folder;
        let mut words = self.beside(&name, service);
        words.extend([bind(&folder.service(service), ""), bind(&folder.state(service), "")]);
        words.extend([bind(&folder.token(service), ":ro"), bind(&folder.logs().join(service.as_str()), ":ro")]);
        words.extend(["--workdir".to_owned(), shown(&folder.service(service))]);
        words.extend(self.machine(argv.first().map(Path::new)));
        let variables = environment.into_iter().chain(inherited(&INHERITED));
        let mut variables: BTreeMap<String, OsString> =
            variables.map(|(name, value)| (name.to_owned(), value)).collect();
        variables.insert(MARK.to_owned(), folder.path().into());
        self.made(words, &variables, (NOTHING, argv))?;
        Ok(self.contained.engine.command(&["start", "--attach", &name]))
    }

    /// What a signal is to a container, where it is more than to the command that stands for it; else `false`.
    pub fn signal(&self, what: &What, signal: Signal) -> bool {
        let name = match what {
            What::Service { name, process } if self.has(name) => self.of_process(name, *process),
            What::Agent { name, .. } if self.has(name) => self.name(&[name.as_str(), "agent"]),
            What::Service { .. } | What::Agent { .. } | What::Signaling => return false,
        };
        let told = match signal {
            Signal::KILL => self.kill(&name),
            Signal::STOP => self.contained.engine.done(&["pause", &name]).map(drop),
            // it is sent to whoever was asked to end, too, frozen or not
            Signal::CONT => self.contained.engine.done(&["unpause", &name]).map(drop).or(Ok(())),
            _ => return false,
        };
        if let Err(error) = told {
            tracing::debug!(%what, ?signal, %error, "a signal found no container");
        }
        true
    }

    /// An image has users of its own. Nobody else on this machine gets as far as to the service's folder.
    fn open_to_all(&self, start: &StartService) -> Result<(), EngineError> {
        let folder = self.folder.service(&start.name);
        let opened = || -> io::Result<()> {
            fs::set_permissions(&folder, Permissions::from_mode(0o777))?;
            for file in &start.files {
                let path = folder.join(&file.path);
                fs::set_permissions(&path, Permissions::from_mode(0o644))?;
                let above = path.ancestors().skip(1).take_while(|above| *above != folder);
                above.into_iter().try_for_each(|above| fs::set_permissions(above, Permissions::from_mode(0o755)))?;
            }
            Ok(())
        };
        opened().map_err(|cause| EngineError::Folder { folder: folder.clone(), cause })
    }

    /// Removes everything with the run's label.
    ///
    /// # Errors
    /// Something is still there.
    pub fn remove(&self) -> Result<(), EngineError> {
        remove(self.contained.engine, &format!("label={LABEL}={}", self.run))
    }

    /// One that is frozen dies as soon as it goes on; one that does not run yet never will.
    fn kill(&self, name: &str) -> Result<(), EngineError> {
        let engine = self.contained.engine;
        match engine.done(&["kill", name]) {
            Ok(_) => {
                // an error means that it was not frozen
                let _ = engine.done(&["unpause", name]);
                Ok(())
            }
            Err(_) => engine.done(&["rm", "--force", name]).map(drop),
        }
    }

    /// Makes a container anew.
    fn made(
        &self,
        mut words: Vec<String>,
        variables: &BTreeMap<String, OsString>,
        (image, arguments): (&str, &[String]),
    ) -> Result<(), EngineError> {
        let heeded =
            |name: &str| HEEDED.contains(&name) || HEEDED_FAMILIES.iter().any(|family| name.starts_with(family));
        for (name, value) in variables {
            let word = if heeded(name) { format!("{name}={}", value.to_string_lossy()) } else { name.clone() };
            words.extend(["--env".to_owned(), word]);
        }
        words.push(image.to_owned());
        words.extend_from_slice(arguments);
        let engine = self.contained.engine;
        let mut command = engine.command(&words);
        command.envs(variables.iter().filter(|(name, _)| !heeded(name)));
        engine.output(command, super::limits::ENGINE_DEADLINE).map(drop)
    }

    /// The words that make a container which lives where that of its service does; the one before it is removed.
    fn beside(&self, name: &str, service: &Name) -> Vec<String> {
        // an error means that there is none
        let _ = self.contained.engine.done(&["rm", "--force", name]);
        let holder = format!("container:{}", self.name(&[service.as_str()]));
        let mut words = self.create(name);
        words.extend(["--network", &holder, "--pid", &holder].map(str::to_owned));
        words
    }

    fn create(&self, name: &str) -> Vec<String> {
        let mut words =
            ["create", "--pull", "never", "--name", name, "--stop-timeout", "0"].map(str::to_owned).to_vec();
        // folders of this machine are bound as they are labelled
        words.extend(["--security-opt", "label=disable"].map(str::to_owned));
        words.extend(self.labels());
        words
    }

    /// What of this machine is in a container of its programs.
    fn machine<'a>(&self, program: impl IntoIterator<Item = &'a Path>) -> Vec<String> {
        let mut folders = self.contained.mounts.clone();
        for program in program.into_iter().filter(|program| program.is_absolute()) {
            let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
            folders.extend([program, &real].into_iter().filter_map(|path| path.parent()?.canonicalize().ok()));
        }
        let mut words = vec!["--tmpfs".to_owned(), "/tmp".to_owned()];
        words.extend(outermost(&folders).into_iter().map(|folder| bind(folder, ":ro")));
        words
    }

    fn labels(&self) -> Vec<String> {
        let folder = shown(self.folder.path());
        vec![format!("--label={LABEL}={}", self.run), format!("--label={FOLDER_LABEL}={folder}")]
    }

    fn of_process(&self, service: &Name, process: usize) -> String {
        self.name(&[service.as_str(), &(process + 1).to_string()])
    }

    /// Names of services have no dot.
    fn name(&self, parts: &[&str]) -> String {
        ["meshproof", &self.run.0].iter().chain(parts).copied().collect::<Vec<_>>().join(".")
    }
}

/// Removes the containers, and then the networks, that a filter finds.
///
/// # Errors
/// Something is still there.
pub fn remove(engine: Engine, filter: &str) -> Result<(), EngineError> {
    let found = |words: &[&str]| -> Result<Vec<String>, EngineError> {
        Ok(engine.done(&[words, &["--filter", filter]].concat())?.split_whitespace().map(str::to_owned).collect())
    };
    let holders = found(&["ps", "--all", "--quiet", "--filter", &format!("label={HOLDER_LABEL}")])?;
    let all = found(&["ps", "--all", "--quiet"])?;
    let others: Vec<String> = all.iter().filter(|id| !holders.contains(id)).cloned().collect();
    for ids in [others, holders].into_iter().filter(|ids| !ids.is_empty()) {
        engine.done(&[&["rm", "--force", "--volumes"].map(str::to_owned)[..], &ids].concat())?;
    }
    let networks = found(&["network", "ls", "--quiet"])?;
    if !networks.is_empty() {
        engine.done(&[&["network", "rm"].map(str::to_owned)[..], &networks].concat())?;
    }
    Ok(())
}

/// Those that are not inside of another one.
fn outermost(folders: &BTreeSet<PathBuf>) -> Vec<&PathBuf> {
    let is_inside = |folder: &PathBuf| folders.iter().any(|other| other != folder && folder.starts_with(other));
    folders.iter().filter(|folder| !is_inside(folder)).collect()
}

fn bind(folder: &Path, how: &str) -> String {
    let folder = shown(folder);
    format!("--volume={folder}:{folder}{how}")
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_inside_of_another_one_is_there_with_it() {
        let folders: BTreeSet<PathBuf> = ["/usr", "/usr/bin", "/usrlocal", "/home/me/a"].map(PathBuf::from).into();
        let outermost: Vec<String> = outermost(&folders).into_iter().map(|folder| shown(folder)).collect();
        assert_eq!(outermost, ["/home/me/a", "/usr", "/usrlocal"]);
    }
}
