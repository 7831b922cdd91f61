//! Every call and every stream, by every role, with each capability missing at either side: all refused, with a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meshproof_proto::bench::BenchOrder;
use meshproof_proto::event::Steering;
use meshproof_proto::expr::Template;
use meshproof_proto::id::{Digest, PeerId, RunId, Term};
use meshproof_proto::identity::Capability::{Exec, Grpc, Http, Logs, Stream, Stub, Tcp, Tunnel, Ws};
use meshproof_proto::identity::{Capability, Identity, Issued, Role, UnixSeconds};
use meshproof_proto::memory::{Copies, MirrorPart, Promise, Recall, Recollection, Remember, Standbys};
use meshproof_proto::order::{
    Action, Adopt, Authority, Body, Bounds, DataSource, Direction, ExecAction, FaultOrder, FaultTarget, GrpcAction,
    HttpAction, Initialize, Initialized, NameTerm, ReceiveOrder, RecordStreamId, Reseat, Scrape, ServicePlace, StepKey,
    StepOrder, StepOver, StreamAction, StubChange, StubOrder, Target, TcpAction, Transport, TunnelOrder, Turn,
    WsAction,
};
use meshproof_proto::rpc::{AgentClient, AgentRequest, LogQuery, MendOrder, Refusal, SteerOrder};
use meshproof_proto::secrets::Secrets;
use meshproof_proto::shaper::Shape;
use tarpc::client::RpcError;
use tarpc::context;
use tokio::sync::mpsc;

use super::{Needed, Rights, for_datagrams, for_stream};
use crate::audit::Audit;
use crate::permits::Settings;
use crate::service::{AgentServer, Call};
use crate::wire::StreamHeader;

const ROLES: [Role; 5] = [Role::Agent, Role::Orchestrator, Role::OperatorConsole, Role::Observer, Role::ZoneOperator];

const COMMAND: &[Role] = &[Role::Orchestrator];
const MEASURE: &[Role] = &[Role::Orchestrator, Role::OperatorConsole];
const TEND: &[Role] = &[Role::Orchestrator, Role::OperatorConsole];
const BETWEEN: &[Role] = &[Role::Agent];
const LOOK: &[Role] = &[Role::Orchestrator, Role::OperatorConsole, Role::Observer];

/// What the session says to every call that reaches it.
fn reached() -> Refusal {
    Refusal::NoSuchRun("it reached the session".to_owned())
}

/// A call of the table, the roles that may make it, and the capabilities that it takes.
type Row = (AgentRequest, &'static [Role], &'static [Capability]);

