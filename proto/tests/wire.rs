//! Every wire type goes through both codecs, and its bytes stay what they are within a protocol version.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fmt::Write as _;
use std::path::Path;

use meshproof_proto::bench::{BenchOrder, BenchReport, BenchStage, Flow, Pings};
use meshproof_proto::blob::{Blob, BlobOrder};
use meshproof_proto::codec::Codec;
use meshproof_proto::epoch::{Epoch, EpochNotice};
use meshproof_proto::event::{
    CheckFailure, Event, EventBatch, Evidence, Fact, Outcome, Pipe, Steering, StepResult, StubCall, StubError, Usage,
};
use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::frame::{BulkFrame, ControlFrame, EventFrame, Piece};
use meshproof_proto::hello::Hello;
use meshproof_proto::ice::IceServer;
use meshproof_proto::id::{Digest, Generation, Name, PeerId, RunId, StreamId, Term};
use meshproof_proto::identity::{Chain, Role, Signed, UnixSeconds};
use meshproof_proto::links::{LinkPath, LinkReport};
use meshproof_proto::matcher::{Comparison, Matcher, Mismatch, Quantity};
use meshproof_proto::memory::{
    self, Copies, Extent, Holder, Holding, Promise, Promised, Recall, Recalled, Recollection, Remember,
};
use meshproof_proto::order::network::{Filter, Outward, Rule, Wanted};
use meshproof_proto::order::*;
use meshproof_proto::rendezvous::{FromRelay, ToPeer, ToRelay, ToServer};
use meshproof_proto::secrets::Secrets;
use meshproof_proto::shaper::{ConnectionShape, DatagramShape, HttpShape, Only, Shape};
use meshproof_proto::signal::{ConnectionKind, Signal, SignalBody};
use meshproof_proto::stub::{HandlerAnswer, HandlerCall};
use meshproof_proto::sync::{Answer, Ask, MemberAsked, MemberEnd, Told};
use meshproof_proto::trust::{CrossSigned, Revoked, RootNews};
use meshproof_proto::version::Version;
use serde::{Serialize, de::DeserializeOwned};

/// Collects a line a value: its name and the hex digits of its bincode bytes.
#[derive(Default)]
struct Golden(String);

impl Golden {
    fn value<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, name: &str, value: &T) {
        let bytes = Codec::Bincode.encode(value).expect("small");
        let back: T = Codec::Bincode.decode(&bytes).unwrap_or_else(|error| panic!("{name} through bincode: {error}"));
        assert_eq!(back, *value, "{name} through bincode");
        let json = Codec::Json.encode(value).expect("small");
        let back: T = Codec::Json.decode(&json).unwrap_or_else(|error| panic!("{name} through JSON: {error}"));
        assert_eq!(back, *value, "{name} through JSON");
        let _ = writeln!(self.0, "{name} {}", data_encoding::HEXLOWER.encode(&bytes));
    }
}

impl Golden {
    /// Compares with the bytes that peers of that version, and all later ones, understand.
    fn is_kept(&self, version: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/wire-{version}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &self.0).expect("the golden file can be written");
        }
        let kept = std::fs::read_to_string(&file).expect("the bytes of each protocol version are kept");
        for (now, before) in self.0.lines().zip(kept.lines()) {
            assert_eq!(now, before, "the bytes changed: peers of protocol {version} would not understand these");
        }
        assert_eq!(self.0.lines().count(), kept.lines().count(), "of protocol {version}");
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a good name")
}

fn chain() -> Chain {
    let signed = |text: &str| Signed { text: text.to_owned(), signature: vec![1, 2, 3] };
    Chain { grant: signed("{grant}"), claim: signed("{claim}") }
}

fn template() -> Template {
    Template::parse("ch_${{ call.number | default: 'x' }}_${{ list[0]['k'] }}").expect("parses")
}

fn body() -> ValueTemplate {
    ValueTemplate::Map(vec![
        ("t".to_owned(), ValueTemplate::Text(template())),
        ("n".to_owned(), ValueTemplate::List(vec![ValueTemplate::Number("1.5".to_owned()), ValueTemplate::Null])),
        ("b".to_owned(), ValueTemplate::Bool(true)),
    ])
}

fn authority() -> Authority {
    Authority { run: RunId("r-1".to_owned()), term: Term(1), plan: Digest([7; 32]) }
}

fn tls() -> Tls {
    let held = |name: &str| Held { name: name.to_owned(), text: "PEM".to_owned() };
    let identity = Identity { cert: held("tls.client.cert"), key: held("tls.client.key") };
    let trust = Trust::Authorities(held("tls.ca"));
    Tls { trust, identity: Some(identity), server_name: Some("shop".to_owned()) }
}

fn target() -> Target {
    Target { label: "shop.http".to_owned(), address: "127.0.0.1:80".to_owned(), tls: Some(tls()) }
}

fn key() -> StepKey {
    StepKey { test: "t".to_owned(), step: "3".to_owned(), attempt: 1 }
}

