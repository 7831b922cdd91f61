//! The server that all of them ask: hyper on a thread of its own process, connections kept open.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The word that makes a process of this bench the server.
pub const CHILD: &str = "serve";

/// A server that ends with this.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    pub fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        let mut child = command.arg(CHILD).stdout(Stdio::piped()).spawn().expect("this program can be started");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("the server says its port");
        Self { child, port: line.trim().parse().expect("a port") }
    }
}

impl Server {
    /// Of its process.
    #[allow(dead_code, reason = "who gives it a core of its own")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until the process is ended.
pub fn serve(port: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread can be had");
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port is free");
        println!("{}", listener.local_addr().expect("it is bound").port());
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let service = hyper::service::service_fn(answer);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
}

/// `GET /items/7` is `{"id":7,…}`.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let item = request.uri().path().rsplit('/').next().unwrap_or_default();
    let body =
        format!(r#"{{"id":{item},"name":"item {item}","state":"good","tags":["a","b"],"price":{{"cents":1250}}}}"#);
    let response = Response::builder().header("content-type", "application/json").body(Full::from(body));
    Ok(response.expect("the head is made of constants"))
}
