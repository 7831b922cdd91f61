//! The calls that other peers make: who may, and to whom they go.
//!
//! Every link has a server of its own that knows the caller. It asks whether the caller may ([`rights`](crate::rights)) and hands
//! the call to the session, which answers at once or when the work is done. A call whose caller vanished is carried out all the same: the outcome of
//! everything that matters is an event.

use std::sync::Arc;

use futures::StreamExt as _;
use meshproof_proto::bench::{BenchOrder, BenchReport};
use meshproof_proto::event::StepResult;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::Identity;
use meshproof_proto::limits::CALLS_IN_FLIGHT;
use meshproof_proto::links::LinkReport;
use meshproof_proto::memory::{Copies, Holder, MirrorPart, Promise, Promised, Recall, Recalled, Remember, Standbys};
use meshproof_proto::order::{
    Adopt, Adopted, Authority, FaultOrder, FaultReport, Initialize, Initialized, ReceiveOrder, Reseat, ServicePlace,
    StepKey, StepOrder, StepOver, Turn,
};
use meshproof_proto::rpc::{
    About, Agent, AgentRequest, AgentResponse, LogLines, LogQuery, MendOrder, Refusal, Status, SteerOrder,
};
use meshproof_proto::stub::StubReport;
use meshproof_proto::sync;
use tarpc::context::Context;
use tarpc::server::{BaseChannel, Channel as _};
use tarpc::{ClientMessage, Response, Transport};
use tokio::sync::{mpsc, oneshot};

use crate::rights::Rights;

/// Where an answer goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Refusal>>;

/// A call whose caller may make it.
#[derive(Debug)]
pub(crate) struct Order {
    pub caller: PeerId,
    pub call: Call,
}

/// What is asked of the session.
#[derive(Debug)]
pub(crate) enum Call {
    Initialize(Box<Initialize>, Answer<Initialized>),
    BeginTest(Authority, String, Answer<()>),
    Start(Box<StepOrder>, Answer<()>),
    Receive(Box<ReceiveOrder>, Answer<()>),
    Cancel(Authority, StepKey, Answer<()>),
    BeginFault(Box<FaultOrder>, Answer<()>),
    HealFault(Authority, String, Answer<FaultReport>),
    Status(Answer<Status>),
    Finish(Authority, Answer<Vec<FaultReport>>),
    Links(Answer<Vec<LinkReport>>),
    About(Answer<About>),
    BeginBench(BenchOrder, Answer<()>),
    Bench(Answer<BenchReport>),
    Stubs(Answer<Vec<StubReport>>),
    Observe(Authority, Vec<i32>, Answer<()>),
    /// The stub, and who asks.
    PurgeStub(String, Name, Answer<()>),
    Adopt(Box<Adopt>, Answer<Adopted>),
    Reseat(Reseat, Answer<()>),
    StartAgain(Box<StepOrder>, Answer<()>),
    /// What the person wrote, and who it is.
    Act(Box<StepOrder>, Asked, Answer<StepResult>),
    Disturb(Box<FaultOrder>, Asked, Answer<()>),
    Mend(Authority, String, Asked, Answer<FaultReport>),
    ReadLog(LogQuery, Answer<LogLines>),
    /// The text, and whose it is.
    Say(String, Name, Answer<()>),
    Promise(Promise, Answer<Promised>),
    Remember(Box<Remember>, Answer<u64>),
    Recall(Recall, Answer<Recalled>),
    Place(Answer<ServicePlace>),
    Holder(Answer<Option<Holder>>),
    /// What is wanted, and who wants it.
    Steer(SteerOrder, Name, Answer<()>),
    StartInTurn(Box<StepOrder>, Turn, Answer<()>),
    StepOver(StepOver, Answer<()>),
    AnswerPrograms(Authority, Vec<sync::Answer>, Answer<()>),
    Copy(Box<Copies>, Answer<u64>),
    BeginFaultAgain(Box<FaultOrder>, Answer<()>),
    StandBy(Standbys, Answer<()>),
    /// The part, and whose it is.
    Mirror(Box<MirrorPart>, Name, Answer<u64>),
}

/// Who asks for something beside a run, and in which words.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub by: Name,
    pub line: String,
}