fn report() -> FaultReport {
    FaultReport {
        fault: "slow".to_owned(),
        asked: "latency 800ms".to_owned(),
        measured: "latency 812ms (3 replies)".to_owned(),
        deviation_percent: Some(1.5),
        effective: true,
        healed: true,
    }
}

fn frames(golden: &mut Golden) {
    let hello = Box::new(Hello { protocol: Version { major: 1, minor: 0 }, chain: chain(), nonce: [9; 32] });
    let piece = Piece { last: true, bytes: vec![1, 2] };
    let signed = Signed { text: "{}".to_owned(), signature: vec![4] };
    for (word, frame) in [
        ("hello", ControlFrame::Hello(hello.clone())),
        ("proof", ControlFrame::Proof(vec![5])),
        ("refuse", ControlFrame::Refuse("no".to_owned())),
        ("beat", ControlFrame::Beat(300)),
        ("beat-answer", ControlFrame::BeatAnswer(300)),
        ("call", ControlFrame::Call(piece.clone())),
        ("reply", ControlFrame::Reply(piece)),
        ("signal", ControlFrame::Signal(signed)),
        ("bye", ControlFrame::Bye),
    ] {
        golden.value(&format!("control.{word}"), &frame);
    }
    let stream = StreamId(6);
    for (word, frame) in [
        ("hello", BulkFrame::Hello(hello)),
        ("proof", BulkFrame::Proof(vec![5])),
        ("refuse", BulkFrame::Refuse("no".to_owned())),
        ("beat", BulkFrame::Beat(1)),
        ("beat-answer", BulkFrame::BeatAnswer(1)),
        ("open", BulkFrame::Open { stream, header: vec![8] }),
        ("data", BulkFrame::Data { stream, offset: 70_000, bytes: vec![1, 2, 3] }),
        ("fin", BulkFrame::Fin { stream, offset: 70_003 }),
        ("ack", BulkFrame::Ack { stream, received: 70_004, limit: 5_000_000 }),
        ("reset", BulkFrame::Reset { stream, reason: "refused".to_owned() }),
    ] {
        golden.value(&format!("bulk.{word}"), &frame);
    }
}

fn signal(body: SignalBody) -> Signal {
    Signal {
        mesh: name("dev"),
        from: PeerId([1; 32]),
        to: PeerId([2; 32]),
        kind: ConnectionKind::Bulk(3),
        codec: Codec::Bincode,
        generation: Generation(4),
        expires: UnixSeconds(100),
        body,
    }
}

fn introductions(golden: &mut Golden) {
    for (word, body) in [
        ("offer", SignalBody::Offer { sdp: "v=0".to_owned() }),
        ("answer", SignalBody::Answer { offer: Digest([3; 32]), sdp: "v=0".to_owned() }),
        ("please-offer", SignalBody::PleaseOffer),
    ] {
        golden.value(&format!("signal.{word}"), &signal(body));
    }
    let signal = Signed { text: "{}".to_owned(), signature: vec![4] };
    let register = ToServer::Register {
        protocol: Version { major: 1, minor: 0 },
        mesh: name("dev"),
        chain: chain().into(),
        proof: vec![6],
    };
    golden.value("to-server.register", &register);
    golden.value("to-server.signal", &ToServer::Signal { to: PeerId([2; 32]), signal: signal.clone() });
    golden.value("to-server.leave", &ToServer::Leave);
    for (word, message) in [
        ("challenge", ToPeer::Challenge { protocol: Version { major: 1, minor: 0 }, nonce: vec![7] }),
        ("welcome", ToPeer::Welcome { peers: vec![chain()] }),
        ("joined", ToPeer::Joined { chain: chain().into() }),
        ("left", ToPeer::Left { peer: PeerId([2; 32]) }),
        ("signal", ToPeer::Signal { from: PeerId([1; 32]), signal }),
        ("undeliverable", ToPeer::Undeliverable { to: PeerId([2; 32]) }),
        ("refused", ToPeer::Refused { reason: "no".to_owned() }),
    ] {
        golden.value(&format!("to-peer.{word}"), &message);
    }
}

/// New in protocol 1.1.
fn news(golden: &mut Golden) {
    let succession = CrossSigned { text: "{}".to_owned(), by_old: vec![1], by_new: vec![2] };
    let revoked = Some(Signed { text: "{}".to_owned(), signature: vec![4] });
    let news = RootNews { successions: vec![succession], revoked };
    golden.value("control.news", &ControlFrame::News(news.clone()));
    golden.value("to-server.news", &ToServer::News { mesh: name("dev"), news: news.clone() });
    golden.value("to-peer.news", &ToPeer::News(news));
    let turn =
        IceServer { urls: vec!["turn:a:3478".to_owned()], username: "9:b".to_owned(), credential: "c".to_owned() };
    golden.value("to-peer.ice", &ToPeer::Ice(vec![turn]));
    let keys = [PeerId([2; 32])].into();
    golden.value("revoked", &Revoked { mesh: name("dev"), root: PeerId([1; 32]), number: 3, keys });
    let epoch = Epoch { mesh: name("dev"), pool: name("shop"), number: 2, zone: name("b") };
    golden.value("epoch", &epoch);
    let epoch = Signed { text: "{}".to_owned(), signature: vec![4] };
    let notice = EpochNotice { chain: chain(), epoch };
    golden.value("epoch notice", &notice);
    golden.value("to-peer.epochs", &ToPeer::Epochs(vec![notice]));
}

