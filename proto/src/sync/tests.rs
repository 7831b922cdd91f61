use proptest::prelude::*;

use super::*;
use crate::seed::Seed;

const LONG: Duration = Duration::from_secs(60);

fn signal(member: &str, name: &str) -> Op {
    Op { member: member.to_owned(), number: 1, what: What::Signal { name: name.to_owned() } }
}

fn publish(member: &str, number: u64, value: &str) -> Op {
    Op { member: member.to_owned(), number, what: What::Publish { topic: "t".to_owned(), value: value.to_owned() } }
}

fn members(names: &[&str]) -> BTreeSet<Member> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn barrier(of: &[&str], quorum: Quorum, on_loss: OnLoss) -> Waiter {
    Waiter::Barrier(Barrier { name: "b".to_owned(), of: members(of), quorum, on_loss })
}

fn all(of: &[&str]) -> Waiter {
    barrier(of, Quorum::Share(100.0), OnLoss::Fail)
}

fn take(sync: &mut Sync, op: Op) {
    assert!(sync.handle(op).is_ok(), "there is room");
}

/// What comes of a wait after these ops, at once.
fn after(ops: &[Op], gone: &[&str], waiter: Waiter) -> Option<Outcome> {
    let mut sync = Sync::default();
    sync.wait(WaiterId(1), waiter, (LONG, Instant::now()));
    ops.iter().for_each(|op| take(&mut sync, op.clone()));
    gone.iter().for_each(|member| sync.lose(member));
    sync.poll_output().map(|(_, outcome)| outcome)
}

#[test]
fn a_barrier_opens_when_the_last_of_its_members_has_come_and_not_before() {
    let ops = [signal("a", "b"), signal("x", "b"), signal("a", "other"), signal("c", "b")];
    assert_eq!(after(&ops[..3], &[], all(&["a", "c"])), None);
    assert_eq!(after(&ops, &[], all(&["a", "c"])), Some(Outcome::Opened { arrived: members(&["a", "c"]) }));
}

#[test]
fn a_barrier_that_was_reached_before_is_open_at_once() {
    let mut sync = Sync::default();
    sync.handle(signal("a", "b")).expect("there is room");
    sync.wait(WaiterId(7), all(&["a"]), (LONG, Instant::now()));
    assert_eq!(sync.poll_output(), Some((WaiterId(7), Outcome::Opened { arrived: members(&["a"]) })));
    assert_eq!((sync.poll_output(), sync.poll_timeout()), (None, None));
}

#[test]
fn a_quorum_is_rounded_up_and_never_nobody() {
    let cases = [(Quorum::Share(98.0), 50, 49), (Quorum::Share(50.0), 3, 2), (Quorum::Share(0.0), 5, 1)];
    for (quorum, members, needed) in cases.into_iter().chain([(Quorum::Count(2), 5, 2), (Quorum::Share(100.0), 3, 3)]) {
        assert_eq!(quorum.of(members), needed, "{quorum:?} of {members}");
    }
    let two_of_three = barrier(&["a", "b", "c"], Quorum::Share(60.0), OnLoss::Fail);
    assert!(matches!(after(&[signal("a", "b"), signal("c", "b")], &[], two_of_three), Some(Outcome::Opened { .. })));
}

#[test]
fn a_member_that_is_gone_fails_shrinks_or_is_waited_for() {
    let of = ["a", "b", "c"];
    let came = [signal("a", "b"), signal("b", "b")];
    let with = |on_loss| after(&came, &["c"], barrier(&of, Quorum::Share(100.0), on_loss));
    assert_eq!(with(OnLoss::Fail), Some(Outcome::Lost { gone: members(&["c"]), needed: 3, left: 2 }));
    assert_eq!(with(OnLoss::Shrink), Some(Outcome::Opened { arrived: members(&["a", "b"]) }));
    assert_eq!(with(OnLoss::Wait), None);
}

#[test]
fn a_member_that_came_and_went_has_come() {
    let came = [signal("a", "b"), signal("b", "b")];
    assert_eq!(after(&came, &["a"], all(&["a", "b", "c"])), None);
    let last = [came[0].clone(), came[1].clone(), signal("c", "b")];
    let mut sync = Sync::default();
    sync.wait(WaiterId(1), all(&["a", "b", "c"]), (LONG, Instant::now()));
    sync.handle(last[0].clone()).expect("there is room");
    sync.lose("a");
    last[1..].iter().for_each(|op| take(&mut sync, op.clone()));
    assert!(matches!(sync.poll_output(), Some((_, Outcome::Opened { .. }))));
}

#[test]
fn a_loss_that_leaves_the_quorum_within_reach_fails_nothing() {
    let two = || barrier(&["a", "b", "c"], Quorum::Count(2), OnLoss::Fail);
    assert_eq!(after(&[signal("a", "b")], &["c"], two()), None);
    assert!(matches!(after(&[signal("a", "b")], &["b", "c"], two()), Some(Outcome::Lost { left: 1, needed: 2, .. })));
}

