//! Answers that mean harm, one a path over HTTP and one a word over TCP: without end, one byte at a time, larger than they look,
//! cut off, and made to be shown. `HTTP` and `TCP` are its ports.

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::{net, settings};

/// 16 MiB of nothing in 16 KiB.
const BOMB: &[u8] = include_bytes!("bomb.gz");

/// Clears a terminal, names its window, rings, and hides what follows.
const ESCAPES: &str = "\x1b[2J\x1b]0;owned\x07\x1b[8mhidden\x1b[0m \u{202e}desrever \u{9b}31m";

const SCRIPT: &str = "<script>alert('owned')</script><img src=x onerror=alert(1)> ]]> &amp; \" '";

/// Serves until it cannot; returns why.
pub fn run() -> Box<dyn Error> {
    serve().unwrap_or_else(|error| error)
}

fn serve() -> Result<Box<dyn Error>, Box<dyn Error>> {
    let web = net::listen(settings::port("HTTP")?)?;
    let lines = net::listen(settings::port("TCP")?)?;
    std::thread::spawn(move || net::serve_each(&lines, |stream, _| say_lines(stream)));
    Ok(net::serve_each(&web, |stream, _| answer(stream)).into())
}

fn first_line(stream: &TcpStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let request = first_line(&stream)?;
    // It serves one request a connection, and says so: whoever asks again at once meets no connection that is just being closed.
    let ok = |extra: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n{extra}\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    match request.split(' ').nth(1).unwrap_or("/") {
        "/endless-body" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            for_ever(&mut stream, &[b'x'; 16 * 1024], Duration::ZERO)
        }
        "/slow-bytes" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            for_ever(&mut stream, b"x", Duration::from_millis(20))
        }
        "/slow-head" => for_ever(&mut stream, b"H", Duration::from_millis(20)),
        "/gzip-bomb" => stream.write_all(&ok("content-encoding: gzip\r\n", BOMB)),
        "/header-flood" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            for_ever(&mut stream, &b"x-flood: water\r\n".repeat(64), Duration::ZERO)
        }
        "/early-close" => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"),
        "/negative-length" => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nshort"),
        "/invalid-utf8" => stream.write_all(&ok("", b"{\"name\": \"\xff\xfe\xc3\x28\"}\0")),
        "/escapes" => stream.write_all(&ok("", ESCAPES.as_bytes())),
        "/script" => stream.write_all(&ok("", SCRIPT.as_bytes())),
        _ => stream.write_all(&ok("", b"here")),
    }
}

fn say_lines(mut stream: TcpStream) -> io::Result<()> {
    match first_line(&stream)?.trim() {
        "endless-line" => for_ever(&mut stream, &[b'x'; 16 * 1024], Duration::ZERO),
        "slow-line" => for_ever(&mut stream, b"x", Duration::from_millis(20)),
        "early-close" => Ok(()),
        "invalid-utf8" => stream.write_all(b"\xff\xfe\xc3\x28\0\n"),
        "escapes" => stream.write_all(format!("{ESCAPES}\n").as_bytes()),
        _ => stream.write_all(b"here\n"),
    }
}

/// Until the caller has had enough.
fn for_ever(stream: &mut TcpStream, bytes: &[u8], pause: Duration) -> io::Result<()> {
    loop {
        stream.write_all(bytes)?;
        if !pause.is_zero() {
            net::pause(pause);
        }
    }
}
