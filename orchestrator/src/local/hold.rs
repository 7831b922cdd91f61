//! The hold on a keeper: while it is held the keeper works for us; let go of, however that comes, it ends everything.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use crate::keeper::folder::RunFolder;
use crate::keeper::lines::{self, LineError};
use crate::keeper::protocol::{Call, How, PROTOCOL, Request};

/// From the moment that a keeper was started. Dropped without [`Hold::release`], it has the keeper kill everything.
#[derive(Debug)]
pub struct Hold {
    folder: RunFolder,
    life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Held,
    Released,
}

impl Hold {
    pub fn new(folder: RunFolder) -> Self {
        Self { folder, life: Life::Held }
    }

    /// The folder that the keeper keeps.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The keeper has ended.
    pub fn release(&mut self) {
        self.life = Life::Released;
    }

    /// Has the keeper kill everything, without waiting for it: that works in a `drop`, and just before this process exits.
    pub fn end_now(&mut self) {
        if self.life == Life::Released {
            return;
        }
        self.life = Life::Released;
        if let Err(error) = self.order_the_end() {
            tracing::debug!(%error, "the keeper takes no orders; its guard ends everything");
        }
    }

    /// Over a connection of its own: another may be in the middle of a line. The two lines fit any socket's buffer.
    fn order_the_end(&self) -> Result<(), LineError> {
        let mut orders = lines::encode(&Call { id: 1, request: Request::Hello { protocol: PROTOCOL } })?;
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
