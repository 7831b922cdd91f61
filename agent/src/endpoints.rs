//! Endpoints that the service writes its messages to, instead of to a file: UDP, TCP or HTTP on loopback.
//!
//! Whatever comes is appended to a file of the service, line by line, and is from then on a log like any other: steps wait for its
//! lines, and it is collected with the rest. One task a log writes, so lines of several connections never mix.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use meshproof_proto::order::{Listen, ServicePlace};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::limits;
use crate::permits::LogFiles;

/// The endpoints of the service beside this agent. Dropping it closes them.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl Endpoints {
    /// Binds all of them, where they were `before` if they were; gives the address of each by log.
    pub async fn bind(
        service: &ServicePlace,
        permitted: &LogFiles,
        before: &BTreeMap<String, String>,
    ) -> io::Result<(Self, BTreeMap<String, String>)> {
        let (mut all, mut addresses) = (Self::default(), BTreeMap::new());
        for (log, listen) in &service.listens {
            let Some(path) = service.logs.get(log) else { continue };
            permitted.path(path).map_err(io::Error::other)?;
            let lines = all.writer(Path::new(path), permitted).await?;
            let at = before.get(log).map(|address| address.parse::<SocketAddr>().map_err(io::Error::other));
            let at = at.transpose()?.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
            let address = match listen {
                Listen::Udp => {
                    let socket = UdpSocket::bind(at).await?;
                    let address = socket.local_addr()?;
                    all.spawn(datagrams(socket, lines));
                    address
                }
                Listen::Tcp => {
                    let listener = TcpListener::bind(at).await?;
                    let address = listener.local_addr()?;
                    all.spawn(accept(listener, move |stream| stream_lines(stream, lines.clone()).boxed()));
                    address
                }
                Listen::Http => {
                    let listener = TcpListener::bind(at).await?;
                    let address = listener.local_addr()?;
                    all.spawn(accept(listener, move |stream| serve(stream, lines.clone()).boxed()));
                    address
                }
            };
            addresses.insert(log.clone(), address.to_string());
        }
        Ok((all, addresses))
    }

    fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(AbortOnDropHandle::new(tokio::spawn(work)));
    }

    async fn writer(&mut self, path: &Path, permitted: &LogFiles) -> io::Result<mpsc::Sender<Vec<u8>>> {
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let mut file = File::options().append(true).create(true).open(path).await?;
        permitted.opened(file.as_raw_fd())?;
        let (lines, mut written) = mpsc::channel::<Vec<u8>>(limits::ENDPOINT_LINES);
        let path = path.to_owned();
        self.spawn(async move {
            while let Some(text) = written.recv().await {
                let done = async {
                    file.write_all(&text).await?;
                    file.flush().await
                };
                if let Err(error) = done.await {
                    tracing::error!(path = %path.display(), %error, "a message of the service could not be kept");
                    return;
                }
            }
        });
        Ok(lines)
    }
}

/// The text with an end behind its last line; nothing stays nothing.
fn ended(mut text: Vec<u8>) -> Vec<u8> {
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text
}

async fn datagrams(socket: UdpSocket, lines: mpsc::Sender<Vec<u8>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok((length, _)) = socket.recv_from(&mut buffer).await {
        if lines.send(ended(buffer[..length].to_vec())).await.is_err() {
            return;
        }
    }
}

/// Serves connections, as many at once as a stub does; they end with this.
async fn accept(listener: TcpListener, serve: impl Fn(TcpStream) -> BoxFuture<'static, ()>) {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if open.len() < limits::STUB_CONNECTIONS => match accepted {
                Ok((stream, _)) => open.push(serve(stream)),
                Err(error) => {
                    tracing::warn!(%error, "a connection to a log's endpoint could not be taken");
                    return;
                }
            },
            Some(()) = open.next() => {}
        }
    }
}

/// Whole lines; a long one in pieces, as logs cut it.
async fn stream_lines(mut stream: TcpStream, lines: mpsc::Sender<Vec<u8>>) {
    let mut held = Vec::new();
    let mut buffer = vec![0; limits::LOG_LINE_BYTES];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        held.extend_from_slice(&buffer[..count]);
        let whole = match held.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if held.len() < limits::LOG_LINE_BYTES => continue,
            None => held.len(),
        };
        let rest = held.split_off(whole);
        if lines.send(std::mem::replace(&mut held, rest)).await.is_err() {
            return;
        }
    }
    let _ = lines.send(ended(held)).await;
}

/// Takes the body of every POST and PUT.
async fn serve(stream: TcpStream, lines: mpsc::Sender<Vec<u8>>) {
    let lines = &lines;
    let answer = service_fn(|request: Request<Incoming>| async move {
        let status = if [Method::POST, Method::PUT].contains(request.method()) {
            take(request, lines).await
        } else {
            StatusCode::METHOD_NOT_ALLOWED
        };
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = status;
        Ok::<_, Infallible>(response)
    });
    // A connection that breaks is the service's affair.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

async fn take(request: Request<Incoming>, lines: &mpsc::Sender<Vec<u8>>) -> StatusCode {
    let Ok(body) = Limited::new(request.into_body(), limits::BODY_BYTES).collect().await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    match lines.send(ended(body.to_bytes().to_vec())).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
