//! Several who stand by, and an orchestrator that is gone: each asks every name for its promise. Questions and answers take their time, some
//! are lost, and some of those who ask hang.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use meshproof_proto::id::{PeerId, Term};
use meshproof_proto::seed::Seed;

use super::Broken;
use crate::memory::{Asked, Candidate, KEEPERS, Next, Votes, Wish, is_nobodys, majority};

/// From the moment in which the orchestrator is known to be gone until another one commands, if no question is lost and nobody hangs.
const SOON: Duration = Duration::from_secs(8);

/// The same, whatever happens.
const LATE: Duration = Duration::from_secs(60);

/// How long somebody commands before nobody asks any more.
const AFTER: Duration = Duration::from_secs(10);

/// How long nobody commands before somebody asks again.
const GONE_FOR: Duration = Duration::from_secs(4);

/// When somebody who is not answered waits no more.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// One who stands by.
#[derive(Debug)]
struct One {
    me: PeerId,
    candidate: Candidate,
    /// At its present term.
    promised: BTreeSet<usize>,
    asked: usize,
    higher: Option<Term>,
    hangs_at: Option<Instant>,
}

/// What happens to one of them, or to a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Begins,
    Asks,
    /// A name is asked for its promise.
    Hears(usize, Term),
    /// It has answered, with its promise or with the term that it has promised; or not.
    Answered(usize, Option<Result<Term, Term>>),
    Looks,
    Looked(Vec<(Term, PeerId)>),
    StandsBy,
}

struct Contest {
    seed: Seed,
    now: Instant,
    began: Instant,
    /// Whom each name has promised, and at which term.
    votes: Vec<(Term, PeerId)>,
    all: Vec<One>,
    coming: BinaryHeap<Reverse<(Instant, usize, What)>>,
    /// No question is lost, and nobody hangs.
    is_quiet: bool,
    /// So many of the first names, which keep what is remembered, never answer: then nobody may command.
    cut: usize,
    slowest_ms: u64,
    commands: BTreeMap<Term, (PeerId, Instant)>,
}

/// Lets them ask until one commands, and a little longer.
pub fn run(seed: u64) -> Result<(), Broken> {
    let mut contest = Contest::new(seed);
    while let Some(Reverse((at, who, what))) = contest.coming.pop() {
        contest.now = contest.now.max(at);
        let since = contest.commands.values().map(|(_, since)| *since).next();
        if since.is_some_and(|since| contest.now > since + AFTER) {
            return Ok(());
        }
        if contest.now > contest.began + LATE {
            break;
        }
        let hangs = contest.all[who].hangs_at.is_some_and(|at| at <= contest.now);
        // What it has asked is on its way.
        if !hangs || matches!(what, What::Hears(..)) {
            contest.happens(who, what)?;
        }
    }
    if contest.commands.is_empty() && contest.cut == 0 {
        return Err(("of several who stand by one goes on", format!("{:?}, {:?}", contest.votes, contest.all)));
    }
    Ok(())
}

impl Contest {
    fn new(seed: u64) -> Self {
        let mut luck = Seed::new(seed);
        let began = Instant::now();
        let (names, those) = (few(luck.below(10)), few(luck.below(4)));
        let is_quiet = luck.below(2) == 0;
        let slowest_ms = if is_quiet { 1 + luck.below(150) } else { 1 + luck.below(600) };
        let mut contest = Self {
            now: began,
            began,
            votes: vec![(Term(1), PeerId([0; 32])); names],
            all: Vec::new(),
            coming: BinaryHeap::new(),
            is_quiet,
            cut: if !is_quiet && seed.is_multiple_of(5) { cut(names) } else { 0 },
            slowest_ms,
            commands: BTreeMap::new(),
            seed: luck,
        };
        for number in 0..those {
            let mut me = [0; 32];
            me[..8].copy_from_slice(&contest.seed.next_u64().to_be_bytes());
            // The last one lives.
            let hangs = !is_quiet && number + 1 < those && contest.seed.below(3) == 0;
            let hangs_at = hangs.then(|| began + contest.within(4_000));
            contest.all.push(One {
                me: PeerId(me),
                candidate: Candidate::new((PeerId(me), Wish::Behind(Term(1))), votes(0..names), Term(1), began),
                promised: BTreeSet::new(),
                asked: 0,
                higher: None,
                hangs_at,
            });
            // Each sees for itself that the orchestrator is gone.
            let spread = [1, 50, 1_000][few(contest.seed.below(3)) - 1];
            let first = began + contest.within(spread);
            contest.push(first, number, What::Begins);
        }
        contest
    }

    fn within(&mut self, below_ms: u64) -> Duration {
        Duration::from_millis(self.seed.below(below_ms))
    }

    fn push(&mut self, at: Instant, who: usize, what: What) {
        self.coming.push(Reverse((at, who, what)));
    }

    fn happens(&mut self, who: usize, what: What) -> Result<(), Broken> {
        match what {
            What::Begins => self.begins(who, Term(1))?,
            What::Asks => self.asks(who),
            What::Hears(name, term) => self.hears(who, name, term),
            What::Answered(name, answer) => return self.answered(who, name, answer),
            What::Looks => {
                let (obeyed, at) = (self.votes.clone(), self.now + self.within(self.slowest_ms));
                self.push(at, who, What::Looked(obeyed));
            }
            What::Looked(obeyed) => {
                let next = self.all[who].candidate.looked(&obeyed, self.now);
                return self.goes_on(who, next);
            }
            What::StandsBy => self.stands_by(who)?,
        }
        Ok(())
    }

