//! The file of an outbox: written before anybody hears of what stands in it, so that it survives this process.
//!
//! It lies in the agent's state directory and is its owner's alone, for results stand in it as services gave them. It is not synced: what
//! kills the whole machine kills the services of the run with it, and what kills this process alone leaves the kernel's copy.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use meshproof_proto::id::{Digest, Name, PeerId, RunId};
use meshproof_proto::memory::{Recalled, Recollection};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::entry::{self, Entry, Recovered};
use super::recall;
use super::records::{Chain, MAGIC};
use crate::limits::OUTBOX_SPACE;

/// File systems give space in pages.
const PAGE_BYTES: u64 = 4096;

/// Where an agent keeps its outboxes: one file a run.
#[derive(Clone, Debug)]
pub struct Store(PathBuf);

/// An outbox's file, open for what comes next.
#[derive(Debug)]
pub struct OutboxFile {
    file: File,
    /// Where the next record goes.
    end: u64,
    /// Up to where the file system has promised space.
    promised: u64,
    chain: Chain,
    record: Vec<u8>,
}

impl Store {
    /// That of a state directory; made when it is first written to.
    pub fn in_directory(state: &Path) -> Self {
        Self(state.join("outbox"))
    }

    /// Begins the file of a run. Those of other runs are over, and go.
    ///
    /// # Errors
    /// It cannot be written, or there is one of this run.
    pub fn create(&self, run: &RunId, origin: PeerId) -> io::Result<OutboxFile> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let path = self.path(run);
        for entry in std::fs::read_dir(&self.0)? {
            let other = entry?.path();
            if other != path {
                std::fs::remove_file(other)?;
            }
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all_at(MAGIC, 0)?;
        let (end, chain) = (MAGIC.len() as u64, Chain::new());
        let mut begun = OutboxFile { file, end, promised: end, chain, record: Vec::new() };
        begun.reserve()?;
        begun.append(&Entry::Begun { origin, run: run.clone() })?;
        Ok(begun)
    }

    /// Opens the file of a run that an instance before this one has left, and cuts off what was not whole. `None`: there is none, or
    /// none that begins as it should. Where something damaged was cut off, a record says so to whoever opens it next.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(&self, run: &RunId) -> io::Result<Option<(OutboxFile, Recovered)>> {
        let file = match OpenOptions::new().read(true).write(true).open(self.path(run)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let recovered = Recovered::read(BufReader::new(&file))?.filter(|recovered| recovered.run == *run);
        let Some(recovered) = recovered else { return Ok(None) };
        let (end, chain) = recovered.end;
        let is_cut = file.metadata()?.len() > end;
        // Also to its own length it would lose the space behind it.
        if is_cut {
            file.set_len(end)?;
        }
        let mut file = OutboxFile { file, end, promised: end, chain, record: Vec::new() };
        if is_cut && recovered.damaged {
            file.append(&Entry::Damaged)?;
        }
        Ok(Some((file, recovered)))
    }

