//! Files by what is in them. A blob is named by its SHA-256 and travels in chunks, each of which has one of its own: whoever
//! gets a chunk from anybody knows at once whether it is the right one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{Digest, Name};
use crate::limits::{BLOB_BYTES, BLOB_CHUNK_BYTES};

/// What a blob is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Of all of it: its name.
    pub digest: Digest,
    pub bytes: u64,
    /// Of each [`BLOB_CHUNK_BYTES`] of it; the last chunk may be shorter.
    pub chunks: Vec<Digest>,
}

/// A blob that an agent is to have, and who else of the run gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobOrder {
    pub blob: Blob,
    /// For people: the file's path as the plan has it.
    pub name: String,
    /// Who is asked before the orchestrator, in this order. They may be getting it themselves, and are waited for; nobody of these waits
    /// for this agent.
    pub before: Vec<Name>,
    /// Who is asked when neither has it, for what they have just now.
    pub after: Vec<Name>,
}

/// The records of a file beside the plan that is too long for an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsFile {
    pub blob: Blob,
    /// Lines that are not empty.
    pub records: u64,
}

impl Blob {
    /// Whether it is of a size that is taken, and has as many chunks as that makes.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.bytes <= BLOB_BYTES && self.chunks.len() as u64 == self.bytes.div_ceil(BLOB_CHUNK_BYTES as u64)
    }

    /// How many bytes that chunk has; none: there is no such chunk.
    #[must_use]
    pub fn bytes_of(&self, chunk: u32) -> Option<usize> {
        let left = self.bytes.checked_sub(self.begin(chunk)).filter(|left| *left > 0)?;
        usize::try_from(left.min(BLOB_CHUNK_BYTES as u64)).ok()
    }

    /// Where a chunk begins.
    #[must_use]
    pub fn begin(&self, chunk: u32) -> u64 {
        u64::from(chunk) * BLOB_CHUNK_BYTES as u64
    }

    /// Whether these bytes are that chunk.
    #[must_use]
    pub fn is_chunk(&self, chunk: u32, bytes: &[u8]) -> bool {
        let expected = usize::try_from(chunk).ok().and_then(|chunk| self.chunks.get(chunk));
        expected.is_some_and(|expected| *expected == Digest::of(bytes))
    }

    /// The numbers of its chunks.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        0..u32::try_from(self.chunks.len()).unwrap_or(u32::MAX)
    }
}

/// Without the chunks, which are many.
impl fmt::Debug for Blob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Blob({}, {} bytes)", self.digest, self.bytes)
    }
}

/// Makes a blob of what it is given, piece by piece.
#[derive(Debug, Default)]
pub struct Summing {
    whole: sha2::Sha256,
    bytes: u64,
    chunks: Vec<Digest>,
    chunk: sha2::Sha256,
    in_chunk: usize,
}

impl Summing {
    pub fn add(&mut self, mut bytes: &[u8]) {
        use sha2::Digest as _;
        self.whole.update(bytes);
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOB_CHUNK_BYTES - self.in_chunk));
            self.chunk.update(now);
            self.in_chunk += now.len();
            bytes = later;
            if self.in_chunk == BLOB_CHUNK_BYTES {
                self.end_chunk();
            }
        }
    }

    fn end_chunk(&mut self) {
        use sha2::Digest as _;
        self.chunks.push(Digest(self.chunk.finalize_reset().into()));
        self.in_chunk = 0;
    }

    #[must_use]
    pub fn finish(mut self) -> Blob {
        use sha2::Digest as _;
        if self.in_chunk > 0 {
            self.end_chunk();
        }
        Blob { digest: Digest(self.whole.finalize().into()), bytes: self.bytes, chunks: self.chunks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_the_same_whatever_pieces_it_is_made_of_and_each_chunk_is_known_by_its_bytes() {
        let bytes: Vec<u8> = (0..BLOB_CHUNK_BYTES * 2 + 7).map(|at| (at % 251) as u8).collect();
        let of = |pieces: usize| {
            let mut summing = Summing::default();
            bytes.chunks(pieces).for_each(|piece| summing.add(piece));
            summing.finish()
        };
        let blob = of(usize::MAX);
        assert_eq!((of(1_000), of(BLOB_CHUNK_BYTES)), (blob.clone(), blob.clone()));
        assert!(blob.is_sound() && blob.digest == Digest::of(&bytes));
        assert_eq!(
            [0, 1, 2, 3].map(|chunk| blob.bytes_of(chunk)),
            [Some(BLOB_CHUNK_BYTES), Some(BLOB_CHUNK_BYTES), Some(7), None]
        );
        for (number, chunk) in blob.numbers().zip(bytes.chunks(BLOB_CHUNK_BYTES)) {
            assert!(blob.is_chunk(number, chunk) && !blob.is_chunk(number + 1, chunk));
        }
        assert!(!Blob { bytes: blob.bytes + BLOB_CHUNK_BYTES as u64, ..blob }.is_sound());
        assert!(Summing::default().finish().is_sound());
    }
}
