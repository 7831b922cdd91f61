//! The members of groups: their programs are started for each test, and what they come to decides it with its steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use meshproof_proto::event::Evidence;
use meshproof_proto::id::Name;
use meshproof_proto::order::StepKey;
use meshproof_proto::sync::{Member, MemberEnd};
use meshproof_proto::verdict::Verdict;

use super::api::{Output, ProcessOrder};
use super::blame::Blame;
use super::limits::{LAUNCH_DEADLINE, LOST_AFTER};
use super::machine::{Phase, Run};
use crate::plan::Span;
use crate::record::Happening;

/// Of the test that goes on.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// How each went, of those of whom that is known.
    went: BTreeMap<Member, Went>,
    /// Those whose programs were asked to start, and have not.
    starting: BTreeMap<StepKey, Name>,
    /// Those that are ended with their test.
    ending: BTreeMap<StepKey, Name>,
    /// When starting and ending has taken too long.
    until: Option<Instant>,
    /// Whose program runs.
    running: BTreeSet<Name>,
    /// Programs that ended, and since when they are gone for those who wait for them: what they told last is on its way till then.
    leaving: BTreeMap<Name, Instant>,
}

/// How a member went.
#[derive(Clone, Debug)]
struct Went {
    /// None: well.
    why: Option<String>,
    evidence: Vec<Evidence>,
}

/// A group held against its rule.
struct Book<'m> {
    group: &'m str,
    members: &'m BTreeSet<Member>,
    went: &'m BTreeMap<Member, Went>,
    needed: usize,
    /// Where the rule stands.
    at: Span,
}

impl Book<'_> {
    /// Members that a text names; whoever looks for one more looks into the journal.
    const SHOWN: usize = 10;

    /// Those who did not go well, and why.
    fn badly(&self) -> impl Iterator<Item = (&Member, &str, &Went)> {
        let went = self.members.iter().filter_map(|name| Some((name, self.went.get(name)?)));
        went.filter_map(|(name, went)| Some((name, went.why.as_deref()?, went)))
    }

    /// Those of whom nothing is known.
    fn silent(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|name| !self.went.contains_key(*name))
    }

    fn well(&self) -> usize {
        self.members.len() - self.badly().count() - self.silent().count()
    }

    /// Whether those who are left cannot make up for the others.
    fn is_hopeless(&self) -> bool {
        self.members.len() - self.badly().count() < self.needed
    }

    fn evidence(&self) -> Vec<Evidence> {
        self.badly().flat_map(|(_, _, went)| went.evidence.clone()).take(Self::SHOWN).collect()
    }

    fn text(&self) -> String {
        let mut told: Vec<String> =
            self.badly().take(Self::SHOWN).map(|(name, why, _)| format!("{name}: {why}")).collect();
        let (badly, silent) = (self.badly().count(), self.silent().count());
        if badly > Self::SHOWN {
            told.push(format!("and {} more", badly - Self::SHOWN));
        }
        if silent > 0 {
            let names: Vec<&str> = self.silent().take(Self::SHOWN).map(String::as_str).collect();
            let more = if silent > Self::SHOWN { ", …" } else { "" };
            told.push(format!("{silent} had not ended: {}{more}", names.join(", ")));
        }
        let (well, of, needed) = (self.well(), self.members.len(), self.needed);
        format!("{well} of {of} members of `{}` went well, {needed} are needed: {}", self.group, told.join("; "))
    }
}

impl Members {
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.until.into_iter().chain(self.leaving.values().copied()).min()
    }

    /// Whether nobody is being started or ended.
    pub(super) fn are_settled(&self) -> bool {
        self.starting.is_empty() && self.ending.is_empty()
    }

    pub(super) fn is_running(&self, member: &Name) -> bool {
        self.running.contains(member)
    }

    /// Its program is ended, and comes back.
    pub(super) fn goes(&mut self, member: &Name, key: StepKey, until: Instant) {
        self.running.remove(member);
        self.ending.insert(key, member.clone());
        self.until = Some(until);
    }

    /// It is started again.
    pub(super) fn comes(&mut self, member: &Name, key: StepKey, until: Instant) {
        self.starting.insert(key, member.clone());
        self.until = Some(until);
    }

    /// Somebody was started or ended.
    fn settle(&mut self) {
        if self.are_settled() {
            self.until = None;
        }
    }
}

impl Run {
    /// Every member's program is started.
    pub(super) fn launch_members(&mut self) {
        let plan = Arc::clone(&self.plan);
        let Some(test) = self.current_test() else { return };
        self.members = Members { until: Some(self.now + LAUNCH_DEADLINE), ..Members::default() };
        for service in plan.services.iter().filter(|service| service.member.is_some()) {
            let name = &service.name;
            match self.scope.launch_for(service, &test) {
                Ok(launch) => {
                    let key = StepKey { test: test.clone(), step: format!("members.{name}"), attempt: 1 };
                    self.processes_anew(name);
                    self.members.starting.insert(key.clone(), name.clone());
                    let what = ProcessOrder::Restart(Box::new(launch));
                    self.push(Output::Change { key, service: name.clone(), what });
                }
                Err(unset) => {
                    let title = format!("member `{name}` cannot be started: {unset}");
                    self.fail(Verdict::Error, Blame::new(Some(service.span), title));
                }
            }
        }
    }

