//! What programs ask of the run through their agents: the same sync points that steps use, and how they themselves went.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meshproof_proto::id::Name;
use meshproof_proto::sync::{
    Answer, Ask, Barrier, Entries, Member, OnLoss, Outcome, Quorum, SyncError, Told, Waiter, WaiterId, What,
};

use super::api::Output;
use super::machine::{Phase, Run};
use crate::plan::Plan;

/// Who takes part: members of groups, or every service that the run starts where there are no groups.
#[derive(Debug, Default)]
pub(super) struct Everybody {
    all: Arc<BTreeSet<Member>>,
    groups: BTreeMap<String, BTreeSet<Member>>,
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
        Self { all: Arc::new(all), groups }
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
    pub(super) fn program_asked(&mut self, agent: &Name, number: u64, ask: Ask) {
        if matches!(self.phase, Phase::Waiting | Phase::Closing { .. } | Phase::Over) {
            return;
        }
        let counted = |done: Result<Option<u64>, SyncError>| match done {
            Ok(count) => Told::Count(count.unwrap_or_default()),
            Err(error) => Told::Refused(error.to_string()),
        };
        let member = agent.as_str();
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
                self.member_says(agent, end);
                Told::Open
            }
            Ask::Network { signal: None, .. } => Told::Open,
            Ask::Network { signal: Some(name), .. } => counted(self.sync.handle(member, What::Signal { name })),
            Ask::Measured { .. } | Ask::Said { .. } => return,
        };
        self.sync.asked.answer(agent, number, told);
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
            self.push(Output::Answer { agent, answers });
        }
    }
}
