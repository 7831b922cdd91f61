//! Service traffic over the mesh: a listener beside one service, a dial beside the other.
//!
//! A tunnel keeps what TCP promises its users: bytes in order, each side's end on its own, and a reset as a reset. Only ports of
//! the service beside this agent are dialled, by the names that the run gave them.

mod dial;
mod listen;
mod relay;

pub use relay::relay;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meshproof_mesh::{ByteStream, Mesh, NoLink};
use meshproof_proto::id::{Name, PeerId, RunId};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::permits::Permits;
use crate::traffic::{Path, Traveller};
use crate::wire::StreamHeader;

/// The tunnels of a run at this agent, both ends. Dropping it ends every connection.
#[derive(Debug)]
pub(crate) struct Tunnels {
    fars: BTreeMap<Name, Far>,
    tasks: TaskTracker,
    stop: CancellationToken,
    numbers: Numbers,
}

/// The other end of a path: another service of the run, and the agent beside it.
#[derive(Clone, Debug)]
pub(crate) struct Far {
    pub mesh: Mesh,
    pub run: RunId,
    pub peer: PeerId,
    pub path: Arc<Path>,
}

impl Far {
    /// A stream to the agent there.
    pub async fn open(&self, header: StreamHeader) -> Result<ByteStream, NoLink> {
        self.mesh.open_stream(self.peer, header.encode()).await
    }

    /// A stream whose bytes come back.
    pub async fn open_probe(&self) -> Result<ByteStream, NoLink> {
        self.open(StreamHeader::Probe).await
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
        let far = |peer: &PeerId| Far { mesh: mesh.clone(), run: run.clone(), peer: *peer, path: Arc::default() };
        Self {
            fars: roster.iter().map(|(name, peer)| (name.clone(), far(peer))).collect(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            numbers: Numbers::default(),
        }
    }

    pub fn far(&self, name: &Name) -> Option<&Far> {
        self.fars.get(name)
    }

    /// Listens on a free port of loopback for connections to a port of the service there.
    pub async fn listen(&self, far: &Far, port: String) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        self.spawn(listen::accept(listener, listen::Tunnel { far: far.clone(), port }, self.numbers.clone()));
        Ok(address)
    }

    /// Dials the service beside this agent for a stream that the peer opened.
    pub fn dial(&self, far: &Far, (address, permits): (String, &Arc<Permits>), stream: ByteStream) {
        let place = (address, Arc::clone(permits));
        self.spawn(dial::dial(Arc::clone(&far.path), self.numbers.next(), place, stream));
    }

    /// Runs until it ends or the run does.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let bounded = self.stop.clone().run_until_cancelled_owned(work);
        self.tasks.spawn(async move {
            let _ = bounded.await;
        });
    }

    /// Closes listeners and connections, and waits until they are closed.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
