//! The service under test: lines over TCP, and each number that is added stands in its file before the answer is given.
//!
//! ```text
//! PING         OK
//! ADD 17       OK 17
//! ADD 1000 17  OK 1017, a record of a stream
//! ```

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// The first argument of a process that is one.
pub const WORD: &str = "serve-numbers";

/// Beside what it writes: once this is there, it answers at once.
pub const ENOUGH: &str = "enough";

/// So many records of a stream take as long as one step.
const RECORDS: u32 = 20;

struct Numbers {
    written: File,
    enough: PathBuf,
    pause: Duration,
}

/// Port, file, and the milliseconds that an answer takes.
pub fn run(words: &[String]) -> ExitCode {
    let [port, file, pause_ms] = words else { panic!("port, file and pause are expected, not {words:?}") };
    let written = OpenOptions::new().create(true).append(true).open(file).expect("the file can be written");
    let enough = Path::new(file).with_file_name(ENOUGH);
    let pause = Duration::from_millis(pause_ms.parse().expect("milliseconds"));
    let numbers = Arc::new(Numbers { written, enough, pause });
    let port: u16 = port.parse().expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    for stream in listener.incoming().flatten() {
        let numbers = Arc::clone(&numbers);
        // Whoever breaks off has been answered as far as could be.
        std::thread::spawn(move || drop(numbers.converse(stream)));
    }
    ExitCode::FAILURE
}

impl Numbers {
    fn converse(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let reader = BufReader::new(stream.try_clone()?);
        for line in reader.lines() {
            let answer = self.answer(&line?)?;
            stream.write_all(answer.as_bytes())?;
        }
        Ok(())
    }

    fn answer(&self, line: &str) -> std::io::Result<String> {
        let mut words = line.split_whitespace();
        if words.next() != Some("ADD") {
            return Ok("OK\n".to_owned());
        }
        let words: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        let number: u64 = words.iter().sum();
        // One write: nobody sees half of it.
        (&self.written).write_all(format!("{number}\n").as_bytes())?;
        if !self.enough.exists() {
            let (_open, nothing) = mpsc::channel::<()>();
            let pause = if words.len() > 1 { self.pause / RECORDS } else { self.pause };
            let _ = nothing.recv_timeout(pause);
        }
        Ok(format!("OK {number}\n"))
    }
}
