//! One POST of JSON, as far as the shop needs it: the status is the answer.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::{limits, net};

/// Where to post: what to connect to, and the path there.
#[derive(Debug)]
pub struct Target<'a> {
    /// `host:port`.
    pub address: &'a str,
    pub path: &'a str,
}

/// Posts `body` and returns the status; each read and write may take `answer`.
pub fn post(target: &Target<'_>, body: &Value, answer: Duration) -> io::Result<u16> {
    let mut stream = net::connect(target.address, answer)?;
    let body = body.to_string();
    let message = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        target.path,
        target.address,
        body.len(),
    );
    stream.write_all(message.as_bytes())?;
    read_status(&mut stream)
}

/// Reads the head and as much body as it announces: closing on unread bytes would reset the other end.
fn read_status(stream: &mut TcpStream) -> io::Result<u16> {
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk)?;
        received.extend_from_slice(&chunk[..count]);
        match (parse(&received)?, count) {
            (Some((status, end)), _) if received.len() >= end => return Ok(status),
            (Some((status, _)), 0) => return Ok(status),
            (None, 0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if received.len() > limits::HEAD_BYTES + limits::BODY_BYTES => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
            }
            _ => {}
        }
    }
}

/// The status and where the message ends; without `Content-Length` it ends with the connection.
fn parse(bytes: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; limits::HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes);
    let parsed = parsed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    let httparse::Status::Complete(head) = parsed else {
        return Ok(None);
    };
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok())
        .and_then(|value| value.trim().parse::<usize>().ok());
    let end = length.map_or(usize::MAX, |length| head.saturating_add(length));
    Ok(response.code.map(|status| (status, end)))
}
