//! What an orchestrator or a console asks: whether it may, and who does it.

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::order::{
    Action, Authority, FaultOrder, Initialize, Initialized, ReceiveOrder, StepOrder, StepOver, StreamAction, Turn,
};
use meshproof_proto::rpc::{Refusal, Status};

use super::run::Run;
use super::setup::{Former, Surroundings};
use super::{Session, guard, setup};
use crate::limits;
use crate::service::{Answer, Call, Order};

impl Session {
    pub(super) async fn order(&mut self, Order { caller, call }: Order) {
        match call {
            Call::Initialize(order, answer) => {
                let initialized = self.initialize(caller, *order).await;
                reply(answer, initialized);
            }
            Call::Adopt(order, answer) => {
                let adopted = self.adopt(caller, *order).await;
                reply(answer, adopted);
            }
            Call::Reseat(order, answer) => reply(answer, self.reseat(caller, order)),
            Call::Promise(order, answer) => self.safely(answer, |session| session.promise(caller, order)),
            Call::Remember(order, answer) => self.safely(answer, |session| session.remember(caller, *order)),
            Call::Recall(order, answer) => reply(answer, self.recall(caller, order)),
            Call::Place(answer) => reply(answer, Ok(self.standing.place())),
            Call::Holder(answer) => reply(answer, Ok(self.run.as_ref().map(Run::obeys))),
            Call::Status(answer) => reply(answer, Ok(self.status())),
            Call::BeginTest(authority, test, answer) => {
                self.commanded((caller, &authority), answer, |run| run.begin_test(test));
            }
            Call::Start(order, answer) => self.start_and_tell(caller, (*order, Turn::default()), answer),
            Call::StartInTurn(order, turn, answer) => self.start_and_tell(caller, (*order, turn), answer),
            Call::StepOver(over, answer) => self.step_over(caller, &over, answer),
            Call::StartAgain(order, answer) => reply(answer, self.start_again(caller, *order)),
            Call::Receive(order, answer) => self.safely(answer, |session| session.receive(caller, *order)),
            Call::Cancel(authority, key, answer) => {
                self.commanded((caller, &authority), answer, |run| run.cancel(&key))
            }
            Call::BeginFault(order, answer) => self.disturb_as(caller, (*order, answer), Run::begin_fault),
            Call::BeginFaultAgain(order, answer) => self.disturb_as(caller, (*order, answer), Run::begin_fault_again),
            Call::HealFault(authority, fault, answer) => {
                self.begun((caller, &authority), answer, |run, answer| run.heal_fault(&fault, answer));
            }
            Call::Finish(authority, answer) => self.begun((caller, &authority), answer, Run::finish),
            Call::Links(answer) => reply(answer, Ok(self.link_reports())),
            Call::About(answer) => reply(answer, Ok(self.about())),
            Call::BeginBench(order, answer) => reply(answer, self.begin_bench(caller, order)),
            Call::Bench(answer) => reply(answer, self.bench_report(caller)),
            Call::Stubs(answer) => self.stub_reports(answer),
            Call::PurgeStub(stub, by, answer) => self.safely(answer, |session| session.purge(&stub, by)),
            Call::Observe(authority, of, answer) => self.commanded((caller, &authority), answer, |run| run.observe(of)),
            Call::Act(order, asked, answer) => match self.beside(&order.authority) {
                Ok(run) => run.act(*order, asked, answer),
                Err(refusal) => reply(answer, Err(refusal)),
            },
            Call::Disturb(order, asked, answer) => match self.beside(&order.authority) {
                Ok(run) => run.disturb(*order, asked, answer),
                Err(refusal) => reply(answer, Err(refusal)),
            },
            Call::Mend(authority, fault, asked, answer) => match self.beside(&authority) {
                Ok(run) => run.mend(&fault, &asked, answer),
                Err(refusal) => reply(answer, Err(refusal)),
            },
            Call::Steer(order, by, answer) => reply(answer, self.steer(&order, by)),
            Call::ReadLog(query, answer) => reply(answer, self.log_lines(&query)),
            Call::AnswerPrograms(authority, answers, answer) => {
                self.commanded((caller, &authority), answer, |run| run.answer_programs(answers));
            }
            Call::Say(text, by, answer) => reply(answer, self.say(&text, by)),
            Call::Copy(copies, answer) => reply(answer, self.keep_copies(caller, *copies)),
            Call::StandBy(order, answer) => reply(answer, self.stand_by(caller, order)),
            Call::Mirror(part, from, answer) => reply(answer, self.mirror((caller, &from), &part)),
        }
    }

