//! One connection: reads lines, writes answers, and tells stdout when it opened, first posted and closed.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::book::Book;
use super::protocol;
use crate::facts::{say, took_ms};
use crate::limits;

/// Serves the connection until the client closes it. Answers leave together when the client has sent several lines at once.
pub fn converse(stream: &TcpStream, number: u64, book: &Book) -> io::Result<()> {
    stream.set_read_timeout(Some(limits::LEDGER_IDLE))?;
    stream.set_write_timeout(Some(limits::LEDGER_IDLE))?;
    let mut told = Told::open(number);
    let mut input = BufReader::new(stream);
    let mut output = BufWriter::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut input).take(limits::LINE_BYTES).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return output.flush();
        }
        if line.last() != Some(&b'\n') {
            output.write_all(b"ERR a line without an end\n")?;
            return output.flush();
        }
        let text = String::from_utf8_lossy(&line);
        told.line(text.trim());
        writeln!(output, "{}", protocol::answer(&text, book))?;
        if input.buffer().is_empty() {
            output.flush()?;
        }
    }
}

/// What stdout hears of a connection.
struct Told {
    number: u64,
    posts: u64,
    start: Instant,
}

impl Told {
    fn open(number: u64) -> Self {
        let told = Self { number, posts: 0, start: Instant::now() };
        told.say(format_args!("open"));
        told
    }

    fn line(&mut self, line: &str) {
        if let Some(id) = line.strip_prefix("POST ") {
            self.posts += 1;
            if self.posts == 1 {
                self.say(format_args!("first-post order={id}"));
            }
        }
    }

    fn say(&self, fact: std::fmt::Arguments<'_>) {
        if self.number <= limits::CONNECTIONS_TOLD {
            say(format_args!("connection={} {fact}", self.number));
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.say(format_args!("closed posts={} took_ms={}", self.posts, took_ms(self.start)));
    }
}