fn rows() -> Vec<Row> {
    let (authority, test) = (authority(), "t".to_owned());
    let start = |action| AgentRequest::Start { order: Box::new(step(action)) };
    let key = || StepKey { test: "t".to_owned(), step: "1".to_owned(), attempt: 1 };
    let initialize = |change: fn(&mut Initialize)| {
        let mut order = setting();
        change(&mut order);
        AgentRequest::Initialize { order: Box::new(order) }
    };
    let begin_fault = |target| AgentRequest::BeginFault { order: Box::new(fault(target)) };
    let stubs = |order: &mut Initialize| {
        order.stubs.push(StubOrder::http("pay", Vec::new()));
    };
    let tunnels = |order: &mut Initialize| {
        order.tunnels.push(TunnelOrder { to: name("ledger"), port: "tcp".into(), transport: Transport::Tcp })
    };
    let logs = |order: &mut Initialize| drop(order.service.logs.insert("stdout".into(), "/var/log/shop".into()));
    let scrape = |order: &mut Initialize| {
        order.service.scrape = Some(Scrape { port: "http".into(), path: "/metrics".into(), every_ms: 1_000 });
    };
    let mut rows: Vec<Row> = vec![
        (initialize(|_| {}), COMMAND, &[]),
        (initialize(stubs), COMMAND, &[Stub]),
        (initialize(tunnels), COMMAND, &[Tunnel]),
        (initialize(logs), COMMAND, &[Logs]),
        (initialize(scrape), COMMAND, &[Http]),
        (AgentRequest::BeginTest { authority: authority.clone(), test }, COMMAND, &[]),
        (start(http()), COMMAND, &[Http]),
        (start(tcp()), COMMAND, &[Tcp]),
        (start(exec()), COMMAND, &[Exec]),
        (start(stream()), COMMAND, &[Stream]),
        (start(Action::ExpectLog { log: "stdout".into() }), COMMAND, &[Logs]),
        (start(Action::ExpectMetric { metric: "memory".into(), labels: Vec::new() }), COMMAND, &[Logs]),
        (start(Action::WatchMetric { metric: "memory".into(), labels: Vec::new() }), COMMAND, &[Logs]),
        (start(Action::CountLog { log: "*".into(), past: None }), COMMAND, &[Logs]),
        (start(Action::ExpectLink { to: "site".parse().expect("a name") }), COMMAND, &[Logs]),
        (start(Action::ExpectStub { stub: "pay".into(), route: None }), COMMAND, &[Stub]),
        (start(Action::WatchLog { log: "*".into() }), COMMAND, &[Logs]),
        (start(Action::WatchStub { stub: "pay".into(), route: None }), COMMAND, &[Stub]),
        (start(Action::ChangeStub { stub: "pay".into(), change: StubChange::Purge }), COMMAND, &[Stub]),
        (start(Action::Settle { quiet_ms: 1 }), COMMAND, &[Logs]),
        (start(grpc()), COMMAND, &[Grpc]),
        (start(ws()), COMMAND, &[Ws]),
        (AgentRequest::Receive { order: Box::new(receive(http())) }, COMMAND, &[Http, Stream]),
        (AgentRequest::Receive { order: Box::new(receive(exec())) }, COMMAND, &[Exec, Stream]),
        (AgentRequest::Cancel { authority: authority.clone(), key: key() }, COMMAND, &[]),
        (begin_fault(FaultTarget::Stub { stub: "pay".into() }), COMMAND, &[Stub]),
        (begin_fault(traffic()), COMMAND, &[Tunnel]),
        (AgentRequest::HealFault { authority: authority.clone(), fault: "f".into() }, COMMAND, &[]),
        (AgentRequest::Status {}, LOOK, &[]),
        (AgentRequest::Observe { authority: authority.clone(), processes: vec![1] }, COMMAND, &[]),
        (AgentRequest::Reseat { order: reseat() }, COMMAND, &[]),
        (AgentRequest::Adopt { order: Box::new(adopt(|_| {})) }, COMMAND, &[]),
        (AgentRequest::Adopt { order: Box::new(adopt(stubs)) }, COMMAND, &[Stub]),
        (AgentRequest::StartAgain { order: Box::new(step(exec())) }, COMMAND, &[Exec]),
        (AgentRequest::Promise { order: promise() }, COMMAND, &[]),
        (AgentRequest::Remember { order: Box::new(remember()) }, COMMAND, &[]),
        (AgentRequest::Recall { order: recall() }, COMMAND, &[]),
        (AgentRequest::Links {}, LOOK, &[]),
        (AgentRequest::Holder {}, LOOK, &[]),
        (AgentRequest::Stubs {}, LOOK, &[]),
        (AgentRequest::PurgeStub { stub: "pay".into() }, TEND, &[Stub]),
        (AgentRequest::Finish { authority }, COMMAND, &[]),
        (AgentRequest::About {}, LOOK, &[]),
        (AgentRequest::Place {}, LOOK, &[]),
        (AgentRequest::BeginBench { order: bench() }, MEASURE, &[Stream]),
        (AgentRequest::Bench {}, MEASURE, &[Stream]),
    ];
    rows.extend(rows_of_persons());
    rows.extend(rows_in_turn());
    rows
}

/// Steps beside those of other agents.
fn rows_in_turn() -> Vec<Row> {
    let key = StepKey { test: "t".to_owned(), step: "1".to_owned(), attempt: 1 };
    let in_turn = AgentRequest::StartInTurn { order: Box::new(step(exec())), turn: Turn::default() };
    let over = StepOver { authority: authority(), key, well: true };
    let answers = AgentRequest::AnswerPrograms { authority: authority(), answers: Vec::new() };
    let (name, origin, events) = (name("shop"), PeerId([1; 32]), Vec::new());
    let copies = AgentRequest::Copy { copies: Box::new(Copies { run: authority().run, name, origin, events }) };
    let over = AgentRequest::StepOver { over };
    let again = AgentRequest::BeginFaultAgain { order: Box::new(fault(traffic())) };
    let mut rows: Vec<Row> = vec![(in_turn, COMMAND, &[Exec]), (over, BETWEEN, &[]), (answers, COMMAND, &[])];
    rows.extend([(copies, BETWEEN, &[][..]), (again, COMMAND, &[Tunnel])]);
    rows.extend(rows_of_mirrors());
    rows
}

