//! Steps that expect something of the link to another agent: its state, its path, its round trip, its generation.
//!
//! A link that is only just being made is waited for, within the step's `within`: that it is not there yet says nothing of it. What is
//! there is judged as it is, and under `eventually` whenever it changes.

use std::sync::Arc;
use std::time::Duration;

use meshproof_mesh::{LinkInfo, Mesh};
use meshproof_proto::event::{CheckFailure, Evidence, StepResult};
use meshproof_proto::id::Name;
use meshproof_proto::mask::Masker;
use meshproof_proto::matcher::{Actual, Mismatch};
use meshproof_proto::order::{Check, StepOrder};
use serde_json::Value;
use tokio::sync::watch;

use super::{Attempt, Clock, Repeat, changed_within};
use crate::checks;
use crate::evidence::{evidence, told};
use crate::tunnel::Seat;

/// What can be expected of a link.
const FIELDS: &[&str] = &["is", "path", "rtt", "generation"];

/// The link to one agent.
pub(crate) struct Near {
    pub mesh: Mesh,
    /// Of the service beside that agent.
    pub seat: Arc<Seat>,
}

impl Near {
    fn now(&self) -> Option<LinkInfo> {
        self.mesh.links().into_iter().find(|link| link.peer == self.seat.holder())
    }
}

/// Looks at a link to the step's end.
pub(crate) async fn look_at_link(order: &StepOrder, near: &Near, masker: &Masker) -> StepResult {
    let clock = Clock::of(order);
    let (attempt, tries) = run((order, &clock), near.seat.name(), (near.mesh.link_changes(), || near.now())).await;
    told(attempt.result(&clock, tries), masker)
}

async fn run(
    (order, clock): (&StepOrder, &Clock),
    to: &Name,
    (mut changes, now): (watch::Receiver<u64>, impl Fn() -> Option<LinkInfo>),
) -> (Attempt, u32) {
    if let Some(check) = order.checks.iter().find(|check| !FIELDS.contains(&check.field.as_str())) {
        return (Attempt::impossible(format!("a link has no `{}` to check", check.field)), 1);
    }
    if !order.saves.is_empty() {
        return (Attempt::impossible("there is nothing to save of a link"), 1);
    }
    let mut tries = 0;
    loop {
        changes.borrow_and_update();
        let link = now();
        tries += 1;
        let attempt = judged(order, to, link.as_ref());
        if attempt.repeat == Repeat::Useless {
            return (attempt, tries);
        }
        let Some(left) = patience(link.as_ref(), clock) else { return (attempt, tries) };
        changed_within(&mut changes, left).await;
    }
}

/// How long another look may be waited for; none: what was seen is the end of it.
fn patience(link: Option<&LinkInfo>, clock: &Clock) -> Option<Duration> {
    match clock.eventually {
        Some(_) => clock.left(),
        None if is_made(link) => None,
        None => clock.within.checked_sub(clock.began.elapsed()).filter(|left| !left.is_zero()),
    }
}

/// Whether it has been up, and was measured.
fn is_made(link: Option<&LinkInfo>) -> bool {
    link.is_some_and(|link| link.generation.is_some() && (link.rtt.is_some() || link.state != "up"))
}

fn judged(order: &StepOrder, to: &Name, link: Option<&LinkInfo>) -> Attempt {
    let indexed = (0..).zip(&order.checks);
    let failures: Vec<CheckFailure> = indexed
        .filter_map(|(index, check)| held(check, link).err().map(|mismatch| checks::failure(index, mismatch)))
        .collect();
    Attempt::of(checks::failed_or_ok(failures), vec![shown(to, link)])
}

/// Of a link that is not there nothing holds.
fn held(check: &Check, link: Option<&LinkInfo>) -> Result<(), Mismatch> {
    match link.and_then(|link| field(&check.field, link)) {
        Some(actual) => check.matcher.check(&actual, &Value::Null),
        None => {
            let actual = if link.is_some() { format!("no `{}` yet", check.field) } else { "no link".to_owned() };
            Err(Mismatch { at: String::new(), expected: check.matcher.describe(&Value::Null), actual })
        }
    }
}

fn field(name: &str, link: &LinkInfo) -> Option<Actual> {
    match name {
        "is" => Some(Actual::Text(link.state.to_owned())),
        "path" => link.path.map(|selected| Actual::Text(selected.kind.word().to_owned())),
        "rtt" => link.rtt.map(Actual::Duration),
        _ => link.generation.map(|generation| Actual::Json(generation.0.into())),
    }
}

