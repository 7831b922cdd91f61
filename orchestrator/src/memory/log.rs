//! The pieces that an orchestrator writes, and who has stored how many of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use meshproof_proto::id::{Name, Term};
use meshproof_proto::limits::{MEMORY_CALL_BYTES, PIECES_PER_CALL};
use meshproof_proto::memory::{Extent, Piece};

use super::keepers::{keepers, majority};
use super::record::{self, Remembered};

/// What nobody waits for goes with what comes after it, at most this much later.
const GATHERED: Duration = Duration::from_millis(20);

/// An agent that did not store something is asked again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The pieces that not every agent has that keeps them, and how far each is.
#[derive(Debug)]
pub struct Log {
    term: Term,
    /// The numbers of these begin behind `dropped`.
    pieces: VecDeque<Piece>,
    dropped: u64,
    names: BTreeMap<Name, Agent>,
    /// Up to here somebody waits.
    wanted: u64,
    /// When everything else is to go.
    gathered_at: Option<Instant>,
}

/// One agent.
#[derive(Debug)]
struct Agent {
    stored: u64,
    course: Course,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Idle,
    /// It was sent some, and has not answered.
    Asked,
    /// It is asked again at this time.
    Failed(Instant),
    /// It never stores anything again.
    Lost,
}

impl Log {
    /// One of a run that begins, with these names.
    #[must_use]
    pub fn new(term: Term, names: impl IntoIterator<Item = Name>) -> Self {
        let nothing = names.into_iter().map(|name| (name, Extent::default())).collect();
        Self::after((term, Vec::new()), &nothing)
    }

    /// One that goes on behind these pieces, which stand at each of a run's agents as far as it says.
    #[must_use]
    pub fn after((term, pieces): (Term, Vec<Piece>), extents: &BTreeMap<Name, Extent>) -> Self {
        let stored = |extent: &Extent| {
            let last = usize::try_from(extent.pieces).ok().and_then(|count| pieces.get(count.checked_sub(1)?));
            // Where number and term of the last ones are the same, so are all before them. Else it gets everything anew.
            if last.is_some_and(|piece| piece.term == extent.term) { extent.pieces } else { 0 }
        };
        let keepers = keepers(extents.keys());
        let names = extents
            .iter()
            .filter(|(name, _)| keepers.contains(*name))
            .map(|(name, extent)| (name.clone(), Agent { stored: stored(extent), course: Course::Idle }))
            .collect();
        let mut log = Self { term, pieces: pieces.into(), dropped: 0, names, wanted: 0, gathered_at: None };
        log.drop_stored();
        log
    }

