//! A service as a child process, its log as a channel, and a line client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// Every wait of these tests ends here; what they wait for takes a few seconds at most.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const SHOP: &str = env!("CARGO_BIN_EXE_shop");
pub const LEDGER: &str = env!("CARGO_BIN_EXE_ledger");

/// A running service; killed when dropped.
pub struct Service {
    pub child: Child,
    pub address: String,
    facts: Receiver<String>,
}

impl Service {
    /// Starts `program` on a port of its own choice, with `env` besides.
    pub fn start(program: &str, env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(program)
            .env("PORT", "0")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the service starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, facts) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut service = Self { child, address: String::new(), facts };
        let listening = service.fact("listening address=");
        service.address = value(&listening, "address").to_owned();
        service
    }

    /// Waits for the next logged fact that contains `text`.
    pub fn fact(&self, text: &str) -> String {
        loop {
            match self.facts.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(error) => panic!("no fact with {text:?}: {error}"),
            }
        }
    }

    /// What was logged up to now and not taken yet.
    pub fn facts(&self) -> Vec<String> {
        self.facts.try_iter().collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value behind `key=` in a logged fact.
pub fn value<'a>(fact: &'a str, key: &str) -> &'a str {
    let word = fact.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    word.unwrap_or_else(|| panic!("{fact:?} has no {key}"))
}

/// The time stamp of a logged fact or an audit line.
pub fn stamp_ms(line: &str) -> u128 {
    let stamp = line.split(' ').next().and_then(|word| word.parse().ok());
    stamp.unwrap_or_else(|| panic!("{line:?} does not begin with a time"))
}

/// A connection on which a line is answered by a line.
pub struct Lines {
    stream: BufReader<TcpStream>,
}

impl Lines {
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the service listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Self { stream: BufReader::new(stream) }
    }

    pub fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).expect("the service reads");
    }

    /// Another handle for the sending half.
    pub fn sender(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("a handle is left")
    }

    pub fn receive(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("the service answers");
        line.trim_end().to_owned()
    }

    pub fn ask(&mut self, line: &str) -> String {
        self.send(&format!("{line}\n"));
        self.receive()
    }
}

/// One HTTP exchange on a connection of its own: status and body.
pub fn http(address: &str, method: &str, (path, body): (&str, &str)) -> (u16, serde_json::Value) {
    let mut stream = TcpStream::connect(address).expect("the service listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .expect("the service reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the service answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).expect("JSON"))
}

/// A file path of this test's own; removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("made of text")
    }

    pub fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).expect("the service made the file");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
