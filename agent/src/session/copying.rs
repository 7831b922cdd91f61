//! Every event of this agent is copied to another one, and this agent keeps copies for others: whose disk is lost has not lost what it saw.
//!
//! Copies go behind the run: nobody waits for them. They are read from the outbox's file, so they need no memory however far the other
//! one is behind, and it says itself how far it is.

use std::collections::BTreeMap;
use std::io;

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::memory::Copies;
use meshproof_proto::rpc::{AgentClient, Refusal};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Session;
use super::run::Run;
use crate::limits::{COPIED_AMONG, COPIED_BYTES, COPIES_AGAIN, COPIES_GATHERED};
use crate::outbox::{Entry, OutboxFile, Store, Tail};

/// Copies of a run's events.
#[derive(Debug, Default)]
pub(super) struct Copying {
    /// Takes those of this agent to another one.
    task: Option<AbortOnDropHandle<()>>,
    /// Those of others.
    kept: BTreeMap<Name, Copied>,
}

/// Copies of one agent's events.
#[derive(Debug)]
struct Copied {
    origin: PeerId,
    file: OutboxFile,
    /// Up to this number all are there.
    through: u64,
}

impl Session {
    /// Has the run's events copied from now on, if there is an agent that can keep them. `linked` are those that it has a link to anyway.
    pub(super) fn copy_events(&mut self, run: &mut Run, linked: &[Name]) {
        let Some(store) = &self.outboxes else { return };
        let Some(to) = keeper(&self.name, &run.roster, linked) else { return };
        let copies = |events| {
            let (run, name, origin) = (run.authority.run.clone(), self.name.clone(), run.outbox.origin());
            Box::new(Copies { run, name, origin, events })
        };
        let source = Source {
            tail: Tail::of(store.clone(), run.authority.run.clone()),
            on_disk: run.outbox.on_disk(),
            none: copies(Vec::new()),
        };
        let way = self.links.copies_go_to(to);
        run.copies.task = Some(AbortOnDropHandle::new(tokio::spawn(copy_on(source, way))));
    }

    /// Another agent of the run wants these events of it kept.
    pub(super) fn keep_copies(&mut self, caller: PeerId, copies: Copies) -> Result<u64, Refusal> {
        let nowhere = || Refusal::Failed("this agent keeps nothing on a disk".to_owned());
        let store = self.outboxes.as_ref().ok_or_else(nowhere)?;
        let run = self.run.as_mut().filter(|run| run.authority.run == copies.run);
        let run = run.ok_or_else(|| Refusal::NoSuchRun(copies.run.to_string()))?;
        if run.peer(&copies.name) != Some(caller) {
            return Err(Refusal::Unknown { what: "service in this run".to_owned(), name: copies.name.to_string() });
        }
        let kept = &mut run.copies.kept;
        let copied = kept.remove(&copies.name).filter(|copied| copied.origin == copies.origin);
        let copied = copied.map_or_else(|| Copied::open(&store.of(&copies.name), &copies), Ok);
        let mut copied = copied.map_err(unwritten)?;
        let added = copied.add(&copies);
        let through = copied.through;
        kept.insert(copies.name, copied);
        added.map(|()| through).map_err(unwritten)
    }
}

/// Who keeps copies for an agent: one that it is linked to anyway, else the next one by name.
fn keeper(name: &Name, roster: &BTreeMap<Name, PeerId>, linked: &[Name]) -> Option<PeerId> {
    let of = |other: &Name| (other != name).then(|| roster.get(other).copied()).flatten();
    if let Some(peer) = linked.iter().find_map(of) {
        return Some(peer);
    }
    let mut others = roster.keys().skip_while(|other| *other <= name).chain(roster.keys());
    others.find_map(of).filter(|_| roster.len() <= COPIED_AMONG)
}

fn unwritten(error: io::Error) -> Refusal {
    Refusal::Failed(format!("copies cannot be written: {error}"))
}

impl Copied {
    /// What is there already, unless it is of somebody who is gone.
    fn open(store: &Store, Copies { run, origin, .. }: &Copies) -> io::Result<Self> {
        let there = store.open(run)?.filter(|(_, there)| there.origin == *origin);
        match there {
            Some((file, there)) => Ok(Self { origin: *origin, file, through: there.last() }),
            None => Ok(Self { origin: *origin, file: store.create_anew(run, *origin)?, through: 0 }),
        }
    }