/// New in protocol 1.1.
fn relays(golden: &mut Golden) {
    let version = Version { major: 1, minor: 1 };
    let pair = ToRelay::Pair {
        protocol: version,
        mesh: name("dev"),
        chain: chain().into(),
        proof: vec![6],
        to: PeerId([2; 32]),
        kind: ConnectionKind::Bulk(1),
        generation: Generation(3),
    };
    golden.value("to-relay.pair", &pair);
    golden.value("from-relay.challenge", &FromRelay::Challenge { protocol: version, nonce: vec![7] });
    golden.value("from-relay.paired", &FromRelay::Paired);
    golden.value("from-relay.refused", &FromRelay::Refused { reason: "no".to_owned() });
}

fn grpc() -> GrpcAction {
    let protos = vec![Held { name: "file stock.proto".to_owned(), text: "syntax".to_owned() }];
    let metadata = vec![("accept".to_owned(), template())];
    GrpcAction { target: target(), call: "acme.Stock/Get".to_owned(), metadata, json: body(), protos }
}

fn tcp() -> Action {
    Action::Tcp(TcpAction { target: target(), send: template() })
}

/// What steps do.
fn actions() -> Vec<(&'static str, Action)> {
    let http = HttpAction {
        target: target(),
        method: "POST".to_owned(),
        path: template(),
        headers: vec![("accept".to_owned(), template())],
        body: Body::Json(body()),
    };
    let exec = ExecAction {
        argv: vec![template()],
        env: vec![("A".to_owned(), template())],
        stdin: Some(template()),
        cwd: Some("sub".to_owned()),
        limits: Bounds { memory_bytes: Some(1), cpu_s: Some(2), descriptors: Some(3) },
    };
    let replaced = StubChange::Replace(vec![StubRoute::http("charge", (None, None), Vec::new())]);
    let data = DataSource::Generate { count: 10_000, json: body() };
    let logged = DataSource::Log { log: "stdout".to_owned(), count: 7 };
    let of_file = DataSource::File { name: "orders.ndjson".to_owned(), digest: Digest([7; 32]), records: 7 };
    let lines = DataSource::Lines(Held { name: "file orders.ndjson".to_owned(), text: "{}".to_owned() });
    let stream = |data, pace| StreamAction {
        stream: RecordStreamId(1),
        to: name("ledger"),
        data,
        pace,
        key: Some("k".to_owned()),
    };
    vec![
        ("stream", Action::Stream(stream(data, None))),
        ("stream-of-lines", Action::Stream(stream(lines, Some(Pace { records: 500, per_ms: 1_000 })))),
        ("stream-of-a-log", Action::Stream(stream(logged, None))),
        ("stream-of-a-file", Action::Stream(stream(of_file, None))),
        ("expect-log", Action::ExpectLog { log: "audit".to_owned() }),
        ("expect-stub", Action::ExpectStub { stub: "payments".to_owned(), route: Some("charge".to_owned()) }),
        ("http", Action::Http(http)),
        ("tcp", tcp()),
        ("exec", Action::Exec(exec)),
        ("grpc", Action::Grpc(grpc())),
        (
            "ws",
            Action::Ws(WsAction { target: target(), path: template(), headers: Vec::new(), send: vec![template()] }),
        ),
        ("change-stub", Action::ChangeStub { stub: "payments".to_owned(), change: StubChange::Purge }),
        ("replace-stub", Action::ChangeStub { stub: "payments".to_owned(), change: replaced }),
        ("watch-log", Action::WatchLog { log: "*".to_owned() }),
        ("watch-stub", Action::WatchStub { stub: "payments".to_owned(), route: None }),
        ("settle", Action::Settle { quiet_ms: 1_000 }),
        (
            "expect-metric",
            Action::ExpectMetric { metric: "up".to_owned(), labels: vec![("job".to_owned(), Matcher::Exists(true))] },
        ),
        (
            "watch-metric",
            Action::WatchMetric { metric: "up".to_owned(), labels: vec![("job".to_owned(), Matcher::Exists(true))] },
        ),
        ("expect-link", Action::ExpectLink { to: name("ledger") }),
        ("count-log", Action::CountLog { log: "*".to_owned(), past: Some(3) }),
        ("load", Action::Load(Box::new(load(LoadModel::Open { in_flight: 1_000 })))),
        ("load-of-users", Action::Load(Box::new(load(LoadModel::Closed)))),
    ]
}