    /// Whether this was about a member.
    pub(super) fn member_changed(&mut self, key: &StepKey, result: &Result<(), String>) -> bool {
        if let Some(name) = self.members.starting.remove(key) {
            self.churning.moved(&name, key, self.now);
            match result {
                Ok(()) => {
                    if !self.members.went.contains_key(name.as_str()) && !self.members.leaving.contains_key(&name) {
                        self.members.running.insert(name.clone());
                    }
                    self.record(Happening::ServiceStarted { service: name });
                }
                Err(reason) => {
                    let title = format!("member `{name}` could not be started: {reason}");
                    self.fail(Verdict::Error, Blame::new(self.span_of(&name), title));
                }
            }
            self.members.settle();
            return true;
        }
        let Some(name) = self.members.ending.remove(key) else { return false };
        self.members.running.remove(&name);
        self.churning.moved(&name, key, self.now);
        self.members.settle();
        if let Err(reason) = result {
            let title = format!("member `{name}` could not be ended: {reason}");
            self.fail(Verdict::Error, Blame::new(self.span_of(&name), title));
        }
        true
    }

    fn span_of(&self, name: &Name) -> Option<Span> {
        self.plan.services.iter().find(|service| service.name == *name).map(|service| service.span)
    }

    pub(super) fn is_member(&self, name: &Name) -> bool {
        self.plan.services.iter().any(|service| service.name == *name && service.member.is_some())
    }

    /// Its program ended by itself. What it is held to is how it went.
    pub(super) fn member_left(&mut self, name: &Name, (how, code): (&str, i32), evidence: Vec<Evidence>) {
        if self.churning.is_away(name) {
            return;
        }
        self.members.running.remove(name);
        self.members.leaving.insert(name.clone(), self.now + LOST_AFTER);
        let why = (code != 0).then(|| how.to_owned());
        self.member_went(name, Went { why, evidence });
    }

    /// It says how it went. The first that is not well counts.
    pub(super) fn member_says(&mut self, name: &Name, end: MemberEnd) {
        if !self.is_member(name) {
            return;
        }
        let why = match end {
            MemberEnd::Success => None,
            MemberEnd::Failure { why } => Some(format!("it failed: {why}")),
            MemberEnd::Crash { why } => Some(format!("it crashed: {why}")),
        };
        self.member_went(name, Went { why, evidence: Vec::new() });
    }

    /// The first reason why it did not go well counts.
    fn member_went(&mut self, name: &Name, went: Went) {
        let before = self.members.went.get(name.as_str());
        if before.is_some_and(|before| before.why.is_some() || went.why.is_none()) {
            return;
        }
        self.record(Happening::MemberEnded { member: name.clone(), why: went.why.clone() });
        self.members.went.insert(name.to_string(), went);
    }

    /// Each group held against its rule.
    fn books(&self) -> impl Iterator<Item = Book<'_>> {
        let test = match &self.phase {
            Phase::Testing(testing) => self.plan.tests.get(testing.index),
            _ => None,
        };
        let went = &self.members.went;
        self.everybody.groups().filter_map(move |(group, members)| {
            let rule = test?.passes.get(group)?;
            Some(Book { group, members, went, needed: rule.value.of(members.len()), at: rule.span })
        })
    }

    /// Whether it is known of everybody how they went, or nothing could make up for those who did not go well.
    pub(super) fn members_are_decided(&self) -> bool {
        self.books().all(|book| book.silent().next().is_none()) || self.books().any(|book| book.is_hopeless())
    }

    /// Holds what members came to against the rules of the test.
    pub(super) fn judge_members(&mut self) {
        let too_many = self.books().any(|book| book.is_hopeless());
        let mut failures = Vec::new();
        let mut notes = Vec::new();
        for book in self.books().filter(|book| book.well() < book.members.len()) {
            if book.is_hopeless() || (!too_many && book.well() < book.needed) {
                failures.push(Blame { evidence: book.evidence(), ..Blame::new(Some(book.at), book.text()) });
            } else if !too_many {
                notes.push(book.text());
            }
        }
        notes.into_iter().for_each(|text| self.record(Happening::Noted { text }));
        failures.into_iter().for_each(|blame| self.fail(Verdict::Fail, blame));
    }

    /// What still runs ends with its test.
    pub(super) fn dismiss_members(&mut self) {
        self.end_churn();
        let Some(test) = self.current_test() else { return };
        self.members.until = Some(self.now + LAUNCH_DEADLINE);
        for name in self.members.running.clone() {
            let key = StepKey { test: test.clone(), step: format!("members.{name}"), attempt: 2 };
            self.members.ending.insert(key.clone(), name.clone());
            self.push(Output::Change { key, service: name, what: ProcessOrder::Kill });
        }
    }

    pub(super) fn members_timeout(&mut self) {
        let now = self.now;
        let gone: Vec<Name> = self.members.leaving.extract_if(.., |_, at| *at <= now).map(|(name, _)| name).collect();
        gone.iter().for_each(|name| self.sync.lose(name.as_str()));
        if self.members.until.is_some_and(|until| until <= now) {
            self.members.until = None;
            let late = std::mem::take(&mut self.members.starting).into_values();
            let late: Vec<Name> = late.chain(std::mem::take(&mut self.members.ending).into_values()).collect();
            for name in late {
                self.members.running.remove(&name);
                let title = format!("member `{name}`: nothing was heard of its program within {LAUNCH_DEADLINE:?}");
                self.fail(Verdict::Error, Blame::new(self.span_of(&name), title));
            }
        }
    }
}
