//! Which command lines may be started.

use std::path::{Path, PathBuf};

use super::Settings;

/// Shells, by the names they go under.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish"];

/// What makes a listed program load, or find, what is not listed.
const LOADER: &str = "LD_";

#[derive(Debug, Default)]
pub(super) struct Programs {
    shell: bool,
    /// Programs and folders; none: all programs.
    listed: Vec<PathBuf>,
}

impl Programs {
    pub(super) fn of(settings: &Settings) -> Self {
        Self { shell: settings.shell, listed: settings.programs.clone() }
    }

    /// Judges a command line, which folder it starts in, and which variables it sets.
    pub(super) fn judge<'n>(
        &self,
        argv: &[String],
        cwd: Option<&str>,
        mut env: impl Iterator<Item = &'n str>,
    ) -> Result<(), String> {
        let Some(program) = argv.first() else { return Ok(()) };
        if !self.shell && is_shell_line(argv) {
            return Err(format!(
                "`{program}` would run a line of a shell; write `argv` with the program itself, or start the agent with \
                 --shell (MESHPROOF_SHELL=true)"
            ));
        }
        if self.listed.is_empty() {
            return Ok(());
        }
        if let Some(name) = env.find(|name| name.starts_with(LOADER)) {
            return Err(format!("the variable `{name}` would have a listed program load another"));
        }
        match found(program, cwd) {
            Some(path) if self.lists(&path) => Ok(()),
            Some(path) => {
                let path = path.display();
                Err(format!(
                    "`{path}` is not among the programs of this agent; add it to --programs (MESHPROOF_PROGRAMS)"
                ))
            }
            None => Err(format!("there is no program `{program}` here")),
        }
    }

    /// `path` is without links, so that none leads out of a listed folder.
    fn lists(&self, path: &Path) -> bool {
        let listed = self.listed.iter().filter_map(|listed| listed.canonicalize().ok());
        listed.into_iter().any(|listed| path.starts_with(listed))
    }
}

/// A shell that is not first of all given a script's file: it takes its language from an argument or from standard input.
/// Whoever wraps it (`env sh -c …`) is kept out by a list of programs only.
fn is_shell_line(argv: &[String]) -> bool {
    let name = |program: &String| Path::new(program).file_name().and_then(|name| name.to_str()).map(str::to_owned);
    // `busybox sh` is `sh`
    let argv = match argv.split_first() {
        Some((first, rest)) if name(first).as_deref() == Some("busybox") => rest,
        Some(_) | None => argv,
    };
    let Some((program, rest)) = argv.split_first() else { return false };
    let is_shell = name(program).is_some_and(|name| SHELLS.contains(&name.as_str()));
    is_shell && rest.first().is_none_or(|first| first.starts_with(['-', '+']))
}

/// Where the program is, as the system will look for it, with every link followed.
fn found(program: &str, cwd: Option<&str>) -> Option<PathBuf> {
    if program.contains('/') {
        return Path::new(cwd.unwrap_or(".")).join(program).canonicalize().ok();
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .find_map(|folder| folder.join(program).canonicalize().ok().filter(|found| found.is_file()))
}
