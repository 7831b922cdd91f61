//! Histories with a planted regression: it is found, in as few tests as there can be, and nothing else is ever said to be it.

use std::collections::BTreeMap;

use meshproof_proto::seed::Seed;

use super::*;

/// A test suite over a history.
struct World {
    lineage: Lineage,
    culprit: usize,
    /// Commits that exit with the code for "cannot be tested".
    untestable: Vec<usize>,
    /// How often in a hundred a good commit fails all the same, and a bad one passes.
    fails_falsely: u64,
    passes_falsely: u64,
    seed: Seed,
}

/// What a search took.
#[derive(Debug)]
struct Took {
    verdict: Verdict,
    tests: usize,
    rounds: usize,
    /// Of those tests, which were not waited for.
    dropped: usize,
    /// Of each commit.
    tested: BTreeMap<usize, u32>,
}

impl World {
    fn line(commits: usize, culprit: usize) -> Self {
        let lineage = Lineage::line(commits).expect("two at least");
        let seed = Seed::new(0);
        Self { lineage, culprit, untestable: Vec::new(), fails_falsely: 0, passes_falsely: 0, seed }
    }

    fn vote(&mut self, commit: usize) -> Vote {
        if self.untestable.contains(&commit) {
            return Vote::Skip;
        }
        let chance = self.seed.below(100);
        match self.lineage.leads_to(self.culprit, commit) {
            true if chance < self.passes_falsely => Vote::Good,
            true => Vote::Bad,
            false if chance < self.fails_falsely => Vote::Bad,
            false => Vote::Good,
        }
    }

    fn search(mut self, rule: Rule, agents: usize) -> Took {
        let mut search = Search::new(self.lineage.clone(), rule);
        let (mut tests, mut rounds, mut dropped) = (0, 0, 0);
        loop {
            let wanted = match search.next(agents) {
                Next::Over(verdict) => {
                    let each = (0..self.lineage.len()).map(|commit| (commit, search.tally(commit)));
                    let count = |(commit, tally): (usize, Tally)| {
                        (commit, tally.good + tally.bad + tally.skipped + tally.unknown)
                    };
                    let tested = each.map(count).filter(|(_, times)| *times > 0).collect();
                    return Took { verdict, tests, rounds, dropped, tested };
                }
                Next::Test(wanted) => wanted,
            };
            assert!((1..=agents).contains(&wanted.len()), "{wanted:?} for {agents}");
            rounds += 1;
            tests += wanted.len();
            assert!(tests <= self.lineage.len() * (rule.repeat as usize + 4), "it does not come to an end");
            let mut going = wanted;
            while !going.is_empty() {
                let next = usize::try_from(self.seed.below(going.len() as u64)).expect("small");
                let commit = going.swap_remove(next);
                let vote = self.vote(commit);
                search.hear(commit, vote);
                let begun = going.len();
                going.retain(|commit| !search.is_ruled_out(*commit));
                dropped += begun - going.len();
            }
        }
    }
}

const ONCE: Rule = Rule { repeat: 1, bad_when: BadWhen::Majority };

/// What binary search needs at most among so many candidates.
fn binary(candidates: usize) -> usize {
    candidates.next_power_of_two().trailing_zeros() as usize
}

#[test]
fn in_a_line_one_agent_needs_what_binary_search_needs_and_the_two_ends() {
    for commits in [2, 3, 4, 7, 8, 9, 100, 129] {
        for culprit in 1..commits {
            let took = World::line(commits, culprit).search(ONCE, 1);
            assert_eq!(took.verdict, Verdict::Culprit(culprit));
            assert!(took.tests <= binary(commits - 1) + 2, "{culprit} of {commits}: {took:?}");
            assert!(took.tested.values().all(|times| *times == 1), "{took:?}");
        }
    }
}