/// What is on one disk is on others.
fn rows_of_mirrors() -> [Row; 2] {
    let order = Standbys { authority: authority(), number: 1, peers: vec![PeerId([1; 32])] };
    let part = MirrorPart { run: authority().run, term: name_term(), from: 0, bytes: Vec::new() };
    [(AgentRequest::StandBy { order }, COMMAND, &[]), (AgentRequest::Mirror { part: Box::new(part) }, BETWEEN, &[])]
}

fn traffic() -> FaultTarget {
    FaultTarget::Traffic { peer: name("ledger"), direction: Direction::Both }
}

/// What persons ask for beside a run.
fn rows_of_persons() -> Vec<Row> {
    let line = || "@shop http get /".to_owned();
    let act = |action| AgentRequest::Act { order: Box::new(step(action)), line: line() };
    let disturb = |target| AgentRequest::Disturb { order: Box::new(fault(target)), line: line() };
    vec![
        (act(http()), TEND, &[Http]),
        (act(exec()), TEND, &[Exec]),
        (act(Action::ExpectLog { log: "stdout".into() }), TEND, &[Logs]),
        (disturb(FaultTarget::Stub { stub: "pay".into() }), TEND, &[Stub]),
        (disturb(traffic()), TEND, &[Tunnel]),
        (AgentRequest::Mend { order: mend(&authority()) }, TEND, &[]),
        (AgentRequest::Steer { order: steer(authority()) }, TEND, &[]),
        (AgentRequest::ReadLog { query: log_query() }, LOOK, &[Logs]),
        (AgentRequest::Say { text: line() }, TEND, &[]),
    ]
}

fn steer(authority: Authority) -> SteerOrder {
    SteerOrder { authority, how: Steering::Pause, number: 1 }
}

fn mend(authority: &Authority) -> MendOrder {
    MendOrder { authority: authority.clone(), fault: "f".to_owned(), line: "/heal f".to_owned() }
}

fn log_query() -> LogQuery {
    LogQuery { log: "*".to_owned(), since_ms: None, most: 1 }
}

fn name_term() -> NameTerm {
    NameTerm { run: Term(1), number: 2 }
}

fn reseat() -> Reseat {
    Reseat { authority: authority(), name: name("ledger"), peer: PeerId([2; 32]), term: name_term() }
}

fn promise() -> Promise {
    Promise { run: authority().run, term: Term(2) }
}

fn remember() -> Remember {
    Remember { authority: authority(), from: 1, pieces: Vec::new() }
}

fn recall() -> Recall {
    Recall { run: authority().run, term: Term(2), what: Recollection::Pieces(1) }
}

fn adopt(change: fn(&mut Initialize)) -> Adopt {
    let (mut setting, ports) = (setting(), Initialized::default());
    change(&mut setting);
    Adopt {
        setting,
        term: name_term(),
        ports,
        processes: Vec::new(),
        origin: PeerId([1; 32]),
        journaled: 0,
        held: None,
    }
}

