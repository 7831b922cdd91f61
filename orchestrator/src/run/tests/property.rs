//! Whatever is lost, doubled or late: a run ends, and it passes only if every result came and was good.

use std::collections::BTreeSet;

use meshproof_proto::event::{Fact, Outcome};
use meshproof_proto::seed::Seed;
use meshproof_proto::verdict::{Exit, Verdict};
use proptest::prelude::*;

use super::ahead::{ROW, TURNS};
use super::world::{PLAN, World, name};
use crate::record::Happening;
use crate::run::{Abort, Input};

/// What the world does with an answer.
fn mangle(seed: &mut Seed, input: Input, harm: u64) -> Vec<Input> {
    // While the environment is made, its maker has the bounds.
    if seed.below(100) >= harm || matches!(input, Input::Begin(_)) {
        return vec![input];
    }
    match seed.below(8) {
        0 => Vec::new(),
        1 => vec![input.clone(), input],
        2 => vec![Input::AgentLost { agent: name("shop"), reason: "harm".to_owned() }, input],
        3 => vec![Input::Abort(Abort::Interrupted), input],
        4 => vec![input, Input::Fact { agent: name("ledger"), fact: Fact::Gap { lost: 1 } }],
        5 => {
            let agent = name(if seed.below(2) == 0 { "shop" } else { "ledger" });
            let down = Input::AgentDown { agent: agent.clone(), how: "harm".to_owned() };
            vec![input, down, Input::AgentBack { agent }]
        }
        6 => match &input {
            Input::Fact { fact: Fact::StepStarted { key } | Fact::StepEnded { key, .. }, .. } => {
                vec![Input::StepRefused { key: key.clone(), reason: "harm".to_owned() }, input]
            }
            _ => vec![input],
        },
        _ => match input {
            Input::Fact { agent, fact: Fact::StepEnded { key, mut result } } => {
                result.outcome = Outcome::Unknown { message: "harm".to_owned() };
                vec![Input::Fact { agent, fact: Fact::StepEnded { key, result } }]
            }
            other => vec![other],
        },
    }
}

/// How answers are shuffled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shuffled {
    Freely,
    /// What one agent tells keeps its order, as its events are numbered.
    ByAgent,
}

/// Which of the answers that wait comes next.
fn next(seed: &mut Seed, waiting: &[Input], shuffled: Shuffled) -> usize {
    let at = usize::try_from(seed.below(waiting.len() as u64)).unwrap_or_default();
    let teller = |input: &Input| match input {
        Input::Fact { agent, .. } => Some(agent.clone()),
        _ => None,
    };
    match (shuffled, teller(&waiting[at])) {
        (Shuffled::ByAgent, Some(agent)) => {
            waiting.iter().position(|input| teller(input).as_ref() == Some(&agent)).unwrap_or(at)
        }
        _ => at,
    }
}

/// Plays a run whose answers are harmed and shuffled.
fn harmed(seed: u64, harm: u64) -> World {
    harmed_run((PLAN, Shuffled::Freely), seed, harm)
}

fn harmed_run((plan, shuffled): (&str, Shuffled), seed: u64, harm: u64) -> World {
    let mut seed = Seed::new(seed);
    let mut world = World::new(plan);
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
            let at = next(&mut seed, &waiting, shuffled);
            world.run.handle(waiting.remove(at), world.now);
        }
    }
    panic!("the run does not end: {:?}", world.records.last());
}

/// Whether the run ended once, passed only if everything went well, and told of no step twice.
fn is_honest(world: &World) -> Result<(), TestCaseError> {
    let Some(Happening::Expected { steps, .. }) = world.records.get(1) else { panic!("nothing expected") };
    let ended = world.records.iter().filter_map(|record| match record {
        Happening::StepEnded { step, ending, .. } => Some((step.key.clone(), *ending)),
        _ => None,
    });
    let ended: Vec<_> = ended.collect();
    let good: BTreeSet<_> =
        ended.iter().filter(|(_, ending)| *ending == crate::record::Ending::Pass).map(|(key, _)| key.clone()).collect();
    let all = steps.iter().all(|key| good.contains(key)) && world.failures().is_empty();
    let passed = world.finished == Some((Verdict::Pass, Exit::Passed));
    prop_assert!(!passed || all, "{:?}", world.records);
    let ends = world.records.iter().filter(|record| matches!(record, Happening::RunEnded { .. })).count();
    prop_assert_eq!(ends, 1);
    for (key, _) in &ended {
        prop_assert_eq!(ended.iter().filter(|(other, _)| other == key).count(), 1, "{:?}", world.records);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_harmed_run_ends_and_passes_only_with_every_result(seed: u64, harm in 0_u64..40) {
        is_honest(&harmed(seed, harm))?;
    }

    #[test]
    fn so_does_one_whose_steps_are_ordered_before_their_turn(seed: u64, harm in 0_u64..40) {
        for plan in [ROW, TURNS] {
            is_honest(&harmed_run((plan, Shuffled::ByAgent), seed, harm))?;
        }
    }

    #[test]
    fn without_harm_any_order_of_answers_passes(seed: u64) {
        let world = harmed(seed, 0);
        prop_assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    }
}