    /// A part of what is in the file of a run. `None`: there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn recall(&self, run: &RunId, what: Recollection) -> io::Result<Option<Recalled>> {
        self.read(run)?.map(|file| recall::read(BufReader::new(file), what)).transpose()
    }

    /// Where the copies of that agent's events are kept, as its own outbox is.
    pub fn of(&self, agent: &Name) -> Self {
        Self(self.0.with_file_name("copies").join(agent.as_str()))
    }

    /// Where files of runs are kept.
    pub fn blobs(&self) -> PathBuf {
        self.0.with_file_name("blobs")
    }

    /// Begins the file of a run, also where there is one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create_anew(&self, run: &RunId, origin: PeerId) -> io::Result<OutboxFile> {
        match std::fs::remove_file(self.path(run)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.create(run, origin)
    }

    /// The file of a run, to read. `None`: there is none.
    pub(super) fn read(&self, run: &RunId) -> io::Result<Option<File>> {
        match File::open(self.path(run)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Whether an instance before this one has left a file of the run.
    pub fn has(&self, run: &RunId) -> bool {
        self.path(run).exists()
    }

    /// Another folder of the same state.
    pub(super) fn beside(&self, folder: &str) -> Self {
        Self(self.0.with_file_name(folder))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    pub(super) fn path(&self, run: &RunId) -> PathBuf {
        // whatever stands in the id of a run, a digest is a file name
        let digest = Digest::of(run.0.as_bytes()).to_string();
        self.0.join(&digest[..16])
    }
}

impl OutboxFile {
    /// How long it is.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Has the file system promise space for what comes next. One that gives no promises is taken at its word when it is written to.
    ///
    /// # Errors
    /// There is none: new work would use up what the ends of older work need.
    pub fn reserve(&mut self) -> io::Result<()> {
        let wanted = (self.end + OUTBOX_SPACE).next_multiple_of(PAGE_BYTES);
        if wanted <= self.promised {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.end, wanted - self.end) {
            Ok(()) => self.promised = wanted,
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.promised = u64::MAX,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Adds a record; all of it, or when that fails nothing that counts.
    ///
    /// # Errors
    /// There is no space, or the disk fails.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        self.append_all([entry])
    }

    /// Adds records with one write; all of them, or when that fails nothing that counts.
    ///
    /// # Errors
    /// There is no space, or the disk fails.
    pub fn append_all<'e>(&mut self, entries: impl IntoIterator<Item = &'e Entry>) -> io::Result<()> {
        self.record.clear();
        let mut chain = self.chain;
        for entry in entries {
            let payload = entry::encode(entry).map_err(io::Error::other)?;
            chain = chain.put(&payload, &mut self.record)?;
        }
        // What a failed attempt left is written over by the next one.
        self.file.write_all_at(&self.record, self.end)?;
        self.end += self.record.len() as u64;
        self.chain = chain;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::event::{Event, Fact};

    use super::*;

    fn run(id: &str) -> RunId {
        RunId(id.to_owned())
    }

    fn event(seq: u64) -> Entry {
        Entry::Event(Event { run: run("r"), seq, at_ms: 0, fact: Fact::Gap { lost: seq } })
    }

    const ME: PeerId = PeerId([7; 32]);

    #[test]
    fn whoever_comes_after_finds_what_was_written_and_goes_on_behind_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::in_directory(folder.path());
        let mut file = store.create(&run("r"), ME).expect("written");
        (1..=3).for_each(|seq| file.append(&event(seq)).expect("written"));
        file.append(&Entry::Acknowledged(2)).expect("written");
        drop(file);
        let (mut file, recovered) = store.open(&run("r")).expect("read").expect("it is there");
        assert_eq!((recovered.origin, recovered.acked, recovered.last(), recovered.damaged), (ME, 2, 3, false));
        file.append(&event(4)).expect("written");
        let (_, recovered) = store.open(&run("r")).expect("read").expect("it is there");
        let numbers: Vec<u64> = recovered.unacked.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, [3, 4]);
    }

    #[test]
    fn half_a_record_is_cut_off_and_the_next_one_stands_in_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::in_directory(folder.path());
        let mut file = store.create(&run("r"), ME).expect("written");
        (1..=2).for_each(|seq| file.append(&event(seq)).expect("written"));
        file.file.set_len(file.end - 3).expect("cut");
        let (mut file, recovered) = store.open(&run("r")).expect("read").expect("it is there");
        assert_eq!((recovered.last(), recovered.damaged), (1, false));
        file.append(&event(2)).expect("written");
        let (_, recovered) = store.open(&run("r")).expect("read").expect("it is there");
        assert_eq!((recovered.last(), recovered.damaged), (2, false));
    }

    #[test]
    fn damage_that_was_cut_off_is_known_to_whoever_comes_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::in_directory(folder.path());
        let mut file = store.create(&run("r"), ME).expect("written");
        (1..=2).for_each(|seq| file.append(&event(seq)).expect("written"));
        file.file.write_all_at(b"?", file.end - 3).expect("ours");
        for from in [2, 3] {
            let (mut file, recovered) = store.open(&run("r")).expect("read").expect("it is there");
            assert_eq!((recovered.last(), recovered.damaged), (from - 1, true));
            file.append(&event(from)).expect("written");
        }
    }

    #[test]
    fn a_file_of_a_run_is_begun_once_and_goes_when_another_run_begins_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::in_directory(folder.path());
        drop(store.create(&run("r"), ME).expect("written"));
        let again = store.create(&run("r"), ME).expect_err("there is one");
        assert_eq!((again.kind(), store.has(&run("r"))), (io::ErrorKind::AlreadyExists, true));
        drop(store.create(&run("../s"), ME).expect("written"));
        assert_eq!((store.has(&run("r")), store.has(&run("../s"))), (false, true));
        assert!(store.open(&run("r")).expect("read").is_none());
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_not_taken_for_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::in_directory(folder.path());
        drop(store.create(&run("r"), ME).expect("written"));
        std::fs::write(store.path(&run("r")), "something else").expect("ours");
        assert!(store.open(&run("r")).expect("read").is_none());
    }
}
