//! What programs are told, and what of it waits until enough agents remember in which order it came.

use std::time::Instant;

use meshproof_proto::event::Fact;
use meshproof_proto::id::Term;
use meshproof_proto::sync::{Answer, Ask, Told};

use crate::memory::{Conducted, Log, Ready};
use crate::run::{Input, Output};
use crate::sim::began;
use crate::world::{World, name};

const PLAN: &str = "meshproof: 1\nplan: p\nservices:\n  a: { exec: { argv: [a] } }\n  b: { exec: { argv: [b] } }\n  c: { exec: { argv: [c] } }\ntests:\n  - id: t\n    steps: [{ at: a, exec: { argv: [x] }, within: 60s }]\n";

/// A run of three agents that remember, at the moment in which a step goes on.
fn begun(now: Instant) -> Conducted {
    let mut world = World::new(PLAN);
    let Some(Input::Begin(setting)) = world.inbox.pop_front() else { panic!("it begins") };
    let (began, ready) = (began(PLAN), Ready::default());
    let mut run = Conducted::new(world.run, now);
    let log = Log::new(Term(1), ["a", "b", "c"].map(name));
    run.begin((*setting, now), (Some((log, began, ready)), Vec::new()));
    for service in ["a", "b", "c"].map(name) {
        store(&mut run, now);
        told(&mut run);
        run.handle(Input::ServiceStarted { service }, now);
    }
    for agent in ["a", "b", "c"].map(name) {
        store(&mut run, now);
        told(&mut run);
        run.handle(Input::TestBegun { agent, test: "t".to_owned() }, now);
    }
    store(&mut run, now);
    told(&mut run);
    run
}

/// Two of three have everything.
fn store(run: &mut Conducted, now: Instant) {
    let log = run.log_mut().expect("it remembers");
    for agent in ["a", "b"].map(name) {
        while let Some((from, pieces)) = log.next_for(&agent, now) {
            log.stored(&agent, from + pieces.len() as u64 - 1);
        }
    }
}

/// Whatever may be done by now: answers are given, all else is left out.
fn told(run: &mut Conducted) -> Vec<(String, Answer)> {
    let mut all = Vec::new();
    while let Some(output) = run.poll_output() {
        if let Output::Answer { agent, answers } = output {
            all.extend(answers.into_iter().map(|answer| (agent.to_string(), answer)));
        }
    }
    all
}

fn answer(agent: &str, number: u64, told: Told) -> (String, Answer) {
    (agent.to_owned(), Answer { number, told })
}

#[test]
fn that_a_barrier_is_open_is_told_at_once_and_a_number_once_enough_remember_it() {
    let now = Instant::now();
    let mut run = begun(now);
    let mut seq = 0;
    let mut hear = |run: &mut Conducted, agent: &str, number: u64, ask: Ask| {
        seq += 1;
        run.hear((&name(agent), seq), Fact::ProgramAsked { number, ask }, now);
    };
    let signal = || Ask::Signal { name: "up".to_owned() };
    let all = || Ask::Entries { name: "up".to_owned(), count: 2 };
    hear(&mut run, "a", 1, signal());
    hear(&mut run, "a", 2, all());
    assert_eq!(told(&mut run), [], "one of two has come, and nobody remembers it");
    hear(&mut run, "b", 3, signal());
    assert_eq!(told(&mut run), [answer("a", 2, Told::Open)], "it stays open, whoever goes on");
    store(&mut run, now);
    assert_eq!(told(&mut run), [answer("a", 1, Told::Count(1)), answer("b", 3, Told::Count(2))]);
    hear(&mut run, "c", 4, Ask::Publish { topic: "t".to_owned(), value: "1".to_owned() });
    hear(&mut run, "c", 5, Ask::Subscribe { topic: "t".to_owned() });
    assert_eq!(told(&mut run), [], "the place of a value hangs on what came before it");
    store(&mut run, now);
    let values = Told::Values { from: 0, values: vec!["1".to_owned()] };
    assert_eq!(told(&mut run), [answer("c", 4, Told::Count(1)), answer("c", 5, values)]);
}