#[test]
fn a_barrier_whose_members_are_all_gone_never_opens() {
    let shrinking = barrier(&["a", "b"], Quorum::Share(100.0), OnLoss::Shrink);
    assert!(matches!(after(&[], &["a", "b"], shrinking), Some(Outcome::Lost { left: 0, .. })));
}

#[test]
fn who_came_too_late_is_named() {
    let (mut sync, now) = (Sync::default(), Instant::now());
    sync.wait(WaiterId(1), all(&["a", "b", "c"]), (LONG, now));
    sync.handle(signal("b", "b")).expect("there is room");
    assert_eq!(sync.poll_timeout(), Some(now + LONG));
    sync.handle_timeout(now + LONG - Duration::from_millis(1));
    assert_eq!(sync.poll_output(), None);
    sync.handle_timeout(now + LONG);
    let missing = Missing::Members { missing: members(&["a", "c"]), arrived: 1, needed: 3 };
    assert_eq!(sync.poll_output(), Some((WaiterId(1), Outcome::Late { missing })));
    assert_eq!(sync.poll_timeout(), None);
}

#[test]
fn a_topic_gives_what_was_published_before_and_after_in_order_and_once() {
    let (mut sync, now) = (Sync::default(), Instant::now());
    take(&mut sync, publish("a", 1, "1"));
    sync.wait(WaiterId(1), Waiter::Topic { topic: "t".to_owned(), count: 2 }, (LONG, now));
    take(&mut sync, publish("a", 1, "1"));
    assert_eq!(sync.poll_output(), None, "the same op again is no second value");
    take(&mut sync, publish("b", 1, "2"));
    let values = |values: &[&str]| Outcome::Values(values.iter().map(|value| (*value).to_owned()).collect());
    assert_eq!(sync.poll_output(), Some((WaiterId(1), values(&["1", "2"]))));
    sync.wait(WaiterId(2), Waiter::Topic { topic: "t".to_owned(), count: 1 }, (LONG, now));
    assert_eq!(sync.poll_output(), Some((WaiterId(2), values(&["1"]))), "from the first on");
    sync.wait(WaiterId(3), Waiter::Topic { topic: "t".to_owned(), count: 5 }, (LONG, now));
    sync.handle_timeout(now + LONG);
    let missing = Missing::Values { there: 2, needed: 5 };
    assert_eq!(sync.poll_output(), Some((WaiterId(3), Outcome::Late { missing })));
}

fn follow() -> Waiter {
    Waiter::Follow { topic: "t".to_owned() }
}

