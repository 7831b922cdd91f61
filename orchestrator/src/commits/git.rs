//! The `git` program, started as people start it: its repositories, its configuration and its ways to servers are theirs. A library
//! would be some two hundred crates for what is a handful of commands here.
//!
//! Credentials are a user name and a password that stand in a variable of one process, never on a command line, in a repository's
//! configuration or in a message.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use meshproof_proto::mask::Masker;
use thiserror::Error;
use tokio::process::Command;

/// Variables that would have git work on another repository than the one that it is started in: those of a hook, for example.
const OF_ANOTHER_REPOSITORY: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];

/// Answers git with what stands in the two variables.
const HELPER: &str = "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$MESHPROOF_GIT_USER\" \"$MESHPROOF_GIT_PASSWORD\"; }; f";

/// A git command that did not do what it was to do.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{command}` {how}{}{}", if .said.is_empty() { "" } else { ": " }, .said)]
pub struct GitError {
    pub command: String,
    /// `ended with 128`
    pub how: String,
    /// What it wrote to standard error.
    pub said: String,
}

/// Who one is to a server.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: String,
    masker: Arc<Masker>,
}

impl Credentials {
    /// Of `user:password`, or of a token alone.
    ///
    /// # Errors
    /// It is too short to be kept out of what is shown.
    pub fn of(text: &str) -> Result<Self, String> {
        let (user, password) = text.trim().split_once(':').unwrap_or(("x-access-token", text.trim()));
        let masker = Masker::new([("credentials", password)]).map_err(|error| error.to_string())?;
        Ok(Self { user: user.to_owned(), password: password.to_owned(), masker: Arc::new(masker) })
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("credentials")
    }
}

/// Git in one folder.
#[derive(Clone, Debug)]
pub struct Git {
    dir: PathBuf,
    credentials: Option<Credentials>,
}

impl Git {
    #[must_use]
    pub fn in_folder(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), credentials: None }
    }

    #[must_use]
    pub fn with(self, credentials: Option<Credentials>) -> Self {
        Self { credentials, ..self }
    }

    /// What the command writes to standard output, without its last line's end. Dropped, the command is killed.
    ///
    /// # Errors
    /// It cannot be started, or ends otherwise than with 0.
    pub async fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Result<String, GitError> {
        let shown: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect();
        let failed = |how: String, said: &str| GitError {
            command: format!("git {}", shown.join(" ")),
            how,
            said: self.masked(said.trim()),
        };
        let mut command = Command::new("git");
        for name in OF_ANOTHER_REPOSITORY {
            command.env_remove(name);
        }
        command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        // A hook would be the work of whoever wrote the repository, or of another commit.
        command.args(["-c", "core.hooksPath=/dev/null"]);
        if let Some(credentials) = &self.credentials {
            command.args(["-c", "credential.helper=", "-c", &format!("credential.helper={HELPER}")]);
            command.env("MESHPROOF_GIT_USER", &credentials.user).env("MESHPROOF_GIT_PASSWORD", &credentials.password);
        }
        command.args(args).current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
        let output = command.output().await;
        let output =
            output.map_err(|error| failed(format!("cannot be run in {}", self.dir.display()), &error.to_string()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let how =
                output.status.code().map_or_else(|| output.status.to_string(), |code| format!("ended with {code}"));
            return Err(failed(how, &said));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.trim_end_matches('\n').to_owned())
    }

    fn masked(&self, text: &str) -> String {
        match &self.credentials {
            Some(credentials) => credentials.masker.mask(text).into_owned(),
            None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_a_user_and_a_password_or_a_token_and_are_told_to_nobody() {
        let both = Credentials::of("anna:s3cret-word\n").expect("long enough");
        assert_eq!((both.user.as_str(), both.password.as_str()), ("anna", "s3cret-word"));
        assert_eq!(Credentials::of("ghp_0123456789").expect("long enough").user, "x-access-token");
        assert_eq!(format!("{both:?}"), "credentials");
        let git = Git::in_folder(Path::new("/")).with(Some(both));
        assert_eq!(git.masked("fatal: s3cret-word is wrong"), "fatal: ***credentials*** is wrong");
    }

    #[tokio::test]
    async fn a_command_that_fails_is_told_with_what_it_said() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let error = Git::in_folder(folder.path()).run(&["rev-parse", "HEAD"]).await.expect_err("no repository");
        assert_eq!((error.command.as_str(), error.how.as_str()), ("git rev-parse HEAD", "ended with 128"));
        assert!(error.said.contains("not a git repository"), "{error}");
    }
}
