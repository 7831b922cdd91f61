//! Work that is addressed to a group: compiled for each of its members, of whom the run chooses one.

use super::super::code::Code;
use super::super::compiled::Spread;
use super::super::diagnostic::Diagnostic;
use super::super::model::{Step, Verb, Word};
use super::Compiler;
use super::lookups::Scope;
use super::steps::Place;

/// Where the step names a group.
enum Side {
    At,
    To,
}

impl Compiler<'_> {
    /// `None`: it is addressed to no group. Inside, `None` after a report.
    pub(super) fn spread(&mut self, step: &Step, place: &Place<'_>, scope: &Scope<'_>) -> Option<Option<Spread>> {
        if !matches!(step.verb.value, Verb::Http(_) | Verb::Tcp(_) | Verb::Grpc(_) | Verb::Ws(_) | Verb::Exec(_)) {
            return None;
        }
        let at = step.at.as_ref().filter(|at| self.names.is_group(&at.value));
        let to = step.to.as_ref().filter(|to| self.names.is_group(group_of(to)));
        let (word, side) = match (at, to) {
            (None, None) => return None,
            (Some(at), None) => (at, Side::At),
            (None, Some(to)) => (to, Side::To),
            (Some(at), Some(to)) => {
                let message = "`at` and `to` both name a group, and each of their pairs would be another way";
                let problem = Diagnostic::new(Code::Choice, to.span, message).label(at.span, "this group");
                self.cx.report(problem.expected("a group on one side, a service on the other"));
                return Some(None);
            }
        };
        Some(self.spread_over(step, (word, side), (place, scope)))
    }

    fn spread_over(
        &mut self,
        step: &Step,
        (word, side): (&Word, Side),
        (place, scope): (&Place<'_>, &Scope<'_>),
    ) -> Option<Spread> {
        let group = group_of(word).to_owned();
        let port = word.value.strip_prefix(&group).unwrap_or_default();
        let members: Vec<String> = self.names.with_agents(&group).map(|member| format!("{member}{port}")).collect();
        let mut asks = Vec::new();
        for member in members {
            let member = Some(Word::new(member, word.span));
            let step = match side {
                Side::At => Step { at: member, ..step.clone() },
                Side::To => Step { to: member, ..step.clone() },
            };
            // what is wrong for one is wrong for all
            let work = self.work(&step, place, scope)?;
            asks.push(self.ask(&step, work, scope));
        }
        Some(Spread { group, asks })
    }
}

/// `nodes`, also of `nodes.http`.
fn group_of(word: &Word) -> &str {
    word.value.split_once('.').map_or(&word.value, |(group, _)| group)
}
