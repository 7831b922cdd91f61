//! Somebody who would command a run: at which term it asks for promises, and when it commands, tries again or leaves it to another.
//!
//! Several may want to at once, and then no one may get enough: each name has promised somebody. So whoever is refused waits a little, by
//! luck, and looks whom the names obey. If most obey one other, the run is that one's; if nobody has so many, it asks again, above all
//! terms that it saw. Terms keep this safe, luck lets one of them be first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshproof_proto::id::{PeerId, Term};
use meshproof_proto::seed::Seed;

use super::keepers::{Votes, majority};

/// Terms at which one asks: beyond that somebody else always is first.
const CLAIMS: u32 = 12;

/// From the first question until more than half have promised: as long as a keeper waits for an orchestrator, nearly.
const CLAIMED_WITHIN: Duration = Duration::from_secs(25);

/// From the first question until all have; those that have not are lost to who goes on, and the run is an error.
const ALL_WITHIN: Duration = Duration::from_secs(10);

/// When those that have not answered are asked again: they may be linked by then, or again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Within this somebody who was refused looks again, twice this the next time and so on: a few times what a promise takes, disk included.
const REFUSED_FIRST: Duration = Duration::from_millis(400);

/// And never after more than this.
const REFUSED_LONGEST: Duration = Duration::from_secs(3);

/// Within this one of several who stand by asks for the first time: all see at once that they are needed.
const FIRST: Duration = Duration::from_millis(250);

/// How much somebody wants to command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Whoever else does: at a term above all.
    Insists,
    /// Unless somebody else takes the place of whom the run was promised to at that term.
    Behind(Term),
}

/// What came of asking those that have not promised at this term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How many have promised by now.
    pub promised: Votes,
    /// The highest term that somebody else was promised, where that is why one refused.
    pub higher: Option<Term>,
}

/// What it does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Asks those that have not promised at [`Candidate::term`].
    Ask(Instant),
    /// Promises of the terms before are worth nothing now; asks all.
    AskAnew,
    /// Looks whom everybody obeys.
    Look(Instant),
    Command,
    /// The run is another's.
    Yield(Term),
    /// Not enough can be reached.
    GiveUp,
}

/// One of those.
#[derive(Debug)]
pub struct Candidate {
    me: PeerId,
    all: Votes,
    wish: Wish,
    term: Term,
    began: Instant,
    claims: u32,
    seed: Seed,
}

impl Candidate {
    /// For a run of so many names and keepers, whose highest term that is known is `highest`.
    #[must_use]
    pub fn new((me, wish): (PeerId, Wish), all: Votes, highest: Term, now: Instant) -> Self {
        let luck = me.0.iter().fold(0, |luck: u64, byte| luck.rotate_left(8) ^ u64::from(*byte));
        Self { me, all, wish, term: above(highest), began: now, claims: 1, seed: Seed::new(luck) }
    }

    /// What it does first.
    pub fn begin(&mut self) -> Next {
        match self.wish {
            Wish::Insists => Next::AskAnew,
            Wish::Behind(_) => Next::Ask(self.began + FIRST.mul_f64(self.seed.unit())),
        }
    }

    /// At which it asks.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// Those that can be reached were asked.
    pub fn asked(&mut self, Asked { promised, higher }: Asked, now: Instant) -> Next {
        let is_majority = promised.suffice(self.all);
        let waited = now.saturating_duration_since(self.began);
        match higher {
            _ if promised == self.all || (is_majority && waited >= ALL_WITHIN) => Next::Command,
            _ if waited >= CLAIMED_WITHIN => Next::GiveUp,
            None => Next::Ask(now + AGAIN_AFTER),
            Some(_) if self.claims >= CLAIMS => {
                if is_majority {
                    Next::Ask(now + AGAIN_AFTER)
                } else {
                    Next::GiveUp
                }
            }
            // Nobody else gets so many any more, and those that promised another at this term are wanted, too.
            Some(higher) if is_majority => self.anew(higher),
            Some(_) => Next::Look(now + self.wait()),
        }
    }

    /// Whom each name obeys that could be asked.
    pub fn looked(&mut self, obeyed: &[(Term, PeerId)], now: Instant) -> Next {
        if obeyed.len() < majority(self.all.names) {
            // Whoever has so many may have ended the run by now.
            let is_over = now.saturating_duration_since(self.began) >= CLAIMED_WITHIN;
            return if is_over { Next::GiveUp } else { Next::Look(now + AGAIN_AFTER) };
        }
        let mut by_peer: BTreeMap<PeerId, (usize, Term)> = BTreeMap::new();
        for (term, peer) in obeyed {
            let (names, highest) = by_peer.entry(*peer).or_insert((0, *term));
            (*names, *highest) = (*names + 1, (*highest).max(*term));
        }
        let other = by_peer.iter().find(|(peer, (names, _))| **peer != self.me && *names >= majority(self.all.names));
        match (self.wish, other) {
            (Wish::Behind(before), Some((_, (_, term)))) if *term > before => Next::Yield(*term),
            (Wish::Behind(_) | Wish::Insists, _) => {
                let highest = by_peer.values().map(|(_, term)| *term).max().unwrap_or(self.term);
                self.anew(highest)
            }
        }
    }

    fn anew(&mut self, highest: Term) -> Next {
        self.term = above(self.term.max(highest));
        self.claims += 1;
        Next::AskAnew
    }

    fn wait(&mut self) -> Duration {
        let window = REFUSED_FIRST.saturating_mul(1 << (self.claims - 1).min(8)).min(REFUSED_LONGEST);
        window.mul_f64(self.seed.unit())
    }
}

/// Whether nobody commands a run of so many names, as far as those say that answered: whom each obeys, and whether its link to that one
/// works.
#[must_use]
pub fn is_nobodys(obeyed: &[(PeerId, bool)], (me, names): (PeerId, usize)) -> bool {
    // Of me, who was promised it and does not command, it obeys nobody.
    let alone = obeyed.iter().filter(|(peer, is_up)| *peer == me || !is_up).count();
    let silent = names.saturating_sub(obeyed.len());
    let most = obeyed.iter().map(|(peer, _)| obeyed.iter().filter(|(other, _)| other == peer).count()).max();
    alone >= majority(names) || most.unwrap_or(0) + silent < majority(names)
}

fn above(term: Term) -> Term {
    Term(term.0 + 1)
}
