//! The one owner of the rooms: sockets tell it what came, it puts what is to be sent into their queues.
//!
//! It never waits for a socket. Whoever does not empty its queue is cut off; the others do not notice. Nor does it check
//! signatures of newcomers: that takes longer than everything else here, and is done beside it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::extract::ws::Utf8Bytes;
use meshproof_proto::id::Name;
use meshproof_proto::identity::UnixSeconds;
use meshproof_proto::limits::SIGNALING_QUEUE;
use meshproof_proto::rendezvous::ToPeer;
use meshproof_proto::trust::{RootNews, Trust};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::epochs::{self, Texts};
use crate::limits;
use crate::rooms::{Claim, CloseReason, ConnId, Input, Nonce, NotTaken, Now, Output, Rooms};

/// From a socket to the hub.
#[derive(Debug)]
pub(crate) enum Arrival {
    Opened {
        conn: ConnId,
        nonce: Nonce,
        outbox: Outbox,
    },
    Heard {
        conn: ConnId,
        input: Input,
    },
    /// What stands in files of epochs, by their names. The answer says whether all of it was taken.
    Epochs {
        texts: Texts,
        answer: oneshot::Sender<bool>,
    },
    /// Whoever watches over the server wants its figures.
    Asked(oneshot::Sender<Figures>),
}

/// The rooms in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Registered peers, by mesh.
    pub(crate) peers: BTreeMap<Name, usize>,
    /// Sockets that are open, registered or not.
    pub(crate) sockets: usize,
    /// Texts that were put into the queues of sockets, since the server started.
    pub(crate) sent: u64,
    pub(crate) refused: u64,
}

/// From the hub to a socket.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// The permit is the text's share of the queue's bytes; it goes when the text is written.
    Text(Utf8Bytes, OwnedSemaphorePermit),
    Close(CloseReason),
}

/// The hub's end of a socket's queue.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Where the socket comes from: what an owner can do something about when it is refused.
    from: SocketAddr,
    queue: mpsc::Sender<Outgoing>,
    bytes: Arc<Semaphore>,
    overrun: CancellationToken,
}

/// The socket's end of its queue.
pub(crate) struct Inbox {
    pub(crate) queue: mpsc::Receiver<Outgoing>,
    /// Cancelled when the queue was full: the peer does not read.
    pub(crate) overrun: CancellationToken,
}

/// A queue bounded in messages and in bytes.
pub(crate) fn queue(from: SocketAddr) -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::channel(SIGNALING_QUEUE);
    let overrun = CancellationToken::new();
    let bytes = Arc::new(Semaphore::new(limits::QUEUED_BYTES));
    (Outbox { from, queue: sender, bytes, overrun: overrun.clone() }, Inbox { queue: receiver, overrun })
}

/// The queue of a socket is full.
struct Overrun;

impl Outbox {
    fn send(&self, text: Utf8Bytes) -> Result<(), Overrun> {
        let bytes = u32::try_from(text.len()).map_err(|_| Overrun)?;
        let share = Arc::clone(&self.bytes).try_acquire_many_owned(bytes).map_err(|_| Overrun)?;
        self.queue.try_send(Outgoing::Text(text, share)).map_err(|_| Overrun)
    }

    fn close(self, reason: CloseReason) {
        if self.queue.try_send(Outgoing::Close(reason)).is_err() {
            self.overrun.cancel();
        }
    }
}

pub(crate) struct Hub {
    rooms: Rooms,
    sockets: HashMap<ConnId, Outbox>,
    /// What the relays have to know, too.
    learned: Learned,
    vetting: Vetting,
    /// Files of epochs that were refused, and why.
    unheeded: BTreeMap<String, String>,
    sent: u64,
    refused: u64,
}

/// Where claims are looked into.
pub(crate) struct Vetting {
    places: Arc<Semaphore>,
    results: mpsc::Sender<Arrival>,
    tasks: TaskTracker,
}

/// The news of each mesh.
pub(crate) type Learned = watch::Sender<BTreeMap<Name, RootNews>>;

impl Hub {
    pub(crate) fn new(rooms: Rooms, learned: Learned, vetting: Vetting) -> Self {
        Self { rooms, sockets: HashMap::new(), learned, vetting, unheeded: BTreeMap::new(), sent: 0, refused: 0 }
    }

