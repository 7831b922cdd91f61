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
use super::follow::{End, Journals, beginning, show};
use crate::console::Console;
use crate::console::limits::{ANSWER_WITHIN, LINK_WITHIN};
use crate::journal::{Checking, Followed, JournalError};
use crate::progress::Mode;
use crate::say;

/// How often it is looked whether somebody goes on with a run.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// For how many looks no agent answers before nobody is there any more: an agent that is away is back by then.
const SILENT_LOOKS: u32 = 20;

/// Shows a run of this mesh until it ends: the one that is meant, or the only one.
///
/// # Errors
/// There is none, or more than one; or what comes is no journal.
pub async fn follow_over(console: &mut Console, wanted: Option<&str>, mode: Mode) -> Result<End, AttachError> {
    let carried = find(console, wanted).await?;
    show(&mut OverMesh { console, carried }, (mode, Path::new(""))).await
}

/// What comes over the mesh, which is attended to meanwhile.
struct OverMesh<'c> {
    console: &'c mut Console,
    carried: Carried,
}

impl Journals for OverMesh<'_> {
    async fn next(&mut self) -> Result<Followed, AttachError> {
        if let Some(first) = self.carried.first.take() {
            return Ok(first);
        }
        let commander = self.carried.commander;
        // Nothing more comes from one that is gone.
        Ok(self.console.beside(commander, self.carried.next()).await.unwrap_or(Ok(Followed::Left))?)
    }

    async fn go_on(&mut self, run: &RunId) -> Result<bool, AttachError> {
        let next = successor(self.console, run).await?;
        Ok(next.map(|next| self.carried = next).is_some())
    }

    async fn end(&mut self) {
        // Nothing more is waited for. The other side may have left by now.
        let _ = timeout(ANSWER_WITHIN, self.carried.lines.shutdown()).await;
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
    lines: BufReader<ByteStream>,
    line: Vec<u8>,
    checking: Checking,
    /// Read to know the run, and not shown yet.
    first: Option<Followed>,
}

impl Carried {
    /// That of whoever this is, with its run. None: it is gone, commands none, or does not answer.
    async fn open(console: &mut Console, commander: PeerId) -> Result<Option<(RunId, Self)>, AttachError> {
        let opening = console.journal(commander);
        let opened = console.during(timeout(ANSWER_WITHIN, opening)).await;
        let Ok(Ok(stream)) = opened else { return Ok(None) };
        let place = PathBuf::from("that is sent over the mesh");
        let (lines, checking) = (BufReader::new(stream), Checking::of(&place));
        let mut carried = Self { commander, lines, line: Vec::new(), checking, first: None };
        let Ok(first) = console.during(timeout(ANSWER_WITHIN, carried.next())).await else { return Ok(None) };
        let first = first?;
        if matches!(first, Followed::Left) {
            return Ok(None);
        }
        let (run, _) = beginning(&first).ok_or(AttachError::NoBeginning(place))?;
        carried.first = Some(first);
        Ok(Some((run, carried)))
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
}