/// The service for one caller.
#[derive(Clone, Debug)]
pub(crate) struct AgentServer {
    pub caller: Identity,
    pub orders: mpsc::Sender<Order>,
    pub rights: Arc<Rights>,
}

impl AgentServer {
    /// Serves until the connection ends.
    pub async fn serve<T>(self, transport: T)
    where
        T: Transport<Response<AgentResponse>, ClientMessage<AgentRequest>>,
    {
        // The limit belongs to the channel, which then refuses; a limit here would stop taking cancels and deadlines from it.
        let channel = BaseChannel::with_defaults(transport).max_concurrent_requests(CALLS_IN_FLIGHT);
        channel.execute(Agent::serve(self)).for_each_concurrent(None, |call| call).await;
    }

    fn asked(&self, line: String) -> Asked {
        Asked { by: self.caller.name.clone(), line }
    }

    async fn ask<T>(self, call: impl FnOnce(Answer<T>) -> Call) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        let call = call(answer);
        self.rights.allow_call(&self.caller, &call)?;
        let order = Order { caller: self.caller.peer, call };
        let leaving = || Refusal::Failed("the agent is leaving, or the run ended before the answer".to_owned());
        self.orders.send(order).await.map_err(|_| leaving())?;
        answered.await.unwrap_or_else(|_| Err(leaving()))
    }
}

impl Agent for AgentServer {
    async fn initialize(self, _: Context, order: Box<Initialize>) -> Result<Initialized, Refusal> {
        self.ask(|answer| Call::Initialize(order, answer)).await
    }

    async fn begin_test(self, _: Context, authority: Authority, test: String) -> Result<(), Refusal> {
        self.ask(|answer| Call::BeginTest(authority, test, answer)).await
    }

    async fn start(self, _: Context, order: Box<StepOrder>) -> Result<(), Refusal> {
        self.ask(|answer| Call::Start(order, answer)).await
    }

    async fn receive(self, _: Context, order: Box<ReceiveOrder>) -> Result<(), Refusal> {
        self.ask(|answer| Call::Receive(order, answer)).await
    }

    async fn cancel(self, _: Context, authority: Authority, key: StepKey) -> Result<(), Refusal> {
        self.ask(|answer| Call::Cancel(authority, key, answer)).await
    }

    async fn begin_fault(self, _: Context, order: Box<FaultOrder>) -> Result<(), Refusal> {
        self.ask(|answer| Call::BeginFault(order, answer)).await
    }

    async fn heal_fault(self, _: Context, authority: Authority, fault: String) -> Result<FaultReport, Refusal> {
        self.ask(|answer| Call::HealFault(authority, fault, answer)).await
    }

    async fn status(self, _: Context) -> Result<Status, Refusal> {
        self.ask(Call::Status).await
    }

    async fn finish(self, _: Context, authority: Authority) -> Result<Vec<FaultReport>, Refusal> {
        self.ask(|answer| Call::Finish(authority, answer)).await
    }

    async fn ping(self, _: Context, number: u64) -> u64 {
        number
    }

    async fn links(self, _: Context) -> Result<Vec<LinkReport>, Refusal> {
        self.ask(Call::Links).await
    }

    async fn about(self, _: Context) -> Result<About, Refusal> {
        self.ask(Call::About).await
    }

    async fn begin_bench(self, _: Context, order: BenchOrder) -> Result<(), Refusal> {
        self.ask(|answer| Call::BeginBench(order, answer)).await
    }

    async fn stubs(self, _: Context) -> Result<Vec<StubReport>, Refusal> {
        self.ask(Call::Stubs).await
    }

    async fn bench(self, _: Context) -> Result<BenchReport, Refusal> {
        self.ask(Call::Bench).await
    }

    async fn observe(self, _: Context, authority: Authority, processes: Vec<i32>) -> Result<(), Refusal> {
        self.ask(|answer| Call::Observe(authority, processes, answer)).await
    }

    async fn purge_stub(self, _: Context, stub: String) -> Result<(), Refusal> {
        let by = self.caller.name.clone();
        self.ask(|answer| Call::PurgeStub(stub, by, answer)).await
    }

    async fn adopt(self, _: Context, order: Box<Adopt>) -> Result<Adopted, Refusal> {
        self.ask(|answer| Call::Adopt(order, answer)).await
    }

