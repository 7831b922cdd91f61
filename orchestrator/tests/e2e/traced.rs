//! A run as a trace, at a collector of the test's own: from the orchestrator through an agent to a service.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;

use crate::scene::Scene;

/// What was heard.
type Heard<T> = Arc<Mutex<Vec<T>>>;

fn take<T: Clone>(heard: &Heard<T>) -> Vec<T> {
    heard.lock().expect("nobody panics with it").clone()
}

/// Servers of a test, in a thread of their own, as long as the test lives.
struct Servers {
    /// Spans as they came, and whose.
    spans: Heard<(String, Span)>,
    over_http: SocketAddr,
    over_grpc: SocketAddr,
}

#[derive(Clone)]
struct Collector(Heard<(String, Span)>);

impl Collector {
    fn take(&self, request: ExportTraceServiceRequest) {
        for of in request.resource_spans {
            let attributes = of.resource.expect("who tells").attributes;
            let name = attributes.into_iter().find(|attribute| attribute.key == "service.name").expect("a name");
            let Some(Attribute::StringValue(name)) = name.value.and_then(|value| value.value) else {
                panic!("no text")
            };
            let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans).map(|span| (name.clone(), span));
            self.0.lock().expect("nobody panics with it").extend(spans);
        }
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.take(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Servers {
    fn start() -> Self {
        let (told, ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads");
            runtime.block_on(async {
                told.send(Self::listen().await).expect("the test waits");
                std::future::pending::<()>().await;
            });
        });
        ready.recv().expect("they listen")
    }

    async fn listen() -> Self {
        let spans: Heard<(String, Span)> = Arc::default();
        let collector = Collector(Arc::clone(&spans));
        let over_grpc = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let serving = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(serving.serve(over_grpc));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let over_http = listener.local_addr().expect("an address");
        let answering = serve(listener, move |request: Request<Incoming>| {
            let collector = collector.clone();
            async move {
                assert_eq!(request.uri().path(), "/v1/traces");
                let body = request.into_body().collect().await.expect("whole").to_bytes();
                collector.take(ExportTraceServiceRequest::decode(body).expect("of the protocol"));
                Response::new(Full::default())
            }
        });
        tokio::spawn(answering);
        Self { spans, over_http, over_grpc }
    }
}

/// HTTP/1 or HTTP/2, as the client begins.
async fn serve<F>(listener: TcpListener, answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static)
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answer = answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        tokio::spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Not a test by itself: the service of the others, which start this program again. It writes down whose spans its own would be.
#[test]
fn the_service_of_these_tests_says_what_it_was_told() {
    let (Some(file), Ok(port)) = (std::env::var_os("TOLD"), std::env::var("PORT")) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("its port");
        let answer = move |request: Request<Incoming>| {
            let parent = request.headers().get("traceparent").map_or("", |value| value.to_str().expect("text"));
            let mut told = File::options().create(true).append(true).open(&file).expect("a file of the test");
            writeln!(told, "{} {parent}", request.uri().path()).expect("room");
            async {
                let response =
                    Response::builder().header("content-type", "application/grpc").header("grpc-status", "5");
                response.body(Full::default()).expect("a response")
            }
        };
        serve(listener, answer).await;
    });
}

/// A service that is asked in every way that can say whose span it is.
fn plan(scene: &Scene) -> PathBuf {
    let proto = "syntax = \"proto3\"; package acme; message Sku { string sku = 1; } service Stock { rpc Get(Sku) returns (Sku); }";
    std::fs::write(scene.path().join("stock.proto"), proto).expect("a writable folder");
    let text = format!(
        "meshproof: 1\nplan: traced\nservices:\n  shop:\n    exec: {{ argv: [{program}, --exact, \"traced::the_service_of_these_tests_says_what_it_was_told\"] }}\n    \
        ports: {{ http: dynamic }}\n    env: {{ PORT: \"${{{{ self.http.port }}}}\", TOLD: {told} }}\n    \
        ready: {{ tcp: {{ send: \"\" }}, expect: {{ error: {{ exists: false }} }} }}\n\
        tests:\n  - id: calls\n    steps:\n      - {{ to: shop, http: {{ get: /healthz }} }}\n      \
        - {{ to: shop.http, grpc: {{ call: acme.Stock/Get, proto: stock.proto, json: {{ sku: A1 }} }}, expect: {{ code: NOT_FOUND }} }}\n      \
        - {{ at: shop, exec: {{ argv: [sh, -c, \"echo program $TRACEPARENT >> {told}\"] }} }}\n",
        program = std::env::current_exe().expect("this program").display(),
        told = told(scene).display(),
    );
    let path = scene.path().join("traced.yaml");
    std::fs::write(&path, text).expect("a writable folder");
    path
}

