//! Groups: each member becomes a service, named after its group and its number, with an agent of its own like any other.

use std::collections::BTreeMap;
use std::rc::Rc;

use meshproof_proto::id::Name;
use meshproof_proto::sync::Quorum;

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::limits::{MAX_MEMBERS, MAX_PER_AGENT};
use super::super::model::{self, Count, Document, Group, Membership, Passes, Service, Word};
use super::super::read::Reading;
use super::super::source::Spanned;
use super::lookups::{Addresses, Scope};
use super::settle::Settled;
use super::{Compiler, compiled};

/// The plan with its members as services.
pub(super) fn with_members(document: &Document, settled: &Settled<'_>, cx: &Reading<'_>) -> Document {
    let total = document.members.as_ref().and_then(|members| settled.count(members));
    let mut services = document.services.clone();
    let mut left = MAX_MEMBERS;
    for group in &document.groups {
        if let Some(same) = document.services.iter().find(|service| service.name.value == group.name.value) {
            let message = format!("`{}` is a service, so it cannot be a group too", group.name.value);
            let problem = Diagnostic::new(Code::DuplicateName, group.name.span, message);
            cx.report(problem.label(same.name.span, "this service"));
        }
        let count = counted(group, total, (settled, cx)).unwrap_or(1);
        if count > left {
            let message = format!("these are more than {MAX_MEMBERS} members in all");
            cx.report(Diagnostic::new(Code::OutOfRange, group.count.span(), message));
            continue;
        }
        left -= count;
        let per_agent = per_agent(group, (settled, cx)).unwrap_or(1);
        for number in 1..=count {
            let member = member(group, (number, count), per_agent);
            if let Some(same) = services.iter().find(|service| service.name.value == member.name.value) {
                let message = format!("`{}` is the name of a member of this group", member.name.value);
                let problem = Diagnostic::new(Code::DuplicateName, same.name.span, message);
                cx.report(problem.label(group.name.span, "this group"));
                break;
            }
            services.push(member);
        }
    }
    Document { services, ..document.clone() }
}

fn member(group: &Group, (number, of): (u64, u64), per_agent: u64) -> Service {
    let named = |number| Word::new(format!("{}-{number}", group.name.value), group.name.span);
    // the first of those that share an agent has it beside it
    let first = number - (number - 1) % per_agent;
    let shares = (first != number).then(|| named(first));
    let member = Membership { group: group.name.clone(), number, of, params: group.params.clone(), shares };
    Service { name: named(number), member: Some(member), ..group.each.clone() }
}

/// How many members share an agent; `None` after a report.
fn per_agent(group: &Group, (settled, cx): (&Settled<'_>, &Reading<'_>)) -> Option<u64> {
    let per_agent = group.per_agent.as_ref()?;
    let found = settled.count(per_agent)?;
    if found == 0 || found > MAX_PER_AGENT {
        let message = format!("an agent has 1 to {MAX_PER_AGENT} members, and this is {found}");
        cx.report(Diagnostic::new(Code::OutOfRange, per_agent.span, message));
        return None;
    }
    Some(found)
}

/// How many members a group has; `None` after a report.
fn counted(group: &Group, total: Option<u64>, (settled, cx): (&Settled<'_>, &Reading<'_>)) -> Option<u64> {
    let count = match &group.count {
        Count::Number(count) => settled.count(count)?,
        Count::Share(share) => {
            let percent = settled.percent(share)?;
            let Some(total) = total else {
                let problem =
                    Diagnostic::new(Code::MissingKey, share.span, "it is not said of how many this is a share");
                cx.report(problem.expected("`members: NUMBER` beside `groups`, or a number here"));
                return None;
            };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most MAX_MEMBERS")]
            let share = (total.min(MAX_MEMBERS) as f64 * percent.fraction()).round() as u64;
            share
        }
    };
    if count == 0 || count > MAX_MEMBERS {
        let message = format!("a group has 1 to {MAX_MEMBERS} members, and this is {count}");
        cx.report(Diagnostic::new(Code::OutOfRange, group.count.span(), message));
        return None;
    }
    Some(count)
}

impl Compiler<'_> {
    pub(super) fn membership(&mut self, service: &model::Service) -> Option<compiled::Membership> {
        let member = service.member.as_ref()?;
        // agents tell programs before the first address is known
        let scope = Scope { saved: Some(Rc::default()), addresses: Addresses::NotYet, ..Scope::default() };
        for (_, value) in &member.params {
            self.look_text(&value.value, value.span, &scope);
        }
        let params = member.params.iter().map(|(name, value)| (name.value.clone(), value.value.clone()));
        Some(compiled::Membership {
            group: member.group.value.clone(),
            number: member.number,
            of: member.of,
            params: params.collect(),
            shares: member.shares.as_ref().and_then(|first| super::name(&first.value)),
        })
    }

    /// How many of each group have to go well.
    pub(super) fn passes(&self, test: &model::Test) -> BTreeMap<String, Spanned<Quorum>> {
        let all = |(name, _): (&str, &[Name])| (name.to_owned(), Spanned::new(Quorum::Share(100.0), test.id.span));
        let mut passes: BTreeMap<_, _> = self.names.groups().map(all).collect();
        for (group, rule) in &test.pass_when {
            let Some(members) = self.names.group(group) else { continue };
            let quorum = match rule {
                Passes::All => Some(Quorum::Share(100.0)),
                Passes::AtLeast(quorum) => self.quorum(quorum, members.len()),
            };
            if let Some(quorum) = quorum {
                passes.insert(group.value.clone(), Spanned::new(quorum, group.span));
            }
        }
        passes
    }
}
