//! Starting a program so that it has no more than it was given.
//!
//! What the kernel calls a thread's own (no new privileges, ambient capabilities, a Landlock domain) passes on to what the thread
//! starts, and to nobody else. So a program is started by a thread of its own, which takes it all on and ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, path_beneath_rules,
};
use rustix::thread::{clear_ambient_capability_set, set_no_new_privs};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

/// The newest rights that are asked for; of an older kernel those that it has.
const NEWEST: ABI = ABI::V5;

/// What every program reads: its libraries, its settings.
const SYSTEM: [&str; 10] = ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/etc", "/proc", "/sys"];

/// Terminals, `/dev/null`, random numbers.
const DEVICES: &str = "/dev";

/// Sets the bounds of a program; see `meshproof_proto::order::Bounds`.
const BOUNDS: &str = "/bin/sh";

/// What the kernel holds a program of a step to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Confined {
    /// May be started, with everything that is started by it; none: all.
    programs: Vec<PathBuf>,
    /// May be read and written beside the system's; none: all.
    paths: Vec<PathBuf>,
}

impl Confined {
    pub(super) fn to(programs: Vec<PathBuf>, paths: Vec<PathBuf>) -> Self {
        Self { programs, paths }
    }

    /// Whether there is anything that Landlock would hold programs to.
    pub(crate) fn is_set(&self) -> bool {
        !self.programs.is_empty() || !self.paths.is_empty()
    }

    /// Whether this kernel has it. Asked in a thread that ends: there is no way back.
    pub(crate) fn is_enforced(&self) -> bool {
        let probe = self.clone();
        let asked = std::thread::spawn(move || probe.restrict());
        matches!(asked.join(), Ok(Ok(status)) if status.ruleset != RulesetStatus::NotEnforced)
    }

    /// Takes it on for this thread and what it starts.
    fn restrict(&self) -> Result<RestrictionStatus, RulesetError> {
        let all = AccessFs::from_all(NEWEST);
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let files = match self.paths.is_empty() {
            true => BitFlags::EMPTY,
            false => all & !BitFlags::from(AccessFs::Execute),
        };
        let starts = if self.programs.is_empty() { BitFlags::EMPTY } else { AccessFs::Execute.into() };
        let devices = (read | AccessFs::WriteFile | AccessFs::IoctlDev) & files;
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(files | starts)?;
        let mut created = ruleset.create()?;
        if !files.is_empty() {
            created = created
                .add_rules(path_beneath_rules(SYSTEM, read & files))?
                .add_rules(path_beneath_rules(&self.programs, read & files))?
                .add_rules(path_beneath_rules([DEVICES], devices))?
                .add_rules(path_beneath_rules(&self.paths, files))?;
        }
        if !starts.is_empty() {
            created = created
                .add_rules(path_beneath_rules(&self.programs, starts))?
                .add_rules(path_beneath_rules(loaders(), starts))?
                .add_rules(path_beneath_rules([BOUNDS], starts))?;
        }
        created.restrict_self()
    }
}

/// What the kernel starts in place of a program that has libraries.
fn loaders() -> Vec<PathBuf> {
    let within = |folder: &&str| fs::read_dir(Path::new(folder)).into_iter().flatten().flatten();
    let named = |file: &fs::DirEntry| file.file_name().to_str().is_some_and(|name| name.starts_with("ld-"));
    ["/lib", "/lib64"].iter().flat_map(within).filter(named).map(|file| file.path()).collect()
}

/// Starts the command, held to this.
pub(crate) fn spawn(command: &mut Command, confined: &Confined) -> io::Result<Child> {
    let runtime = Handle::current();
    let start = || {
        set_no_new_privs(true)?;
        clear_ambient_capability_set()?;
        if confined.is_set() {
            confined.restrict().map_err(io::Error::other)?;
        }
        let _entered = runtime.enter();
        command.spawn()
    };
    std::thread::scope(|scope| {
        let starting = std::thread::Builder::new().spawn_scoped(scope, start)?;
        starting.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts programs panicked")))
    })
}