    async fn reseat(self, _: Context, order: Reseat) -> Result<(), Refusal> {
        self.ask(|answer| Call::Reseat(order, answer)).await
    }

    async fn start_again(self, _: Context, order: Box<StepOrder>) -> Result<(), Refusal> {
        self.ask(|answer| Call::StartAgain(order, answer)).await
    }

    async fn act(self, _: Context, order: Box<StepOrder>, line: String) -> Result<StepResult, Refusal> {
        let asked = self.asked(line);
        self.ask(|answer| Call::Act(order, asked, answer)).await
    }

    async fn disturb(self, _: Context, order: Box<FaultOrder>, line: String) -> Result<(), Refusal> {
        let asked = self.asked(line);
        self.ask(|answer| Call::Disturb(order, asked, answer)).await
    }

    async fn mend(self, _: Context, order: MendOrder) -> Result<FaultReport, Refusal> {
        let MendOrder { authority, fault, line } = order;
        let asked = self.asked(line);
        self.ask(|answer| Call::Mend(authority, fault, asked, answer)).await
    }

    async fn read_log(self, _: Context, query: LogQuery) -> Result<LogLines, Refusal> {
        self.ask(|answer| Call::ReadLog(query, answer)).await
    }

    async fn say(self, _: Context, text: String) -> Result<(), Refusal> {
        let by = self.caller.name.clone();
        self.ask(|answer| Call::Say(text, by, answer)).await
    }

    async fn promise(self, _: Context, order: Promise) -> Result<Promised, Refusal> {
        self.ask(|answer| Call::Promise(order, answer)).await
    }

    async fn remember(self, _: Context, order: Box<Remember>) -> Result<u64, Refusal> {
        self.ask(|answer| Call::Remember(order, answer)).await
    }

    async fn recall(self, _: Context, order: Recall) -> Result<Recalled, Refusal> {
        self.ask(|answer| Call::Recall(order, answer)).await
    }

    async fn place(self, _: Context) -> Result<ServicePlace, Refusal> {
        self.ask(Call::Place).await
    }

    async fn holder(self, _: Context) -> Result<Option<Holder>, Refusal> {
        self.ask(Call::Holder).await
    }

    async fn steer(self, _: Context, order: SteerOrder) -> Result<(), Refusal> {
        let by = self.caller.name.clone();
        self.ask(|answer| Call::Steer(order, by, answer)).await
    }

    async fn start_in_turn(self, _: Context, order: Box<StepOrder>, turn: Turn) -> Result<(), Refusal> {
        self.ask(|answer| Call::StartInTurn(order, turn, answer)).await
    }

    async fn step_over(self, _: Context, over: StepOver) -> Result<(), Refusal> {
        self.ask(|answer| Call::StepOver(over, answer)).await
    }

    async fn answer_programs(
        self,
        _: Context,
        authority: Authority,
        answers: Vec<sync::Answer>,
    ) -> Result<(), Refusal> {
        self.ask(|answer| Call::AnswerPrograms(authority, answers, answer)).await
    }

    async fn copy(self, _: Context, copies: Box<Copies>) -> Result<u64, Refusal> {
        self.ask(|answer| Call::Copy(copies, answer)).await
    }

    async fn begin_fault_again(self, _: Context, order: Box<FaultOrder>) -> Result<(), Refusal> {
        self.ask(|answer| Call::BeginFaultAgain(order, answer)).await
    }

    async fn stand_by(self, _: Context, order: Standbys) -> Result<(), Refusal> {
        self.ask(|answer| Call::StandBy(order, answer)).await
    }