fn load(model: LoadModel) -> LoadAction {
    let stages = vec![Stage { from: 0.0, to: 200.0, duration_ms: 10_000 }];
    let share = Share { number: 0, of: 2 };
    let helpers = vec![(name("ledger"), RecordStreamId(2))];
    LoadAction { call: Box::new(tcp()), each: checks(), within_ms: 30_000, model, stages, share, helpers }
}

fn checks() -> Vec<Check> {
    let text = || ValueTemplate::Text(Template::text("x"));
    let matchers = [
        Matcher::Equals(text()),
        Matcher::Compare(Comparison::Less, Quantity::DurationNs(5_000_000_000)),
        Matcher::Compare(Comparison::GreaterOrEqual, Quantity::Percent(98.5)),
        Matcher::Compare(Comparison::Greater, Quantity::Bytes(1024)),
        Matcher::Compare(Comparison::LessOrEqual, Quantity::Number(-1.25)),
        Matcher::Regex("^OK".to_owned()),
        Matcher::Contains(text()),
        Matcher::In(vec![text()]),
        Matcher::Exists(true),
        Matcher::Not(Box::new(Matcher::Exists(false))),
        Matcher::All(vec![Matcher::Exists(true)]),
        Matcher::Paths(vec![("$.a".to_owned(), Matcher::Exists(true))]),
    ];
    matchers.into_iter().map(|matcher| Check { field: "json".to_owned(), matcher }).collect()
}

fn steps(golden: &mut Golden) {
    for (word, action) in actions() {
        let order = StepOrder {
            authority: authority(),
            key: key(),
            action,
            checks: checks(),
            saves: vec![Save { name: "order".to_owned(), path: "$.id".to_owned() }],
            within_ms: 30_000,
            eventually_ms: Some(10_000),
            after: Some(key()),
        };
        golden.value(&format!("step.{word}"), &order);
    }
}

/// Orders whose bytes protocol 1.1 changed or added; docs/decisions/0007 says why that could be.
fn new_orders(golden: &mut Golden) {
    steps(golden);
    let apply = tcp();
    let receive = ReceiveOrder {
        authority: authority(),
        stream: RecordStreamId(1),
        from: name("shop"),
        apply,
        key: Some("k".to_owned()),
    };
    golden.value("receive", &receive);
    golden.value("matcher.compare-to", &Matcher::CompareTo(Comparison::Less, template()));
    golden.value("matcher.regex-of", &Matcher::RegexOf(template()));
    faults(golden);
    golden.value("initialize", &initialize());
    let guests = BTreeMap::from([(name("nodes-2"), "it".to_owned())]);
    golden.value(
        "initialized",
        &Initialized {
            stubs: texts(),
            tunnels: texts(),
            endpoints: texts(),
            api: Some("it".to_owned()),
            guests: guests.clone(),
        },
    );
    adoption(golden);
}

fn wanted() -> Wanted {
    let outward = Outward { shape: Shape { latency_us: 1, ..Shape::default() }, filter: Filter::Reject };
    let rule = Rule { network: [198, 18, 0, 0].into(), prefix: 24, outward: outward.clone() };
    Wanted { cut: true, default: outward, rules: vec![rule], egress: Egress::Nowhere }
}

fn faults(golden: &mut Golden) {
    for (word, target) in [
        ("stub", FaultTarget::Stub { stub: "payments".to_owned() }),
        ("traffic", FaultTarget::Traffic { peer: name("ledger"), direction: Direction::Both }),
        ("partition", FaultTarget::Partition { peers: [name("ledger")].into() }),
    ] {
        let shape = Shape {
            latency_us: 1,
            jitter_us: 2,
            bandwidth_bits_per_s: Some(3),
            loss_percent: 100.0,
            datagrams: DatagramShape { duplicate_percent: 4.5, reorder_percent: 6.0, corrupt_percent: 0.5 },
            connections: ConnectionShape {
                refuse: true,
                reset_after_us: Some(7),
                slice_bytes: Some(8),
                slow_close_us: 9,
            },
            http: Some(HttpShape { status: 503, first: Some(10), percent: Some(11.5) }),
            only: Some(Only::Headers(vec![("x-run".to_owned(), Matcher::Exists(true))])),
        };
        let order = FaultOrder { authority: authority(), fault: "slow".to_owned(), target, shape, lease_ms: 5_000 };
        golden.value(&format!("fault.{word}"), &order);
    }
    golden.value("fault.only_run", &Only::Run);
}

fn name_term(number: u64) -> NameTerm {
    NameTerm { run: Term(1), number }
}

fn adoption(golden: &mut Golden) {
    let ports =
        Initialized { stubs: texts(), tunnels: texts(), endpoints: texts(), api: None, guests: BTreeMap::new() };
    let origin = PeerId([1; 32]);
    let setting = initialize();
    let adopt = Adopt {
        setting,
        term: name_term(2),
        ports,
        processes: vec![42],
        origin,
        journaled: 7,
        held: Some(name_term(1)),
    };
    golden.value("adopt", &adopt);
    golden.value("adopted", &Adopted { last: 9, damage: Some("it".to_owned()) });
    let reseat = Reseat { authority: authority(), name: name("shop"), peer: PeerId([2; 32]), term: name_term(2) };
    golden.value("reseat", &reseat);
}

