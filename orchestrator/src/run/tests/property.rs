//! Whatever is lost, doubled or late: a run ends, and it passes only if every result came and was good.

use std::collections::BTreeSet;

use meshproof_proto::event::{Fact, Outcome};
use meshproof_proto::seed::Seed;
use meshproof_proto::verdict::{Exit, Verdict};
use proptest::prelude::*;

use super::world::{PLAN, World, name};
use crate::record::Happening;
use crate::run::{Abort, Input};

/// What the world does with an answer.
fn mangle(seed: &mut Seed, input: Input, harm: u64) -> Vec<Input> {
    // While the environment is made, its maker has the bounds.
    if seed.below(100) >= harm || matches!(input, Input::Begin(_)) {
        return vec![input];
    }
    match seed.below(6) {
        0 => Vec::new(),
        1 => vec![input.clone(), input],
        2 => vec![Input::AgentLost { agent: name("shop"), reason: "harm".to_owned() }, input],
        3 => vec![Input::Abort(Abort::Interrupted), input],
        4 => vec![input, Input::Fact { agent: name("ledger"), fact: Fact::Gap { lost: 1 } }],
        _ => match input {
            Input::Fact { agent, fact: Fact::StepEnded { key, mut result } } => {
                result.outcome = Outcome::Unknown { message: "harm".to_owned() };
                vec![Input::Fact { agent, fact: Fact::StepEnded { key, result } }]
            }
            other => vec![other],
        },
    }
}

/// Plays a run whose answers are harmed and shuffled; gives it and whether every step's result came and was good.
fn harmed(seed: u64, harm: u64) -> World {
    let mut seed = Seed::new(seed);
    let mut world = World::new(PLAN);
    let mut waiting = Vec::new();
    for _ in 0..10_000 {
        world.collect();
        for input in std::mem::take(&mut world.inbox) {
            waiting.extend(mangle(&mut seed, input, harm));
        }
        if world.finished.is_some() {
            return world;
        }
        if waiting.is_empty() {
            world.step();
        } else {
            let at = usize::try_from(seed.below(waiting.len() as u64)).unwrap_or_default();
            world.run.handle(waiting.swap_remove(at), world.now);
        }
    }
    panic!("the run does not end: {:?}", world.records.last());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_harmed_run_ends_and_passes_only_with_every_result(seed: u64, harm in 0_u64..40) {
        let world = harmed(seed, harm);
        let Some(Happening::Expected { steps, .. }) = world.records.get(1) else { panic!("nothing expected") };
        let good: BTreeSet<_> = world.records.iter().filter_map(|record| match record {
            Happening::StepEnded { step, ending: crate::record::Ending::Pass, .. } => Some(step.key.clone()),
            _ => None,
        }).collect();
        let all = steps.iter().all(|key| good.contains(key)) && world.failures().is_empty();
        let passed = world.finished == Some((Verdict::Pass, Exit::Passed));
        prop_assert!(!passed || all, "{:?}", world.records);
        let ends = world.records.iter().filter(|record| matches!(record, Happening::RunEnded { .. })).count();
        prop_assert_eq!(ends, 1);
        for key in good {
            let times = world.records.iter().filter(|record| matches!(record, Happening::StepEnded { step, .. } if step.key == key));
            prop_assert_eq!(times.count(), 1);
        }
    }

    #[test]
    fn without_harm_any_order_of_answers_passes(seed: u64) {
        let world = harmed(seed, 0);
        prop_assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    }
}
