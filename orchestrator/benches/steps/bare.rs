//! The same requests by a hyper client and nothing else: what a call itself takes.

use std::time::Instant;

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Milliseconds of `steps` requests over one connection.
pub fn run(port: u16, steps: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread can be had");
    runtime.block_on(async {
        let began = Instant::now();
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
        let _ = stream.set_nodelay(true);
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.expect("nothing is said yet");
        let connection = tokio::spawn(connection);
        for step in 0..steps {
            let request =
                Request::get(format!("/items/{step}")).header("host", "127.0.0.1").body(Empty::<Bytes>::new());
            let response = sender.send_request(request.expect("a good request")).await.expect("the server answers");
            let body = response.into_body().collect().await.expect("the body comes").to_bytes();
            let value: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(value["id"], step);
        }
        connection.abort();
        began.elapsed().as_secs_f64() * 1e3
    })
}
