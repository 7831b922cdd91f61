//! What programs ask of the run through their agents: the same sync points that steps use, and how they themselves went.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meshproof_proto::id::Name;
use meshproof_proto::sync::{
    Answer, Ask, Barrier, Entries, Member, MemberAsked, OnLoss, Outcome, Quorum, SyncError, Told, Waiter, WaiterId,
    What,
};

use super::api::Output;
use super::machine::{Phase, Run};
use crate::plan::Plan;
use crate::record::Happening;

/// Who takes part: members of groups, or every service that the run starts where there are no groups.
#[derive(Debug, Default)]
pub(super) struct Everybody {
    all: Arc<BTreeSet<Member>>,
    groups: BTreeMap<String, BTreeSet<Member>>,
    /// Of those who have none of their own.
    agents: BTreeMap<Name, Name>,
    /// Every service of the plan: whoever else asks is one too many.
    known: BTreeSet<Name>,
}

impl Everybody {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut groups: BTreeMap<String, BTreeSet<Member>> = BTreeMap::new();
        for service in &plan.services {
            if let Some(member) = &service.member {
                groups.entry(member.group.clone()).or_default().insert(service.name.to_string());
            }
        }
        let started = plan.services.iter().filter(|service| !service.processes.is_empty());
        let all = match groups.is_empty() {
            true => started.map(|service| service.name.to_string()).collect(),
            false => groups.values().flatten().cloned().collect(),
        };
        let guests = plan.services.iter().filter(|service| *service.agent() != service.name);
        let agents = guests.map(|guest| (guest.name.clone(), guest.agent().clone())).collect();
        let known = plan.services.iter().map(|service| service.name.clone()).collect();
        Self { all: Arc::new(all), groups, agents, known }
    }

    /// Whose agent a member speaks through.
    pub(super) fn agent_of<'n>(&'n self, member: &'n Name) -> &'n Name {
        self.agents.get(member).unwrap_or(member)
    }

    fn group_of(&self, member: &str) -> Option<&str> {
        self.groups.iter().find(|(_, members)| members.contains(member)).map(|(group, _)| group.as_str())
    }

    /// Those who share that agent with the one that it is named after.
    pub(super) fn guests(&self, agent: &Name) -> impl Iterator<Item = &Name> {
        self.agents.iter().filter(move |(_, host)| *host == agent).map(|(guest, _)| guest)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = (&str, &BTreeSet<Member>)> {
        self.groups.iter().map(|(name, members)| (name.as_str(), members))
    }

    /// A group, a member alone, or everybody.
    fn named(&self, name: Option<&str>) -> Option<BTreeSet<Member>> {
        match name {
            None | Some("all") => Some(self.all.as_ref().clone()),
            Some(name) => match self.groups.get(name) {
                Some(members) => Some(members.clone()),
                None => self.all.contains(name).then(|| BTreeSet::from([name.to_owned()])),
            },
        }
    }
}

/// The requests of programs that wait, and answers on their way.
#[derive(Debug, Default)]
pub(super) struct Asked {
    waiting: BTreeMap<WaiterId, (Name, u64)>,
    answers: BTreeMap<Name, Vec<Answer>>,
    /// Those who asked and take no part.
    refused: BTreeSet<Name>,
}

impl Asked {
    fn answer(&mut self, agent: &Name, number: u64, told: Told) {
        self.answers.entry(agent.clone()).or_default().push(Answer { number, told });
    }

    /// Gives whether somebody of ours waits for that; what is over is forgotten.
    pub(super) fn take(&mut self, id: WaiterId, outcome: &Outcome) -> bool {
        let Some((agent, number)) = self.waiting.get(&id).cloned() else { return false };
        let told = match outcome {
            Outcome::Opened { .. } => Told::Open,
            Outcome::More { from, values } => Told::Values { from: *from as u64, values: values.clone() },
            Outcome::Values(values) => Told::Values { from: 0, values: values.clone() },
            Outcome::Lost { gone, needed, left } => Told::Refused(lost(gone, *needed, *left)),
            // nobody asks with a time
            Outcome::Late { .. } => Told::Refused("its time is over".to_owned()),
        };
        if !matches!(outcome, Outcome::More { .. }) {
            self.waiting.remove(&id);
        }
        self.answer(&agent, number, told);
        true
    }
}

/// Why a wait is over that cannot be reached.
pub(super) fn lost(gone: &BTreeSet<Member>, needed: usize, left: usize) -> String {
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    format!("{needed} are needed and {left} are left; gone: {}", gone.join(", "))
}