    /// What only whoever commands the run may have done.
    fn commanded<T>(
        &mut self,
        (caller, authority): (PeerId, &Authority),
        answer: Answer<T>,
        done: impl FnOnce(&mut Run) -> Result<T, Refusal>,
    ) where
        T: Send + 'static,
    {
        self.safely(answer, |session| session.admitted(caller, authority).and_then(done));
    }

    /// Answers once everything that is written is safe: what was done may have been written, and something follows from the answer.
    fn safely<T>(&mut self, answer: Answer<T>, done: impl FnOnce(&mut Self) -> Result<T, Refusal>)
    where
        T: Send + 'static,
    {
        let result = done(self);
        match self.run.as_ref().map(|run| run.outbox.safe()).filter(|safe| !safe.is_so()) {
            None => reply(answer, result),
            Some(safe) => drop(tokio::spawn(async move {
                safe.comes().await;
                reply(answer, result);
            })),
        }
    }

    fn purge(&mut self, stub: &str, by: Name) -> Result<(), Refusal> {
        let unknown = || Refusal::Unknown { what: "stub".to_owned(), name: stub.to_owned() };
        self.run.as_mut().ok_or_else(unknown)?.purge(stub, by)
    }

    /// The same of what takes a while, and is answered then.
    fn begun<T>(
        &mut self,
        (caller, authority): (PeerId, &Authority),
        answer: Answer<T>,
        begin: impl FnOnce(&mut Run, Answer<T>),
    ) {
        match self.admitted(caller, authority) {
            Ok(run) => begin(run, answer),
            Err(refusal) => reply(answer, Err(refusal)),
        }
    }

    /// Takes a new run, or answers again for the one it has.
    async fn initialize(&mut self, caller: PeerId, order: Initialize) -> Result<Initialized, Refusal> {
        self.counts()?;
        if let Some(run) = self.run.as_ref().filter(|run| !run.is_closed()) {
            if run.authority.run != order.authority.run {
                return Err(Refusal::Busy(run.authority.run.to_string()));
            }
            return self.admitted(caller, &order.authority).map(|run| run.initialized.clone());
        }
        if let Some(unacked) = self.run.as_ref().map(|run| run.outbox.unacked()).filter(|unacked| *unacked > 0) {
            tracing::warn!(unacked, "a new run begins before the last one's orchestrator took all events");
        }
        let run = self.set_up(caller, order, None).await?;
        let initialized = run.initialized.clone();
        self.run = Some(run);
        Ok(initialized)
    }

    /// Makes everything ready that a run needs here, where that of a former run may still be in the way.
    pub(super) async fn set_up(
        &mut self,
        caller: PeerId,
        order: Initialize,
        former: Option<Former>,
    ) -> Result<Run, Refusal> {
        if let Some(network) = self.run.as_mut().and_then(|run| run.network.take()) {
            network.close().await;
        }
        let others = order.network.iter().flat_map(|network| network.others.keys());
        let nearest = order.blobs.iter().filter_map(|file| file.before.first());
        let tunnels = order.tunnels.iter().map(|tunnel| &tunnel.to);
        let reached: Vec<Name> = tunnels.chain(others).chain(nearest).chain(&order.links).cloned().collect();
        let around = Surroundings {
            kept: &mut self.kept_stubs,
            rights: &self.rights,
            outside: self.outside.as_ref(),
            outboxes: self.outboxes.as_ref(),
            standing: &self.standing,
            former,
        };
        let mut run = setup::run(&self.mesh, caller, order, around).await?;
        for (how, peer) in self.links.known() {
            run.linked(how, peer);
        }
        for peer in reached.iter().filter_map(|name| run.peer(name)) {
            self.links.connect(peer);
        }
        self.links.mirrors_to_nobody();
        self.copy_events(&mut run, &reached);
        tracing::info!(run = %run.authority.run, "takes part in a run");
        Ok(run)
    }

    fn disturb_as(
        &mut self,
        caller: PeerId,
        (order, answer): (FaultOrder, Answer<()>),
        begin: impl FnOnce(&mut Run, FaultOrder, Answer<()>),
    ) {
        match self.admitted(caller, &order.authority) {
            Ok(run) => begin(run, order, answer),
            Err(refusal) => reply(answer, Err(refusal)),
        }
    }

