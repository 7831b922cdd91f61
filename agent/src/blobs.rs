//! Files of the run that are too long for orders: each is got once from whoever has it, kept on disk, and given to other agents.
//!
//! An agent asks the agents before it, which may only be getting the file themselves, then the orchestrator, then the agents
//! behind it. So an orchestrator with many agents gives a file away once, and whoever dies meanwhile is done without. What an instance
//! before this one, or another run, has left of a file is looked at and need not come again.

mod getting;

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use meshproof_mesh::ByteStream;
use meshproof_mesh::blobs::{HeldBlob, serve};
use meshproof_proto::blob::BlobOrder;
use meshproof_proto::event::Fact;
use meshproof_proto::id::Digest;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::spawn_blocking;

use crate::limits;
use crate::tunnel::{Seat, Tunnels};
use getting::Getting;

/// The files of a run.
#[derive(Debug)]
pub struct Blobs {
    of: BTreeMap<Digest, Kept>,
    /// Peers that are given chunks at once.
    served: Arc<Semaphore>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// None: what is there of it is still looked at.
    held: watch::Receiver<Option<Arc<HeldBlob>>>,
    state: Arc<State>,
}

/// What is told of a file that is not here.
#[derive(Debug)]
struct State {
    name: String,
    bytes: u64,
    /// Why there was no more of it.
    why: Mutex<Option<String>>,
}

/// Where files are got from and kept.
pub(crate) struct Around<'a> {
    /// Without one nothing outlives this process.
    pub place: Option<PathBuf>,
    pub tunnels: &'a Tunnels,
    pub orchestrator: &'a Arc<Seat>,
    pub facts: mpsc::Sender<Fact>,
}

impl Default for Blobs {
    fn default() -> Self {
        Self { of: BTreeMap::new(), served: Arc::new(Semaphore::new(limits::BLOBS_SERVED)) }
    }
}

impl Blobs {
    /// Begins to get these, and forgets all others.
    ///
    /// # Errors
    /// An order makes no sense, or there is no place to keep them at.
    pub(crate) fn begin(orders: Vec<BlobOrder>, around: &Around<'_>) -> Result<Self, String> {
        let mut blobs = Self::default();
        if let Some(place) = &around.place {
            clear(place, &orders).map_err(|error| format!("files of the run cannot be kept: {error}"))?;
        }
        for order in orders {
            if !order.blob.is_sound() {
                return Err(format!("`{}` is no file that can be got: {:?}", order.name, order.blob));
            }
            let (opened, held) = watch::channel(None);
            let (name, bytes) = (order.name.clone(), order.blob.bytes);
            let kept = Kept { held, state: Arc::new(State { name, bytes, why: Mutex::default() }) };
            blobs.of.insert(order.blob.digest, kept.clone());
            let getting = Getting::of(&order, around);
            let path = around.place.as_ref().map(|place| place.join(order.blob.digest.to_string()));
            around.tunnels.spawn(async move {
                let blob = order.blob;
                let held = spawn_blocking(move || HeldBlob::open(blob, file(path.as_deref())?)).await;
                match held.map_err(io::Error::other).flatten() {
                    Ok(held) => {
                        let held = Arc::new(held);
                        opened.send_replace(Some(Arc::clone(&held)));
                        getting.run(&held, &kept).await;
                    }
                    Err(error) => kept.missing_because(format!("it cannot be kept here: {error}")),
                }
            });
        }
        Ok(blobs)
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<&Kept> {
        self.of.get(digest)
    }

    /// Gives chunks to a peer, as long as it asks for them. `Err` gives the stream back with the reason.
    pub(crate) fn serve(
        &self,
        digest: &Digest,
        stream: ByteStream,
        tunnels: &Tunnels,
    ) -> Result<(), (ByteStream, String)> {
        let Some(kept) = self.of.get(digest).cloned() else {
            return Err((stream, format!("there is no file {digest} here")));
        };
        let Ok(place) = Arc::clone(&self.served).try_acquire_owned() else {
            return Err((stream, "too many get files from here at once".to_owned()));
        };
        tunnels.spawn(async move {
            let _place = place;
            let held = kept.held().await;
            match serve(stream, &held).await {
                Ok(bytes) => tracing::debug!(file = kept.state.name, bytes, "gave of a file"),
                Err(error) => tracing::debug!(file = kept.state.name, %error, "whoever got a file broke off"),
            }
        });
        Ok(())
    }
}

impl Kept {
    /// Once it is known what is here of it.
    async fn held(&self) -> Arc<HeldBlob> {
        let mut held = self.held.clone();
        match held.wait_for(Option::is_some).await.map(|held| held.clone()) {
            Ok(Some(held)) => held,
            // It cannot be kept: whoever waits is told why when its time is over.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// A chunk, once it is here.
    pub(crate) async fn chunk(&self, number: u32) -> io::Result<Vec<u8>> {
        let held = self.held().await;
        held.has(number).await;
        held.read(number).await
    }

    /// How many chunks it has.
    pub(crate) async fn chunks(&self) -> u32 {
        u32::try_from(self.held().await.blob().chunks.len()).unwrap_or(u32::MAX)
    }

    /// What is told to whoever waited in vain; nothing, when all of it is here.
    pub(crate) fn lacks(&self) -> Option<String> {
        let held = self.held.borrow().clone();
        let here = held.as_ref().map_or(0, |held| held.bytes_here());
        if here == self.state.bytes {
            return None;
        }
        let why = self.state.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        Some(format!("{here} of {} bytes of `{}` have come{why}", self.state.bytes, self.state.name))
    }

    fn missing_because(&self, why: String) {
        tracing::warn!(file = self.state.name, why, "a file of the run is not here yet");
        *self.state.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// Those of runs before this one go, unless this one has use for them.
fn clear(place: &Path, orders: &[BlobOrder]) -> io::Result<()> {
    let entries = match std::fs::read_dir(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let names: Vec<String> = orders.iter().map(|order| order.blob.digest.to_string()).collect();
    for entry in entries {
        let entry = entry?;
        if !names.iter().any(|name| *name == entry.file_name().to_string_lossy()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Its owner's alone; without a path, nobody else's and gone with this process.
fn file(path: Option<&Path>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    if let Some(path) = path {
        if let Some(place) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(place)?;
        }
        return options.create(true).truncate(false).open(path);
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let path = std::env::temp_dir().join(format!("meshproof-{}", data_encoding::HEXLOWER.encode(&random)));
    let file = options.create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}