#[test]
fn more_agents_need_fewer_rounds() {
    for agents in [2, 3, 4, 8] {
        let mut dropped = 0;
        for culprit in 1..1_000 {
            let took = World::line(1_000, culprit).search(ONCE, agents);
            assert_eq!(took.verdict, Verdict::Culprit(culprit));
            let parts = (999_f64.ln() / ((agents + 1) as f64).ln()).ceil() as usize;
            assert!(took.rounds <= parts + 2, "{culprit} with {agents}: {took:?}");
            dropped += took.dropped;
        }
        assert!(dropped > 0, "some of each round are not waited for");
    }
}

/// Branches and merges at random; the last commit has all others before it.
fn tangle(seed: &mut Seed, commits: usize) -> Lineage {
    let mut parents: Vec<Vec<usize>> = vec![Vec::new()];
    for commit in 1..commits - 1 {
        let recent = |seed: &mut Seed| commit - 1 - usize::try_from(seed.below(commit.min(5) as u64)).expect("small");
        let mut its = vec![recent(seed)];
        if seed.below(4) == 0 {
            its.push(recent(seed));
        }
        its.sort_unstable();
        its.dedup();
        parents.push(its);
    }
    let childless = (0..commits - 1).filter(|commit| !parents.iter().any(|its| its.contains(commit))).collect();
    parents.push(childless);
    Lineage::new(parents).expect("in order")
}

#[test]
fn among_branches_and_merges_it_is_found_as_well() {
    for number in 0..2_000 {
        let mut seed = Seed::new(number);
        let commits = 2 + usize::try_from(seed.below(60)).expect("small");
        let lineage = tangle(&mut seed, commits);
        let culprit = 1 + usize::try_from(seed.below(commits as u64 - 1)).expect("small");
        let agents = 1 + usize::try_from(seed.below(4)).expect("small");
        let took = World { lineage, ..World::line(2, culprit) }.search(ONCE, agents);
        assert_eq!(took.verdict, Verdict::Culprit(culprit), "seed {number}: {took:?}");
    }
}

#[test]
fn what_cannot_be_tested_leaves_suspects_of_which_one_is_it() {
    for number in 0..2_000 {
        let mut seed = Seed::new(number);
        let commits = 3 + usize::try_from(seed.below(100)).expect("small");
        let culprit = 1 + usize::try_from(seed.below(commits as u64 - 1)).expect("small");
        let share = seed.below(80);
        let untestable: Vec<usize> = (1..commits - 1).filter(|_| seed.below(100) < share).collect();
        let world = World { untestable: untestable.clone(), ..World::line(commits, culprit) };
        let took = world.search(ONCE, 1 + usize::try_from(seed.below(4)).expect("small"));
        match &took.verdict {
            Verdict::Culprit(found) => assert_eq!(*found, culprit, "seed {number}"),
            Verdict::Suspects(suspects) => {
                assert!(suspects.contains(&culprit), "seed {number}: {took:?}");
                let testable = suspects.iter().filter(|suspect| !untestable.contains(suspect)).count();
                assert_eq!(testable, 1, "seed {number}: only the first that fails can be tested, {took:?}");
            }
            other => panic!("seed {number}: {other:?}"),
        }
    }
}

#[test]
fn a_great_hole_of_untestable_commits_is_jumped_over() {
    for culprit in [1, 90, 399, 800, 998] {
        let world = World { untestable: (400..600).collect(), ..World::line(1_000, culprit) };
        let took = world.search(ONCE, 1);
        assert_eq!(took.verdict, Verdict::Culprit(culprit));
        assert!(took.tests < 60, "{took:?}");
    }
}