/// Makes the call, as it would come over a link. `ping` has no row: everybody in the mesh may have a number back.
async fn make(client: AgentClient, request: AgentRequest) -> Result<Result<(), Refusal>, RpcError> {
    let now = context::current();
    Ok(match request {
        AgentRequest::Initialize { order } => client.initialize(now, order).await?.map(drop),
        AgentRequest::BeginTest { authority, test } => client.begin_test(now, authority, test).await?,
        AgentRequest::Start { order } => client.start(now, order).await?,
        AgentRequest::Receive { order } => client.receive(now, order).await?,
        AgentRequest::Cancel { authority, key } => client.cancel(now, authority, key).await?,
        AgentRequest::BeginFault { order } => client.begin_fault(now, order).await?,
        AgentRequest::HealFault { authority, fault } => client.heal_fault(now, authority, fault).await?.map(drop),
        AgentRequest::Status {} => client.status(now).await?.map(drop),
        AgentRequest::Finish { authority } => client.finish(now, authority).await?.map(drop),
        AgentRequest::Ping { number } => {
            assert_eq!(client.ping(now, number).await?, number);
            Ok(())
        }
        AgentRequest::Links {} => client.links(now).await?.map(drop),
        AgentRequest::About {} => client.about(now).await?.map(drop),
        AgentRequest::BeginBench { order } => client.begin_bench(now, order).await?,
        AgentRequest::Bench {} => client.bench(now).await?.map(drop),
        AgentRequest::Stubs {} => client.stubs(now).await?.map(drop),
        AgentRequest::PurgeStub { stub } => client.purge_stub(now, stub).await?,
        AgentRequest::Observe { authority, processes } => client.observe(now, authority, processes).await?,
        AgentRequest::Adopt { order } => client.adopt(now, order).await?.map(drop),
        AgentRequest::Reseat { order } => client.reseat(now, order).await?,
        AgentRequest::StartAgain { order } => client.start_again(now, order).await?,
        AgentRequest::Act { order, line } => client.act(now, order, line).await?.map(drop),
        AgentRequest::Disturb { order, line } => client.disturb(now, order, line).await?,
        AgentRequest::Mend { order } => client.mend(now, order).await?.map(drop),
        AgentRequest::ReadLog { query } => client.read_log(now, query).await?.map(drop),
        AgentRequest::Say { text } => client.say(now, text).await?,
        AgentRequest::Promise { order } => client.promise(now, order).await?.map(drop),
        AgentRequest::Remember { order } => client.remember(now, order).await?.map(drop),
        AgentRequest::Recall { order } => client.recall(now, order).await?.map(drop),
        AgentRequest::Place {} => client.place(now).await?.map(drop),
        AgentRequest::Holder {} => client.holder(now).await?.map(drop),
        AgentRequest::Steer { order } => client.steer(now, order).await?,
        AgentRequest::StartInTurn { order, turn } => client.start_in_turn(now, order, turn).await?,
        AgentRequest::StepOver { over } => client.step_over(now, over).await?,
        AgentRequest::AnswerPrograms { authority, answers } => client.answer_programs(now, authority, answers).await?,
        AgentRequest::Copy { copies } => client.copy(now, copies).await?.map(drop),
        AgentRequest::BeginFaultAgain { order } => client.begin_fault_again(now, order).await?,
        AgentRequest::StandBy { order } => client.stand_by(now, order).await?,
        AgentRequest::Mirror { part } => client.mirror(now, part).await?.map(drop),
    })
}

#[tokio::test]
async fn every_call_by_every_role_without_each_capability_is_refused_with_a_reason_and_an_audit_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let all: BTreeSet<Capability> = Capability::ALL.into();
    let (mut allowed, mut refused) = (0, 0);
    let mut hear = |answer: Result<(), Refusal>, may: bool, what: &str| {
        let refusal = answer.expect_err("the session takes nothing");
        if may {
            assert_eq!(refusal, reached(), "{what}");
            return allowed += 1;
        }
        let reason = refusal.to_string();
        assert!(refusal != reached() && (reason.contains(" is for ") || reason.contains('`')), "{what}: {reason}");
        assert!(!reason.contains('_'), "a call of ours is no word of anybody's: {reason}");
        refused += 1;
    };
    for role in ROLES {
        for (index, (request, roles, takes)) in rows().into_iter().enumerate() {
            let again = || rows().swap_remove(index).0;
            let what = format!("{role}: {request:?}");
            let may = roles.contains(&role);
            // what is not taken does not matter
            let least: BTreeSet<Capability> = takes.iter().copied().collect();
            for (theirs, ours) in [(&all, &all), (&least, &least)] {
                hear(ask(again(), caller(role, theirs), (ours, folder.path())).await, may, &what);
            }
            for missing in takes {
                let less: BTreeSet<Capability> = all.iter().copied().filter(|held| held != missing).collect();
                for (theirs, ours, whose) in [(&less, &all, "the caller"), (&all, &less, "the agent")] {
                    let answer = ask(again(), caller(role, theirs), (ours, folder.path())).await;
                    hear(answer, false, &format!("{what} without {missing} at {whose}"));
                }
            }
        }
        let answered = ask(AgentRequest::Ping { number: 7 }, caller(role, &BTreeSet::new()), (&all, folder.path()));
        assert_eq!(answered.await, Ok(()));
    }
    let lines = std::fs::read_to_string(folder.path().join("audit.jsonl")).expect("an audit log");
    assert_eq!(lines.lines().count(), refused, "one line for each refusal");
    println!("{allowed} calls allowed, {refused} refused");
    assert!(allowed > 0 && refused > allowed);
}