fn remembered(golden: &mut Golden) {
    let run = || RunId("r-1".to_owned());
    golden.value("promise", &Promise { run: run(), term: Term(2) });
    let mut secrets = Secrets::default();
    secrets.insert("api-key", "7hCorrect-Horse");
    let damage = Some("its outbox is damaged behind event 7".to_owned());
    let holding = Holding { plan: Digest([3; 32]), secrets, damage };
    let memory = Extent { term: Term(1), pieces: 7 };
    let promised = Promised { memory, origin: PeerId([1; 32]), holding: Some(holding) };
    golden.value("promised", &promised);
    golden.value("promised", &Promised { holding: None, ..promised });
    let piece = memory::Piece { term: Term(1), bytes: vec![0, 255] };
    golden.value("remember", &Remember { authority: authority(), from: 3, pieces: vec![piece.clone()] });
    let copies = Recollection::Copies { of: name("shop"), from: 5 };
    for what in [Recollection::Pieces(3), Recollection::Events(4), copies] {
        golden.value("recall", &Recall { run: run(), term: Term(2), what });
    }
    let event = Event { run: run(), seq: 4, at_ms: 5, fact: Fact::Gap { lost: 6 } };
    golden.value("recalled", &Recalled { pieces: vec![piece], events: vec![event.clone()], more: true });
    let origin = PeerId([1; 32]);
    golden.value("copies", &Copies { run: run(), name: name("shop"), origin, events: vec![event] });
    golden.value("standbys", &memory::Standbys { authority: authority(), number: 1, peers: vec![PeerId([2; 32])] });
    let part = memory::MirrorPart { run: run(), term: name_term(2), from: 8, bytes: vec![0, 255] };
    golden.value("mirror", &part);
    golden.value("holder", &Holder { run: run(), term: Term(2), peer: PeerId([1; 32]) });
    golden.value("turn", &Turn { before: Some(name("shop")), next: Some(name("ledger")) });
    golden.value("step over", &StepOver { authority: authority(), key: key(), well: true });
}

fn texts() -> BTreeMap<String, String> {
    [("payments".to_owned(), "127.0.0.1:1".to_owned())].into()
}

fn file() -> BlobOrder {
    let blob = Blob { digest: Digest([7; 32]), bytes: 5, chunks: vec![Digest([7; 32])] };
    BlobOrder { blob, name: "orders.ndjson".to_owned(), before: vec![name("shop")], after: vec![name("ledger")] }
}

