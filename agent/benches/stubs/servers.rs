//! The servers: stubs as agents play them, and the least that hyper can do.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use meshproof_agent::stub::StubServer;
use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{Body, RequestPart, StubOrder, StubReply, StubRoute};
use serde_json::json;
use tokio::net::TcpListener;

/// The rival and its version, as the workspace has locked it.
pub fn rival() -> String {
    let locked = include_str!("../../../Cargo.lock").split("[[package]]");
    let hyper = locked.map(str::lines).find_map(|mut lines| {
        lines.find(|line| *line == "name = \"hyper\"")?;
        lines.next()?.strip_prefix("version = ").map(|version| version.trim_matches('"').to_owned())
    });
    let version = hyper.expect("hyper is locked");
    format!("bare hyper is hyper {version}: `http1::Builder::new().serve_connection(…)` on one thread")
}

/// A server on a thread of its own, until the process ends.
pub struct Server {
    pub address: SocketAddr,
    /// What its clients send.
    pub request: Vec<u8>,
    /// `PID/task/TID`
    thread: PathBuf,
}

impl Server {
    fn new((address, thread): (SocketAddr, PathBuf), request: Vec<u8>) -> Self {
        Self { address, request, thread }
    }

    /// What its thread has spent so far.
    pub fn cpu(&self) -> Duration {
        let path = Path::new("/proc").join(&self.thread).join("schedstat");
        let text = std::fs::read_to_string(path).expect("Linux, and the thread lives");
        let spent = text.split(' ').next().and_then(|number| number.parse().ok());
        Duration::from_nanos(spent.expect("nanoseconds on a core"))
    }

    /// Reads the request whole and answers it, and does nothing else.
    pub fn bare() -> Self {
        let serve = async |tell: mpsc::Sender<SocketAddr>| {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
            tell.send(listener.local_addr().expect("bound")).expect("waited for");
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let served =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(ok));
                tokio::spawn(served);
            }
        };
        Self::new(on_its_thread(serve), get("/r/0/things"))
    }

    /// A stub with so many routes, of which the last is called.
    pub fn stub(routes: usize) -> Self {
        let body = || Body::Text(Template::text("it is here"));
        let route = |at: usize| {
            let path = format!("/r/{at}/things");
            StubRoute::http(format!("r{at}"), (Some("GET"), Some(&path)), vec![StubReply::http(200, body())])
        };
        let order = StubOrder::http("stub", (0..routes).map(route).collect());
        Self::new(play(order), get(&format!("/r/{}/things", routes - 1)))
    }

    /// As in the sample plan: a condition on the JSON that came, an expression in the one that goes.
    pub fn charges() -> Self {
        let card = Matcher::Paths(vec![("$.card".to_owned(), Matcher::Equals(ValueTemplate::fixed(&json!("4242"))))]);
        let number = ValueTemplate::Text(Template::parse("ch_${{ call.number }}").expect("a template"));
        let reply = StubReply::http(200, Body::Json(ValueTemplate::Map(vec![("id".to_owned(), number)])));
        let route = StubRoute::http("charge", (Some("POST"), Some("/v1/charges")), vec![reply]);
        let route = StubRoute { when: vec![(RequestPart::Json, card)], ..route };
        let body = r#"{"card":"4242","amount":12}"#;
        let head = format!("POST /v1/charges HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n", body.len());
        let played = play(StubOrder::http("payments", vec![route]));
        Self::new(played, [head.as_bytes(), body.as_bytes()].concat())
    }
}

async fn ok(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(Bytes::from_static(b"it is here")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes()
}

/// Plays the stub; what it tells is taken, as a session does.
pub fn play(order: StubOrder) -> (SocketAddr, PathBuf) {
    on_its_thread(async |tell| {
        let (facts, mut told) = tokio::sync::mpsc::channel(256);
        let stub = StubServer::bind(order, facts, 1).await.expect("binds");
        tell.send(stub.address()).expect("waited for");
        while told.recv().await.is_some() {}
        drop(stub);
    })
}

/// Where it listens, and its thread.
fn on_its_thread(serve: impl AsyncFnOnce(mpsc::Sender<SocketAddr>) + Send + 'static) -> (SocketAddr, PathBuf) {
    let (tell, told) = mpsc::channel();
    let (tell_thread, thread) = mpsc::channel();
    thread::spawn(move || {
        tell_thread.send(std::fs::read_link("/proc/thread-self").expect("Linux")).expect("waited for");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(serve(tell));
    });
    (told.recv().expect("it listens"), thread.recv().expect("it began"))
}
