use std::collections::BTreeMap;

use meshproof_proto::event::{Evidence, StepResult};
use meshproof_proto::id::PeerId;
use meshproof_proto::order::StepKey;
use meshproof_proto::order::network::Wanted;
use meshproof_proto::sync::Ask;
use proptest::prelude::*;

use super::*;

fn outbox() -> Outbox {
    Outbox::new(PeerId([7; 32]), RunId("r1".to_owned()))
}

fn fact(number: u64) -> Fact {
    Fact::FaultBegan { fault: number.to_string() }
}

fn ended(evidence_bytes: usize, saved_bytes: usize) -> Fact {
    let key = StepKey { test: "t".to_owned(), step: "1".to_owned(), attempt: 1 };
    let result = StepResult {
        outcome: Outcome::Ok,
        duration_ms: 1.0,
        tries: 1,
        saved: BTreeMap::from([("x".to_owned(), "s".repeat(saved_bytes))]),
        evidence: vec![Evidence { title: "log".to_owned(), text: "e".repeat(evidence_bytes) }],
    };
    Fact::StepEnded { key, result }
}

#[test]
fn what_a_program_wants_of_the_network_is_remembered_until_the_next_test() {
    let ask = Ask::Network { wanted: Box::new(Wanted { cut: true, ..Wanted::default() }), signal: None };
    let event = Event { run: RunId("r1".to_owned()), seq: 1, at_ms: 1, fact: Fact::ProgramAsked { number: 1, ask } };
    let mut left = Left::default();
    left.learn(&Entry::Event(event));
    assert!(left.network.as_ref().is_some_and(|wanted| wanted.cut));
    left.learn(&Entry::TestBegan { test: "next".to_owned(), begin_anew: Vec::new() });
    assert_eq!(left.network, None);
}

/// What happens between an outbox and a journal.
#[derive(Clone, Debug)]
enum Happens {
    Push,
    Send,
    Journal,
    AckArrives,
    /// The connection is replaced; what was on its way is gone.
    Replace,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => Just(Happens::Push),
        4 => Just(Happens::Send),
        4 => Just(Happens::Journal),
        3 => Just(Happens::AckArrives),
        1 => Just(Happens::Replace),
    ]
}

/// The orchestrator's side: takes what is next, knows what it has.
#[derive(Default)]
struct World {
    batches: VecDeque<EventBatch>,
    acks: VecDeque<u64>,
    journal: Vec<u64>,
}

impl World {
    fn journal_one(&mut self) {
        let Some(batch) = self.batches.pop_front() else { return };
        for event in batch.events {
            let next = self.journal.len() as u64 + 1;
            assert!(event.seq <= next, "a gap: {} came, {next} was next", event.seq);
            if event.seq == next {
                assert_eq!(event.fact, fact(next));
                self.journal.push(event.seq);
            }
        }
        self.acks.push_back(self.journal.len() as u64);
    }
}

/// A file that is written whole, or as far as the writer came.
struct Disk {
    bytes: Vec<u8>,
    chain: records::Chain,
}

impl Disk {
    fn new() -> Self {
        let mut disk = Self { bytes: records::MAGIC.to_vec(), chain: records::Chain::new() };
        disk.append(&Entry::Begun { origin: PeerId([7; 32]), run: RunId("r1".to_owned()) });
        disk
    }

    fn append(&mut self, entry: &Entry) {
        let payload = entry::encode(entry).expect("small");
        self.chain = self.chain.put(&payload, &mut self.bytes).expect("small");
    }

    fn write(&mut self, outbox: &mut Outbox) {
        let events: Vec<Event> = outbox.unwritten().cloned().collect();
        for event in events {
            let seq = event.seq;
            self.append(&Entry::Event(event));
            outbox.written(seq);
        }
    }

    /// The writer is killed; who comes after it cuts off what is not whole.
    fn recover(&mut self) -> Recovered {
        let recovered = Recovered::read(self.bytes.as_slice()).expect("from memory").expect("it begins well");
        self.bytes.truncate(usize::try_from(recovered.end.0).expect("small"));
        self.chain = recovered.end.1;
        recovered
    }
}