    async fn mirror(self, _: Context, part: Box<MirrorPart>) -> Result<u64, Refusal> {
        let from = self.caller.name.clone();
        self.ask(|answer| Call::Mirror(part, from, answer)).await
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::id::{Digest, RunId, Term};
    use meshproof_proto::identity::{Capability, Issued, Role, UnixSeconds};
    use meshproof_proto::rpc::AgentClient;
    use tarpc::context;

    use super::*;
    use crate::audit::Audit;

    /// A caller of this role, and what reaches the session.
    fn linked(role: Role) -> (AgentClient, mpsc::Receiver<Order>) {
        let caller = Identity {
            peer: PeerId([1; 32]),
            name: "caller".parse().expect("a name"),
            role,
            capabilities: Capability::ALL.into(),
            issued: Issued { token: PeerId([8; 32]), root: PeerId([9; 32]), not_after: UnixSeconds(0) },
        };
        let rights = Arc::new(Rights::new(Capability::ALL.into(), Audit::default(), Default::default()));
        let (orders, taken) = mpsc::channel(8);
        let (near, far) = tarpc::transport::channel::unbounded();
        tokio::spawn(AgentServer { caller, orders, rights }.serve(far));
        (AgentClient::new(tarpc::client::Config::default(), near).spawn(), taken)
    }

    fn authority() -> Authority {
        Authority { run: RunId("r".to_owned()), term: Term(1), plan: Digest([0; 32]) }
    }

    #[tokio::test]
    async fn who_is_no_orchestrator_commands_nothing_but_may_ping() {
        for role in [Role::Agent, Role::Observer, Role::OperatorConsole, Role::ZoneOperator] {
            let (client, mut taken) = linked(role);
            let refused = client.finish(context::current(), authority()).await.expect("answered");
            let needed = vec![Role::Orchestrator];
            assert_eq!(refused, Err(Refusal::NeedsRole { call: "finish".to_owned(), role, needed }));
            assert_eq!(client.ping(context::current(), 7).await.expect("answered"), 7);
            assert!(taken.try_recv().is_err());
        }
    }

    #[tokio::test]
    async fn an_observer_looks_and_does_not_measure_and_an_agent_does_neither() {
        let (client, mut taken) = linked(Role::Observer);
        let session = async {
            let Order { call: Call::Links(answer), .. } = taken.recv().await.expect("a call") else { panic!("links") };
            answer.send(Ok(Vec::new())).expect("somebody waits");
        };
        let (links, ()) = tokio::join!(client.links(context::current()), session);
        assert_eq!(links.expect("answered"), Ok(Vec::new()));
        let refused = client.bench(context::current()).await.expect("answered");
        assert!(matches!(refused, Err(Refusal::NeedsRole { role: Role::Observer, .. })), "{refused:?}");

        let (client, mut taken) = linked(Role::Agent);
        let refused = client.links(context::current()).await.expect("answered");
        assert!(matches!(refused, Err(Refusal::NeedsRole { role: Role::Agent, .. })), "{refused:?}");
        assert!(taken.try_recv().is_err());
    }

    #[tokio::test]
    async fn calls_that_are_stuck_leave_room_for_no_more_until_one_is_given_up() {
        let (client, mut taken) = linked(Role::Orchestrator);
        let mut stuck = tokio::task::JoinSet::new();
        let mut held = Vec::new();
        for _ in 0..CALLS_IN_FLIGHT {
            let client = client.clone();
            stuck.spawn(async move { client.status(context::current()).await });
            held.push(taken.recv().await.expect("a call"));
        }
        // Refused at once, and not after the callers' patience: the channel is still read.
        client.ping(context::current(), 1).await.expect_err("no room");
        let Order { call: Call::Status(mut answer), .. } = held.remove(0) else { panic!("a status") };
        stuck.abort_all();
        answer.closed().await;
        assert_eq!(client.ping(context::current(), 2).await.expect("room"), 2);
    }

    #[tokio::test]
    async fn an_orchestrators_call_reaches_the_session_with_its_name_and_comes_back_with_the_answer() {
        let (client, mut taken) = linked(Role::Orchestrator);
        let session = async {
            let Order { caller, call } = taken.recv().await.expect("a call");
            assert_eq!(caller, PeerId([1; 32]));
            let Call::Finish(_, answer) = call else { panic!("{call:?}") };
            answer.send(Err(Refusal::NoSuchRun("r".to_owned()))).expect("somebody waits");
        };
        let (answered, ()) = tokio::join!(client.finish(context::current(), authority()), session);
        assert_eq!(answered.expect("answered"), Err(Refusal::NoSuchRun("r".to_owned())));
        drop(taken);
        let leaving = client.finish(context::current(), authority()).await.expect("answered");
        assert!(matches!(leaving, Err(Refusal::Failed(_))));
    }
}