#[tokio::test]
async fn what_the_settings_do_not_permit_is_refused_with_what_to_do_and_an_audit_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let all: BTreeSet<Capability> = Capability::ALL.into();
    let metadata = Target::plain("shop", "169.254.169.254:80");
    let Action::Tcp(tcp) = tcp() else { panic!("it is one") };
    let tcp = Action::Tcp(TcpAction { target: metadata, ..tcp });
    let mut near = setting();
    near.service.ports.insert("http".to_owned(), "[fe80::1]:80".to_owned());
    let mut reading = setting();
    reading.service.logs.insert("audit".to_owned(), "/etc/passwd".to_owned());
    let shell = || program(&["/bin/sh", "-c", "date"]);
    for (request, why) in [
        (AgentRequest::Start { order: Box::new(step(shell())) }, "--shell"),
        (AgentRequest::Receive { order: Box::new(receive(shell())) }, "--shell"),
        (AgentRequest::Start { order: Box::new(step(tcp)) }, "--reach 169.254.169.254"),
        (AgentRequest::Initialize { order: Box::new(near) }, "--reach fe80::1"),
        (AgentRequest::Initialize { order: Box::new(reading) }, "--paths"),
    ] {
        let settings = Settings { paths: vec![folder.path().to_owned()], ..Settings::default() };
        let audit = Audit::in_directory(folder.path()).expect("a folder");
        let rights = Rights::new(all.clone(), audit, (settings, &[]));
        let refusal = ask_under(rights, request, caller(Role::Orchestrator, &all)).await.expect_err(why);
        assert!(matches!(&refusal, Refusal::NotPermitted { reason, .. } if reason.contains(why)), "{refusal}");
        let lines = std::fs::read_to_string(folder.path().join("audit.jsonl")).expect("an audit log");
        let line: serde_json::Value = serde_json::from_str(lines.lines().last().expect("a line")).expect("JSON");
        assert_eq!(line["caller"], "caller");
        assert!(line["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{line}");
    }
}

#[test]
fn streams_and_datagrams_are_between_agents_whose_tokens_both_grant_what_they_carry() {
    let run = RunId("r".to_owned());
    let all: BTreeSet<Capability> = Capability::ALL.into();
    let may = |role, theirs: &BTreeSet<Capability>, ours: &BTreeSet<Capability>, needed: &Needed| {
        Rights::new(ours.clone(), Audit::default(), Default::default()).allow(&caller(role, theirs), needed)
    };
    for (needed, takes) in [
        (for_stream(&StreamHeader::Tunnel { run: run.clone(), port: "tcp".to_owned() }), Tunnel),
        (for_stream(&StreamHeader::Probe), Tunnel),
        (for_datagrams(), Tunnel),
        (for_stream(&StreamHeader::Records { run: run.clone(), stream: RecordStreamId(1) }), Stream),
        (for_stream(&StreamHeader::Bench), Stream),
        (for_stream(&StreamHeader::Blob { run: run.clone(), digest: Digest([1; 32]) }), Stream),
    ] {
        let less: BTreeSet<Capability> = all.iter().copied().filter(|held| *held != takes).collect();
        for role in ROLES {
            assert_eq!(may(role, &all, &all, &needed).is_ok(), role == Role::Agent, "{role}: {needed:?}");
        }
        let theirs = may(Role::Agent, &less, &all, &needed).expect_err("their token does not allow it");
        assert!(theirs.to_string().contains(&format!("takes `{takes}`")), "{theirs}");
        may(Role::Agent, &all, &less, &needed).expect_err("our token does not allow it");
    }
}

