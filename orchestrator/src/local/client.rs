//! The orchestrator's end of the control socket.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::error::LocalError;
use super::limits::{CALLS_QUEUED, NOTICES_QUEUED};
use crate::keeper::lines::{self, LineError, Lines};
use crate::keeper::protocol::{Answer, Call, Line, Notice, Request};

/// A connection to a keeper. Calls may overlap. Dropping it closes the connection.
#[derive(Debug)]
pub struct Client {
    calls: mpsc::Sender<Outgoing>,
    last_id: AtomicU64,
    _tasks: [AbortOnDropHandle<()>; 2],
}

#[derive(Debug)]
struct Outgoing {
    id: u64,
    line: Vec<u8>,
    answer: oneshot::Sender<Answer>,
}

impl Client {
    /// Takes the connection over. The notices end when it does.
    pub fn new(stream: UnixStream) -> (Self, mpsc::Receiver<Notice>) {
        let (reading, writing) = stream.into_split();
        let (calls, outgoing) = mpsc::channel(CALLS_QUEUED);
        let (lines, incoming) = mpsc::channel(CALLS_QUEUED);
        let (notices, told) = mpsc::channel(NOTICES_QUEUED);
        let tasks = [
            AbortOnDropHandle::new(tokio::spawn(read(reading, lines))),
            AbortOnDropHandle::new(tokio::spawn(exchange(outgoing, incoming, (writing, notices)))),
        ];
        (Self { calls, last_id: AtomicU64::new(0), _tasks: tasks }, told)
    }

    /// Asks the keeper, and waits for its answer.
    ///
    /// # Errors
    /// The keeper refused, is gone, or says nothing until the deadline; or the request is too large.
    pub async fn call(&self, request: Request, deadline: Duration) -> Result<Answer, LocalError> {
        let gone = || LocalError::Gone { last_words: None };
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let line = lines::encode(&Call { id, request }).map_err(|error| LocalError::TooMuch(error.to_string()))?;
        let (answer, answered) = oneshot::channel();
        self.calls.send(Outgoing { id, line, answer }).await.map_err(|_| gone())?;
        match timeout(deadline, answered).await {
            Ok(Ok(Answer::Failed { message })) => Err(LocalError::Refused(message)),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(LocalError::Silent { seconds: deadline.as_secs() }),
        }
    }
}

async fn read(reading: OwnedReadHalf, lines: mpsc::Sender<Line>) {
    let mut reading = Lines::new(reading);
    loop {
        match reading.next().await {
            Ok(Some(line)) => {
                if lines.send(line).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(LineError::Io(error)) => return tracing::debug!(%error, "the keeper's connection ended"),
            Err(error @ (LineError::TooLong | LineError::Unreadable(_))) => {
                return tracing::error!(%error, "the keeper cannot be understood");
            }
        }
    }
}

/// Writes calls and hands out their answers, until either side leaves; who waits then learns that nothing comes.
async fn exchange(
    mut outgoing: mpsc::Receiver<Outgoing>,
    mut incoming: mpsc::Receiver<Line>,
    (mut writing, notices): (OwnedWriteHalf, mpsc::Sender<Notice>),
) {
    use tokio::io::AsyncWriteExt as _;
    let mut waiting = BTreeMap::new();
    loop {
        tokio::select! {
            call = outgoing.recv() => {
                let Some(Outgoing { id, line, answer }) = call else { return };
                waiting.insert(id, answer);
                if let Err(error) = writing.write_all(&line).await {
                    // The reader sees the end as well, after whatever the keeper said before it.
                    tracing::debug!(%error, "a call did not reach the keeper");
                }
            }
            line = incoming.recv() => match line {
                None => return,
                Some(Line::Answer { id, answer }) => {
                    // Who asked may have given up.
                    let _ = waiting.remove(&id).map(|waiting| waiting.send(answer));
                }
                Some(Line::Notice(notice)) => {
                    if let Err(error) = notices.try_send(notice) {
                        tracing::debug!(%error, "a notice of the keeper has no reader");
                    }
                }
            },
        }
    }
}