    /// Those that keep the pieces.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        self.names.keys().cloned().collect()
    }

    /// Adds a record; gives the number of its last piece.
    pub fn append(&mut self, record: &Remembered, now: Instant) -> u64 {
        self.pieces.extend(record::write(record, self.term));
        self.gathered_at.get_or_insert(now + GATHERED);
        self.last()
    }

    /// Somebody waits until this one is kept.
    pub fn want(&mut self, number: u64) {
        self.wanted = self.wanted.max(number);
    }

    /// The last piece's number.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.dropped + self.pieces.len() as u64
    }

    /// What this agent is to store now, and the number of the first; it is to be answered with `stored` or `failed`.
    pub fn next_for(&mut self, name: &Name, now: Instant) -> Option<(u64, Vec<Piece>)> {
        let last = self.last();
        let is_due = self.gathered_at.is_some_and(|at| at <= now);
        let agent = self.names.get_mut(name)?;
        let is_free = match agent.course {
            Course::Idle => true,
            Course::Failed(again_at) => again_at <= now,
            Course::Asked | Course::Lost => false,
        };
        let wanted = agent.stored < self.wanted || (is_due && agent.stored < last);
        if !is_free || !wanted {
            return None;
        }
        agent.course = Course::Asked;
        let behind = usize::try_from(agent.stored.saturating_sub(self.dropped)).ok()?;
        let mut bytes = 0;
        let fits = |piece: &&Piece| {
            let is_first = bytes == 0;
            bytes += piece.bytes.len();
            is_first || bytes <= MEMORY_CALL_BYTES
        };
        let pieces = self.pieces.iter().skip(behind).take(PIECES_PER_CALL).take_while(fits).cloned().collect();
        Some((agent.stored + 1, pieces))
    }

    /// An agent has everything up to this number.
    pub fn stored(&mut self, name: &Name, through: u64) {
        let last = self.last();
        let Some(agent) = self.names.get_mut(name).filter(|agent| agent.course != Course::Lost) else { return };
        agent.stored = agent.stored.max(through.min(last));
        agent.course = Course::Idle;
        self.drop_stored();
        if self.names.values().all(|agent| agent.stored == last || agent.course == Course::Lost) {
            self.gathered_at = None;
        }
    }

    /// It did not answer, or could not.
    pub fn failed(&mut self, name: &Name, now: Instant) {
        if let Some(agent) = self.names.get_mut(name).filter(|agent| agent.course != Course::Lost) {
            agent.course = Course::Failed(now + AGAIN_AFTER);
        }
    }

    /// It is gone for good.
    pub fn lose(&mut self, name: &Name) {
        if let Some(agent) = self.names.get_mut(name) {
            agent.course = Course::Lost;
        }
        self.drop_stored();
    }

    /// When [`Self::next_for`] may have something that it had not.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let last = self.last();
        let again = self.names.values().filter_map(|agent| match agent.course {
            Course::Failed(at) if agent.stored < last => Some(at),
            _ => None,
        });
        let idle = self.names.values().any(|agent| agent.course == Course::Idle && agent.stored < last);
        again.chain(self.gathered_at.filter(|_| idle)).min()
    }

    /// The last number that more than half of those that keep pieces have. Everything, when so many are lost that this cannot be: then nobody can go
    /// on where this orchestrator stops, and the run is an error.
    #[must_use]
    pub fn kept(&self) -> u64 {
        let needed = majority(self.names.len());
        let left = self.names.values().filter(|agent| agent.course != Course::Lost).count();
        if left < needed {
            return u64::MAX;
        }
        let mut stored: Vec<u64> = self.names.values().map(|agent| agent.stored).collect();
        stored.sort_unstable_by(|one, other| other.cmp(one));
        stored.get(needed - 1).copied().unwrap_or(u64::MAX)
    }

    /// Nobody needs what everybody has.
    fn drop_stored(&mut self) {
        let everywhere =
            self.names.values().filter(|agent| agent.course != Course::Lost).map(|agent| agent.stored).min();
        while self.dropped < everywhere.unwrap_or(0) && self.pieces.pop_front().is_some() {
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::seed::Seed;
    use proptest::prelude::*;

    use super::*;

    fn names(count: usize) -> Vec<Name> {
        (0..count).map(|number| format!("n{number}").parse().expect("a name")).collect()
    }

    fn record() -> Remembered {
        Remembered::Time { at_us: 7 }
    }

    /// Everything that an agent is sent, until it is sent nothing.
    fn store(log: &mut Log, name: &Name, now: Instant, at: &mut Vec<Piece>) {
        while let Some((from, pieces)) = log.next_for(name, now) {
            at.truncate(usize::try_from(from - 1).expect("few"));
            at.extend(pieces);
            log.stored(name, at.len() as u64);
        }
    }

    #[test]
    fn what_somebody_waits_for_goes_at_once_and_everything_else_a_little_later() {
        let (mut log, name, now) = (Log::new(Term(1), names(1)), &names(1)[0], Instant::now());
        log.append(&record(), now);
        assert_eq!((log.next_for(name, now), log.poll_timeout()), (None, Some(now + GATHERED)));
        let (from, pieces) = log.next_for(name, now + GATHERED).expect("it is time");
        assert_eq!((from, pieces.len(), log.kept()), (1, 1, 0));
        log.stored(name, 1);
        assert_eq!((log.kept(), log.poll_timeout()), (1, None));
        let number = log.append(&record(), now);
        log.want(number);
        assert_eq!(log.next_for(name, now).expect("somebody waits").0, 2);
        assert_eq!(log.next_for(name, now), None, "it has not answered");
        log.failed(name, now);
        assert_eq!((log.next_for(name, now), log.poll_timeout()), (None, Some(now + AGAIN_AFTER)));
        assert_eq!(log.next_for(name, now + AGAIN_AFTER).expect("it is asked again").0, 2);
    }

    #[test]
    fn kept_is_what_more_than_half_have_and_everything_when_so_many_are_lost_that_nobody_could_go_on() {
        let (mut log, names, now) = (Log::new(Term(1), names(3)), names(3), Instant::now());
        for _ in 0..4 {
            log.append(&record(), now);
        }
        assert_eq!(log.kept(), 0);
        log.stored(&names[0], 4);
        assert_eq!(log.kept(), 0);
        log.stored(&names[1], 2);
        assert_eq!(log.kept(), 2);
        log.lose(&names[0]);
        assert_eq!(log.kept(), 2, "what it stored it has stored");
        log.lose(&names[2]);
        assert_eq!(log.kept(), u64::MAX);
    }

    #[test]
    fn who_has_other_pieces_than_these_gets_all_of_them() {
        let piece = |term| Piece { term: Term(term), bytes: vec![0, 1] };
        let extent = |term, pieces| Extent { term: Term(term), pieces };
        let extents = [extent(1, 2), extent(2, 3), extent(1, 3), extent(1, 9), Extent::default()];
        let extents: BTreeMap<Name, Extent> = names(5).into_iter().zip(extents).collect();
        let mut log = Log::after((Term(3), vec![piece(1), piece(1), piece(2)]), &extents);
        let now = Instant::now();
        let number = log.append(&record(), now);
        log.want(number);
        let first: Vec<u64> = names(5).iter().map(|name| log.next_for(name, now).expect("it lacks one").0).collect();
        assert_eq!(first, [3, 4, 1, 1, 1]);
    }

    proptest! {
        #[test]
        fn whoever_stores_has_the_same_pieces_in_the_same_places(seed: u64, count in 1_usize..5) {
            let (mut seed, names) = (Seed::new(seed), names(count));
            let (mut log, mut now) = (Log::new(Term(1), names.clone()), Instant::now());
            let mut at: BTreeMap<Name, Vec<Piece>> = names.iter().map(|name| (name.clone(), Vec::new())).collect();
            let mut all = Vec::new();
            for number in 0..40 {
                let record = Remembered::Time { at_us: number };
                all.extend(record::write(&record, Term(1)));
                let number = log.append(&record, now);
                if seed.below(2) == 0 {
                    log.want(number);
                }
                now += Duration::from_millis(seed.below(15));
                let name = &names[usize::try_from(seed.below(count as u64)).expect("few")];
                match seed.below(4) {
                    0 => if log.next_for(name, now).is_some() { log.failed(name, now) },
                    _ => store(&mut log, name, now, at.get_mut(name).expect("known")),
                }
                let having = |number: u64| at.values().filter(|pieces| pieces.len() as u64 >= number).count();
                let kept = log.kept();
                prop_assert!(having(kept) >= majority(count) && having(kept + 1) < majority(count));
            }
            now += Duration::from_secs(1);
            for name in &names {
                store(&mut log, name, now, at.get_mut(name).expect("known"));
                prop_assert_eq!(&at[name], &all);
            }
            prop_assert_eq!(log.poll_timeout(), None);
            prop_assert!(log.pieces.is_empty(), "nobody needs them any more");
        }
    }
}
