//! Whoever commands, one after the other, and what is on its way to each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use meshproof_proto::id::{Digest, Name, PeerId, RunId, Term};
use meshproof_proto::order::Authority;
use meshproof_proto::verdict::{Exit, Verdict};

use super::agents::{self, Given, Taken};
use super::{Broken, Play, began};
use crate::memory::{Began, Conducted, Deeds, Hands, Late, Log, Moment, NotRebuilt, Ready, Recollected, Told, rebuild};
use crate::record::Happening;
use crate::run::{FirstFailure, Flaky, Input, Output, ProcessOrder, Run, Setup};

/// One of them.
#[derive(Debug)]
pub struct Orchestrator {
    pub term: Term,
    conducted: Conducted,
    inbox: Vec<Input>,
    /// How many events of each agent it has heard.
    heard: BTreeMap<Name, u64>,
    /// Agents that have stored something and whose answer is on its way.
    answers: Vec<(Name, u64)>,
    pub journal: Vec<Happening>,
    /// What the wall clock said of what it told again.
    pub times: Vec<u64>,
    /// Agents that did not promise it the run.
    pub lost: BTreeSet<Name>,
    /// The last instance of each agent that it knows; none: the first.
    knows: BTreeMap<Name, PeerId>,
    /// Names that change hands; with how much the next instance has taken over, once it has.
    changing: BTreeMap<Name, Option<u64>>,
    /// Calls to agents that are not there, and the instance that was to be called.
    waiting: VecDeque<(Output, Option<PeerId>)>,
    pub finished: Option<(Verdict, Exit)>,
}

impl Play {
    fn machine(&self, term: Term, now: Instant) -> Run {
        let authority = Authority { run: RunId("r1".to_owned()), term, plan: Digest::of(b"") };
        let (flaky, first_failure) = (Flaky::Fail, FirstFailure::GoOn);
        let setup = Setup { authority, seed: 1, plan_dir: "/plans".to_owned(), flaky, first_failure };
        Run::new(Arc::clone(&self.plan), Arc::clone(&self.source), setup, now)
    }

    /// The one that begins the run.
    pub fn first(&self) -> Orchestrator {
        let (term, now) = (self.term, self.now);
        let mut conducted = Conducted::new(self.machine(term, now), now);
        let began = Began { at_unix_ms: self.unix_ms(), ..began(self.source.text()) };
        let ready = Ready::default();
        let log = Log::new(term, self.agents.names());
        conducted.begin((self.setting.clone(), now), (Some((log, began, ready)), Vec::new()));
        Orchestrator::of(term, conducted)
    }

    /// The next one, with the promises of these names.
    pub fn next(&mut self, of: &[Name]) -> Result<Orchestrator, Broken> {
        let (term, now) = (self.term, self.now);
        of.iter().try_for_each(|name| self.agents.promise(name, term))?;
        let extents: BTreeMap<_, _> = of.iter().map(|name| (name.clone(), self.agents.extent(name))).collect();
        let best = of.iter().max_by_key(|name| extents[*name]).expect("somebody promised");
        let pieces = self.agents.disks[best].clone();
        let wrote: BTreeSet<Term> = pieces.iter().map(|piece| piece.term).collect();
        let all = self.agents.names();
        let extents = all.iter().map(|name| (name.clone(), extents.get(name).copied().unwrap_or_default())).collect();
        let events = self.agents.events.iter().filter(|(name, _)| of.contains(name));
        let events = events.map(|(name, events)| (name.clone(), events.clone())).collect();
        let heard = self.agents.events.iter().map(|(name, events)| (name.clone(), events.len() as u64)).collect();
        let moment = Moment { now, at_unix_ms: self.unix_ms() };
        let recollected = Recollected { term, pieces, extents, events };
        let rebuilt = recollected.read().and_then(|recollection| {
            rebuild(recollection, |began| self.machine(term, began), (self.setting.clone(), moment))
        });
        let rebuilt = match rebuilt {
            Ok(rebuilt) => rebuilt,
            // Nothing had been decided yet that anybody acted upon: the run is begun anew.
            Err(NotRebuilt::NotBegun) if !self.agents.has_executed_anything() => {
                self.agents.keeper_obeys(term);
                all.iter().filter(|name| !of.contains(name)).try_for_each(|name| self.agents.promise(name, term))?;
                self.agents.disks.values_mut().for_each(Vec::clear);
                return Ok(self.first());
            }
            // What it saw is needed, and it has not promised.
            Err(NotRebuilt::Missing { agent, .. }) if !of.contains(&agent) => {
                let everybody: Vec<Name> = all.iter().filter(|name| !of.contains(name)).cloned().collect();
                self.term = Term(term.0 + 1);
                return self.next(&[of, &everybody].concat());
            }
            Err(error) => return Err(("what was kept can be gone on with", error.to_string())),
        };
        self.agents.keeper_obeys(term);
        let mut next = Orchestrator { heard, ..Orchestrator::of(term, rebuilt.conducted) };
        for told in &rebuilt.told {
            if let Told::Own { at_unix_ms, what } = told {
                next.journal.push(what.clone());
                next.times.push(*at_unix_ms);
            }
        }
        self.tells_its_time(&next.times, (term, &wrote))?;
        let mut deeds = rebuilt.deeds;
        for output in rebuilt.outstanding {
            match self.done(&output, &mut deeds) {
                Some(input) => next.conducted.handle(input, now),
                None => next.conducted.again(output),
            }
        }
        for late in rebuilt.late {
            match late {
                Late::Fact { agent, seq, fact } => next.conducted.hear((&agent, seq), fact, now),
                Late::Answer(input) => next.conducted.handle(input, now),
            }
        }
        of.iter().for_each(|name| self.found(name, &mut next));
        for agent in all.into_iter().filter(|name| !of.contains(name)) {
            next.lost.insert(agent.clone());
            next.conducted.handle(Input::AgentLost { agent, reason: "it did not promise".to_owned() }, now);
        }
        Ok(next)
    }

