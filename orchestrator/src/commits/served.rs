//! The workspaces of a session, for agents elsewhere to clone: git's own protocol on loopback, below a path that nobody guesses.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::limits::{CLONE_IDLE, CLONES_AT_ONCE};

/// Serves until it is dropped.
#[derive(Debug)]
pub(super) struct Served {
    port: u16,
    secret: String,
    /// Holds nothing but a link of a secret name.
    _place: TempDir,
    _serving: AbortOnDropHandle<()>,
}

impl Served {
    /// What is in this folder, read only.
    ///
    /// # Errors
    /// Nothing can be listened at, or the link not be made.
    pub(super) async fn begin(folder: &Path) -> io::Result<Self> {
        let place = TempDir::with_prefix("meshproof-served-")?;
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o700))?;
        let secret = uuid::Uuid::new_v4().simple().to_string();
        std::fs::create_dir_all(folder)?;
        std::os::unix::fs::symlink(std::path::absolute(folder)?, place.path().join(&secret))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let base = place.path().to_owned();
        let _serving = AbortOnDropHandle::new(tokio::spawn(async move { serve(&listener, &base).await }));
        Ok(Self { port, secret, _place: place, _serving })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Where the tree of the workspace of that name is.
    pub(super) fn path(&self, workspace: &str) -> String {
        format!("/{}/{workspace}/tree", self.secret)
    }
}

async fn serve(listener: &TcpListener, base: &Path) {
    let slots = Arc::new(Semaphore::new(CLONES_AT_ONCE));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((connection, _)) => match clone_over(connection, base) {
                Ok(mut git) => drop(tokio::spawn(async move {
                    let _slot = slot;
                    git.wait().await
                })),
                Err(error) => tracing::warn!(%error, "git cannot serve a commit"),
            },
            Err(error) => {
                tracing::warn!(%error, "a connection for a commit could not be taken");
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Git speaks its protocol over what it has for standard input and output.
fn clone_over(connection: TcpStream, base: &Path) -> io::Result<tokio::process::Child> {
    let connection = connection.into_std()?;
    connection.set_nonblocking(false)?;
    let (input, output) = (OwnedFd::from(connection.try_clone()?), OwnedFd::from(connection));
    let mut git = Command::new("git");
    git.args(["daemon", "--inetd", "--export-all", "--informative-errors"]);
    git.arg(format!("--timeout={}", CLONE_IDLE.as_secs())).arg(format!("--base-path={}", base.display()));
    git.stdin(Stdio::from(input)).stdout(Stdio::from(output)).stderr(Stdio::null()).kill_on_drop(true);
    git.spawn()
}