#[test]
fn ends_that_are_not_what_they_were_said_to_be_are_told() {
    let never = World { culprit: 10, ..World::line(11, 10) };
    assert_eq!(never.search(ONCE, 1).verdict, Verdict::Culprit(10));
    let always = World { fails_falsely: 100, ..World::line(50, 20) };
    assert_eq!(always.search(Rule { repeat: 3, bad_when: BadWhen::All }, 4).verdict, Verdict::GoodFails);
    let passes = World { passes_falsely: 100, ..World::line(50, 20) };
    assert_eq!(passes.search(ONCE, 1).verdict, Verdict::BadPasses);
    let hole = World { untestable: vec![0], ..World::line(50, 20) };
    assert_eq!(hole.search(ONCE, 1).verdict, Verdict::EndUntestable(0));
}

#[test]
fn whatever_comes_the_search_ends() {
    for number in 0..3_000 {
        let mut seed = Seed::new(number);
        let commits = 2 + usize::try_from(seed.below(40)).expect("small");
        let lineage = tangle(&mut seed, commits.max(3));
        let repeat = 1 + u32::try_from(seed.below(4)).expect("small");
        let bad_when = [BadWhen::Majority, BadWhen::Any, BadWhen::All][usize::try_from(seed.below(3)).expect("small")];
        let mut search = Search::new(lineage.clone(), Rule { repeat, bad_when });
        let mut tests = 0;
        while let Next::Test(wanted) = search.next(3) {
            tests += wanted.len();
            assert!(!wanted.is_empty() && tests < lineage.len() * 20, "seed {number}");
            for commit in wanted {
                let votes = [Vote::Good, Vote::Bad, Vote::Skip, Vote::Unknown];
                search.hear(commit, votes[usize::try_from(seed.below(4)).expect("small")]);
            }
        }
    }
}

/// Searches of a thousand commits with a flaky test: how many find it, and what they take in the mean.
fn thousand(agents: usize, rule: Rule, (fails_falsely, passes_falsely): (u64, u64)) -> (f64, f64, f64) {
    const SEARCHES: u64 = 300;
    let (mut found, mut tests, mut rounds) = (0, 0, 0);
    for number in 0..SEARCHES {
        let mut seed = Seed::new(number);
        let culprit = 1 + usize::try_from(seed.below(999)).expect("small");
        let took = World { fails_falsely, passes_falsely, seed, ..World::line(1_000, culprit) }.search(rule, agents);
        found += usize::from(took.verdict == Verdict::Culprit(culprit));
        tests += took.tests;
        rounds += took.rounds;
    }
    let mean = |sum: usize| sum as f64 / SEARCHES as f64;
    (100.0 * mean(found), mean(tests), mean(rounds))
}

#[test]
fn with_a_flaky_test_it_is_found_for_few_tests_more() {
    println!("1,000 commits, one regression; plain binary search: {} tests", binary(999));
    println!("{:<34} {:>6} {:>7} {:>7} {:>7}", "test", "agents", "found", "tests", "rounds");
    let cases = [
        ("steady", ONCE, (0, 0), 100.0, 14.0),
        ("fails falsely 1 of 10, once", ONCE, (10, 0), 0.0, 14.0),
        ("fails falsely 1 of 10, all of 5", Rule { repeat: 5, bad_when: BadWhen::All }, (10, 0), 99.0, 34.0),
        ("fails falsely 1 of 5, all of 7", Rule { repeat: 7, bad_when: BadWhen::All }, (20, 0), 99.0, 44.0),
        ("passes falsely 1 of 5, any of 7", Rule { repeat: 7, bad_when: BadWhen::Any }, (0, 20), 99.0, 44.0),
        ("both 1 of 20, majority of 7", Rule { repeat: 7, bad_when: BadWhen::Majority }, (5, 5), 99.0, 44.0),
    ];
    for (name, rule, noise, found_least, tests_most) in cases {
        for agents in [1, 4] {
            let (found, tests, rounds) = thousand(agents, rule, noise);
            println!("{name:<34} {agents:>6} {found:>6.1}% {tests:>7.1} {rounds:>7.1}");
            assert!(found >= found_least, "{name} with {agents}: {found} %");
            assert!(agents > 1 || tests <= tests_most, "{name}: {tests} tests");
        }
    }
}