/// Where the service writes what it was told.
fn told(scene: &Scene) -> PathBuf {
    scene.path().join("told")
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// `names` of spans, from this one up to the one without a parent.
fn way_up(spans: &[(String, Span)], from: &Span) -> Vec<(String, String)> {
    let (mut way, mut id) = (Vec::new(), from.span_id.clone());
    while let Some((by, span)) = spans.iter().find(|(_, span)| span.span_id == id) {
        way.push((by.clone(), span.name.clone()));
        id = span.parent_span_id.clone();
    }
    assert!(id.is_empty(), "a parent that nobody told of: {} of {way:?}", hex(&id));
    way
}

fn is_one_trace_from_the_orchestrator_to_the_service(protocol: &str) {
    let (scene, servers) = (Scene::new(), Servers::start());
    let address = if protocol == "grpc" { servers.over_grpc } else { servers.over_http };
    let mut run = scene.run_command(&plan(&scene), "json");
    run.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")).env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
    crate::session::Session::start(run, crate::session::Shown::Records).end().assert_code(0);
    let spans = take(&servers.spans);
    let told = std::fs::read_to_string(told(&scene)).expect("the service was asked");
    let told: Vec<(&str, &str)> = told.lines().map(|line| line.split_once(' ').expect("who, and what")).collect();
    let who: Vec<&str> = told.iter().map(|(who, _)| *who).collect();
    assert_eq!(who, ["/healthz", "/acme.Stock/Get", "program"]);
    for (_, parent) in &told {
        let parts: Vec<&str> = parent.split('-').collect();
        let of_agent = spans.iter().find(|(_, span)| hex(&span.span_id) == parts[2]);
        let (by, action) = of_agent.unwrap_or_else(|| panic!("{parent} in {spans:?}"));
        assert_eq!((by.as_str(), hex(&action.trace_id).as_str()), ("meshproof-agent", parts[1]));
        let way = way_up(&spans, action);
        let names: Vec<(&str, &str)> = way.iter().map(|(by, name)| (by.as_str(), name.as_str())).collect();
        let [
            ("meshproof-agent", "shop acts"),
            ("meshproof", _),
            ("meshproof", "test calls"),
            ("meshproof", "run traced"),
        ] = names.as_slice()
        else {
            panic!("{names:?}")
        };
    }
    let traces: std::collections::BTreeSet<&[u8]> = spans.iter().map(|(_, span)| span.trace_id.as_slice()).collect();
    assert_eq!(traces.len(), 1);
    scene.assert_nothing_left();
}

#[test]
fn over_http_a_run_is_one_trace_from_the_orchestrator_through_an_agent_to_the_service() {
    is_one_trace_from_the_orchestrator_to_the_service("http/protobuf");
}

#[test]
fn over_grpc_a_run_is_one_trace_from_the_orchestrator_through_an_agent_to_the_service() {
    is_one_trace_from_the_orchestrator_to_the_service("grpc");
}

#[test]
fn a_collector_that_is_away_is_told_of_and_changes_no_verdict() {
    let scene = Scene::new();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    for (protocol, path, why) in
        [("http/protobuf", "/v1/traces", "Connection refused"), ("grpc", "", "gRPC code: Unavailable")]
    {
        let mut run = scene.run_command(&plan(&scene), "plain");
        run.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{gone}")).env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        let ended = crate::session::Session::start(run, crate::session::Shown::Text).end();
        ended.assert_code(0);
        let said = format!("the collector at http://{gone}{path} has nothing of this run's trace: {why}");
        assert!(ended.all().contains(&said), "{}", ended.all());
    }
    scene.assert_nothing_left();
}

#[test]
fn a_collector_that_answers_nothing_holds_a_run_up_no_longer_than_it_may() {
    /// What nobody is given by the variable below.
    const MOST: std::time::Duration = std::time::Duration::from_secs(8);
    let scene = Scene::new();
    // takes connections, and never says a word
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut run = scene.run_command(&plan(&scene), "json");
    run.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", silent.local_addr().expect("an address")));
    run.env("OTEL_EXPORTER_OTLP_TIMEOUT", "300");
    let mut session = crate::session::Session::start(run, crate::session::Shown::Records);
    session.happening(("run-ended", "verdict", "pass"));
    let over = std::time::Instant::now();
    session.end().assert_code(0);
    assert!(over.elapsed() < MOST, "{:?}", over.elapsed());
    scene.assert_nothing_left();
}