#[test]
fn a_refusal_says_whose_the_call_is() {
    let rights = Rights::new(Capability::ALL.into(), Audit::default(), Default::default());
    let refused = |role, call: &Call| rights.allow(&caller(role, &BTreeSet::new()), &call.needs());
    let (answer, _) = tokio::sync::oneshot::channel();
    let refusal = refused(Role::Observer, &Call::BeginBench(bench(), answer)).expect_err("an observer only looks");
    let said = "measuring a link is for an orchestrator or an operator console, not for an observer; \
                `meshproof mesh invite NAME --role operator-console` makes a token of that role";
    assert_eq!(refusal.to_string(), said);
    let (answer, _) = tokio::sync::oneshot::channel();
    let refusal = refused(Role::ZoneOperator, &Call::Links(answer)).expect_err("has no use for it");
    assert!(refusal.to_string().ends_with("or an observer, not for a zone operator"), "{refusal}");
}

/// What an agent answers that may be asked for `ours`.
async fn ask(
    request: AgentRequest,
    caller: Identity,
    (ours, folder): (&BTreeSet<Capability>, &std::path::Path),
) -> Result<(), Refusal> {
    let rights = Rights::new(ours.clone(), Audit::in_directory(folder).expect("a folder"), Default::default());
    ask_under(rights, request, caller).await
}

async fn ask_under(rights: Rights, request: AgentRequest, caller: Identity) -> Result<(), Refusal> {
    let rights = Arc::new(rights);
    let (orders, mut taken) = mpsc::channel(1);
    let (near, far) = tarpc::transport::channel::unbounded();
    let serving = AgentServer { caller, orders, rights }.serve(far);
    let client = AgentClient::new(tarpc::client::Config::default(), near);
    let asked = make(client.client, request);
    let session = async {
        while let Some(order) = taken.recv().await {
            refuse(order.call);
        }
    };
    tokio::select! {
        answer = asked => answer.expect("answered"),
        _ = client.dispatch => panic!("the client ended"),
        () = serving => panic!("the server ended"),
        () = session => panic!("the server dropped its orders"),
    }
}

fn refuse(call: Call) {
    match call {
        Call::Initialize(_, answer) => drop(answer.send(Err(reached()))),
        Call::BeginTest(_, _, answer) | Call::Cancel(_, _, answer) => drop(answer.send(Err(reached()))),
        Call::Start(_, answer) | Call::StartAgain(_, answer) | Call::StartInTurn(_, _, answer) => {
            drop(answer.send(Err(reached())));
        }
        Call::StepOver(_, answer) | Call::AnswerPrograms(_, _, answer) => drop(answer.send(Err(reached()))),
        Call::Adopt(_, answer) => drop(answer.send(Err(reached()))),
        Call::Reseat(_, answer) => drop(answer.send(Err(reached()))),
        Call::Promise(_, answer) => drop(answer.send(Err(reached()))),
        Call::Remember(_, answer) => drop(answer.send(Err(reached()))),
        Call::Copy(_, answer) | Call::Mirror(_, _, answer) => drop(answer.send(Err(reached()))),
        Call::StandBy(_, answer) => drop(answer.send(Err(reached()))),
        Call::Recall(_, answer) => drop(answer.send(Err(reached()))),
        Call::Holder(answer) => drop(answer.send(Err(reached()))),
        Call::Receive(_, answer) => drop(answer.send(Err(reached()))),
        Call::BeginFault(_, answer) | Call::BeginFaultAgain(_, answer) => drop(answer.send(Err(reached()))),
        Call::BeginBench(_, answer) => drop(answer.send(Err(reached()))),
        Call::HealFault(_, _, answer) => drop(answer.send(Err(reached()))),
        Call::Status(answer) => drop(answer.send(Err(reached()))),
        Call::Finish(_, answer) => drop(answer.send(Err(reached()))),
        Call::Links(answer) => drop(answer.send(Err(reached()))),
        Call::About(answer) => drop(answer.send(Err(reached()))),
        Call::Bench(answer) => drop(answer.send(Err(reached()))),
        Call::Stubs(answer) => drop(answer.send(Err(reached()))),
        Call::PurgeStub(_, _, answer) => drop(answer.send(Err(reached()))),
        Call::Observe(_, _, answer) => drop(answer.send(Err(reached()))),
        Call::Act(_, _, answer) => drop(answer.send(Err(reached()))),
        Call::Disturb(_, _, answer) => drop(answer.send(Err(reached()))),
        Call::Mend(_, _, _, answer) => drop(answer.send(Err(reached()))),
        Call::ReadLog(_, answer) => drop(answer.send(Err(reached()))),
        Call::Steer(_, _, answer) => drop(answer.send(Err(reached()))),
        Call::Say(_, _, answer) => drop(answer.send(Err(reached()))),
        Call::Place(answer) => drop(answer.send(Err(reached()))),
    }
}

