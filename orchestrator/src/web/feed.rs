//! The run's journal, read to a page: from its first record, or from where the page has stopped, and as it grows.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use futures::FutureExt as _;
use meshproof_proto::id::RunId;
use tokio::sync::mpsc;

use super::limits::{LOOK_EVERY, NEXT_RUN_EVERY, RECORDS};
use super::wire::{Place, SaidLine, Shown, ToPage};
use crate::attach::{self, AttachError};
use crate::history::{Brief, Kept};
use crate::journal::{self, Followed, Following};
use crate::local;
use crate::mesh_file::MeshFile;
use crate::record::{Happening, Record};
use crate::report::telling;

/// Reads the journal of the page's run to it until nobody takes it; in a mesh that is no run's, of each run that comes.
pub(crate) async fn tell(file: MeshFile, after: Option<Place>, to_page: mpsc::Sender<ToPage>) {
    let told = match &file.run {
        Some(run) => of_run(run, after, &to_page).await,
        None => of_mesh(&file, after, &to_page).await,
    };
    if let Err(error) = told {
        let _ = to_page.send(ToPage::NoJournal(error.to_string())).await;
    }
}

async fn of_run(run: &RunId, after: Option<Place>, to_page: &mpsc::Sender<ToPage>) -> Result<(), AttachError> {
    let folder = attach::find(Some(run.0.as_str()), &kept()?)?;
    read(&folder.join(journal::FILE_NAME), after, to_page).await
}

/// What is read stays there until another run goes on.
async fn of_mesh(file: &MeshFile, mut after: Option<Place>, to_page: &mpsc::Sender<ToPage>) -> Result<(), AttachError> {
    let mut runs = Runs { kept: kept()?, file, known: BTreeMap::new() };
    let mut folder = runs.newest()?;
    if folder.is_none() {
        let said = "no run of this machine uses this mesh so far".to_owned();
        let _ = to_page.send(ToPage::NoJournal(said)).await;
    }
    loop {
        let path = folder.as_ref().map(|folder| folder.join(journal::FILE_NAME));
        let reading = async {
            match path {
                Some(path) => read(&path, after.take(), to_page).await,
                None => {
                    to_page.closed().await;
                    Ok(())
                }
            }
        };
        folder = tokio::select! {
            read = reading => return read,
            next = runs.another(folder.as_deref()) => Some(next?),
        };
    }
}

fn kept() -> Result<Kept, AttachError> {
    Ok(Kept::in_folder(std::env::var_os("MESHPROOF_RUNS").as_deref().map(Path::new))?)
}

/// The runs of this machine in one mesh.
struct Runs<'m> {
    kept: Kept,
    file: &'m MeshFile,
    /// Whether those that were looked at are in it.
    known: BTreeMap<PathBuf, bool>,
}

impl Runs<'_> {
    /// The newest that goes on.
    fn newest(&mut self) -> Result<Option<PathBuf>, AttachError> {
        for folder in self.kept.going_on()? {
            let is_in = match self.known.get(&folder) {
                Some(is_in) => *is_in,
                None => match is_in(self.file, &Brief::read(&folder)?) {
                    Some(is_in) => *self.known.entry(folder.clone()).or_insert(is_in),
                    None => continue,
                },
            };
            if is_in {
                return Ok(Some(folder));
            }
        }
        Ok(None)
    }

    /// Waits for one that is not this one.
    async fn another(&mut self, than: Option<&Path>) -> Result<PathBuf, AttachError> {
        loop {
            tokio::time::sleep(NEXT_RUN_EVERY).await;
            if let Some(next) = self.newest()?.filter(|next| Some(next.as_path()) != than) {
                return Ok(next);
            }
        }
    }
}

/// Whether the run was started in this mesh; none: its journal does not say so yet.
fn is_in(file: &MeshFile, brief: &Brief) -> Option<bool> {
    let how = brief.invocation.as_ref()?;
    let mut arguments = how.arguments.iter();
    let mesh = arguments.find_map(|argument| match argument.strip_prefix("--mesh")? {
        "" => Some(None),
        value => value.strip_prefix('=').map(Some),
    });
    let mesh = mesh.and_then(|value| value.or_else(|| arguments.next().map(String::as_str)));
    let theirs = mesh.and_then(|mesh| MeshFile::read(&Path::new(&how.directory).join(mesh)).ok());
    Some(theirs.is_some_and(|theirs| theirs.mesh == file.mesh && theirs.root == file.root))
}

