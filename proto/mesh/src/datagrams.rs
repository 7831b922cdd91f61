//! Datagrams of a link: each arrives at most once, in any order, and none waits for another.
//!
//! They travel on the unordered channel of the first bulk connection. What does not fit into a queue is dropped and counted, as on
//! any network: whoever sends datagrams would rather lose one than wait for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use dashmap::DashMap;
use meshproof_proto::allowance::Allowance;
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::Identity;
use meshproof_proto::limits::MESSAGE_BYTES;
use tokio::sync::{Notify, mpsc};

use crate::limits::{DATAGRAM_ASKS, DATAGRAM_QUEUE, DATAGRAM_QUEUE_BYTES};

/// A datagram as it came, and the peer that sent it.
#[derive(Debug)]
pub struct Datagram {
    pub peer: Arc<Identity>,
    pub bytes: Bytes,
}

/// Who takes the datagrams of which peer.
#[derive(Debug, Default)]
pub(crate) struct Inboxes(DashMap<PeerId, mpsc::Sender<Datagram>>);

impl Inboxes {
    /// From now on this queue gets what that peer sends, and whoever had it before gets nothing more.
    pub(crate) fn open(&self, peer: PeerId) -> mpsc::Receiver<Datagram> {
        let (sender, receiver) = mpsc::channel(DATAGRAM_QUEUE);
        self.0.insert(peer, sender);
        receiver
    }

    fn take(&self, datagram: Datagram) -> Result<(), Full> {
        let peer = datagram.peer.peer;
        let Some(inbox) = self.0.get(&peer).map(|inbox| inbox.value().clone()) else { return Err(Full) };
        match inbox.try_send(datagram) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Full),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.0.remove_if(&peer, |_, inbox| inbox.is_closed());
                Err(Full)
            }
        }
    }
}

/// There is no room, or nobody to take it.
#[derive(Debug)]
struct Full;

/// The datagrams of one link.
#[derive(Debug)]
pub(crate) struct Datagrams {
    peer: Arc<Identity>,
    waiting: Mutex<Waiting>,
    woken: Notify,
    dropped: AtomicU64,
    /// For a connection that carries them.
    asks: Mutex<Allowance>,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Bytes>,
    bytes: usize,
}

/// What one takes of the queue: an empty one takes room, too.
fn room_of(bytes: &Bytes) -> usize {
    size_of::<Bytes>() + bytes.len()
}

impl Datagrams {
    pub(crate) fn new(peer: &Identity) -> Arc<Self> {
        let peer = Arc::new(peer.clone());
        let asks = Mutex::new(Allowance::new(DATAGRAM_ASKS, Instant::now()));
        Arc::new(Self { peer, waiting: Mutex::default(), woken: Notify::new(), dropped: AtomicU64::new(0), asks })
    }

    /// Puts one into the queue, if there is room.
    pub(crate) fn send(&self, bytes: Bytes) {
        let mut waiting = self.lock();
        let room = room_of(&bytes);
        if bytes.len() > MESSAGE_BYTES || waiting.bytes + room > DATAGRAM_QUEUE_BYTES {
            return self.drop_one();
        }
        waiting.bytes += room;
        waiting.queue.push_back(bytes);
        drop(waiting);
        self.woken.notify_one();
    }

    /// The next one to send.
    pub(crate) async fn next(&self) -> Bytes {
        loop {
            let woken = self.woken.notified();
            if let Some(bytes) = self.pop() {
                return bytes;
            }
            woken.await;
        }
    }

    fn pop(&self) -> Option<Bytes> {
        let mut waiting = self.lock();
        let bytes = waiting.queue.pop_front()?;
        waiting.bytes -= room_of(&bytes);
        Some(bytes)
    }

    /// Whether a datagram that finds no connection asks for one: they come faster than that is made.
    pub(crate) fn may_ask(&self) -> bool {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner).take_now(Instant::now())
    }

    /// One came.
    pub(crate) fn received(&self, bytes: Bytes, inboxes: &Inboxes) {
        if inboxes.take(Datagram { peer: Arc::clone(&self.peer), bytes }).is_err() {
            self.drop_one();
        }
    }

    /// One is lost here.
    pub(crate) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were lost here, on their way out or in.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
