//! The hold on a keeper: while it is held the keeper works for us; let go of, however that comes, it ends everything, unless
//! another orchestrator has taken control.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::keeper::folder::RunFolder;
use crate::keeper::lines::{self, LineError};
use crate::keeper::protocol::{Call, How, PROTOCOL, Request};

/// From the moment that a keeper was started. Dropped without [`Hold::release`], it has the keeper kill everything.
#[derive(Debug)]
pub struct Hold {
    folder: RunFolder,
    /// The run's term that we command at: the keeper does not listen to those who were replaced.
    term: u64,
    released: Release,
}

/// Lets go of a keeper from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Release(Arc<AtomicBool>);

impl Release {
    /// What the keeper keeps is none of ours any more, and lives on.
    pub fn release(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Hold {
    pub fn new(folder: RunFolder, term: u64) -> Self {
        Self { folder, term, released: Release::default() }
    }

    /// The folder that the keeper keeps.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// At which we command.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The keeper has ended, or works for somebody else.
    pub fn release(&mut self) {
        self.released.release();
    }

    /// Whoever has this can let go.
    pub fn releaser(&self) -> Release {
        self.released.clone()
    }

    /// Has the keeper kill everything, without waiting for it: that works in a `drop`, and just before this process exits.
    pub fn end_now(&mut self) {
        if self.released.0.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.order_the_end() {
            tracing::debug!(%error, "the keeper takes no orders; its guard ends everything");
        }
    }

    /// Over a connection of its own: another may be in the middle of a line. The two lines fit any socket's buffer.
    fn order_the_end(&self) -> Result<(), LineError> {
        let hello = Request::Hello { protocol: PROTOCOL, term: self.term };
        let mut orders = lines::encode(&Call { id: 1, request: hello })?;
        orders.extend(lines::encode(&Call { id: 2, request: Request::End { how: How::AtOnce } })?);
        UnixStream::connect(self.folder.socket())?.write_all(&orders)?;
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.end_now();
    }
}