/// Ends when nobody takes what is read.
async fn read(path: &Path, mut after: Option<Place>, to_page: &mpsc::Sender<ToPage>) -> Result<(), AttachError> {
    loop {
        let (mut following, mut seen) = (Following::open(path)?, Seen::default());
        if one((&mut following, &mut seen), after.take(), to_page).await? == Gone::Reader {
            return Ok(());
        }
        let said = "nobody writes the run's journal any more".to_owned();
        if to_page.send(ToPage::NoJournal(said)).await.is_err() {
            return Ok(());
        }
        let mut is_told = seen.has_ended;
        // whoever goes on with the run sets this one aside
        loop {
            // asked first: whoever has ended the run by now has written a journal before
            let waits = has_keeper(seen.run.as_ref())?;
            if !following.is_in_its_place()? && path.exists() {
                break;
            }
            if !waits && !std::mem::replace(&mut is_told, true) {
                let why = "the run broke off: its orchestrator died, and nobody went on with it".to_owned();
                if to_page.send(ToPage::BrokeOff(why)).await.is_err() {
                    return Ok(());
                }
            }
            tokio::select! {
                () = to_page.closed() => return Ok(()),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

/// Whether somebody waits for another orchestrator of that run.
fn has_keeper(run: Option<&RunId>) -> Result<bool, AttachError> {
    let running = local::running()?;
    Ok(run.is_none_or(|run| running.iter().any(|running| running.run == run.0)))
}

/// What a journal has said so far.
#[derive(Default)]
struct Seen {
    run: Option<RunId>,
    has_ended: bool,
}

impl Seen {
    fn take(&mut self, what: &Happening) {
        match what {
            Happening::RunBegan { run, .. } => self.run = Some(run.clone()),
            Happening::RunEnded { .. } => self.has_ended = true,
            _ => {}
        }
    }
}

#[derive(PartialEq, Eq)]
enum Gone {
    Reader,
    Writer,
}

async fn one(
    (following, seen): (&mut Following, &mut Seen),
    after: Option<Place>,
    to_page: &mpsc::Sender<ToPage>,
) -> Result<Gone, AttachError> {
    let Followed::Record(first, line) = following.next().await? else { return Ok(Gone::Writer) };
    let journal = name(&line);
    let after = after.filter(|place| place.journal == journal).map_or(0, |place| place.n);
    if to_page.send(ToPage::Journal { journal, after }).await.is_err() {
        return Ok(Gone::Reader);
    }
    let mut next = Followed::Record(first, line);
    loop {
        let mut shown = Vec::new();
        let is_written = loop {
            match next {
                Followed::Record(record, _) => {
                    seen.take(&record.entry.what);
                    if record.n > after {
                        shown.push(said(*record));
                    }
                }
                Followed::Left => break false,
            }
            if shown.len() >= RECORDS {
                break true;
            }
            match following.next().now_or_never() {
                Some(ready) => next = ready?,
                None => break true,
            }
        };
        if !shown.is_empty() && to_page.send(ToPage::Records(shown)).await.is_err() {
            return Ok(Gone::Reader);
        }
        if !is_written {
            return Ok(Gone::Writer);
        }
        next = tokio::select! {
            next = following.next() => next?,
            () = to_page.closed() => return Ok(Gone::Reader),
        };
    }
}

/// What a journal is told apart by: its first line, which names the run, and who wrote it when.
fn name(first: &str) -> String {
    let mut hasher = DefaultHasher::new();
    first.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn said(record: Record) -> Shown {
    let said = telling::said(&record.entry).map(SaidLine::of);
    Shown { record, said }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;
    use crate::record::Entry;

    fn noted(text: &str) -> Entry {
        Entry::own(1, Happening::Noted { text: text.to_owned() })
    }

    /// What comes until so many records came: the journal's name, from where on, and their numbers.
    async fn taken(pages: &mut mpsc::Receiver<ToPage>, most: usize) -> (String, u64, Vec<u64>) {
        let (mut of, mut numbers) = (None, Vec::new());
        while numbers.len() < most {
            match pages.recv().await.expect("it goes on") {
                ToPage::Journal { journal, after } => of = Some((journal, after)),
                ToPage::Records(records) => numbers.extend(records.iter().map(|shown| shown.record.n)),
                other => panic!("{other:?}"),
            }
        }
        let (journal, after) = of.expect("its name comes first");
        (journal, after, numbers)
    }

    #[tokio::test]
    async fn a_page_that_was_away_is_read_what_it_missed_and_of_another_journal_everything() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().join("events.jsonl");
        let mut journal = Journal::create(&path).expect("a new file");
        (0..300).for_each(|at| drop(journal.append(noted(&format!("{at}"))).expect("written")));
        let pages = |after| {
            let (to_page, pages) = mpsc::channel(1);
            let path = path.clone();
            tokio::spawn(async move { read(&path, after, &to_page).await });
            pages
        };
        let (name, after, numbers) = taken(&mut pages(None), 300).await;
        assert_eq!((after, numbers), (0, (1..=300).collect()));
        let mut again = pages(Some(Place { journal: name.clone(), n: 298 }));
        let (same, after, mut numbers) = taken(&mut again, 2).await;
        assert_eq!((same, after), (name, 298));
        journal.append(noted("later")).expect("written");
        let ToPage::Records(later) = again.recv().await.expect("it goes on") else { panic!("records") };
        numbers.extend(later.iter().map(|shown| shown.record.n));
        assert_eq!(numbers, [299, 300, 301]);
        let (_, after, numbers) = taken(&mut pages(Some(Place { journal: "other".to_owned(), n: 298 })), 301).await;
        assert_eq!((after, numbers.len()), (0, 301));
    }
}
