//! Orders that came before their turn: each begins here once the step before it has ended well, so that between two steps nobody
//! waits for the orchestrator. Where the step before is another agent's, that one says when it is over.

use std::collections::{HashMap, VecDeque};

use meshproof_proto::event::Steering;
use meshproof_proto::id::Name;
use meshproof_proto::limits::{HELD_AT_MOST, STEPS_AHEAD};
use meshproof_proto::order::{StepKey, StepOrder, StepOver};
use meshproof_proto::rpc::Refusal;
use tokio::time::Instant;

/// A window is refilled while its last orders are still here.
const MOST: usize = 2 * STEPS_AHEAD;

#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// By the step that comes before them.
    after: HashMap<StepKey, Waiting>,
    /// Who is told when these steps are over.
    next: HashMap<StepKey, Name>,
    /// The one that began last because its turn had come.
    begun: Option<StepKey>,
    /// What other agents said before the order came that it concerns.
    said: VecDeque<(Name, StepKey, Ended)>,
    held: Option<Held>,
    /// Who is to be told that which steps are over.
    pub(super) untold: Vec<(Name, StepOver)>,
}

#[derive(Debug)]
struct Waiting {
    order: StepOrder,
    /// The agent of the step before it; none: this one.
    before: Option<Name>,
}

/// A person holds the run: orders before their turn are given back, also those that were on their way.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) by: Name,
    pub(super) number: u64,
    pub(super) how: Steering,
    until: Instant,
}

/// How a step ended, as far as the next one is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    Badly,
}

/// What follows from a step's end.
#[derive(Debug, Default)]
pub(super) struct Follows {
    /// Its turn has come.
    pub(super) begins: Option<StepOrder>,
    /// Who is told that which step is over.
    pub(super) told: Vec<(Name, StepKey, Ended)>,
    /// It had begun in its turn, and others of here will: the turns go from agent to agent.
    pub(super) goes_round: bool,
}

impl Ahead {
    /// Keeps an order until its turn.
    pub(super) fn hold(&mut self, after: StepKey, (order, before): (StepOrder, Option<Name>)) -> Result<(), Refusal> {
        if self.after.len() >= MOST && !self.after.contains_key(&after) {
            return Err(Refusal::Failed(format!("{MOST} steps wait here for their turn; no more are taken")));
        }
        self.after.insert(after, Waiting { order, before });
        Ok(())
    }

    /// A person wants this; gives back what is held back from now on.
    pub(super) fn steer(&mut self, how: Steering, (by, number): (Name, u64)) -> Vec<StepKey> {
        match how {
            Steering::Resume => {
                self.held = None;
                Vec::new()
            }
            Steering::Pause | Steering::Step => {
                self.held = Some(Held { by, number, how, until: Instant::now() + HELD_AT_MOST });
                let mut given_back: Vec<_> = self.after.drain().map(|(_, waiting)| waiting.order.key).collect();
                given_back.iter().for_each(|key| drop(self.next.remove(key)));
                given_back.sort();
                given_back
            }
        }
    }

    /// Who holds the run now.
    pub(super) fn held(&mut self) -> Option<Held> {
        self.held.take_if(|held| held.until <= Instant::now());
        self.held.clone()
    }

    /// When this step is over, that agent hears of it.
    pub(super) fn tell(&mut self, key: StepKey, next: Name) {
        if self.next.len() < MOST {
            self.next.insert(key, next);
        }
    }

    /// A step of here is over.
    pub(super) fn over(&mut self, key: &StepKey, ended: Ended) -> Follows {
        let mut follows = Follows::default();
        follows.told.extend(self.next.remove(key).map(|next| (next, key.clone(), ended)));
        let in_turn = self.begun.take_if(|begun| begun == key).is_some();
        self.follow(key, ended, &mut follows);
        follows.goes_round = in_turn && ended == Ended::Well && !self.after.is_empty();
        follows
    }

    /// That agent says that a step of its own is over.
    pub(super) fn heard(&mut self, from: &Name, key: &StepKey, ended: Ended) -> Follows {
        let mut follows = Follows::default();
        match self.after.get(key) {
            Some(waiting) if waiting.before.as_ref() == Some(from) => self.follow(key, ended, &mut follows),
            Some(_) => tracing::warn!(%from, %key, "an agent told of a step that is not its own"),
            None => {
                self.said.retain(|(_, of, _)| of != key);
                if self.said.len() >= MOST {
                    self.said.pop_front();
                }
                self.said.push_back((from.clone(), key.clone(), ended));
            }
        }
        follows
    }

    /// What that agent has said of its step already.
    pub(super) fn said(&mut self, from: &Name, key: &StepKey) -> Option<Ended> {
        let at = self.said.iter().position(|(by, of, _)| by == from && of == key)?;
        self.said.remove(at).map(|(_, _, ended)| ended)
    }

    /// The steps behind this one have no turn any more.
    pub(super) fn forget_behind(&mut self, key: &StepKey) -> Follows {
        self.over(key, Ended::Badly)
    }