fn caller(role: Role, capabilities: &BTreeSet<Capability>) -> Identity {
    let (peer, capabilities) = (PeerId([1; 32]), capabilities.clone());
    let issued = Issued { token: PeerId([8; 32]), root: PeerId([9; 32]), not_after: UnixSeconds(0) };
    Identity { peer, name: name("caller"), role, capabilities, issued }
}

fn name(text: &str) -> meshproof_proto::id::Name {
    text.parse().expect("a good name")
}

fn authority() -> Authority {
    Authority { run: RunId("r".to_owned()), term: Term(1), plan: Digest([0; 32]) }
}

fn setting() -> Initialize {
    let service = ServicePlace::default();
    let (stubs, tunnels, roster) = (Vec::new(), Vec::new(), BTreeMap::new());
    let secrets = Secrets::default();
    let (network, api, certificates, guests) = (None, None, BTreeMap::new(), Vec::new());
    let blobs = Vec::new();
    Initialize {
        authority: authority(),
        roster,
        service,
        stubs,
        tunnels,
        seed: 1,
        secrets,
        network,
        api,
        certificates,
        blobs,
        guests,
        links: Vec::new(),
    }
}

fn step(action: Action) -> StepOrder {
    let key = StepKey { test: "t".to_owned(), step: "1".to_owned(), attempt: 1 };
    let (checks, saves) = (Vec::new(), Vec::new());
    StepOrder { authority: authority(), key, action, checks, saves, within_ms: 1, eventually_ms: None, after: None }
}

fn receive(apply: Action) -> ReceiveOrder {
    ReceiveOrder { authority: authority(), stream: RecordStreamId(1), from: name("shop"), apply, key: None }
}

fn fault(target: FaultTarget) -> FaultOrder {
    FaultOrder { authority: authority(), fault: "f".to_owned(), target, shape: Shape::default(), lease_ms: 1 }
}

fn target() -> Target {
    Target::plain("shop", "127.0.0.1:1")
}

fn http() -> Action {
    let (method, path) = ("GET".to_owned(), Template::text("/"));
    Action::Http(HttpAction { target: target(), method, path, headers: Vec::new(), body: Body::Empty })
}

fn tcp() -> Action {
    Action::Tcp(TcpAction { target: target(), send: Template::text("PING") })
}

fn grpc() -> Action {
    let json = meshproof_proto::expr::ValueTemplate::fixed(&serde_json::json!({}));
    let (call, metadata, protos) = ("acme.Stock/Get".to_owned(), Vec::new(), Vec::new());
    Action::Grpc(GrpcAction { target: target(), call, metadata, json, protos })
}

fn ws() -> Action {
    Action::Ws(WsAction { target: target(), path: Template::text("/"), headers: Vec::new(), send: Vec::new() })
}

fn exec() -> Action {
    program(&["true"])
}

fn program(argv: &[&str]) -> Action {
    Action::Exec(ExecAction {
        argv: argv.iter().map(|argument| Template::text(*argument)).collect(),
        env: Vec::new(),
        stdin: None,
        cwd: None,
        limits: Bounds::default(),
    })
}

fn stream() -> Action {
    let json = meshproof_proto::expr::ValueTemplate::fixed(&serde_json::json!({}));
    let data = DataSource::Generate { count: 1, json };
    Action::Stream(StreamAction { stream: RecordStreamId(1), to: name("ledger"), data, pace: None, key: None })
}

fn bench() -> BenchOrder {
    BenchOrder { to: PeerId([2; 32]), pings: 1, duration_ms: 1 }
}