fn step(happens: &Happens, (outbox, disk): (&mut Outbox, &mut Disk), world: &mut World, pushed: &mut u64) {
    match happens {
        Happens::Push => {
            *pushed += 1;
            assert_eq!(outbox.push(fact(*pushed), 0), Some(*pushed));
            disk.write(outbox);
        }
        Happens::Send => world.batches.extend(outbox.poll_batch()),
        Happens::Journal => world.journal_one(),
        Happens::AckArrives => {
            if let Some(through) = world.acks.pop_front() {
                outbox.ack(through);
                disk.append(&Entry::Acknowledged(outbox.acked));
            }
        }
        Happens::Replace => {
            world.batches.clear();
            world.acks.clear();
            outbox.rewind();
        }
    }
}

/// Everything that is left reaches the journal.
fn drain((outbox, disk): (&mut Outbox, &mut Disk), world: &mut World, pushed: &mut u64) {
    step(&Happens::Replace, (outbox, disk), world, pushed);
    while outbox.unacked() > 0 {
        for happens in [Happens::Send, Happens::Journal, Happens::AckArrives] {
            step(&happens, (outbox, disk), world, pushed);
        }
    }
}

proptest! {
    #[test]
    fn every_fact_is_journaled_exactly_once_and_in_order_whatever_connections_lose(
        history in prop::collection::vec(happens(), 0..400),
    ) {
        let (mut outbox, mut disk, mut world, mut pushed) = (outbox(), Disk::new(), World::default(), 0);
        for happens in &history {
            step(happens, (&mut outbox, &mut disk), &mut world, &mut pushed);
            prop_assert!(world.batches.len() <= limits::BATCHES_ON_THE_WAY);
        }
        drain((&mut outbox, &mut disk), &mut world, &mut pushed);
        prop_assert_eq!(world.journal, (1..=pushed).collect::<Vec<_>>());
    }

    #[test]
    fn every_fact_that_was_written_is_journaled_exactly_once_and_in_order_however_often_its_agent_is_killed(
        lives in prop::collection::vec((prop::collection::vec(happens(), 0..60), 0..4_u64, 0..200_usize), 1..6),
    ) {
        let (mut outbox, mut disk, mut world, mut pushed) = (outbox(), Disk::new(), World::default(), 0);
        for (history, last_words, cut) in lives {
            for happens in &history {
                step(happens, (&mut outbox, &mut disk), &mut world, &mut pushed);
            }
            let before = disk.bytes.len();
            for word in 1..=last_words {
                outbox.push(fact(pushed + word), 0);
            }
            disk.write(&mut outbox);
            disk.bytes.truncate(disk.bytes.len().saturating_sub(cut).max(before));
            let recovered = disk.recover();
            prop_assert!(!recovered.damaged && recovered.last() >= pushed);
            pushed = recovered.last();
            outbox = Outbox::recovered(recovered);
            world.batches.clear();
            world.acks.clear();
        }
        drain((&mut outbox, &mut disk), &mut world, &mut pushed);
        prop_assert_eq!(world.journal, (1..=pushed).collect::<Vec<_>>());
    }
}

#[test]
fn a_record_that_makes_no_sense_behind_those_before_it_is_damage() {
    let event = |seq| Event { run: RunId("r1".to_owned()), seq, at_ms: 0, fact: fact(seq) };
    let elsewhere = Event { run: RunId("r2".to_owned()), ..event(2) };
    for odd in [Entry::Event(event(3)), Entry::Event(event(1)), Entry::Event(elsewhere), Entry::Acknowledged(2)] {
        let mut disk = Disk::new();
        disk.append(&Entry::Event(event(1)));
        disk.append(&odd);
        disk.append(&Entry::Event(event(2)));
        let recovered = disk.recover();
        assert_eq!((recovered.last(), recovered.damaged), (1, true), "{odd:?}");
    }
}

