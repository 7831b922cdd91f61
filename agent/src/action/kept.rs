//! HTTP connections that one step leaves open for the next.
//!
//! Steps that ask the same service one right after the other share a connection, as any client would. It is kept for an instant only:
//! long enough for steps in a row, too short to meet a server's own idle timeout, or to occupy one that serves a single connection at
//! a time. Whoever disturbs a path or starts a service anew calls [`Connections::forget`], so that what comes after it meets a fresh
//! connection, and so does every test.
//!
//! Nothing is sent twice. A kept connection that was closed, or on which anything came unasked, is dropped before a request touches
//! it; once a request is on its way, whatever comes of it is the answer.

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use meshproof_proto::order::Target;
use rustix::net::{RecvFlags, recv};

use super::connection::Connection;
use crate::limits;

/// The kept connections of a run.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Connections of an older age are not taken back.
    age: u64,
    test: String,
    idle: Vec<Idle>,
    sweeping: bool,
}

#[derive(Debug)]
struct Idle {
    target: Target,
    since: Instant,
    open: Open,
}

/// A connection on which a request can be made. Who drops it closes it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) sender: http1::SendRequest<Full<Bytes>>,
    pub(super) connection: Pin<Box<http1::Connection<TokioIo<Connection>, Full<Bytes>>>>,
    pub(super) of_tls: Arc<AtomicBool>,
    /// To see whether anything came; none: it cannot be seen, and the connection is not used again.
    socket: Option<OwnedFd>,
}

/// Where a connection goes back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age(u64);

impl Connections {
    /// No connection that stands now is used again.
    pub fn forget(&self) {
        let mut state = self.lock();
        state.age += 1;
        state.idle.clear();
    }

    /// What follows is of this test.
    pub fn of_test(&self, test: &str) {
        if self.lock().test != test {
            self.forget();
            self.lock().test = test.to_owned();
        }
    }

    /// A connection to this target, if one is open, and where it goes back to.
    pub(super) fn take(&self, target: &Target) -> (Age, Option<Open>) {
        let mut state = self.lock();
        let age = Age(state.age);
        // The youngest first: the others get to their end.
        while let Some(at) = state.idle.iter().rposition(|idle| idle.target == *target) {
            let idle = state.idle.remove(at);
            if idle.since.elapsed() < limits::HTTP_KEPT && idle.open.is_quiet() {
                return (age, Some(idle.open));
            }
        }
        (age, None)
    }

    pub(super) fn give_back(&self, target: &Target, age: Age, open: Open) {
        let mut state = self.lock();
        if state.age != age.0 || state.idle.len() >= limits::HTTP_CONNECTIONS_KEPT {
            return;
        }
        state.idle.push(Idle { target: target.clone(), since: Instant::now(), open });
        if !std::mem::replace(&mut state.sweeping, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Every change is a whole one: whoever panicked while holding it has left it as it should be.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes what nobody takes, until nothing is left.
async fn sweep(state: Weak<Mutex<State>>) {
    loop {
        tokio::time::sleep(limits::HTTP_KEPT).await;
        let Some(state) = state.upgrade() else { return };
        let mut state = lock(&state);
        state.idle.retain(|idle| idle.since.elapsed() < limits::HTTP_KEPT);
        if state.idle.is_empty() {
            state.sweeping = false;
            return;
        }
    }
}

impl Open {
    /// Begins to speak HTTP on a fresh connection.
    pub(super) async fn begin(stream: Connection) -> Result<Self, hyper::Error> {
        let (of_tls, socket) = (stream.broken_by_tls(), stream.socket());
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, connection: Box::pin(connection), of_tls, socket })
    }

    /// Whether it was not closed meanwhile, as far as this side was told.
    pub(super) fn is_there(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Whether the other side has said nothing since, not even that it is closed.
    fn is_quiet(&self) -> bool {
        let came = self.socket.as_ref().map(|socket| {
            // A look at what came takes nothing away.
            recv(socket, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT)
        });
        matches!(came, Some(Err(rustix::io::Errno::AGAIN)))
    }
}