    /// Runs until `stop`; then the sockets' queues end.
    pub(crate) async fn run(mut self, mut arrivals: mpsc::Receiver<Arrival>, stop: CancellationToken) {
        loop {
            let timeout = self.rooms.poll_timeout();
            tokio::select! {
                () = stop.cancelled() => return,
                () = at(timeout) => self.rooms.handle_timeout(now()),
                arrival = arrivals.recv() => match arrival {
                    Some(arrival) => self.take(arrival),
                    None => return,
                },
            }
            self.act();
        }
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Opened { conn, nonce, outbox } => {
                self.sockets.insert(conn, outbox);
                self.rooms.handle(conn, Input::Connected { nonce }, now());
            }
            Arrival::Heard { conn, input } => {
                if matches!(input, Input::Disconnected) {
                    self.sockets.remove(&conn);
                }
                self.rooms.handle(conn, input, now());
            }
            Arrival::Epochs { texts, answer } => drop(answer.send(self.take_epochs(texts))),
            Arrival::Asked(asker) => drop(asker.send(self.figures())),
        }
    }

    /// Whether all of them were taken. What is refused is told once.
    fn take_epochs(&mut self, texts: Texts) -> bool {
        let mut refused = BTreeMap::new();
        for (file, text) in texts {
            let notice = epochs::notice(&text).ok_or(NotTaken::Unreadable);
            match notice.and_then(|notice| self.rooms.take_epoch(&notice, now().unix)) {
                Ok(None) => {}
                Ok(Some(epoch)) => tracing::info!(mesh = %epoch.mesh, file, "an epoch begins: {epoch}"),
                Err(error) => drop(refused.insert(file, error.to_string())),
            }
        }
        for (file, reason) in refused.iter().filter(|(file, reason)| self.unheeded.get(*file) != Some(reason)) {
            tracing::warn!(target: "meshproof::audit", file, reason, "epoch refused");
        }
        self.unheeded = refused;
        self.unheeded.is_empty()
    }

    fn figures(&self) -> Figures {
        let peers = self.rooms.peers().map(|(mesh, peers)| (mesh.clone(), peers)).collect();
        Figures { peers, sockets: self.sockets.len(), sent: self.sent, refused: self.refused }
    }

    fn act(&mut self) {
        while let Some(output) = self.rooms.poll_output() {
            match output {
                Output::Send { to, message } => self.send(&to, &message),
                Output::Vet { conn, claim } => {
                    let trust = self.rooms.trust(&claim.mesh);
                    self.vetting.begin(conn, claim, trust);
                }
                Output::Learned { mesh, news } => {
                    tracing::info!(%mesh, "the root of the mesh said more");
                    self.learned.send_modify(|learned| drop(learned.insert(mesh, news)));
                }
                Output::Close { conn, reason } => {
                    tracing::info!(conn = conn.0, ?reason, "connection closes");
                    if let Some(outbox) = self.sockets.remove(&conn) {
                        outbox.close(reason);
                    }
                }
            }
        }
    }

    fn send(&mut self, to: &[ConnId], message: &ToPeer) {
        self.sent += to.len() as u64;
        if let ToPeer::Refused { reason } = message {
            self.refused += to.len() as u64;
            for from in to.iter().filter_map(|conn| self.sockets.get(conn)).map(|outbox| outbox.from) {
                tracing::warn!(target: "meshproof::audit", %from, reason, "peer refused");
            }
        }
        let text = Utf8Bytes::from(serde_json::to_string(message).expect("a message is plain data"));
        for conn in to {
            let Some(outbox) = self.sockets.get(conn) else { continue };
            if outbox.send(text.clone()).is_err() {
                tracing::warn!(conn = conn.0, "peer does not read what is sent to it: cut off");
                outbox.overrun.cancel();
                self.sockets.remove(conn);
                self.rooms.handle(*conn, Input::Disconnected, now());
            }
        }
    }
}

impl Vetting {
    /// `results` come back as what was heard on the socket.
    pub(crate) fn new(results: mpsc::Sender<Arrival>, tasks: TaskTracker) -> Self {
        Self { places: Arc::new(Semaphore::new(limits::VETTINGS)), results, tasks }
    }

    /// A connection has one claim at most that waits here. On a thread of its own, so that no task of a socket stands behind it.
    fn begin(&self, conn: ConnId, claim: Box<Claim>, trust: Option<Arc<Trust>>) {
        let (places, results) = (Arc::clone(&self.places), self.results.clone());
        self.tasks.spawn(async move {
            let _place = places.acquire().await.expect("nobody closes this semaphore");
            let vetting = tokio::task::spawn_blocking(move || {
                let result = claim.vet(trust.as_deref(), now().unix);
                Input::Vetted { claim, result }
            });
            let input = vetting.await.expect("vetting does not panic");
            // fails only when the hub stopped, and then everyone is gone
            let _ = results.send(Arrival::Heard { conn, input }).await;
        });
    }
}

pub(crate) fn now() -> Now {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix: UnixSeconds(since_1970.as_secs()) }
}

pub(crate) async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