#[test]
fn who_follows_a_topic_sees_every_value_once_with_its_number() {
    let mut sync = Sync::default();
    let seen = |sync: &mut Sync| match sync.poll_output() {
        Some((id, Outcome::More { from, values })) => Some((id.0, from, values.concat())),
        None => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(sync.handle(publish("a", 0, "1")), Ok(Some(1)));
    assert_eq!(sync.handle(publish("b", 0, "2")), Ok(Some(2)));
    sync.wait_on(WaiterId(1), follow());
    assert_eq!(seen(&mut sync), Some((1, 0, "12".to_owned())), "what was before");
    sync.wait_on(WaiterId(2), follow());
    assert_eq!(seen(&mut sync), Some((2, 0, "12".to_owned())));
    assert_eq!(sync.handle(publish("a", 0, "1")), Ok(None), "the same op again");
    assert_eq!(sync.handle(publish("a", 1, "3")), Ok(Some(3)));
    assert_eq!((seen(&mut sync), seen(&mut sync)), (Some((1, 2, "3".to_owned())), Some((2, 2, "3".to_owned()))));
    sync.give_up(WaiterId(1));
    assert_eq!(sync.handle(publish("a", 2, "4")), Ok(Some(4)));
    assert_eq!((seen(&mut sync), seen(&mut sync)), (Some((2, 3, "4".to_owned())), None));
}

fn entries(count: u64, of: &[&str]) -> Waiter {
    Waiter::Entries(Entries { name: "b".to_owned(), count, of: Arc::new(members(of)) })
}

#[test]
fn entries_are_counted_whoever_makes_them() {
    let again = |member: &str, number| Op { number, ..signal(member, "b") };
    let mut sync = Sync::default();
    sync.wait_on(WaiterId(1), entries(3, &["a", "b"]));
    assert_eq!(sync.handle(again("a", 0)), Ok(Some(1)));
    assert_eq!(sync.handle(again("a", 1)), Ok(Some(2)), "it may enter twice");
    assert_eq!(sync.poll_output(), None);
    assert_eq!(sync.handle(again("b", 0)), Ok(Some(3)));
    assert_eq!(sync.poll_output(), Some((WaiterId(1), Outcome::Opened { arrived: members(&["a", "b"]) })));
    sync.wait_on(WaiterId(2), entries(0, &["a", "b"]));
    assert!(matches!(sync.poll_output(), Some((WaiterId(2), Outcome::Opened { .. }))), "none are needed");
}

#[test]
fn entries_that_those_who_are_left_cannot_make_are_lost_and_those_who_are_gone_are_named() {
    let of = ["a", "b", "c"];
    assert_eq!(after(&[signal("a", "b")], &["a"], entries(3, &of)), None, "it has entered before");
    let lost = after(&[signal("a", "b")], &["a", "c"], entries(3, &of));
    assert_eq!(lost, Some(Outcome::Lost { gone: members(&["c"]), needed: 3, left: 2 }));
    assert_eq!(after(&[], &["c"], entries(2, &of)), None);
}

#[test]
fn a_wait_that_was_given_up_says_nothing() {
    let mut sync = Sync::default();
    sync.wait(WaiterId(1), all(&["a"]), (LONG, Instant::now()));
    sync.handle(signal("a", "b")).expect("there is room");
    sync.give_up(WaiterId(1));
    assert_eq!((sync.poll_output(), sync.poll_timeout()), (None, None));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut sync = Sync::default();
    for number in 0..limits::SYNC_VALUES as u64 {
        sync.handle(publish("a", number, "0")).expect("there is room");
    }
    assert_eq!(sync.handle(publish("a", u64::MAX, "0")), Err(SyncError::TooManyValues { topic: "t".to_owned() }));
    let long = "x".repeat(limits::SYNC_VALUE_BYTES + 1);
    assert_eq!(sync.handle(publish("b", 1, &long)), Err(SyncError::TooLarge { bytes: long.len() }));
    let point = |point: usize| Op { number: point as u64, ..signal("c", &point.to_string()) };
    for number in 1..limits::SYNC_POINTS {
        sync.handle(point(number)).expect("there is room");
    }
    assert_eq!(sync.handle(point(limits::SYNC_POINTS)), Err(SyncError::TooManyPoints));
    sync.handle(Op { member: "d".to_owned(), ..point(1) }).expect("a known point takes more");
}

/// Members, one op each a signal or a value, some of whom are lost.
#[derive(Clone, Debug)]
struct Case {
    ops: Vec<Op>,
    gone: Vec<Member>,
    quorum: usize,
    on_loss: OnLoss,
    seed: u64,
}

const MEMBERS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn cases() -> impl Strategy<Value = Case> {
    let ops = proptest::sample::subsequence(MEMBERS.to_vec(), 0..=6);
    let gone = proptest::sample::subsequence(MEMBERS.to_vec(), 0..=6);
    let on_loss = prop_oneof![Just(OnLoss::Fail), Just(OnLoss::Shrink), Just(OnLoss::Wait)];
    (ops, gone, 1_usize..=6, on_loss, any::<u64>()).prop_map(|(ops, gone, quorum, on_loss, seed)| Case {
        ops: ops.into_iter().map(|member| signal(member, "b")).collect(),
        gone: gone.into_iter().map(str::to_owned).collect(),
        quorum,
        on_loss,
        seed,
    })
}

proptest! {
    /// The state is the union of the ops: order and repetition make no difference to who is waited for afterwards.
    #[test]
    fn any_order_and_any_repetition_of_the_ops_comes_to_the_same(case in cases()) {
        let waiter = || barrier(&MEMBERS, Quorum::Count(case.quorum), case.on_loss);
        let outcome = |ops: &[Op]| {
            let mut sync = Sync::default();
            ops.iter().for_each(|op| take(&mut sync, op.clone()));
            case.gone.iter().for_each(|member| sync.lose(member));
            sync.wait(WaiterId(1), waiter(), (LONG, Instant::now()));
            sync.poll_output()
        };
        let mut luck = Seed::new(case.seed);
        let mut shuffled: Vec<Op> = case.ops.iter().chain(&case.ops).cloned().collect();
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, usize::try_from(luck.below(at as u64 + 1)).expect("small"));
        }
        prop_assert_eq!(outcome(&case.ops), outcome(&shuffled));
    }

    /// Held against the definition: a wait ends once, as soon as it can and never for no reason.
    #[test]
    fn a_barrier_ends_once_and_for_a_reason(case in cases()) {
        let mut sync = Sync::default();
        let now = Instant::now();
        sync.wait(WaiterId(1), barrier(&MEMBERS, Quorum::Count(case.quorum), case.on_loss), (LONG, now));
        case.gone.iter().for_each(|member| sync.lose(member));
        case.ops.iter().for_each(|op| take(&mut sync, op.clone()));
        sync.handle_timeout(now + LONG);
        let Some((_, outcome)) = sync.poll_output() else { panic!("every wait ends") };
        prop_assert_eq!(sync.poll_output(), None);
        match outcome {
            Outcome::Opened { arrived } => prop_assert!(arrived.len() >= case.quorum.min(MEMBERS.len())),
            Outcome::Lost { gone, needed, left } => {
                prop_assert!(left < needed && case.on_loss != OnLoss::Wait);
                prop_assert!(gone.iter().all(|member| case.gone.contains(member)));
            }
            Outcome::Late { missing: Missing::Members { missing, arrived, needed } } => {
                prop_assert!(arrived < needed && arrived + missing.len() == MEMBERS.len());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