/// Keeps a fact, and has it on disk.
fn push(outbox: &mut Outbox, fact: Fact) -> Option<u64> {
    let seq = outbox.push(fact, 0)?;
    outbox.written(seq);
    Some(seq)
}

#[test]
fn what_is_not_written_is_not_told() {
    let mut outbox = outbox();
    (1..=2).for_each(|number| assert_eq!(outbox.push(fact(number), 0), Some(number)));
    assert_eq!((outbox.poll_batch(), outbox.unwritten().count()), (None, 2));
    outbox.written(1);
    let told = |outbox: &mut Outbox| outbox.poll_batch().map(|batch| batch.events.len());
    assert_eq!((told(&mut outbox), outbox.is_all_sent()), (Some(1), false));
    outbox.written(2);
    assert_eq!((told(&mut outbox), outbox.is_all_sent(), outbox.unwritten().count()), (Some(1), true, 0));
}

#[test]
fn no_batch_is_larger_than_a_message() {
    let mut outbox = outbox();
    for _ in 0..20 {
        push(&mut outbox, ended(20_000, 0));
    }
    let mut events = 0;
    while let Some(batch) = outbox.poll_batch() {
        let bytes = Codec::Bincode.encode(&batch).expect("fits a frame").len();
        assert!(bytes <= meshproof_proto::limits::MESSAGE_BYTES, "{bytes}");
        events += batch.events.len() as u64;
        outbox.ack(events);
    }
    assert_eq!((events, outbox.unacked()), (20, 0));
}

#[test]
fn a_result_too_large_for_a_message_loses_its_evidence_before_its_values() {
    let mut outbox = outbox();
    push(&mut outbox, ended(EVENT_BATCH_BYTES, 10));
    push(&mut outbox, ended(0, EVENT_BATCH_BYTES));
    let batch = outbox.poll_batch().expect("two events");
    let results: Vec<_> = batch
        .events
        .iter()
        .map(|event| match &event.fact {
            Fact::StepEnded { result, .. } => (result.outcome.clone(), result.saved.len(), result.evidence.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(results[0], (Outcome::Ok, 1, 0));
    assert!(matches!(results[1], (Outcome::Error { .. }, 0, 0)), "{results:?}");
}

#[test]
fn a_silent_orchestrator_first_stops_new_work_and_then_leaves_a_counted_gap() {
    let mut outbox = outbox();
    let mut kept = 0;
    while outbox.has_room() {
        push(&mut outbox, fact(0));
        kept += 1;
    }
    assert_eq!(kept, OUTBOX_EVENTS);
    while push(&mut outbox, fact(0)).is_some() {}
    assert_eq!(outbox.push(fact(0), 5), None);

    while let Some(batch) = outbox.poll_batch() {
        outbox.ack(batch.events.last().expect("never empty").seq);
        // the gap
        outbox.written(u64::MAX);
    }
    assert!(outbox.has_room());
    assert_eq!(outbox.unacked(), 0);
}

#[test]
fn acknowledgements_of_what_was_never_sent_are_not_believed() {
    let mut outbox = outbox();
    push(&mut outbox, fact(1));
    outbox.ack(1);
    assert_eq!(outbox.unacked(), 1);
}

#[test]
fn batches_of_steps_in_a_row_are_sent_long_before_the_journal_is_on_disk_and_their_bytes_are_bounded() {
    let mut small = outbox();
    for step in 0..100 {
        push(&mut small, fact(step));
        assert!(small.poll_batch().is_some(), "step {step} waits for an acknowledgement");
    }
    let mut large = outbox();
    let mut on_the_way = 0;
    for _ in 0..100 {
        push(&mut large, ended(20_000, 0));
        on_the_way += large.poll_batch().iter().map(|batch| batch.events.len() * 20_000).sum::<usize>();
    }
    assert!(on_the_way <= limits::BATCH_BYTES_ON_THE_WAY + EVENT_BATCH_BYTES, "{on_the_way}");
}
