//! kubectl as a process: it knows the user's clusters, contexts and ways to sign in.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::limits::{CALL_DEADLINE, SAYS_BYTES};

const PROGRAM: &str = "kubectl";

/// kubectl, for one context.
#[derive(Clone, Debug, Default)]
pub struct Kubectl {
    context: Option<String>,
}

/// Why kubectl did not do it.
#[derive(Debug, Error)]
pub enum KubectlError {
    #[error("`kubectl` cannot be run: {0}; it is what speaks to clusters (https://kubernetes.io/docs/tasks/tools/)")]
    NotRun(io::Error),
    #[error("`kubectl {command}` failed: {said}")]
    Failed { command: String, said: String },
    #[error("`kubectl {command}` did not end within {} s", within.as_secs())]
    Silent { command: String, within: Duration },
    #[error("`kubectl {command}` says what is no JSON: {why}")]
    Unclear { command: String, why: String },
}

impl Kubectl {
    /// For that context of the kubeconfig, or its current one.
    #[must_use]
    pub fn new(context: Option<String>) -> Self {
        Self { context }
    }

    /// A command of it, out of reach of a terminal's Ctrl-C, which is ours to heed; it ends with what holds it.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        self.by(Command::new(PROGRAM), arguments)
    }

    /// The same of one that goes on by itself: it ends with this process, also if that is killed.
    pub(super) fn following(&self, arguments: &[&str]) -> io::Result<Command> {
        let mut follower = Command::new(std::env::current_exe()?);
        follower.args(["follow", "--parent", &std::process::id().to_string(), "--", PROGRAM]);
        Ok(self.by(follower, arguments))
    }

    fn by(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(self.context.iter().map(|context| format!("--context={context}")));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }

    /// The same for a command line that a person can use.
    pub(super) fn shown(&self, rest: &str) -> String {
        let context = self.context.as_ref().map(|context| format!(" --context={context}")).unwrap_or_default();
        format!("{PROGRAM}{context} {rest}")
    }

    /// Begins something that nobody waits for.
    pub(super) fn begin(&self, arguments: &[&str]) {
        let mut command = self.command(arguments).into_std();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = command.spawn() {
            tracing::warn!(%error, "kubectl cannot be run");
        }
    }

    /// What it prints.
    pub(super) async fn done(&self, arguments: &[&str]) -> Result<String, KubectlError> {
        self.told(arguments, "").await
    }

    /// The objects that it prints.
    pub(super) async fn json(&self, arguments: &[&str]) -> Result<Value, KubectlError> {
        let said = self.done(arguments).await?;
        serde_json::from_str(&said)
            .map_err(|error| KubectlError::Unclear { command: words(arguments), why: error.to_string() })
    }

    /// What it prints when it is told this on its standard input.
    pub(super) async fn told(&self, arguments: &[&str], text: &str) -> Result<String, KubectlError> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped());
        let conversation = async {
            let mut child = command.spawn()?;
            if let Some(mut input) = child.stdin.take() {
                // one that ends before it has read all says why
                let _ = input.write_all(text.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        let output = timeout(CALL_DEADLINE, conversation).await;
        let output = output.map_err(|_| KubectlError::Silent { command: words(arguments), within: CALL_DEADLINE })?;
        let output = output.map_err(KubectlError::NotRun)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(KubectlError::Failed { command: words(arguments), said: said(&output.stderr, output.status) })
    }
}

/// The command without its options.
fn words(arguments: &[&str]) -> String {
    let words = arguments.iter().take_while(|word| !word.starts_with('-'));
    words.copied().collect::<Vec<_>>().join(" ")
}

/// Each line that it complains of once, without the time that it puts before some.
pub(super) fn said(stderr: &[u8], status: ExitStatus) -> String {
    let text = String::from_utf8_lossy(&stderr[..stderr.len().min(SAYS_BYTES)]).into_owned();
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_log(line)).collect();
    lines.dedup();
    if lines.is_empty() { format!("it ended with {status}") } else { lines.join("; ") }
}

/// `E1130 16:00:00.000000   12 memcache.go:265] …`: it says the same once more, as an error.
fn is_log(line: &str) -> bool {
    let mut letters = line.chars();
    letters.next().is_some_and(|first| "IWEF".contains(first)) && letters.take(4).all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn what_it_complains_of_is_told_without_its_log() {
        let status = ExitStatus::from_raw(256);
        let text = "E1130 16:00:00.0 12 memcache.go:265] \"x\"\nE1130 16:00:01.0 12 memcache.go:265] \"x\"\nThe connection was refused\n\n";
        assert_eq!(said(text.as_bytes(), status), "The connection was refused");
        assert_eq!(said(b"", status), "it ended with exit status: 1");
        assert_eq!(words(&["get", "pods", "--namespace=x", "-o"]), "get pods");
    }
}