    /// Those that follow; what was there before comes again after any outage.
    fn add(&mut self, copies: &Copies) -> io::Result<()> {
        for event in copies.events.iter().filter(|event| event.run == copies.run) {
            if self.file.bytes() >= COPIED_BYTES {
                return Err(io::Error::other(format!("more than {COPIED_BYTES} bytes of one agent are not kept")));
            }
            if event.seq == self.through + 1 {
                self.file.append(&Entry::Event(event.clone()))?;
                self.through = event.seq;
            }
        }
        Ok(())
    }
}

/// What is copied.
struct Source {
    tail: Tail,
    on_disk: watch::Receiver<u64>,
    none: Box<Copies>,
}

/// As long as there is a run.
async fn copy_on(mut source: Source, mut way: watch::Receiver<Option<AgentClient>>) {
    let mut through = 0;
    while source.on_disk.wait_for(|on_disk| *on_disk > through).await.is_ok() {
        tokio::time::sleep(COPIES_GATHERED).await;
        let Ok(Some(client)) = way.wait_for(Option::is_some).await.map(|client| client.clone()) else { return };
        match copy(&mut source, client, through).await {
            Ok(there) => through = there,
            Err(why) => {
                tracing::debug!(why, "events were not copied");
                tokio::time::sleep(COPIES_AGAIN).await;
            }
        }
    }
}

/// Gives up to where all are there.
async fn copy(source: &mut Source, client: AgentClient, through: u64) -> Result<u64, String> {
    let events = source.tail.after(through).map_err(|error| error.to_string())?;
    if events.is_empty() {
        return Err("they cannot be read yet".to_owned());
    }
    let copies = Box::new(Copies { events, ..(*source.none).clone() });
    let answer = client.copy(tarpc::context::current(), copies).await.map_err(|error| error.to_string())?;
    answer.map_err(|refusal| refusal.to_string())
}

#[cfg(test)]
mod tests {
    use meshproof_proto::event::{Event, Fact};
    use meshproof_proto::id::RunId;
    use meshproof_proto::memory::Recollection;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[test]
    fn copies_go_to_an_agent_that_is_linked_anyway_else_to_the_next_one_and_in_large_runs_to_nobody_else() {
        let peers =
            |count: u8| (0..count).map(|number| (name(&format!("n{number:03}")), PeerId([number; 32]))).collect();
        let (one, three, many) = (peers(1), peers(3), peers(100));
        let keeper = |name_of: &str, roster, linked: &[&str]| {
            let linked: Vec<Name> = linked.iter().map(|linked| name(linked)).collect();
            super::keeper(&name(name_of), roster, &linked).map(|PeerId([number, ..])| number)
        };
        assert_eq!(["n000", "n001", "n002"].map(|of| keeper(of, &three, &[])), [Some(1), Some(2), Some(0)]);
        assert_eq!(keeper("n000", &three, &["n000", "n002"]), Some(2));
        assert_eq!((keeper("n000", &one, &[]), keeper("n000", &many, &[])), (None, None));
        assert_eq!(keeper("n000", &many, &["n007"]), Some(7));
    }

    #[test]
    fn what_follows_is_kept_once_also_by_who_was_started_again_and_nothing_of_who_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (run, of) = (RunId("r".to_owned()), name("shop"));
        let store = Store::in_directory(folder.path()).of(&of);
        let event = |seq| Event { run: run.clone(), seq, at_ms: 0, fact: Fact::Gap { lost: seq } };
        let copies = |origin: u8, numbers: &[u64]| {
            let events = numbers.iter().copied().map(event).collect();
            Copies { run: run.clone(), name: of.clone(), origin: PeerId([origin; 32]), events }
        };
        let kept = |copies: &Copies| {
            let mut copied = Copied::open(&store, copies).expect("written");
            copied.add(copies).expect("written");
            copied.through
        };
        assert_eq!(kept(&copies(1, &[1, 2])), 2);
        assert_eq!(kept(&copies(1, &[2, 3, 5])), 3, "one is missing before the last");
        let recalled = store.recall(&run, Recollection::Events(2)).expect("read").expect("it is there");
        assert_eq!(recalled.events, [event(2), event(3)]);
        assert_eq!(kept(&copies(2, &[1])), 1);
    }
}