    /// How an agent is that promised.
    fn found(&self, name: &Name, next: &mut Orchestrator) {
        let present = self.agents.present(name);
        let down = || Input::AgentDown { agent: name.clone(), how: "gone meanwhile".to_owned() };
        match next.conducted.hands(name, present) {
            Hands::Known => {}
            Hands::Vacant => {
                next.conducted.handle(down(), self.now);
                next.changing.insert(name.clone(), None);
                return;
            }
            Hands::Unheard => {
                next.conducted.handle(down(), self.now);
                next.conducted.back((name, present.instance), self.now);
            }
            Hands::Awaited => next.conducted.back((name, present.instance), self.now),
        }
        next.knows.insert(name.clone(), present.instance);
    }

    /// One agent, that may have died, or taken over from one that has. `false`: the one who looks was replaced.
    fn looks_after(&mut self, one: &mut Orchestrator) -> bool {
        let names = self.agents.names();
        let name = &names[self.pick(names.len())];
        let present = self.agents.present(name);
        if one.lost.contains(name) {
            return true;
        }
        match one.changing.get(name) {
            None if one.knows.get(name).copied().unwrap_or(present.origin) == present.instance => {}
            None => {
                let how = "signal 9".to_owned();
                one.conducted.handle(Input::AgentDown { agent: name.clone(), how }, self.now);
                one.changing.insert(name.clone(), None);
            }
            Some(None) => match self.agents.give(name, one.term) {
                Given::Taken(last) => drop(one.changing.insert(name.clone(), Some(last))),
                Given::Refused => return false,
            },
            Some(Some(_)) if !present.holds => drop(one.changing.insert(name.clone(), None)),
            Some(Some(last)) if one.heard.get(name).copied().unwrap_or_default() >= *last => {
                one.conducted.back((name, present.instance), self.now);
                one.changing.remove(name);
                one.knows.insert(name.clone(), present.instance);
            }
            Some(Some(_)) => {}
        }
        true
    }

    /// What others told is told again with the time at which they told it.
    fn tells_its_time(&mut self, times: &[u64], (term, wrote): (Term, &BTreeSet<Term>)) -> Result<(), Broken> {
        // What nobody had stored is not told again.
        self.marks.retain(|(by, line, _)| *line < times.len() && wrote.contains(by));
        let wrong = |(_, line, at): &(Term, usize, u64)| times.get(*line).is_some_and(|told| told < at);
        let invariant = "what is told again has the time at which it was told";
        if !times.is_sorted() || self.marks.iter().any(wrong) {
            return Err((invariant, format!("{times:?}, {:?}", self.marks)));
        }
        self.marks.push((term, times.len(), self.unix_ms()));
        Ok(())
    }

