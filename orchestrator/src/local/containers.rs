//! What a run in containers takes of this machine: an engine that works, the images, and the folders that its programs need.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use meshproof_proto::id::Name;

use super::error::LocalError;
use super::limits::PULL_DEADLINE;
use super::spec::Spec;
use crate::keeper::containers::{Contained, FOLDER_LABEL, LABEL, NOTHING, remove};
use crate::keeper::engine::{Engine, EngineError};

/// What programs are made of, and what they look into.
const SYSTEM: [&str; 10] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix"];

/// Has a run's services, each with its image or without one, live in containers, and looks whether they can. Images that this machine does
/// not have are fetched.
///
/// # Errors
/// The engine is not there or has no such image; or this binary, or the plan, stands where no container can have it.
pub fn contain(
    spec: &mut Spec,
    engine: Engine,
    (plan_dir, services): (&Path, BTreeMap<Name, Option<String>>),
) -> Result<(), LocalError> {
    engine.is_usable()?;
    nothing(engine)?;
    for image in services.values().flatten() {
        fetch(engine, image)?;
    }
    let program = spec.programs.agent.first().map(PathBuf::from).unwrap_or_default();
    if program.starts_with("/proc") {
        return Err(LocalError::NoProgram);
    }
    let mut mounts: BTreeSet<PathBuf> =
        SYSTEM.into_iter().map(PathBuf::from).filter(|folder| folder.is_dir()).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::home_dir().filter(|home| home.parent().is_some());
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let folders = folders.map(|folder| tool(folder, home.as_deref()));
    let folders = folders.chain([project(plan_dir).to_owned()]).chain(program.parent().map(Path::to_owned));
    mounts.extend(folders.filter_map(|folder| folder.canonicalize().ok()).filter(|folder| folder.is_dir()));
    if let Some(folder) = mounts.iter().find(|folder| folder.to_str().is_none_or(|text| text.contains([':', ',']))) {
        return Err(LocalError::NoMount(folder.clone()));
    }
    spec.contained = Some(Contained { engine, mounts, services });
    Ok(())
}

/// A folder of PATH; below the user's own, all of the tool that it belongs to, such as `~/.pyenv` of `~/.pyenv/shims`.
fn tool(folder: PathBuf, home: Option<&Path>) -> PathBuf {
    let below = home.and_then(|home| Some(home.join(folder.strip_prefix(home).ok()?.components().next()?)));
    below.unwrap_or(folder)
}

/// The repository that a plan stands in, or its folder.
fn project(plan_dir: &Path) -> &Path {
    plan_dir.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(plan_dir)
}

/// Makes the image with nothing in it.
fn nothing(engine: Engine) -> Result<(), EngineError> {
    if has(engine, NOTHING) {
        return Ok(());
    }
    // two empty records are a whole archive
    let archive = tempfile::NamedTempFile::new().and_then(|file| {
        file.as_file().set_len(1024)?;
        Ok(file)
    });
    let archive = archive.map_err(|cause| EngineError::NotRun { engine, cause })?;
    engine.done(&["import", &archive.path().to_string_lossy(), NOTHING]).map(drop)
}

fn has(engine: Engine, image: &str) -> bool {
    engine.done(&["image", "inspect", "--format", "{{.Id}}", image]).is_ok()
}

fn fetch(engine: Engine, image: &str) -> Result<(), EngineError> {
    if has(engine, image) {
        return Ok(());
    }
    engine.output(engine.command(&["pull", "--quiet", image]), PULL_DEADLINE).map(drop)
}

/// The runs whose containers are here and whose folder is not any more: nobody looks after them. They are removed.
///
/// # Errors
/// Something of them cannot be removed.
pub fn clear_lost() -> Result<Vec<String>, LocalError> {
    let engines = [Engine::Podman, Engine::Docker].into_iter().filter(|engine| {
        let mut there = engine.command(&["--version"]);
        there.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    });
    let mut cleared = Vec::new();
    for engine in engines {
        for run in lost(engine) {
            remove(engine, &format!("label={LABEL}={run}"))?;
            cleared.push(format!("containers of the run {run}, whose folder is gone, were removed from {engine}"));
        }
    }
    Ok(cleared)
}

/// An engine that does not answer has nothing that could be told of.
fn lost(engine: Engine) -> BTreeSet<String> {
    let label = |label: &str| format!("{{{{index .Config.Labels \"{label}\"}}}}");
    let format = format!("{} {}", label(LABEL), label(FOLDER_LABEL));
    let ids = engine.done(&["ps", "--all", "--quiet", "--filter", &format!("label={LABEL}")]).unwrap_or_default();
    let ids: Vec<&str> = ids.split_whitespace().collect();
    if ids.is_empty() {
        return BTreeSet::new();
    }
    let said = engine.done(&[&["inspect", "--format", &format], &ids[..]].concat()).unwrap_or_default();
    let both = said.lines().filter_map(|line| line.split_once(' '));
    both.filter(|(_, folder)| !Path::new(folder).exists()).map(|(run, _)| run.to_owned()).collect()
}
