//! A run followed over its mesh, from any machine: whoever commands it sends its journal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use meshproof_mesh::ByteStream;
use meshproof_proto::id::{PeerId, RunId};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::{sleep, timeout};

use super::AttachError;
use super::follow::{End, beginning, plan};
use super::shown::Shown;
use crate::console::Console;
use crate::console::limits::{ANSWER_WITHIN, LINK_WITHIN};
use crate::journal::{Checking, Followed, JournalError};
use crate::progress::Mode;
use crate::record::Happening;
use crate::say::{self, Reader};

/// How often it is looked whether somebody goes on with a run.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// For how many looks no agent answers before nobody is there any more: an agent that is away is back by then.
const SILENT_LOOKS: u32 = 20;

/// Shows a run of this mesh until it ends: the one that is meant, or the only one.
///
/// # Errors
/// There is none, or more than one; or what comes is no journal.
pub async fn follow_over(console: &mut Console, wanted: Option<&str>, mode: Mode) -> Result<End, AttachError> {
    let mut carried = find(console, wanted).await?;
    let first = carried.first.clone();
    let Some((run, file)) = beginning(&first) else { return Err(AttachError::NoBeginning(carried.place)) };
    let mut next = carried.next_beside(console).await?;
    let mut shown = Shown::of(mode, plan(file, &next), Path::new(""));
    if shown.show(&first) == Reader::Gone {
        return Ok(End::Unread);
    }
    loop {
        if shown.show(&next) == Reader::Gone {
            return Ok(End::Unread);
        }
        match &next {
            Followed::Record(record, _) => {
                if let Happening::RunEnded { exit, .. } = record.entry.what {
                    carried.is_heard().await;
                    return Ok(End::Ended { exit });
                }
            }
            Followed::Left => match successor(console, &run).await? {
                Some(of_another) => {
                    carried = of_another;
                    shown.is_told_again();
                    next = carried.first.clone();
                    continue;
                }
                None => return Ok(End::BrokeOff { run }),
            },
        }
        next = carried.next_beside(console).await?;
    }
}

/// The journal of the run that is meant, of those that are commanded here.
async fn find(console: &mut Console, wanted: Option<&str>) -> Result<Carried, AttachError> {
    let mut late = pin!(sleep(LINK_WITHIN));
    let mut found = BTreeMap::new();
    let mut asked = BTreeSet::new();
    let mut is_late = false;
    while !is_late {
        let unasked = console.commanders().find(|peer| !asked.contains(peer));
        if let Some(peer) = unasked {
            asked.insert(peer);
            if let Some((run, carried)) = Carried::open(console, peer).await? {
                if wanted == Some(run.0.as_str()) {
                    return Ok(carried);
                }
                found.insert(run.0, carried);
            }
            continue;
        }
        if !console.has_distant_commanders()
            && found.keys().any(|run| wanted.is_none_or(|wanted| run.starts_with(wanted)))
        {
            break;
        }
        tokio::select! {
            Some(event) = console.event() => console.take(event).await,
            () = &mut late => is_late = true,
            // Signaling has told by now who is there.
            () = sleep(ANSWER_WITHIN), if console.is_in().is_ok() && !console.has_distant_commanders() => break,
        }
    }
    console.is_in()?;
    let mut all: Vec<String> = found.keys().cloned().collect();
    found.retain(|run, _| wanted.is_none_or(|wanted| run.starts_with(wanted)));
    match (found.pop_first(), found.len()) {
        (Some((_, carried)), 0) => Ok(carried),
        (Some((run, _)), _) => {
            all.retain(|other| *other == run || found.contains_key(other));
            Err(AttachError::Several(all))
        }
        (None, _) => Err(AttachError::NoneHere { wanted: wanted.map(str::to_owned), running: all }),
    }
}

/// The journal of whoever goes on with the run. There may be somebody as long as an agent takes part in it.
async fn successor(console: &mut Console, run: &RunId) -> Result<Option<Carried>, AttachError> {
    let mut of_others = BTreeSet::new();
    let mut silent = 0;
    let mut is_told = false;
    loop {
        // Asked first: whoever has ended the run by now has commanded it before.
        let holdings = console.holdings().await;
        let takes_part = holdings.iter().any(|holding| holding.run.as_ref() == Some(run) && !holding.is_over);
        let unasked: Vec<PeerId> = console.commanders().filter(|peer| !of_others.contains(peer)).collect();
        for peer in unasked {
            match Carried::open(console, peer).await? {
                Some((of, carried)) if of == *run => return Ok(Some(carried)),
                Some(_) => drop(of_others.insert(peer)),
                None => {}
            }
        }
        silent = if holdings.iter().any(|holding| holding.silent.is_none()) { 0 } else { silent + 1 };
        if silent > SILENT_LOOKS || (silent == 0 && !takes_part) {
            return Ok(None);
        }
        if !std::mem::replace(&mut is_told, true) {
            say::note(format_args!("whoever commanded {run} is gone; its agents wait for another orchestrator"));
        }
        console.attend(LOOK_EVERY).await;
    }
}

/// A journal on its way here.
struct Carried {
    commander: PeerId,
    /// What errors name.
    place: PathBuf,
    lines: BufReader<ByteStream>,
    line: Vec<u8>,
    checking: Checking,
    first: Followed,
}

impl Carried {
    /// That of whoever this is, with its run. None: it is gone, commands none, or does not answer.
    async fn open(console: &mut Console, commander: PeerId) -> Result<Option<(RunId, Self)>, AttachError> {
        let opening = console.journal(commander);
        let opened = console.during(timeout(ANSWER_WITHIN, opening)).await;
        let Ok(Ok(stream)) = opened else { return Ok(None) };
        let place = PathBuf::from("that is sent over the mesh");
        let (lines, checking) = (BufReader::new(stream), Checking::of(&place));
        let mut carried = Self { commander, place, lines, line: Vec::new(), checking, first: Followed::Left };
        let Ok(first) = console.during(timeout(ANSWER_WITHIN, carried.next())).await else { return Ok(None) };
        carried.first = first?;
        let run = match &carried.first {
            Followed::Left => return Ok(None),
            first => beginning(first).map(|(run, _)| run),
        };
        let run = run.ok_or_else(|| AttachError::NoBeginning(carried.place.clone()))?;
        Ok(Some((run, carried)))
    }

    /// The next record, while whoever sends them is there.
    async fn next_beside(&mut self, console: &mut Console) -> Result<Followed, JournalError> {
        let commander = self.commander;
        console.beside(commander, self.next()).await.unwrap_or(Ok(Followed::Left))
    }

    /// The next record, or that no more comes.
    async fn next(&mut self) -> Result<Followed, JournalError> {
        match self.lines.read_until(b'\n', &mut self.line).await {
            Ok(_) if self.line.ends_with(b"\n") => {}
            // Half a line is of a record that nobody has heard of.
            Ok(_) | Err(_) => return Ok(Followed::Left),
        }
        let record = self.checking.record(&self.line)?;
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        Ok(Followed::Record(Box::new(record), line))
    }

    /// Says that nothing more is waited for.
    async fn is_heard(&mut self) {
        // The other side may have left by now.
        let _ = timeout(ANSWER_WITHIN, self.lines.shutdown()).await;
    }
}