    /// An instance before this one may have begun the step; its caller says that it may be done again.
    fn start_again(&mut self, caller: PeerId, order: StepOrder) -> Result<(), Refusal> {
        self.admitted(caller, &order.authority)?.forget_begun(&order.key)?;
        self.start(caller, (order, Turn::default()))
    }

    /// That a step is taken is told together with what is told of it, so that both are one message.
    fn start_and_tell(&mut self, caller: PeerId, (order, turn): (StepOrder, Turn), answer: Answer<()>) {
        let started = self.start(caller, (order, turn));
        self.tell_taken(started, answer);
    }

    /// The agent that has the step before hears of this late: it does not wait for it.
    fn step_over(&mut self, caller: PeerId, over: &StepOver, answer: Answer<()>) {
        let heard = self.beside(&over.authority).and_then(|run| run.heard_over(caller, over));
        self.tell_taken(heard, answer);
    }

    fn tell_taken(&mut self, taken: Result<(), Refusal>, answer: Answer<()>) {
        match (taken, &mut self.run) {
            (Ok(()), Some(run)) if run.taken.len() < limits::TAKEN_TOLD => run.taken.push(answer),
            (taken, _) => reply(answer, taken),
        }
    }

    fn start(&mut self, caller: PeerId, (order, turn): (StepOrder, Turn)) -> Result<(), Refusal> {
        let run = self.admitted(caller, &order.authority)?;
        let peer = |name: &Name| {
            let unknown = || Refusal::Unknown { what: "service in this run".to_owned(), name: name.to_string() };
            run.peer(name).ok_or_else(unknown)
        };
        let (before, next) = (turn.before.as_ref().map(peer).transpose()?, turn.next.as_ref().map(peer).transpose()?);
        before.iter().chain(&next).for_each(|peer| self.links.connect(*peer));
        if let Some(name) = turn.before.as_ref().filter(|_| before.is_some_and(|peer| !self.links.reach(peer))) {
            return Err(Refusal::Failed(format!("agent `{name}` has the step before it and is not linked yet")));
        }
        match &order.action {
            Action::Stream(StreamAction { to, .. }) | Action::ExpectLink { to } => self.connect(to),
            Action::Load(load) => load.helpers.iter().for_each(|(name, _)| self.connect(name)),
            _ => {}
        }
        self.admitted(caller, &order.authority)?.start(order, turn)
    }

    fn receive(&mut self, caller: PeerId, order: ReceiveOrder) -> Result<(), Refusal> {
        self.admitted(caller, &order.authority)?;
        self.connect(&order.from);
        self.admitted(caller, &order.authority)?.receive(order)
    }

    /// The run, if the order is given in its name. An order of whom it was promised to hands the run over.
    pub(super) fn admitted(&mut self, caller: PeerId, offered: &Authority) -> Result<&mut Run, Refusal> {
        let no_run = || Refusal::NoSuchRun(offered.run.to_string());
        let run = self.run.as_mut().ok_or_else(no_run)?;
        let commanding =
            guard::Commanding { current: &run.authority, orchestrator: run.orchestrator, promised: run.promised };
        match guard::admit(commanding, (offered, caller))? {
            guard::Admitted::Current => {}
            guard::Admitted::TakesOver => run.taken_over(offered.term, caller, &self.mesh),
        }
        Ok(run)
    }

    fn connect(&mut self, name: &Name) {
        if let Some(peer) = self.run.as_ref().and_then(|run| run.peer(name)) {
            self.links.connect(peer);
        }
    }

    pub(super) fn status(&self) -> Status {
        let working = self.run.as_ref();
        Status {
            service: self.name.clone(),
            run: working.map(|run| (run.authority.clone(), run.authority.term)),
            steps_running: working.map_or(0, Run::steps_running),
            faults_active: working.map(Run::faults_active).unwrap_or_default(),
            events_unacked: working.map_or(0, |run| run.outbox.unacked()),
            is_over: working.is_some_and(Run::is_closed),
        }
    }
}

/// Answers a call; who asked may have gone.
pub(super) fn reply<T>(answer: Answer<T>, result: Result<T, Refusal>) {
    let _ = answer.send(result);
}
