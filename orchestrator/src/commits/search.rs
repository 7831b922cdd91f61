//! Which commits to test next, and what their results come to: pure, so a thousand histories are searched in a second.
//!
//! The commit that broke something is one of the *candidates*: those that every bad commit descends from (or is), and that no good
//! commit does. A round tests as many of them at once as there are agents, so that whatever comes leaves about one part in `agents + 1`
//! ([`Next`] is a function of the results so far and of nothing else). With one agent and a history in a line that is binary search.
//!
//! Against flakes a commit is tested once on the way, and again before it is believed: the ends that the user names, the culprit,
//! and its parents count only after [`Rule::repeat`] results. A result that turns out to be chance widens the search again.
//! What cannot be told is not told: commits that nobody can test leave several suspects, and results that contradict each other
//! to the end are a verdict of their own.

mod bits;
mod lineage;
mod tally;
#[cfg(test)]
mod tests;

pub use lineage::{CycleOrOrder, Lineage};
pub use tally::{BadWhen, Judged, Rule, Tally, Vote};

use bits::Bits;

/// A search that goes on.
#[derive(Clone, Debug)]
pub struct Search {
    lineage: Lineage,
    rule: Rule,
    tallies: Vec<Tally>,
}

/// The first commit of a lineage.
const GOOD: usize = 0;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Test these side by side; a commit that stands here twice is tested twice.
    Test(Vec<usize>),
    Over(Verdict),
}

/// What the search came to. Commits are numbers in the lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It broke here: it fails, and each of its parents passes.
    Culprit(usize),
    /// One of these; what is between cannot be tested.
    Suspects(Vec<usize>),
    /// The commit that was said to be good fails.
    GoodFails,
    /// The commit that was said to be bad passes.
    BadPasses,
    /// One of the two ends can be tested by nobody.
    EndUntestable(usize),
    /// Repeated as often as asked for, these still contradict each other.
    Flaky(Vec<usize>),
}

impl Search {
    /// In this history, whose first commit is said to be good and whose last to be bad.
    #[must_use]
    pub fn new(lineage: Lineage, rule: Rule) -> Self {
        let tallies = vec![Tally::default(); lineage.len()];
        Self { lineage, rule, tallies }
    }

    /// One more result of a commit.
    pub fn hear(&mut self, commit: usize, vote: Vote) {
        self.tallies[commit].take(vote);
    }

    /// The results of a commit so far.
    #[must_use]
    pub fn tally(&self, commit: usize) -> Tally {
        self.tallies[commit]
    }

    /// What its results come to.
    #[must_use]
    pub fn judged(&self, commit: usize) -> Judged {
        self.rule.judged(self.tallies[commit])
    }

    /// Whether what was heard since its test began leaves nothing that its result could tell.
    #[must_use]
    pub fn is_ruled_out(&self, commit: usize) -> bool {
        if commit == GOOD || commit == self.bad() || self.tallies[commit] != Tally::default() {
            return false;
        }
        let candidates = self.candidates();
        candidates.count() > 0 && !candidates.has(commit)
    }

    /// What this many agents do next.
    #[must_use]
    pub fn next(&self, agents: usize) -> Next {
        let agents = agents.max(1);
        if let Some(verdict) = self.ends() {
            return Next::Over(verdict);
        }
        let broken = self.broken_promises();
        if !broken.is_empty() {
            return Next::Test(some(self.unsettled(&broken), agents));
        }
        let candidates = self.candidates();
        if candidates.is_empty() {
            return self.contradicted(agents);
        }
        let open: Vec<usize> = candidates.iter().filter(|commit| self.believed(*commit) == Judged::Open).collect();
        if open.is_empty() {
            return self.boundary(&candidates, agents);
        }
        let mut wanted: Vec<usize> =
            [GOOD, self.bad()].into_iter().filter(|end| self.judged(*end) == Judged::Open).collect();
        if wanted.len() < agents {
            wanted.extend(self.split(&candidates, &open, agents - wanted.len()));
        }
        Next::Test(some(wanted, agents))
    }

    /// The last one.
    fn bad(&self) -> usize {
        self.lineage.len() - 1
    }

    /// What its results come to; of an end that has none, what the user said.
    fn believed(&self, commit: usize) -> Judged {
        match self.judged(commit) {
            Judged::Open if commit == GOOD => Judged::Good,
            Judged::Open if commit == self.bad() => Judged::Bad,
            judged => judged,
        }
    }

    /// What is already wrong with what the user said.
    fn ends(&self) -> Option<Verdict> {
        for end in [GOOD, self.bad()] {
            if self.judged(end) == Judged::Untestable {
                return Some(Verdict::EndUntestable(end));
            }
        }
        let settled = |commit: usize| self.rule.is_settled(self.tallies[commit]);
        match (self.judged(GOOD), self.judged(self.bad())) {
            (Judged::Bad, _) if settled(GOOD) => Some(Verdict::GoodFails),
            (_, Judged::Good) if settled(self.bad()) => Some(Verdict::BadPasses),
            _ => None,
        }
    }