    fn follow(&mut self, key: &StepKey, ended: Ended, follows: &mut Follows) {
        let mut next = self.after.remove(key);
        if ended == Ended::Well {
            follows.begins = next.map(|waiting| waiting.order);
            self.begun = follows.begins.as_ref().map(|order| order.key.clone());
            return;
        }
        while let Some(Waiting { order, .. }) = next {
            follows.told.extend(self.next.remove(&order.key).map(|next| (next, order.key.clone(), Ended::Badly)));
            next = self.after.remove(&order.key);
        }
    }

    /// Takes an order out whose turn has not come; what waits for it stays.
    pub(super) fn take(&mut self, key: &StepKey) -> Option<StepOrder> {
        let after = self.after.iter().find(|(_, waiting)| waiting.order.key == *key)?.0.clone();
        self.after.remove(&after).map(|waiting| waiting.order)
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::id::{Digest, RunId, Term};
    use meshproof_proto::order::{Action, Authority};

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn key(step: &str) -> StepKey {
        StepKey { test: "t".to_owned(), step: step.to_owned(), attempt: 1 }
    }

    fn order(step: &str) -> StepOrder {
        let authority = Authority { run: RunId("r".to_owned()), term: Term(1), plan: Digest([0; 32]) };
        let action = Action::ExpectLog { log: "*".to_owned() };
        let (checks, saves, within_ms, eventually_ms) = (Vec::new(), Vec::new(), 1, None);
        StepOrder { authority, key: key(step), action, checks, saves, within_ms, eventually_ms, after: None }
    }

    /// Steps 2 and 3 of here, behind 1 of the shop's and before 4 of the ledger's.
    fn scene() -> Ahead {
        let mut ahead = Ahead::default();
        ahead.hold(key("1"), (order("2"), Some(name("shop")))).expect("room");
        ahead.hold(key("2"), (order("3"), None)).expect("room");
        ahead.tell(key("3"), name("ledger"));
        ahead
    }

    fn begins(follows: &Follows) -> Option<&str> {
        follows.begins.as_ref().map(|order| order.key.step.as_str())
    }

    #[test]
    fn one_begins_on_the_word_of_the_agent_of_the_step_before_it_and_of_no_other() {
        let mut ahead = scene();
        assert_eq!(begins(&ahead.heard(&name("ledger"), &key("1"), Ended::Well)), None);
        assert_eq!(begins(&ahead.heard(&name("shop"), &key("2"), Ended::Well)), None, "that is a step of here");
        assert_eq!(begins(&ahead.heard(&name("shop"), &key("1"), Ended::Well)), Some("2"));
        let follows = ahead.over(&key("2"), Ended::Well);
        assert_eq!((begins(&follows), follows.goes_round), (Some("3"), false));
        let last = ahead.over(&key("3"), Ended::Well);
        assert_eq!(begins(&last), None);
        assert_eq!(last.told, [(name("ledger"), key("3"), Ended::Well)]);
    }

    #[test]
    fn what_is_behind_a_step_that_failed_elsewhere_is_forgotten_and_whoever_comes_after_hears_of_it() {
        let mut ahead = scene();
        let follows = ahead.heard(&name("shop"), &key("1"), Ended::Badly);
        assert_eq!(begins(&follows), None);
        assert_eq!(follows.told, [(name("ledger"), key("3"), Ended::Badly)]);
    }

    #[test]
    fn turns_go_round_once_a_step_has_begun_in_its_turn_and_others_of_here_wait() {
        let mut ahead = scene();
        ahead.hold(key("4"), (order("5"), Some(name("ledger")))).expect("room");
        assert!(!ahead.over(&key("0"), Ended::Well).goes_round, "that was ordered in its turn");
        ahead.heard(&name("shop"), &key("1"), Ended::Well);
        ahead.over(&key("2"), Ended::Well);
        assert!(ahead.over(&key("3"), Ended::Well).goes_round);
        ahead.heard(&name("ledger"), &key("4"), Ended::Well);
        assert!(!ahead.over(&key("5"), Ended::Well).goes_round, "it is the last one");
    }

    #[test]
    fn an_agents_word_is_kept_for_an_order_that_comes_later_and_the_oldest_words_are_forgotten() {
        let mut ahead = Ahead::default();
        ahead.heard(&name("shop"), &key("0"), Ended::Well);
        ahead.heard(&name("shop"), &key("1"), Ended::Badly);
        ahead.heard(&name("shop"), &key("1"), Ended::Well);
        assert_eq!(ahead.said(&name("ledger"), &key("1")), None);
        assert_eq!(ahead.said(&name("shop"), &key("1")), Some(Ended::Well));
        assert_eq!(ahead.said(&name("shop"), &key("1")), None, "it is used once");
        for step in 0..MOST {
            ahead.heard(&name("shop"), &key(&format!("more {step}")), Ended::Well);
        }
        assert_eq!(ahead.said(&name("shop"), &key("0")), None);
    }
}
