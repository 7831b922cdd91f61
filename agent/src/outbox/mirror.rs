//! The file of an outbox on the disk of an instance that stands by: the same bytes in the same places, as far as they have come.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};

use meshproof_proto::id::{PeerId, RunId};

use super::{OutboxFile, Recovered, Store};
use crate::limits::{MIRROR_BYTES, MIRRORED_BYTES};

/// The file of whoever acts, to read while it is written.
#[derive(Debug)]
pub struct Original(File);

impl Original {
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn of(store: &Store, run: &RunId) -> io::Result<Self> {
        store.read(run)?.map(Self).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// What stands there from here on, as much as goes into a message; `length` is how long the file is.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn part(&self, from: u64, length: u64) -> io::Result<Vec<u8>> {
        let most = usize::try_from(length.saturating_sub(from)).unwrap_or(usize::MAX).min(MIRROR_BYTES);
        let mut bytes = vec![0; most];
        self.0.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }
}

/// The same file elsewhere.
#[derive(Debug)]
pub struct MirrorFile {
    file: File,
    length: u64,
}

impl MirrorFile {
    /// Adds a part, and gives how long the file is then. One that came before does nothing.
    ///
    /// # Errors
    /// Something is missing before it, or it cannot be written.
    pub fn add(&mut self, from: u64, bytes: &[u8]) -> io::Result<u64> {
        let end = from + bytes.len() as u64;
        if from > self.length {
            return Err(io::Error::other(format!("bytes {} to {from} are missing before it", self.length)));
        }
        if end > MIRRORED_BYTES {
            return Err(io::Error::other(format!("more than {MIRRORED_BYTES} bytes of a run are not mirrored")));
        }
        if end > self.length {
            self.file.write_all_at(bytes, from)?;
            self.length = end;
        }
        Ok(self.length)
    }
}

impl Store {
    /// Where what others have is mirrored.
    fn mirrored(&self) -> Self {
        self.beside("mirrored")
    }

    /// Begins to mirror the file of a run; what was mirrored before goes.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn mirror_anew(&self, run: &RunId) -> io::Result<MirrorFile> {
        let mirrored = self.mirrored();
        mirrored.empty()?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(mirrored.path(run))?;
        Ok(MirrorFile { file, length: 0 })
    }

    /// What was mirrored of a run, if this instance followed up to the end of it, is its own from now on.
    ///
    /// # Errors
    /// It cannot be read, or not be put in the place of its own.
    pub fn take_mirrored(&self, run: &RunId, me: PeerId) -> io::Result<Option<(OutboxFile, Recovered)>> {
        let mirrored = self.mirrored();
        let follows = |recovered: &Recovered| {
            let by = recovered.left.mirrored.as_ref().map(|(_, by)| by);
            !recovered.damaged && by.is_some_and(|by| by.contains(&me))
        };
        let Some(taken) = mirrored.open(run)?.filter(|(_, recovered)| follows(recovered)) else { return Ok(None) };
        self.empty()?;
        std::fs::rename(mirrored.path(run), self.path(run))?;
        Ok(Some(taken))
    }

    /// Makes the folder, with nothing in it.
    fn empty(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.folder())?;
        for entry in std::fs::read_dir(self.folder())? {
            std::fs::remove_file(entry?.path())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::event::{Event, Fact};
    use meshproof_proto::id::Term;
    use meshproof_proto::order::NameTerm;

    use super::*;
    use crate::outbox::Entry;

    const ME: PeerId = PeerId([7; 32]);

    fn run() -> RunId {
        RunId("r".to_owned())
    }

    fn event(seq: u64, fact: Fact) -> Entry {
        Entry::Event(Event { run: run(), seq, at_ms: 0, fact })
    }

    fn mirrored(by: &[PeerId]) -> Fact {
        Fact::Mirrored { term: NameTerm { run: Term(1), number: 1 }, by: by.to_vec() }
    }

    fn copy(from: &Store, to: &Store, part: usize) -> u64 {
        let original = Original::of(from, &run()).expect("it is there");
        let length = from.read(&run()).expect("read").expect("there").metadata().expect("read").len();
        let (mut mirror, mut at) = (to.mirror_anew(&run()).expect("made"), 0);
        while at < length {
            let mut bytes = original.part(at, length).expect("read");
            bytes.truncate(part);
            assert_eq!(mirror.add(at, &bytes).expect("written"), at + bytes.len() as u64);
            assert_eq!(mirror.add(at, &bytes).expect("it is there"), at + bytes.len() as u64, "it came twice");
            at += bytes.len() as u64;
        }
        mirror.add(at + 1, b"?").expect_err("one byte is missing");
        at
    }

    #[test]
    fn who_followed_to_the_end_goes_on_with_what_was_mirrored_and_nobody_else() {
        let (theirs, mine) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (theirs, mine) = (Store::in_directory(theirs.path()), Store::in_directory(mine.path()));
        let mut file = theirs.create(&run(), PeerId([1; 32])).expect("written");
        file.append(&event(1, Fact::Gap { lost: 1 })).expect("written");
        copy(&theirs, &mine, 5);
        assert!(mine.take_mirrored(&run(), ME).expect("read").is_none(), "it has not heard that it follows");
        file.append(&event(2, mirrored(&[ME]))).expect("written");
        copy(&theirs, &mine, 7);
        assert!(mine.take_mirrored(&run(), PeerId([8; 32])).expect("read").is_none(), "another one followed");
        let (mut own, recovered) = mine.take_mirrored(&run(), ME).expect("read").expect("it followed");
        assert_eq!((recovered.last(), recovered.origin), (2, PeerId([1; 32])));
        own.append(&event(3, Fact::Gap { lost: 3 })).expect("written");
        assert!(mine.take_mirrored(&run(), ME).expect("read").is_none(), "it is its own now");
        let (_, recovered) = mine.open(&run()).expect("read").expect("it is there");
        assert_eq!((recovered.last(), recovered.damaged), (3, false));
        file.append(&event(3, mirrored(&[]))).expect("written");
        copy(&theirs, &mine, 1_000);
        assert!(mine.take_mirrored(&run(), ME).expect("read").is_none(), "it was left behind");
    }
}
