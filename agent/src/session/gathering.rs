//! What members that share this agent ask in the same moment is one event: one line of the journal, one piece of what is remembered, one answer.

use meshproof_proto::event::Fact;
use meshproof_proto::sync::{Ask, MemberAsked};

use crate::limits;

/// A fact, and what is put into it of those that follow.
#[derive(Debug)]
pub(super) struct Gathering {
    fact: Fact,
    /// Of what was asked in it, roughly.
    bytes: usize,
}

impl Gathering {
    pub(super) fn of(fact: Fact) -> Self {
        Self { bytes: asked(&fact).map_or(0, bytes), fact }
    }

    /// The fact that comes next. Gives the one before, if this one is not put into it.
    pub(super) fn add(&mut self, next: Fact) -> Option<Fact> {
        if let (Fact::ProgramsAsked { asked: before }, Some(more)) = (&mut self.fact, asked(&next))
            && before.iter().chain(more).all(|asked| may_be_gathered(&asked.ask))
            && before.len() + more.len() <= limits::ASKED_TOGETHER
            && self.bytes + bytes(more) <= limits::ASKED_TOGETHER_BYTES
        {
            self.bytes += bytes(more);
            before.extend(more.iter().cloned());
            return None;
        }
        Some(std::mem::replace(self, Self::of(next)).fact)
    }

    /// The last one.
    pub(super) fn end(self) -> Fact {
        self.fact
    }
}

fn asked(fact: &Fact) -> Option<&[MemberAsked]> {
    match fact {
        Fact::ProgramsAsked { asked } => Some(asked),
        _ => None,
    }
}

/// What people read of one by one stands alone.
fn may_be_gathered(ask: &Ask) -> bool {
    match ask {
        Ask::Signal { .. }
        | Ask::Publish { .. }
        | Ask::Entries { .. }
        | Ask::Barrier { .. }
        | Ask::Subscribe { .. }
        | Ask::GiveUp { .. }
        | Ask::Measured { .. } => true,
        Ask::Ended(_) | Ask::Said { .. } | Ask::Network { .. } => false,
    }
}

fn bytes(asked: &[MemberAsked]) -> usize {
    let of = |ask: &Ask| match ask {
        Ask::Signal { name } | Ask::Entries { name, .. } => name.len(),
        Ask::Barrier { name, of } => name.len() + of.as_ref().map_or(0, String::len),
        Ask::Publish { topic, value } => topic.len() + value.len(),
        Ask::Subscribe { topic } => topic.len(),
        Ask::Measured { metric, .. } => metric.len(),
        Ask::Said { text } => text.len(),
        Ask::GiveUp { .. } | Ask::Ended(_) | Ask::Network { .. } => 0,
    };
    asked.iter().map(|asked| asked.member.as_str().len() + of(&asked.ask)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(number: u64, ask: Ask) -> Fact {
        Fact::ProgramsAsked { asked: vec![MemberAsked { member: "nodes-1".parse().expect("a name"), number, ask }] }
    }

    fn signal(number: u64) -> Fact {
        one(number, Ask::Signal { name: "up".to_owned() })
    }

    fn publish(number: u64, bytes: usize) -> Fact {
        one(number, Ask::Publish { topic: "t".to_owned(), value: "v".repeat(bytes) })
    }

    /// The numbers in each event.
    fn gathered(facts: impl IntoIterator<Item = Fact>) -> Vec<Vec<u64>> {
        let mut facts = facts.into_iter();
        let mut gathering = Gathering::of(facts.next().expect("one at least"));
        let mut whole: Vec<Fact> = facts.filter_map(|fact| gathering.add(fact)).collect();
        whole.push(gathering.end());
        let numbers = |fact: &Fact| asked(fact).unwrap_or_default().iter().map(|asked| asked.number).collect();
        whole.iter().map(numbers).collect()
    }

    #[test]
    fn what_is_asked_in_one_moment_is_one_event_in_the_same_order() {
        assert_eq!(gathered([signal(1), publish(2, 9), signal(3)]), [[1, 2, 3]]);
        let said = one(2, Ask::Said { text: "hello".to_owned() });
        assert_eq!(gathered([signal(1), said, signal(3), signal(4)]), [vec![1], vec![2], vec![3, 4]]);
        let other = Fact::Gap { lost: 1 };
        assert_eq!(gathered([signal(1), other, signal(2)]), [vec![1], vec![], vec![2]]);
    }

    #[test]
    fn an_event_holds_so_many_and_so_much() {
        let most = limits::ASKED_TOGETHER as u64;
        let lengths: Vec<usize> = gathered((0..=most).map(signal)).iter().map(Vec::len).collect();
        assert_eq!(lengths, [limits::ASKED_TOGETHER, 1]);
        let large = limits::ASKED_TOGETHER_BYTES;
        assert_eq!(gathered([publish(1, large), publish(2, large), signal(3)]), [vec![1], vec![2], vec![3]]);
    }
}