impl Run {
    /// Programs of members ask through the agent that they share.
    pub(super) fn programs_asked(&mut self, agent: &Name, asked: Vec<MemberAsked>) {
        for MemberAsked { member, number, ask } in asked {
            let is_spoken_for = !self.everybody.known.contains(&member) || self.everybody.agent_of(&member) == agent;
            if is_spoken_for {
                self.program_asked(agent, &member, (number, ask));
            } else {
                let why = format!("`{member}` has another agent than `{agent}`");
                self.sync.asked.answer(agent, number, Told::Refused(why));
            }
        }
    }

    /// Answered through the agent.
    pub(super) fn program_asked(&mut self, agent: &Name, member: &Name, (number, ask): (u64, Ask)) {
        if matches!(self.phase, Phase::Waiting | Phase::Closing { .. } | Phase::Over) {
            return;
        }
        let counted = |done: Result<Option<u64>, SyncError>| match done {
            Ok(count) => Told::Count(count.unwrap_or_default()),
            Err(error) => Told::Refused(error.to_string()),
        };
        if !self.everybody.known.contains(member) {
            return self.refuse_extra(agent, member, number);
        }
        let name = member;
        let member = name.as_str();
        let told = match ask {
            Ask::Signal { name } => counted(self.sync.handle(member, What::Signal { name })),
            Ask::Publish { topic, value } => counted(self.sync.handle(member, What::Publish { topic, value })),
            Ask::Entries { name, count } => {
                let of = Arc::clone(&self.everybody.all);
                return self.program_waits((agent, number), Waiter::Entries(Entries { name, count, of }));
            }
            Ask::Barrier { name, of } => match self.everybody.named(of.as_deref()) {
                Some(of) => {
                    let barrier = Barrier { name, of, quorum: Quorum::Share(100.0), on_loss: OnLoss::Fail };
                    return self.program_waits((agent, number), Waiter::Barrier(barrier));
                }
                None => Told::Refused(format!("there is no group or member `{}`", of.unwrap_or_default())),
            },
            Ask::Subscribe { topic } => return self.program_waits((agent, number), Waiter::Follow { topic }),
            Ask::GiveUp { number } => return self.give_up_asked(|by| by.0 == *agent && by.1 == number),
            Ask::Ended(end) => {
                self.member_says(name, end);
                Told::Open
            }
            Ask::Network { signal: None, .. } => Told::Open,
            Ask::Network { signal: Some(name), .. } => counted(self.sync.handle(member, What::Signal { name })),
            Ask::Measured { metric, value } => {
                let group = self.everybody.group_of(member);
                return self.measured.take(group.into_iter().chain([member]), (&metric, value));
            }
            Ask::Said { .. } => return,
        };
        self.sync.asked.answer(agent, number, told);
    }

    /// The run goes on without it, and people hear of it once a test.
    fn refuse_extra(&mut self, agent: &Name, member: &Name, number: u64) {
        let why = format!("`{member}` is not in the plan and takes no part");
        if self.sync.asked.refused.insert(member.clone()) {
            self.record(Happening::Noted { text: format!("{why}: what its programs ask is refused") });
        }
        self.sync.asked.answer(agent, number, Told::Refused(why));
    }

    fn program_waits(&mut self, (agent, number): (&Name, u64), waiter: Waiter) {
        let id = self.sync.waiter();
        self.sync.asked.waiting.insert(id, (agent.clone(), number));
        self.sync.points.wait_on(id, waiter);
    }

    fn give_up_asked(&mut self, is_it: impl Fn(&(Name, u64)) -> bool) {
        let asked = &mut self.sync.asked.waiting;
        for (id, _) in asked.extract_if(.., |_, by| is_it(by)) {
            self.sync.points.give_up(id);
        }
    }

    /// Its programs' connections are gone with it.
    pub(super) fn programs_interrupted(&mut self, agent: &Name) {
        self.give_up_asked(|by| by.0 == *agent);
        self.sync.asked.answers.remove(agent);
    }

    /// The sync points begin anew: whoever waits at the old ones is told.
    pub(super) fn sync_anew(&mut self) {
        for (_, (agent, number)) in std::mem::take(&mut self.sync.asked.waiting) {
            self.sync.asked.answer(&agent, number, Told::Refused("the test is over".to_owned()));
        }
        self.tell_programs();
        self.sync = Default::default();
    }

    pub(super) fn tell_programs(&mut self) {
        for (agent, answers) in std::mem::take(&mut self.sync.asked.answers) {
            // what does not hang on an order does not wait for what does
            let (open, ordered): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.told == Told::Open);
            for answers in [open, ordered].into_iter().filter(|answers| !answers.is_empty()) {
                self.push(Output::Answer { agent: agent.clone(), answers });
            }
        }
    }
}
