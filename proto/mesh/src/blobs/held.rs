//! A blob as far as it is here, in a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use meshproof_proto::blob::Blob;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

/// Chunks of a blob in a file, each at its place.
#[derive(Debug)]
pub struct HeldBlob {
    blob: Blob,
    file: Arc<File>,
    /// Which chunks are here.
    here: Mutex<Vec<bool>>,
    /// How many.
    count: watch::Sender<u32>,
}

/// Why a chunk was not kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    #[error("it is damaged")]
    Damaged,
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl HeldBlob {
    /// All of it, as far as somebody has looked: who gets a chunk looks again.
    #[must_use]
    pub fn whole(blob: Blob, file: File) -> Self {
        let here = vec![true; blob.chunks.len()];
        Self::with(blob, file, here)
    }

    /// What a file that may be read and written has of it. Every chunk is looked at, so this takes a second for each gigabyte.
    ///
    /// # Errors
    /// The file cannot be read, or not be made as long as the blob is.
    pub fn open(blob: Blob, file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut here = Vec::with_capacity(blob.chunks.len());
        for chunk in blob.numbers() {
            let bytes = blob.bytes_of(chunk).unwrap_or_default();
            let is_there = blob.begin(chunk) + bytes as u64 <= length;
            here.push(is_there && blob.is_chunk(chunk, &read_at(&file, blob.begin(chunk), Some(bytes))?));
        }
        file.set_len(blob.bytes)?;
        Ok(Self::with(blob, file, here))
    }

    fn with(blob: Blob, file: File, here: Vec<bool>) -> Self {
        let count = u32::try_from(here.iter().filter(|here| **here).count()).unwrap_or(u32::MAX);
        Self { blob, file: Arc::new(file), here: Mutex::new(here), count: watch::Sender::new(count) }
    }

    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Whether it has a chunk of that number.
    pub(super) fn is_of(&self, chunk: u32) -> bool {
        self.blob.bytes_of(chunk).is_some()
    }

    /// Whether that chunk is here.
    #[must_use]
    pub fn has_now(&self, chunk: u32) -> bool {
        let here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        usize::try_from(chunk).ok().and_then(|chunk| here.get(chunk)).copied().unwrap_or_default()
    }

    /// Returns once that chunk is here.
    pub async fn has(&self, chunk: u32) {
        // the sender is ours, so the wait ends only by what is waited for
        let _ = self.count.subscribe().wait_for(|_| self.has_now(chunk)).await;
    }

    /// Those that are not here.
    #[must_use]
    pub fn missing(&self) -> Vec<u32> {
        self.blob.numbers().filter(|chunk| !self.has_now(*chunk)).collect()
    }

    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self.count.borrow() as usize == self.blob.chunks.len()
    }

    /// Bytes of the chunks that are here.
    #[must_use]
    pub fn bytes_here(&self) -> u64 {
        let here = self.blob.numbers().filter(|chunk| self.has_now(*chunk));
        here.filter_map(|chunk| self.blob.bytes_of(chunk)).map(|bytes| bytes as u64).sum()
    }

    /// A chunk that is here.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn read(&self, chunk: u32) -> io::Result<Vec<u8>> {
        let (file, begin, length) = (Arc::clone(&self.file), self.blob.begin(chunk), self.blob.bytes_of(chunk));
        spawn_blocking(move || read_at(&file, begin, length)).await.map_err(io::Error::other)?
    }

    /// Keeps a chunk if it is what it should be.
    pub(super) async fn put(&self, chunk: u32, bytes: Vec<u8>) -> Result<(), NotKept> {
        if !self.blob.is_chunk(chunk, &bytes) {
            return Err(NotKept::Damaged);
        }
        let (file, begin) = (Arc::clone(&self.file), self.blob.begin(chunk));
        spawn_blocking(move || file.write_all_at(&bytes, begin)).await.map_err(io::Error::other)??;
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = match usize::try_from(chunk).ok().and_then(|chunk| here.get_mut(chunk)) {
            Some(here) => !std::mem::replace(here, true),
            None => false,
        };
        drop(here);
        self.count.send_modify(|count| *count += u32::from(is_new));
        Ok(())
    }
}

fn read_at(file: &File, begin: u64, length: Option<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length.unwrap_or_default()];
    file.read_exact_at(&mut bytes, begin)?;
    Ok(bytes)
}