    fn asks(&mut self, who: usize) {
        let (term, promised) = (self.all[who].candidate.term(), self.all[who].promised.clone());
        self.all[who].higher = None;
        for name in (0..self.votes.len()).filter(|name| !promised.contains(name)) {
            self.all[who].asked += 1;
            if name < self.cut {
                self.push(self.now + ANSWERED_WITHIN, who, What::Answered(name, None));
                continue;
            }
            let at = self.now + self.within(self.slowest_ms);
            let is_lost = !self.is_quiet && self.seed.below(10) == 0;
            if is_lost && self.seed.below(2) == 0 {
                self.push(self.now + ANSWERED_WITHIN, who, What::Answered(name, None));
            } else {
                self.push(at, who, What::Hears(name, term));
            }
        }
    }

    /// As agents do it.
    fn hears(&mut self, who: usize, name: usize, term: Term) {
        let (me, vote) = (self.all[who].me, self.votes[name]);
        let answer = if term > vote.0 || (term, me) == vote { Ok(term) } else { Err(vote.0) };
        if answer.is_ok() {
            self.votes[name] = (term, me);
        }
        let is_lost = !self.is_quiet && self.seed.below(20) == 0;
        let (at, answer) = match is_lost {
            true => (self.now + ANSWERED_WITHIN, None),
            false => (self.now + self.within(self.slowest_ms), Some(answer)),
        };
        self.push(at, who, What::Answered(name, answer));
    }

    fn answered(&mut self, who: usize, name: usize, answer: Option<Result<Term, Term>>) -> Result<(), Broken> {
        let one = &mut self.all[who];
        one.asked -= 1;
        match answer {
            Some(Ok(_)) => drop(one.promised.insert(name)),
            Some(Err(current)) => one.higher = one.higher.max(Some(current)),
            None => {}
        }
        if one.asked > 0 {
            return Ok(());
        }
        let promised = votes(one.promised.iter().copied());
        let next = one.candidate.asked(Asked { promised, higher: one.higher }, self.now);
        self.goes_on(who, next)
    }

    fn goes_on(&mut self, who: usize, next: Next) -> Result<(), Broken> {
        match next {
            Next::Ask(at) => self.push(at, who, What::Asks),
            Next::AskAnew => {
                self.all[who].promised.clear();
                self.asks(who);
            }
            Next::Look(at) => self.push(at, who, What::Looks),
            Next::Yield(_) | Next::GiveUp => self.push(self.now + GONE_FOR, who, What::StandsBy),
            Next::Command => return self.commands(who),
        }
        Ok(())
    }

    /// It asks again when the one is gone that it left the run to.
    fn stands_by(&mut self, who: usize) -> Result<(), Broken> {
        let me = self.all[who].me;
        let is_up = |peer: &PeerId| {
            let lives = |one: &One| one.me == *peer && one.hangs_at.is_none_or(|at| at > self.now);
            self.all.iter().any(lives)
        };
        let obeyed: Vec<_> = self.votes.iter().map(|(_, peer)| (*peer, is_up(peer))).collect();
        if is_nobodys(&obeyed, (me, self.votes.len())) {
            let before = self.votes.iter().map(|(term, _)| *term).max().expect("a name at least");
            return self.begins(who, before);
        }
        self.push(self.now + GONE_FOR, who, What::StandsBy);
        Ok(())
    }

    fn begins(&mut self, who: usize, before: Term) -> Result<(), Broken> {
        let one = &mut self.all[who];
        one.candidate = Candidate::new((one.me, Wish::Behind(before)), votes(0..self.votes.len()), before, self.now);
        one.promised.clear();
        let next = one.candidate.begin();
        self.goes_on(who, next)
    }

    fn commands(&mut self, who: usize) -> Result<(), Broken> {
        let one = &self.all[who];
        let (term, all) = (one.candidate.term(), votes(0..self.votes.len()));
        let told = || format!("{one:?} of {:?}", self.votes);
        let took = self.now - self.began;
        if self.commands.insert(term, (one.me, self.now)).is_some() {
            return Err(("at one term one orchestrator commands", told()));
        }
        if !votes(one.promised.iter().copied()).suffice(all) {
            return Err(("who commands has the promises of more than half of the names, and of the keepers", told()));
        }
        if self.is_quiet && one.promised.len() < self.votes.len() {
            return Err(("no agent is lost to who goes on that can be reached", told()));
        }
        if self.is_quiet && self.commands.len() == 1 && took > SOON {
            return Err(("of several who stand by one goes on soon", format!("after {took:?}: {}", told())));
        }
        Ok(())
    }
}

/// The first ones are the keepers.
fn votes(names: impl IntoIterator<Item = usize>) -> Votes {
    let none = Votes { names: 0, keepers: 0 };
    names.into_iter().fold(none, |votes, name| Votes {
        names: votes.names + 1,
        keepers: votes.keepers + usize::from(name < KEEPERS),
    })
}

/// So many keepers that those who are left are too few, where more than half of all names are left.
fn cut(names: usize) -> usize {
    let cut = KEEPERS.div_ceil(2);
    if names > KEEPERS && names - cut >= majority(names) { cut } else { 0 }
}

fn few(below: u64) -> usize {
    1 + usize::try_from(below).expect("few")
}