fn initialize() -> Initialize {
    let mut secrets = Secrets::default();
    secrets.insert("api-key", "7hCorrect-Horse");
    let http = Says::Http { status: 201, headers: vec![("x".to_owned(), template())], body: Body::Text(template()) };
    let reply =
        |ends, says| StubReply { times: 2, delay_ms: 5, slow: Some(Slow { over_ms: 1_000, pieces: 5 }), ends, says };
    let replies = vec![
        reply(Ends::Stays, http),
        reply(Ends::Closed, Says::Text(template())),
        reply(Ends::Reset, Says::Bytes(vec![1])),
        reply(
            Ends::Stays,
            Says::Grpc {
                code: "OK".to_owned(),
                message: template(),
                metadata: vec![("x".to_owned(), template())],
                json: Some(body()),
            },
        ),
        StubReply { slow: None, ..reply(Ends::ResetInBody, Says::Bytes(Vec::new())) },
    ];
    let takes = [
        Takes::Request { method: Some("POST".to_owned()), path: Some("/v1/*".to_owned()) },
        Takes::Line,
        Takes::Bytes(vec![0, 1]),
        Takes::Connection,
    ];
    let when = [
        RequestPart::Query("q".to_owned()),
        RequestPart::Header("h".to_owned()),
        RequestPart::Json,
        RequestPart::Body,
        RequestPart::TlsName,
        RequestPart::Line,
        RequestPart::Host,
    ];
    let when: Vec<_> = when.into_iter().map(|part| (part, Matcher::Exists(true))).collect();
    let route = |takes| StubRoute { id: "charge".to_owned(), takes, when: when.clone(), replies: replies.clone() };
    let stub = StubOrder::http("payments", takes.map(route).to_vec());
    let raw = StubOrder {
        protocol: Protocol::Tcp,
        unmatched: Unmatched::Answer(404),
        keep: Keep::Run,
        ..StubOrder::http("raw", Vec::new())
    };
    let protos = vec![Held { name: "file stock.proto".to_owned(), text: "syntax".to_owned() }];
    let held = |name| Held { name: format!("tls.{name}"), text: "PEM".to_owned() };
    let identity = Identity { cert: held("stock.cert"), key: held("stock.key") };
    let tls = Some(ServerTls { identity, clients: Some(held("ca")) });
    let grpc = StubOrder { protocol: Protocol::Grpc, protos, tls, ..StubOrder::http("stock", Vec::new()) };
    let target = Target::plain("ledger.http", "127.0.0.1:1");
    let becomes = [Becomes::Intercepted, Becomes::Rewritten(Box::new(target)), Becomes::Refused];
    let hosts = becomes.map(|becomes| Upstream { id: "bank".to_owned(), host: "*.example".to_owned(), becomes });
    let authority_of_stub = Identity { cert: held("upstreams.cert"), key: held("upstreams.key") };
    let upstreams = Upstreams { authority: authority_of_stub, subject: "stub".to_owned(), hosts: hosts.to_vec() };
    let stub = StubOrder { upstreams: Some(upstreams), handler: Some("127.0.0.1:1".to_owned()), ..stub };
    Initialize {
        authority: authority(),
        roster: [(name("shop"), PeerId([1; 32]))].into(),
        service: ServicePlace {
            ports: texts(),
            logs: texts(),
            listens: [("a".to_owned(), Listen::Udp), ("b".to_owned(), Listen::Tcp), ("c".to_owned(), Listen::Http)]
                .into(),
            scrape: Some(Scrape { port: "http".to_owned(), path: "/metrics".to_owned(), every_ms: 1_000 }),
            datagrams: ["dns".to_owned()].into(),
        },
        stubs: vec![stub, grpc, StubOrder { keep: Keep::Mesh, ..raw.clone() }, raw],
        tunnels: [Transport::Tcp, Transport::Udp]
            .map(|transport| TunnelOrder { to: name("ledger"), port: "tcp".to_owned(), transport })
            .to_vec(),
        seed: 42,
        secrets,
        network: Some(Box::new(DataNetwork {
            address: std::net::Ipv4Addr::new(198, 18, 0, 1),
            others: [(
                name("ledger"),
                Other { address: std::net::Ipv4Addr::new(198, 18, 0, 2), shape: Shape::default() },
            )]
            .into(),
            egress: Egress::Host,
        })),
        api: Some(Box::new(ApiOrder { about: "{}".to_owned(), port: Some(5_050) })),
        certificates: texts(),
        blobs: vec![file()],
        guests: vec![Guest { name: name("nodes-2"), about: "{}".to_owned() }],
        links: vec![name("ledger")],
    }
}

fn stub_call() -> StubCall {
    let text = || "it".to_owned();
    StubCall { stub: text(), route: None, number: 1, request: text(), status: 404, took_ms: 0.25, unexpected: true }
}

fn facts() -> Vec<Fact> {
    let mismatch = Mismatch { at: "$.a".to_owned(), expected: "1".to_owned(), actual: "2".to_owned() };
    let text = || "it".to_owned();
    let outcomes = [
        Outcome::Ok,
        Outcome::Failed(vec![CheckFailure { check: 1, mismatch }]),
        Outcome::CallFailed { message: text() },
        Outcome::Unknown { message: text() },
        Outcome::Error { message: text() },
    ];
    let ended = outcomes.into_iter().map(|outcome| {
        let evidence = vec![Evidence { title: text(), text: text() }];
        let result = StepResult { outcome, duration_ms: 1.5, tries: 2, saved: texts(), evidence };
        Fact::StepEnded { key: key(), result }
    });
    let bytes = || [(name("shop"), 10)].into();
    let others = [
        Fact::LinkOffered { to: name("ledger") },
        Fact::LinkAcknowledged { from: name("shop") },
        Fact::LinkSuspect { peer: name("shop"), reason: text() },
        Fact::StepStarted { key: key() },
        Fact::StubCalled(stub_call()),
        Fact::FaultBegan { fault: text() },
        Fact::FaultEnded(report()),
        Fact::LinkBytes { sent: bytes(), received: bytes() },
        Fact::Gap { lost: 3 },
    ];
    ended.chain(others).collect()
}

fn event(golden: &mut Golden, seq: u64, fact: Fact) {
    let event = Event { run: RunId("r-1".to_owned()), seq, at_ms: 1_700_000_000_000, fact };
    let batch = EventBatch { instance: PeerId([1; 32]), events: vec![event] };
    golden.value(&format!("events.{seq}"), &EventFrame::Batch(batch));
}

fn events(golden: &mut Golden) {
    for (seq, fact) in (1..).zip(facts()) {
        event(golden, seq, fact);
    }
    golden.value("events.ack", &EventFrame::Ack { instance: PeerId([1; 32]), through: 17 });
}

/// What 1.1 added to links: nothing of it is sent to a peer of 1.0, and nothing of 1.0 changed there.
fn added_in_1_1(golden: &mut Golden) {
    let signed = || Signed { text: "{}".to_owned(), signature: vec![4] };
    let forward = ControlFrame::Forward { to: PeerId([2; 32]), signal: signed() };
    let forwarded = ControlFrame::Forwarded { from: PeerId([1; 32]), signal: signed() };
    golden.value("control.forward", &forward);
    golden.value("control.forwarded", &forwarded);
    golden.value("signal.relayed-offer", &signal(SignalBody::RelayedOffer { sdp: "v=0".to_owned() }));
}

