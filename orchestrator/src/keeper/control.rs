//! The control socket: who is in command, what they ask, what they are told.
//!
//! A connection is a stranger until it says hello. Its task reads; a second one writes what the keeper queued, so that a
//! reader that hangs stops nobody.

use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::limits::{FLUSH_DEADLINE, HELLO_DEADLINE, LINES_QUEUED, STRANGERS};
use super::lines::{self, Lines};
use super::protocol::{Answer, Call, Line, PROTOCOL, Request};

/// What came over the socket.
#[derive(Debug)]
pub enum Incoming {
    /// Somebody takes control, and waits for the answer to call `id`.
    Hello { id: u64, term: u64, controller: Controller },
    /// A call from the connection of that number.
    Call { from: u64, call: Call },
    /// That connection is gone.
    Left { from: u64 },
}

/// The connection in command. Dropping it ends it.
#[derive(Debug)]
pub struct Controller {
    number: u64,
    lines: mpsc::Sender<Line>,
    writer: JoinHandle<()>,
    _reader: DropGuard,
}

impl Controller {
    /// Which connection this is.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Queues a line. `false`: it reads no more, and is as good as gone.
    pub fn tell(&self, line: Line) -> bool {
        self.lines.try_send(line).is_ok()
    }

    /// Has no place here any more: told why, it ends. What is queued is still written.
    pub fn refuse(self, last: Line) {
        self.tell(last);
    }

    /// Ends it after everything queued was written.
    pub async fn close(self) {
        drop(self.lines);
        // One that does not read in time has no use for the rest.
        let _ = timeout(FLUSH_DEADLINE, self.writer).await;
    }
}

/// Accepts connections until it is dropped or aborted.
pub async fn listen(listener: UnixListener, incoming: mpsc::Sender<Incoming>) {
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        let permit = Arc::clone(&strangers).acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                number += 1;
                let incoming = incoming.clone();
                connections.spawn(async move {
                    let greeted = greet(stream).await;
                    drop(permit);
                    if let Some((hello, reading, writing)) = greeted {
                        attend(number, hello, (reading, writing), incoming).await;
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "cannot accept a connection"),
        }
    }
}

type Reading = Lines<OwnedReadHalf>;

/// Waits for a hello; a stranger that says anything else is told so and left.
async fn greet(stream: UnixStream) -> Option<((u64, u64), Reading, OwnedWriteHalf)> {
    let (reading, mut writing) = stream.into_split();
    let mut reading = Lines::new(reading);
    let first = timeout(HELLO_DEADLINE, reading.next::<Call>()).await;
    let (id, message) = match first {
        Ok(Ok(Some(Call { id, request: Request::Hello { protocol: PROTOCOL, term } }))) => {
            return Some(((id, term), reading, writing));
        }
        Ok(Ok(Some(Call { id, request: Request::Hello { protocol, .. } }))) => (
            id,
            format!("this keeper speaks version {PROTOCOL} of its protocol, not {protocol}; use the same meshproof"),
        ),
        Ok(Ok(Some(Call { id, .. }))) => (id, "a hello was expected first".to_owned()),
        Ok(Ok(None) | Err(_)) | Err(_) => return None,
    };
    let refusal = Line::Answer { id, answer: Answer::Failed { message } };
    // Whoever it was may be gone already.
    let _ = timeout(FLUSH_DEADLINE, lines::write(&mut writing, &refusal)).await;
    None
}

/// Serves a connection that said hello until it leaves or is dropped by the keeper.
async fn attend(
    number: u64,
    (id, term): (u64, u64),
    halves: (Reading, OwnedWriteHalf),
    incoming: mpsc::Sender<Incoming>,
) {
    let (mut reading, writing) = halves;
    let (lines, queued) = mpsc::channel(LINES_QUEUED);
    let dropped = CancellationToken::new();
    let controller = Controller {
        number,
        lines,
        writer: tokio::spawn(write_queued(queued, writing)),
        _reader: dropped.clone().drop_guard(),
    };
    let mut next = Some(Incoming::Hello { id, term, controller });
    while let Some(what) = next {
        if incoming.send(what).await.is_err() {
            return;
        }
        next = tokio::select! {
            () = dropped.cancelled() => None,
            read = reading.next::<Call>() => match read {
                Ok(call) => call.map(|call| Incoming::Call { from: number, call }),
                Err(error) => {
                    tracing::warn!(%error, "the orchestrator's connection is ended");
                    None
                }
            },
        };
    }
    // Nobody is left to tell when this fails.
    let _ = incoming.send(Incoming::Left { from: number }).await;
}

async fn write_queued(mut queued: mpsc::Receiver<Line>, mut writing: OwnedWriteHalf) {
    while let Some(line) = queued.recv().await {
        if let Err(error) = lines::write(&mut writing, &line).await {
            tracing::debug!(%error, "a line did not reach the orchestrator");
            return;
        }
    }
    // It may have closed first.
    let _ = writing.shutdown().await;
}