    /// The ends that have not come to what the user said, so far.
    fn broken_promises(&self) -> Vec<usize> {
        let promised = [(GOOD, Judged::Good), (self.bad(), Judged::Bad)];
        let broken =
            |(end, promise): &(usize, Judged)| self.judged(*end) != *promise && self.tallies[*end] != Tally::default();
        promised.into_iter().filter(broken).map(|(end, _)| end).collect()
    }

    /// Where it can have broken, as far as the results say.
    fn candidates(&self) -> Bits {
        let mut candidates = Bits::full(self.lineage.len());
        for commit in 0..self.lineage.len() {
            match self.believed(commit) {
                Judged::Bad => candidates.keep(self.lineage.with_ancestors(commit)),
                Judged::Good => candidates.remove(self.lineage.with_ancestors(commit)),
                Judged::Open | Judged::Untestable => {}
            }
        }
        candidates
    }

    /// So many of the open ones, that leave about equal parts whatever comes.
    fn split(&self, candidates: &Bits, open: &[usize], agents: usize) -> Vec<usize> {
        let below = |commit: &usize| (self.lineage.with_ancestors(*commit).common(candidates), *commit);
        let mut left: Vec<(usize, usize)> = open.iter().map(below).collect();
        let all = candidates.count();
        let untestable = candidates.iter().filter(|commit| self.believed(*commit) == Judged::Untestable).count();
        let mut chosen = Vec::new();
        for number in 1..=agents.min(open.len()) {
            let target = match untestable {
                0 => all as f64 * number as f64 / (agents + 1) as f64,
                // Beside one that cannot be tested stand others: they are left by jumps.
                some => all as f64 * spread(some + number),
            };
            let distance = |(below, _): &(usize, usize)| (*below as f64 - target).abs();
            let nearest = (0..left.len()).min_by(|a, b| distance(&left[*a]).total_cmp(&distance(&left[*b])));
            chosen.extend(nearest.map(|nearest| left.swap_remove(nearest).1));
        }
        chosen
    }

    /// Nothing is left to search: the commit that fails, and those before it, are tested until they are believed.
    fn boundary(&self, candidates: &Bits, agents: usize) -> Next {
        let suspects: Vec<usize> = candidates.iter().collect();
        let mut last_words: Vec<usize> = vec![GOOD, self.bad()];
        last_words.extend(suspects.iter().filter(|commit| self.believed(**commit) == Judged::Bad));
        if self.rule.repeat > 1 {
            let before = suspects.iter().flat_map(|suspect| self.lineage.parents(*suspect));
            last_words.extend(before.filter(|parent| !candidates.has(*parent)));
        }
        let unsettled = self.unsettled(&last_words);
        match (&suspects[..], unsettled.is_empty()) {
            (_, false) => Next::Test(some(unsettled, agents)),
            ([culprit], true) => Next::Over(Verdict::Culprit(*culprit)),
            (_, true) => Next::Over(Verdict::Suspects(suspects)),
        }
    }

    /// A commit passes although one before it fails: what was tested least is tested again.
    fn contradicted(&self, agents: usize) -> Next {
        let judged: Vec<usize> = (0..self.lineage.len())
            .filter(|commit| matches!(self.judged(*commit), Judged::Good | Judged::Bad))
            .collect();
        let in_doubt: Vec<usize> = judged.iter().copied().filter(|commit| self.contradicts(*commit, &judged)).collect();
        let unsettled = self.unsettled(&in_doubt);
        match unsettled.is_empty() {
            false => Next::Test(some(unsettled, agents)),
            true => Next::Over(Verdict::Flaky(in_doubt)),
        }
    }

    /// Whether another result says that this one cannot be.
    fn contradicts(&self, commit: usize, judged: &[usize]) -> bool {
        judged.iter().any(|other| match (self.judged(commit), self.judged(*other)) {
            (Judged::Bad, Judged::Good) => self.lineage.with_ancestors(*other).has(commit),
            (Judged::Good, Judged::Bad) => self.lineage.with_ancestors(commit).has(*other),
            _ => false,
        })
    }

    /// Those of them that are not tested often enough, each as often as it is still to be tested.
    fn unsettled(&self, commits: &[usize]) -> Vec<usize> {
        let mut each: Vec<usize> = commits.to_vec();
        each.sort_unstable();
        each.dedup();
        each.retain(|commit| !self.rule.is_settled(self.tallies[*commit]));
        let missing = |commit: &usize| self.rule.missing(self.tallies[*commit]);
        let most = each.iter().map(missing).max().unwrap_or_default();
        // First each of them once, then again: as many agents as there are have something to do.
        (0..most).flat_map(|turn| each.iter().copied().filter(move |commit| missing(commit) > turn)).collect()
    }
}

fn some(mut commits: Vec<usize>, agents: usize) -> Vec<usize> {
    commits.truncate(agents);
    commits
}

/// 1/2, 1/4, 3/4, 1/8, 5/8, …: van der Corput's sequence.
fn spread(mut number: usize) -> f64 {
    let (mut value, mut digit) = (0.0, 0.5);
    while number > 0 {
        value += digit * (number % 2) as f64;
        digit /= 2.0;
        number /= 2;
    }
    value
}