fn link_report(path: LinkPath) -> LinkReport {
    LinkReport {
        peer: PeerId([2; 32]),
        name: name("ledger"),
        role: Role::Agent,
        state: "up".to_owned(),
        generation: Some(Generation(3)),
        path: Some(path),
        stripes: 8,
        rtt_us: Some(180),
        bytes_sent: 70_000,
        bytes_received: 300,
        sent_per_s: 1_000,
        received_per_s: 0,
        streams: 2,
        queued_bytes: 4_096,
        changed_ago_ms: 12_000,
        changed_why: "connection 3 opened, or came back".to_owned(),
    }
}

fn looks(golden: &mut Golden) {
    for path in [LinkPath::Direct, LinkPath::Turn, LinkPath::Relayed] {
        golden.value(&format!("links.{}", path.word()), &link_report(path));
    }
    golden.value("bench.order", &BenchOrder { to: PeerId([2; 32]), pings: 200, duration_ms: 3_000 });
    for (word, stage) in [
        ("linking", BenchStage::Linking),
        ("pinging", BenchStage::Pinging),
        ("sending", BenchStage::Sending),
        ("receiving", BenchStage::Receiving),
        ("done", BenchStage::Done),
        ("failed", BenchStage::Failed { reason: "it broke".to_owned() }),
    ] {
        let pings = Some(Pings { count: 200, min_us: 90, p50_us: 120, p99_us: 400, max_us: 900 });
        let sent = Flow { bytes: 70_000, elapsed_us: 1_500_000, seconds: vec![60_000] };
        let report = BenchReport { stage, path: Some(LinkPath::Direct), pings, sent, received: Flow::default() };
        golden.value(&format!("bench.{word}"), &report);
    }
}

#[test]
fn every_wire_type_survives_both_codecs_and_keeps_its_bytes() {
    let mut golden = Golden::default();
    frames(&mut golden);
    introductions(&mut golden);
    golden.value("fault-report", &report());
    events(&mut golden);
    golden.is_kept("1.0");
    let mut golden = Golden::default();
    added_in_1_1(&mut golden);
    looks(&mut golden);
    relays(&mut golden);
    news(&mut golden);
    new_orders(&mut golden);
    event(&mut golden, 15, Fact::StubCallsUntold { stub: "it".to_owned(), calls: 7 });
    let usage = Usage {
        samples: 3,
        cpu_ms: 120,
        memory_bytes: 4096,
        memory_most_bytes: 8192,
        descriptors: 5,
        descriptors_most: 6,
    };
    event(&mut golden, 16, Fact::Sampled(usage));
    event(&mut golden, 17, Fact::Used(usage));
    for (seq, error) in
        (18..).zip([StubError::NoReply, StubError::Unsupported, StubError::UnknownHost, StubError::Panicked])
    {
        event(&mut golden, seq, Fact::StubErred { call: stub_call(), error });
    }
    event(&mut golden, 22, Fact::Printed { key: key(), pipe: Pipe::Stdout, text: "it".to_owned() });
    event(&mut golden, 23, Fact::Printed { key: key(), pipe: Pipe::Stderr, text: "it".to_owned() });
    event(&mut golden, 24, Fact::StubPurged { stub: "it".to_owned(), by: name("console") });
    persons(&mut golden);
    handled(&mut golden);
    remembered(&mut golden);
    told(&mut golden);
    golden.is_kept("1.1");
}

/// What is done and said beside a run.
fn persons(golden: &mut Golden) {
    let (by, text) = (name("console"), || "it".to_owned());
    event(golden, 25, Fact::Asked { by: by.clone(), id: text(), line: text() });
    event(golden, 26, Fact::Answered { by: by.clone(), id: text(), outcome: Outcome::Ok, duration_ms: 1.5 });
    event(golden, 27, Fact::Told { by, text: text() });
    event(golden, 28, Fact::Stalled { why: text() });
    event(golden, 29, Fact::GoesOn { after_ms: 1.5 });
    for (seq, how) in (30..).zip([Steering::Pause, Steering::Step, Steering::Resume]) {
        event(golden, seq, Fact::Steered { by: name("console"), number: 7, how, given_back: vec![key()] });
    }
    let used = Usage { samples: 1, cpu_ms: 120, memory_bytes: 4096, memory_most_bytes: 8192, ..Usage::default() };
    event(golden, 33, Fact::AgentUsed(used));
    for (seq, ask) in (34..).zip(asks()) {
        event(golden, seq, Fact::ProgramAsked { number: 7, ask });
    }
    event(golden, 46, file_held());
    let asked = asks().into_iter().map(|ask| MemberAsked { member: name("nodes-2"), number: 7, ask });
    event(golden, 47, Fact::ProgramsAsked { asked: asked.collect() });
    event(golden, 48, Fact::Mirrored { term: name_term(2), by: vec![PeerId([2; 32])] });
}

