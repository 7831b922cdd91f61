//! The same by redis: a counter and a message when it is full are a barrier, PUBLISH is a value, INCR an operation.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::member::{self, Kind, Points, Told};

/// So many clients, each a process of its own. None: redis is not installed.
pub fn run(kind: Kind, clients: usize) -> Option<Told> {
    let Some(server) = Server::start() else {
        eprintln!("skipped: redis-server is not in the PATH; `apt-get install redis-server` brings it");
        return None;
    };
    println!("{}: `redis-server --port PORT --save \"\" --appendonly no`", server.version);
    let this = std::env::current_exe().expect("this program has a path");
    // as many processes as there are agents beside members
    let at_each = clients / crate::MEMBERS;
    let all: Vec<Child> = (0..crate::MEMBERS)
        .map(|number| {
            let words = [number * at_each, clients, at_each, usize::from(server.port)].map(|word| word.to_string());
            let mut command = Command::new(&this);
            command.args([member::CHILD, kind.word()]).args(words).stdout(Stdio::piped());
            command.spawn().expect("this program can be started")
        })
        .collect();
    let text = |child: Child| {
        let ended = child.wait_with_output().expect("it was started");
        assert!(ended.status.success(), "a client of redis failed");
        String::from_utf8_lossy(&ended.stdout).into_owned()
    };
    Some(Told::of(all.into_iter().map(text).collect::<Vec<_>>().into_iter()))
}

#[derive(Debug)]
struct Server {
    child: Child,
    port: u16,
    version: String,
}

impl Server {
    fn start() -> Option<Self> {
        let said = Command::new("redis-server").arg("--version").output().ok()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let version = said.split(" sha").next().unwrap_or_default().trim().to_owned();
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).ok()?.port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--maxclients", "10000"]);
        let child = command.stdout(Stdio::null()).spawn().ok()?;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Some(Self { child, port, version })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client with one connection, and one that listens.
#[derive(Debug)]
pub struct Redis {
    stream: BufReader<TcpStream>,
    listening: BufReader<TcpStream>,
    members: usize,
}

impl Redis {
    pub fn open(port: u16, members: usize) -> Self {
        let open = || {
            let stream = TcpStream::connect(("127.0.0.1", port)).expect("redis listens");
            stream.set_nodelay(true).expect("a socket");
            BufReader::new(stream)
        };
        Self { stream: open(), listening: open(), members }
    }

    fn ask(&mut self, words: &[&str]) -> i64 {
        send(&mut self.stream, words);
        match reply(&mut self.stream) {
            Reply::Number(number) => number,
            Reply::Words(words) => panic!("a number was expected: {words:?}"),
        }
    }
}

/// RESP2, <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
fn send(stream: &mut BufReader<TcpStream>, words: &[&str]) {
    let mut text = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| text += &format!("${}\r\n{word}\r\n", word.len()));
    stream.get_mut().write_all(text.as_bytes()).expect("redis listens");
}

enum Reply {
    Number(i64),
    Words(Vec<String>),
}

fn reply(stream: &mut BufReader<TcpStream>) -> Reply {
    let mut line = String::new();
    stream.read_line(&mut line).expect("redis answers");
    let (kind, rest) = line.trim_end().split_at(1);
    match kind {
        ":" => Reply::Number(rest.parse().expect("a number")),
        "$" => {
            let mut text = vec![0; rest.parse::<usize>().expect("a length") + 2];
            stream.read_exact(&mut text).expect("redis answers");
            Reply::Words(vec![String::from_utf8_lossy(&text).trim_end().to_owned()])
        }
        "*" => {
            let parts = (0..rest.parse::<usize>().expect("a length")).map(|_| match reply(stream) {
                Reply::Number(number) => number.to_string(),
                Reply::Words(words) => words.concat(),
            });
            Reply::Words(parts.collect())
        }
        _ => panic!("redis says {line}"),
    }
}

impl Points for Redis {
    fn meet(&mut self, name: &str) {
        let channel = format!("open:{name}");
        send(&mut self.listening, &["SUBSCRIBE", &channel]);
        let _ = reply(&mut self.listening);
        let members = self.members;
        if usize::try_from(self.ask(&["INCR", name])).is_ok_and(|came| came == members) {
            self.ask(&["PUBLISH", &channel, "open"]);
        }
        let _ = reply(&mut self.listening);
        send(&mut self.listening, &["UNSUBSCRIBE", &channel]);
        let _ = reply(&mut self.listening);
    }

    fn signal(&mut self, name: &str) {
        self.ask(&["INCR", name]);
    }

    fn publish(&mut self, topic: &str, value: i64) {
        self.ask(&["PUBLISH", topic, &value.to_string()]);
    }

    fn follow(&mut self, topic: &str, count: usize, each: &mut dyn FnMut(i64)) {
        send(&mut self.listening, &["SUBSCRIBE", topic]);
        let _ = reply(&mut self.listening);
        for _ in 0..count {
            if let Reply::Words(words) = reply(&mut self.listening) {
                each(words[2].parse().expect("a time"));
            }
        }
    }
}
