//! A container engine, by its command: podman's, or docker's, which understands the same words.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::limits::{ENGINE_DEADLINE, ENGINE_SAYS_BYTES};

/// Whose command is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    Podman,
    Docker,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// Why the engine did not do it.
#[derive(Debug, Error)]
pub enum EngineError {
    #[error("`{engine}` cannot be run: {cause}")]
    NotRun { engine: Engine, cause: io::Error },
    #[error("`{engine} {command}` failed: {said}")]
    Failed { engine: Engine, command: String, said: String },
    #[error("`{engine} {command}` did not end within {} s", within.as_secs())]
    Silent { engine: Engine, command: String, within: Duration },
    #[error(
        "{0} runs without root here, and what it calls networks cannot be reached from outside of them; run meshproof and {0} as \
         root"
    )]
    Rootless(Engine),
    #[error("{folder} cannot be opened to the users of an image: {cause}")]
    Folder { folder: PathBuf, cause: io::Error },
    #[error("{engine} says `{said}` where the addresses of a container were expected")]
    Unclear { engine: Engine, said: String },
}

impl Engine {
    pub fn program(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }

    /// Whether it is there, and has networks that this machine is part of.
    ///
    /// # Errors
    /// It is not, or has none.
    pub fn is_usable(self) -> Result<(), EngineError> {
        let said = match self {
            Self::Podman => self.done(&["info", "--format", "rootless={{.Host.Security.Rootless}}"])?,
            Self::Docker => self.done(&["info", "--format", "{{.SecurityOptions}}"])?,
        };
        match said.contains("rootless=true") || said.contains("name=rootless") {
            true => Err(EngineError::Rootless(self)),
            false => Ok(()),
        }
    }

    /// Its command, with this process's own environment: there stands where its daemon is, and how it is set up.
    pub fn command(self, arguments: &[impl AsRef<str>]) -> Command {
        let mut command = Command::new(self.program());
        command.args(arguments.iter().map(AsRef::as_ref)).stdin(Stdio::null());
        command
    }

    /// What it prints.
    ///
    /// # Errors
    /// It fails, or does not end.
    pub fn done(self, arguments: &[impl AsRef<str>]) -> Result<String, EngineError> {
        self.output(self.command(arguments), ENGINE_DEADLINE)
    }

    /// What such a command of its own prints.
    ///
    /// # Errors
    /// It fails, or does not end within that time.
    pub fn output(self, mut command: Command, within: Duration) -> Result<String, EngineError> {
        let not_run = |cause| EngineError::NotRun { engine: self, cause };
        let words: Vec<_> = command.get_args().take(2).map(|word| word.to_string_lossy().into_owned()).collect();
        let words = words.join(" ");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(not_run)?;
        let Some((success, out, err)) = ended(child, within).map_err(not_run)? else {
            return Err(EngineError::Silent { engine: self, command: words, within });
        };
        match success {
            true => Ok(out.trim().to_owned()),
            false => Err(EngineError::Failed { engine: self, command: words, said: last_line(&err) }),
        }
    }
}

/// Waits for its end, and kills it when that does not come in time.
fn ended(mut child: Child, within: Duration) -> io::Result<Option<(bool, String, String)>> {
    let give_up_at = Instant::now() + within;
    // what it says fits into its pipes
    while child.try_wait()?.is_none() {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        let left = give_up_at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        let patience = Timespec::try_from(left).ok();
        // whether it has ended is asked anew
        let _ = poll(&mut [PollFd::new(&handle, PollFlags::IN)], patience.as_ref());
    }
    let (out, err) = (said(child.stdout.take())?, said(child.stderr.take())?);
    Ok(Some((child.wait()?.success(), out, err)))
}

fn said(pipe: Option<impl Read>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(ENGINE_SAYS_BYTES).read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_line(said: &str) -> String {
    said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it does not say why").trim().to_owned()
}
