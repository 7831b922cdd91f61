//! HTTP/1.1 for JSON: requests with `Content-Length`, kept-alive connections, a thread each.
//!
//! By hand, because a person waits for the cold build of this package and a framework is most of a minute of it. What it does
//! not do (chunked bodies, upgrades, pipelined writes) it refuses with a status.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::{limits, net};

/// A request, complete with its body.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub body: Vec<u8>,
}

/// A status and its JSON body.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: Value,
    /// Only so many bytes of the body are sent before the connection is closed.
    pub cut: Option<usize>,
}

impl Response {
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, body, cut: None }
    }

    /// A refusal: `{"error": …}`.
    pub fn error(status: u16, error: &str) -> Self {
        Self::new(status, json!({ "error": error }))
    }
}

/// Answers every request with `answer`; returns when the listener breaks.
pub fn serve<F>(listener: &TcpListener, answer: F) -> io::Error
where
    F: Fn(&Request) -> Response + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    net::serve_each(listener, move |stream, _| converse(stream, answer.as_ref()))
}

fn converse(mut stream: TcpStream, answer: &dyn Fn(&Request) -> Response) -> io::Result<()> {
    stream.set_read_timeout(Some(limits::IDLE))?;
    stream.set_write_timeout(Some(limits::IDLE))?;
    let mut received = Vec::new();
    loop {
        let (response, after) = match next_request(&mut stream, &mut received)? {
            Next::Request(request, after) => (answer(&request), after),
            Next::Refused(response) => (response, After::Close),
            Next::Gone => return Ok(()),
        };
        write(&mut stream, &response, after)?;
        if after == After::Close || response.cut.is_some() {
            return Ok(());
        }
    }
}

enum Next {
    Request(Request, After),
    Refused(Response),
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

struct Head {
    method: String,
    path: String,
    after: After,
    /// Of the head itself, in bytes.
    length: usize,
    body_length: usize,
}

/// Reads on until `received` holds a whole request, and takes it out.
fn next_request(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<Next> {
    let head = loop {
        match parse_head(received) {
            Ok(Some(head)) => break head,
            Ok(None) if received.len() > limits::HEAD_BYTES => {
                return Ok(Next::Refused(Response::error(431, "the head is too long")));
            }
            Ok(None) => {
                if read_more(stream, received)? == 0 {
                    return Ok(Next::Gone);
                }
            }
            Err(response) => return Ok(Next::Refused(response)),
        }
    };
    let end = head.length + head.body_length;
    while received.len() < end {
        if read_more(stream, received)? == 0 {
            return Ok(Next::Gone);
        }
    }
    let body = received[head.length..end].to_vec();
    received.drain(..end);
    let request = Request { method: head.method, path: head.path, body };
    Ok(Next::Request(request, head.after))
}

fn read_more(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 4096];
    let count = stream.read(&mut chunk)?;
    received.extend_from_slice(&chunk[..count]);
    Ok(count)
}

/// The head at the start of `bytes`, `None` while it is incomplete, or the refusal it deserves.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Response> {
    let mut headers = [httparse::EMPTY_HEADER; limits::HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(Response::error(400, &format!("not HTTP: {error}"))),
    };
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().map(str::trim)
    };
    if header("transfer-encoding").is_some() {
        return Err(Response::error(411, "a body needs Content-Length"));
    }
    let body_length: usize = header("content-length")
        .unwrap_or("0")
        .parse()
        .map_err(|_| Response::error(400, "Content-Length is not a number"))?;
    if body_length > limits::BODY_BYTES {
        return Err(Response::error(413, "the body is too long"));
    }
    let closes = header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let target = request.path.unwrap_or("/");
    Ok(Some(Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: target.split('?').next().unwrap_or(target).to_owned(),
        after: if closes || request.version == Some(0) { After::Close } else { After::Keep },
        length,
        body_length,
    }))
}

fn write(stream: &mut TcpStream, response: &Response, after: After) -> io::Result<()> {
    let body = response.body.to_string();
    let connection = if after == After::Close { "connection: close\r\n" } else { "" };
    let sent = response.cut.map_or(body.as_str(), |cut| &body[..body.floor_char_boundary(cut)]);
    let message = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{connection}\r\n{sent}",
        response.status,
        reason(response.status),
        body.len(),
    );
    stream.write_all(message.as_bytes())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "",
    }
}