    /// Whether the keeper has done that already.
    fn done(&self, output: &Output, deeds: &mut Deeds) -> Option<Input> {
        let (service, input) = match output {
            Output::Launch(launch) => (&launch.service, Input::ServiceStarted { service: launch.service.clone() }),
            Output::Change { key, service, what: ProcessOrder::Restart(_) } => {
                (service, Input::ProcessesChanged { key: key.clone(), result: Ok(()) })
            }
            _ => return None,
        };
        let known = deeds.starts.entry(service.clone()).or_default();
        let is_done = self.agents.starts.get(service).copied().unwrap_or_default() > *known;
        is_done.then(|| {
            *known += 1;
            input
        })
    }

    /// Something happens to one, or nothing for now. `false`: it has found out that it was replaced, and follows.
    pub fn live(&mut self, one: &mut Orchestrator) -> Result<bool, Broken> {
        let lives = match self.seed.below(6) {
            0 => self.does(one)?,
            1 => {
                self.hears(one);
                true
            }
            2 if !one.inbox.is_empty() => {
                let input = one.inbox.remove(self.pick(one.inbox.len()));
                one.conducted.handle(input, self.now);
                true
            }
            3 => self.remembers(one),
            4 => self.looks_after(one),
            _ => {
                if let (Some((name, through)), Some(log)) = (one.answers.pop(), one.conducted.log_mut()) {
                    log.stored(&name, through);
                }
                true
            }
        };
        if one.conducted.poll_timeout().is_some_and(|due| due <= self.now) {
            one.conducted.handle_timeout(self.now);
        }
        Ok(lives)
    }

    fn does(&mut self, one: &mut Orchestrator) -> Result<bool, Broken> {
        let waited = if self.seed.below(2) == 0 { one.waiting.pop_front() } else { None };
        let instance = |output: &Output| agents::agent(output).map(|name| self.agents.present(name).instance);
        let next = waited.or_else(|| {
            one.conducted.poll_output().map(|output| {
                let meant = instance(&output);
                (output, meant)
            })
        });
        let Some((output, meant)) = next else { return Ok(true) };
        // A step is ordered of one instance, once that is there: the next one is told anew.
        let changes = agents::agent(&output).is_some_and(|name| one.changing.contains_key(name));
        let is_step = matches!(output, Output::Order { .. } | Output::OrderAgain { .. } | Output::Together(_));
        if is_step && (changes || instance(&output) != meant) {
            return Ok(true);
        }
        match &output {
            Output::Record(what) => one.journal.push(what.clone()),
            Output::Finished { verdict, exit } => one.finished = Some((*verdict, *exit)),
            _ => {}
        }
        // An instance gets calls once everything that the one before it told was heard.
        if changes {
            one.waiting.push_back((output, meant));
            return Ok(true);
        }
        match self.agents.perform(&output, (one.term, &one.lost))? {
            Taken::Yes(answers) => one.inbox.extend(answers),
            Taken::Refused => return Ok(false),
            Taken::Waits => one.waiting.push_back((output, meant)),
        }
        Ok(true)
    }

    fn hears(&mut self, one: &mut Orchestrator) {
        let agents = self.agents.names();
        let agent = &agents[self.pick(agents.len())];
        let seq = one.heard.get(agent).copied().unwrap_or_default() + 1;
        let event = self.agents.events[agent].get(&seq).filter(|_| !one.lost.contains(agent));
        if let Some(event) = event {
            one.heard.insert(agent.clone(), seq);
            one.conducted.hear((agent, seq), event.fact.clone(), self.now);
        }
    }

    fn remembers(&mut self, one: &mut Orchestrator) -> bool {
        let names = self.agents.names();
        let name = &names[self.pick(names.len())];
        let (Some(log), true) = (one.conducted.log_mut(), self.agents.present(name).holds) else { return true };
        let Some((from, pieces)) = log.next_for(name, self.now) else { return true };
        if self.seed.below(4) == 0 {
            log.failed(name, self.now);
            return true;
        }
        match self.agents.store((name, one.term), from, pieces) {
            Some(through) => one.answers.push((name.clone(), through)),
            None => return false,
        }
        true
    }
}

impl Orchestrator {
    fn of(term: Term, conducted: Conducted) -> Self {
        Self {
            term,
            conducted,
            inbox: Vec::new(),
            heard: BTreeMap::new(),
            answers: Vec::new(),
            journal: Vec::new(),
            times: Vec::new(),
            lost: BTreeSet::new(),
            knows: BTreeMap::new(),
            changing: BTreeMap::new(),
            waiting: VecDeque::new(),
            finished: None,
        }
    }
}