fn file_held() -> Fact {
    Fact::FileHeld {
        name: "orders.ndjson".to_owned(),
        digest: Digest([7; 32]),
        bytes: 5,
        from_orchestrator: 3,
        from: [(name("shop"), 2)].into(),
        damaged: 1,
    }
}

fn asks() -> [Ask; 12] {
    let text = || "it".to_owned();
    [
        Ask::Signal { name: text() },
        Ask::Publish { topic: text(), value: text() },
        Ask::Entries { name: text(), count: 3 },
        Ask::Barrier { name: text(), of: Some(text()) },
        Ask::Subscribe { topic: text() },
        Ask::GiveUp { number: 6 },
        Ask::Ended(MemberEnd::Success),
        Ask::Ended(MemberEnd::Failure { why: text() }),
        Ask::Ended(MemberEnd::Crash { why: text() }),
        Ask::Measured { metric: text(), value: 0.25 },
        Ask::Said { text: text() },
        Ask::Network { wanted: Box::new(wanted()), signal: Some(text()) },
    ]
}

fn told(golden: &mut Golden) {
    let values = Told::Values { from: 1, values: vec!["it".to_owned()] };
    for told in [Told::Count(3), Told::Open, values, Told::Refused("it".to_owned())] {
        golden.value("answer to a program", &Answer { number: 7, told });
    }
}

fn handled(golden: &mut Golden) {
    let headers = || vec![("x".to_owned(), "it".to_owned())];
    let call = HandlerCall {
        method: "POST".to_owned(),
        path: "/charges".to_owned(),
        query: Some("dry=no".to_owned()),
        headers: headers(),
        body: vec![0, 1],
        host: Some("bank".to_owned()),
        tls_name: None,
    };
    golden.value("handler-call", &call);
    golden.value("handler-reply", &HandlerAnswer::Reply { status: 201, headers: headers(), body: vec![2] });
    golden.value("handler-panicked", &HandlerAnswer::Panicked("why".to_owned()));
}

#[cfg(feature = "rpc")]
#[test]
fn refusals_and_status_survive_both_codecs() {
    use meshproof_proto::rpc::{About, LogLines, LogQuery, LogText, MendOrder, Refusal, RoomNews, Status, SteerOrder};
    use meshproof_proto::stub::StubReport;
    let text = || "it".to_owned();
    let mut golden = Golden::default();
    for refusal in [
        Refusal::Role { call: text() },
        Refusal::OldTerm { offered: 1, current: 2 },
        Refusal::OtherPlan { offered: Digest([1; 32]), current: Digest([2; 32]) },
        Refusal::NoSuchRun(text()),
        Refusal::Busy(text()),
        Refusal::Capability(text()),
        Refusal::Unknown { what: text(), name: text() },
        Refusal::Failed(text()),
        Refusal::NeedsRole { call: text(), role: Role::Observer, needed: vec![Role::Orchestrator] },
        Refusal::NeedsCapability { call: text(), capability: meshproof_proto::identity::Capability::Exec },
        Refusal::NotPermitted { call: text(), reason: text() },
        Refusal::OldNameTerm { offered: name_term(1), current: name_term(2) },
        Refusal::NothingLeft(text()),
        Refusal::NotPromised { offered: 2 },
        Refusal::OtherZone("zone b counts".to_owned()),
    ] {
        golden.value("refusal", &refusal);
    }
    let status = Status {
        service: name("shop"),
        run: Some((authority(), Term(1))),
        steps_running: 1,
        faults_active: vec![text()],
        events_unacked: 2,
        is_over: false,
    };
    golden.value("status", &status);
    let (version, protocol) = (text(), Version { major: 1, minor: 1 });
    let stub = StubReport {
        name: "payments".to_owned(),
        address: "127.0.0.1:1".to_owned(),
        keep: Keep::Run,
        healthy: true,
        routes: vec![("charge".to_owned(), 3)],
        unmatched: 1,
        last: vec!["POST /".to_owned()],
    };
    golden.value("stub-report", &stub);
    let labels = "zone=eu".parse().expect("a label");
    let about = About { name: name("shop"), up_ms: 5, version, protocol, run: Some(RunId("r-1".to_owned())), labels };
    golden.value("about", &about);
    golden.value("log-query", &LogQuery { log: text(), since_ms: Some(60_000), most: 50 });
    golden.value("log-lines", &LogLines { lines: vec![LogText { log: text(), text: text() }], left_out: 3 });
    golden.value("mend", &MendOrder { authority: authority(), fault: text(), line: text() });
    golden.value("steer", &SteerOrder { authority: authority(), how: Steering::Pause, number: 7 });
    golden.value("room.said", &RoomNews::Said(text()));
    golden.value("room.did", &RoomNews::Did { line: text(), outcome: text() });
}
