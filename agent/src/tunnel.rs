//! Service traffic over the mesh: a listener beside one service, a dial beside the other.
//!
//! A tunnel keeps what TCP promises its users: bytes in order, each side's end on its own, and a reset as a reset. Only ports of
//! the service beside this agent are dialled, by the names that the run gave them.

mod datagrams;
mod dial;
mod faltering;
mod listen;
mod relay;
mod seat;

pub(crate) use datagrams::{Exchange, Lets, Way};
pub use relay::{Client, relay};
pub(crate) use seat::Seat;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use meshproof_mesh::{ByteStream, Mesh, NoLink};
use meshproof_proto::id::{Name, PeerId, RunId};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::opening::open_soon;
use crate::permits::Permits;
use crate::traffic::{Path, Traveller};
use crate::wire::StreamHeader;

/// The tunnels of a run at this agent, both ends. Dropping it ends every connection.
#[derive(Debug)]
pub(crate) struct Tunnels {
    mesh: Mesh,
    run: RunId,
    fars: BTreeMap<Name, Far>,
    tasks: Tasks,
    numbers: Numbers,
}

/// What runs for the tunnels of a run, and ends with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs until it ends or the run does.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let bounded = self.stop.clone().run_until_cancelled_owned(work);
        self.tracker.spawn(async move {
            let _ = bounded.await;
        });
    }
}

/// The other end of a path: another service of the run, and the agent beside it.
#[derive(Clone, Debug)]
pub(crate) struct Far {
    pub mesh: Mesh,
    pub run: RunId,
    pub seat: Arc<Seat>,
    pub path: Arc<Path>,
    pub datagrams: Arc<Exchange>,
    /// Listeners beside this agent that lead there.
    pub listeners: Arc<Listeners>,
}

/// The listeners of a path, as a fault that refuses connections sees them.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    addresses: Mutex<Vec<SocketAddr>>,
    closed: watch::Sender<usize>,
}

impl Listeners {
    /// What an attempt to connect to each of them comes to.
    pub async fn try_all(&self) -> Vec<io::Result<TcpStream>> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        futures::future::join_all(addresses.into_iter().map(TcpStream::connect)).await
    }

    /// Returns when all are closed.
    pub async fn all_closed(&self) {
        let count = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).len();
        // As below.
        let _ = self.closed.subscribe().wait_for(|closed| *closed >= count).await;
    }

    /// Returns when none is closed.
    pub async fn all_open(&self) {
        // The sender is ours, so the wait ends only by what is waited for.
        let _ = self.closed.subscribe().wait_for(|closed| *closed == 0).await;
    }
}

impl Far {
    /// A stream to the agent there, which may be linked only in a moment.
    pub async fn open(&self, header: StreamHeader) -> Result<ByteStream, NoLink> {
        open_soon(&self.mesh, || self.seat.holder(), &header).await
    }

    /// A stream whose bytes come back; without a link there is nothing to measure.
    pub async fn open_probe(&self) -> Result<ByteStream, NoLink> {
        self.mesh.open_stream(self.seat.holder(), StreamHeader::Probe.encode()).await
    }
}

/// Numbers for connections, over all tunnels of a run.
#[derive(Clone, Debug, Default)]
struct Numbers(Arc<AtomicU64>);

impl Numbers {
    fn next(&self) -> Traveller {
        Traveller::Connection(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl Tunnels {
    /// Paths to the other services of a run.
    pub fn new(mesh: &Mesh, run: &RunId, roster: &BTreeMap<Name, PeerId>) -> Self {
        let tasks = Tasks::default();
        let far = |(name, peer): (&Name, &PeerId)| {
            let (path, seat) = (Arc::default(), Seat::new(name.clone(), *peer));
            let datagrams = Exchange::new((mesh.clone(), Arc::clone(&seat)), run, &path, &tasks);
            let (mesh, run, listeners) = (mesh.clone(), run.clone(), Arc::default());
            (name.clone(), Far { mesh, run, seat, path, datagrams, listeners })
        };
        let fars = roster.iter().map(far).collect();
        Self { mesh: mesh.clone(), run: run.clone(), fars, tasks, numbers: Numbers::default() }
    }

    /// The mesh that they lead through, and the run that they are of.
    pub fn place(&self) -> (Mesh, RunId) {
        (self.mesh.clone(), self.run.clone())
    }

    /// Takes datagrams of the other services from now on.
    pub fn take_datagrams(&self, lets: &Lets) {
        for far in self.fars.values().filter(|far| far.seat.holder() != far.mesh.me()) {
            self.spawn(Arc::clone(&far.datagrams).run(lets.clone()));
        }
    }

    pub fn far(&self, name: &Name) -> Option<&Far> {
        self.fars.get(name)
    }

    /// Another instance holds that name from now on.
    pub fn reseat(&self, name: &Name, peer: PeerId) {
        if let Some(far) = self.far(name) {
            far.seat.take(peer);
        }
    }

    /// Listens on a port of loopback, a free one or this, for connections to a port of the service there.
    pub async fn listen(&self, far: &Far, port: String, at: Option<SocketAddr>) -> io::Result<SocketAddr> {
        let listener = listen::bind(at).await?;
        let address = listener.local_addr()?;
        far.listeners.addresses.lock().unwrap_or_else(PoisonError::into_inner).push(address);
        self.spawn(listen::accept(listener, listen::Tunnel { far: far.clone(), port }, self.numbers.clone()));
        Ok(address)
    }

    /// Listens on a port of loopback, a free one or this, for datagrams to a port of the service there.
    pub async fn listen_for_datagrams(
        &self,
        far: &Far,
        port: String,
        at: Option<SocketAddr>,
    ) -> io::Result<SocketAddr> {
        far.datagrams.listen(port, at).await
    }

    /// Dials the service beside this agent for a stream that the peer opened.
    pub fn dial(&self, far: &Far, (address, permits): (String, &Arc<Permits>), stream: ByteStream) {
        let place = (address, Arc::clone(permits));
        self.spawn(dial::dial(Arc::clone(&far.path), self.numbers.next(), place, stream));
    }

    /// Runs until it ends or the run does.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Closes listeners and connections, and waits until they are closed.
    pub async fn close(self) {
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
        self.tasks.tracker.wait().await;
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        self.tasks.stop.cancel();
    }
}
