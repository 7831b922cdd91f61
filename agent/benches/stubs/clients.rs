//! A client that costs as little as a client can: whole requests written, whole answers counted, nothing parsed twice.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Connections with one request each on the way: as many as a service's pool has.
const CONNECTIONS: usize = 16;

/// Longer than any answer takes on a busy machine; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Clients {
    streams: Vec<TcpStream>,
    request: Vec<u8>,
    /// Every answer of a run has the same length, but for digits of a call's number.
    buffer: Vec<u8>,
}

impl Clients {
    pub fn connect(address: SocketAddr, request: &[u8]) -> Self {
        let stream = |_| {
            let stream = TcpStream::connect(address).expect("it listens");
            stream.set_nodelay(true).expect("a socket");
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
            stream
        };
        let streams = (0..CONNECTIONS).map(stream).collect();
        Self { streams, request: request.to_vec(), buffer: vec![0; 64 * 1024] }
    }

    /// So many calls, spread over the connections.
    pub fn call(&mut self, calls: usize) {
        for _ in 0..calls / self.streams.len() {
            for stream in &mut self.streams {
                stream.write_all(&self.request).expect("it takes requests");
            }
            for stream in &mut self.streams {
                answer(stream, &mut self.buffer);
            }
        }
    }
}

/// Reads one answer to its end.
fn answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut read = 0;
    loop {
        let more = stream.read(&mut buffer[read..]).expect("it answers");
        assert!(more > 0, "the server ended the connection");
        read += more;
        let Some(head) = buffer[..read].windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..read]));
        if read >= head + 4 + length(&buffer[..head]) {
            return;
        }
    }
}

fn length(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).expect("headers are text");
    let found = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    found.and_then(|length| length.parse().ok()).expect("the body's length")
}
