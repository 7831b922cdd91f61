//! People who follow the run over the mesh: each has a stream on which the journal comes from its first line on, as it is written.
//!
//! Nothing of the run waits for them, until it is over: then for a moment, so that they hear how it ended.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use meshproof_mesh::ByteStream;
use meshproof_proto::limits::STREAM_CHUNK_BYTES;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::limits::FOLLOWERS;

/// How long a run that is over waits for those who have not heard all of it.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// Those of a run.
#[derive(Debug, Default)]
pub(super) struct Followers {
    /// The journal is complete.
    complete: CancellationToken,
    sending: JoinSet<()>,
}

impl Followers {
    /// One more, who gets this journal. `on_disk` changes when it has grown.
    pub(super) fn send(&mut self, (journal, on_disk): (&Path, watch::Receiver<u64>), stream: ByteStream) {
        while self.sending.try_join_next().is_some() {}
        if self.sending.len() >= FOLLOWERS {
            return stream.reset("too many follow the run at once");
        }
        let file = match File::open(journal) {
            Ok(file) => file,
            Err(error) => return stream.reset(&format!("the journal cannot be read: {error}")),
        };
        let growing = Growing { file, on_disk, complete: self.complete.clone() };
        self.sending.spawn(async move {
            if let Err(error) = growing.send(stream).await {
                tracing::debug!(%error, "somebody who followed the run broke off");
            }
        });
    }

    /// Nothing more is written. Waits until everybody has heard all of it, a moment.
    pub(super) async fn are_told(&mut self) {
        self.complete.cancel();
        let _ = timeout(HEARD_WITHIN, async { while self.sending.join_next().await.is_some() {} }).await;
    }
}

/// A journal that is being written.
struct Growing {
    file: File,
    on_disk: watch::Receiver<u64>,
    complete: CancellationToken,
}

impl Growing {
    async fn send(mut self, mut stream: ByteStream) -> io::Result<()> {
        let mut bytes = vec![0; STREAM_CHUNK_BYTES];
        loop {
            // Asked before the last look, so that nothing is missed that was written in between.
            let is_complete = self.complete.is_cancelled();
            self.on_disk.mark_unchanged();
            let read = self.file.read(&mut bytes)?;
            if read > 0 {
                stream.write_all(&bytes[..read]).await?;
                continue;
            }
            if is_complete {
                stream.shutdown().await?;
                // Until the other side has read it, and ends its half.
                return stream.read(&mut bytes).await.map(drop);
            }
            tokio::select! {
                changed = self.on_disk.changed() => if changed.is_err() { self.complete.cancelled().await },
                () = self.complete.cancelled() => {}
            }
        }
    }
}