fn shown(to: &Name, link: Option<&LinkInfo>) -> Evidence {
    let text = match link {
        None => "there is none".to_owned(),
        Some(link) => {
            let known = ["generation", "path", "rtt"]
                .map(|name| field(name, link).map(|actual| format!(", {name} {}", actual.describe())));
            let known: String = known.into_iter().flatten().collect();
            let change = &link.last_change;
            format!("{}{known}; {:.1?} ago: {}", link.state, change.at.elapsed(), change.why)
        }
    };
    evidence(format!("link to the agent of {to}"), text)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use meshproof_mesh::LinkChange;
    use meshproof_mesh::rtc::SelectedPath;
    use meshproof_proto::event::Outcome;
    use meshproof_proto::id::Generation;
    use meshproof_proto::id::PeerId;
    use meshproof_proto::identity::Role;
    use meshproof_proto::links::LinkPath;
    use meshproof_proto::matcher::{Comparison, Matcher, Quantity};
    use meshproof_proto::order::Action;
    use serde_json::json;

    use super::super::tests::{equals, order};
    use super::*;

    fn site() -> Name {
        "site".parse().expect("a name")
    }

    fn link(state: &'static str) -> LinkInfo {
        let nowhere = ([127, 0, 0, 1], 9).into();
        LinkInfo {
            peer: PeerId([1; 32]),
            name: "site".to_owned(),
            role: Role::Agent,
            state,
            generation: Some(Generation(2)),
            path: Some(SelectedPath { kind: LinkPath::Direct, local: nowhere, remote: nowhere }),
            rtt: Some(Duration::from_millis(3)),
            bytes_sent: 0,
            bytes_received: 0,
            sent_per_s: 0,
            received_per_s: 0,
            streams: 0,
            stripes: 0,
            queued: 0,
            datagrams_dropped: 0,
            last_change: LinkChange { at: Instant::now(), why: "wanted".to_owned() },
        }
    }

    /// One that was never up.
    fn beginning() -> LinkInfo {
        LinkInfo { generation: None, path: None, rtt: None, ..link("connecting") }
    }

    fn expecting(checks: &[(&str, Matcher)]) -> StepOrder {
        order(Action::ExpectLink { to: site() }, checks)
    }

    async fn at_once(order: &StepOrder, link: Option<LinkInfo>) -> Outcome {
        let (_kept, changes) = watch::channel(0);
        run((order, &Clock::of(order)), &site(), (changes, || link.clone())).await.0.outcome
    }

    fn said(outcome: Outcome) -> Vec<String> {
        match outcome {
            Outcome::Failed(failures) => failures.into_iter().map(|failure| failure.mismatch.actual).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn everything_that_is_known_of_a_link_can_be_expected() {
        let faster = |ms: u64| Matcher::Compare(Comparison::Less, Quantity::DurationNs(ms * 1_000_000));
        let good = [
            ("is", equals(json!("up"))),
            ("path", equals(json!("direct"))),
            ("rtt", faster(4)),
            ("generation", Matcher::Compare(Comparison::GreaterOrEqual, Quantity::Number(2.0))),
        ];
        assert_eq!(at_once(&expecting(&good), Some(link("up"))).await, Outcome::Ok);
        let bad = [
            ("is", equals(json!("up"))),
            ("path", equals(json!("relayed"))),
            ("rtt", faster(2)),
            ("generation", equals(json!(1))),
        ];
        let outcome = at_once(&expecting(&bad), Some(link("suspect"))).await;
        assert_eq!(said(outcome), ["\"suspect\"", "\"direct\"", "3.0ms", "2"]);
        let odd = at_once(&expecting(&[("calls", equals(json!(1)))]), Some(link("up"))).await;
        assert!(matches!(odd, Outcome::Error { .. }), "{odd:?}");
    }

    #[tokio::test]
    async fn of_a_link_that_never_comes_nothing_holds() {
        let checks = [("is", Matcher::Not(Box::new(equals(json!("up"))))), ("path", Matcher::Exists(false))];
        let order = StepOrder { within_ms: 20, ..expecting(&checks) };
        assert_eq!(said(at_once(&order, None).await), ["no link", "no link"]);
        let order = StepOrder { within_ms: 20, ..expecting(&[("rtt", Matcher::Exists(true))]) };
        assert_eq!(said(at_once(&order, Some(beginning())).await), ["no `rtt` yet"]);
    }

    /// Shows each of these in turn, the next one whenever the one before was looked at.
    async fn in_turn(order: &StepOrder, links: Vec<Option<LinkInfo>>) -> (Outcome, u32) {
        let (tell, changes) = watch::channel(0);
        let left = Arc::new(Mutex::new(links.into_iter()));
        let last = Mutex::new(None);
        let now = || {
            let mut last = last.lock().expect("one thread");
            if let Some(next) = left.lock().expect("one thread").next() {
                *last = next;
                tell.send_modify(|changes| *changes += 1);
            }
            last.clone()
        };
        let (attempt, tries) = run((order, &Clock::of(order)), &site(), (changes, now)).await;
        (attempt.outcome, tries)
    }

    #[tokio::test]
    async fn one_that_is_being_made_is_waited_for_and_one_that_broke_is_judged_as_it_is() {
        let up = expecting(&[("is", equals(json!("up"))), ("rtt", Matcher::Exists(true))]);
        let unmeasured = LinkInfo { rtt: None, ..link("up") };
        let made = vec![None, Some(beginning()), Some(unmeasured), Some(link("up"))];
        assert_eq!(in_turn(&up, made).await, (Outcome::Ok, 4));
        let (outcome, tries) = in_turn(&up, vec![None, Some(link("suspect")), Some(link("up"))]).await;
        assert_eq!((said(outcome), tries), (vec!["\"suspect\"".to_owned()], 2));
    }

    #[tokio::test]
    async fn under_eventually_it_is_looked_at_whenever_it_changes() {
        let replaced = Matcher::Compare(Comparison::Greater, Quantity::Number(2.0));
        let order = StepOrder { eventually_ms: Some(20_000), ..expecting(&[("generation", replaced)]) };
        let third = LinkInfo { generation: Some(Generation(3)), ..link("up") };
        let links = vec![Some(link("up")), Some(link("suspect")), Some(link("connecting")), Some(third)];
        assert_eq!(in_turn(&order, links).await, (Outcome::Ok, 4));
    }
}
