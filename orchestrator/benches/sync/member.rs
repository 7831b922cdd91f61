//! A member: a program that does the same by the API of its agent or by redis, and prints when.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::measure::Spread;
use crate::redis::Redis;

/// The word by which this program is one.
pub const CHILD: &str = "member";

/// Barriers, after some that nobody looks at.
const ROUNDS: usize = 20;
const FIRST: usize = 3;
/// Values of one member.
const VALUES: usize = 100;
const EVERY: Duration = Duration::from_millis(20);
/// How long members signal.
const SPAN: Duration = Duration::from_secs(3);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Barrier,
    Publish,
    Operations,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Barrier => "barrier",
            Self::Publish => "publish",
            Self::Operations => "operations",
        }
    }

    fn of(word: &str) -> Self {
        let all = [Self::Barrier, Self::Publish, Self::Operations];
        all.into_iter().find(|kind| kind.word() == word).expect("the bench starts members")
    }
}

/// Microseconds of the clock that all processes of a machine share.
fn now_us() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// `member KIND NUMBER MEMBERS AT_EACH [REDIS_PORT]`: so many members, the first of that number, from 0.
pub fn run(words: &[String]) {
    let kind = Kind::of(&words[0]);
    let numbers: Vec<usize> = words[1..].iter().map(|word| word.parse().expect("a number")).collect();
    let [number, members, at_each, ref port @ ..] = numbers[..] else { panic!("too few words: {words:?}") };
    let port = port.first().map(|port| u16::try_from(*port).expect("a port"));
    let lines: Vec<String> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..at_each)
            .map(|which| {
                scope.spawn(move || match port {
                    Some(port) => one(kind, (number + which, members), &mut Redis::open(port, members)),
                    None => one(kind, (number + which, members), &mut Api::open(members)),
                })
            })
            .collect();
        all.into_iter().flat_map(|one| one.join().expect("a member works")).collect()
    });
    let mut out = std::io::stdout().lock();
    out.write_all(lines.concat().as_bytes()).expect("its log takes it");
}

/// What both can do.
pub trait Points {
    /// Comes to a barrier of all, and goes when everybody has come.
    fn meet(&mut self, name: &str);
    fn signal(&mut self, name: &str);
    fn publish(&mut self, topic: &str, value: i64);
    /// Passes on values of a topic as they come.
    fn follow(&mut self, topic: &str, count: usize, each: &mut dyn FnMut(i64));
}

#[expect(clippy::disallowed_methods, reason = "values are sent so far apart in time that each is measured alone")]
fn one(kind: Kind, (number, members): (usize, usize), points: &mut dyn Points) -> Vec<String> {
    points.meet("begin");
    match kind {
        Kind::Barrier => (0..FIRST + ROUNDS)
            .filter_map(|round| {
                let came = now_us();
                points.meet(&format!("r{round}"));
                let went = now_us();
                (round >= FIRST).then(|| format!("barrier {round} {came} {went}\n"))
            })
            .collect(),
        Kind::Publish if number == 0 => {
            // the others follow by then
            points.meet("following");
            for _ in 0..VALUES {
                std::thread::sleep(EVERY);
                points.publish("values", now_us());
            }
            points.meet("over");
            Vec::new()
        }
        Kind::Publish => {
            points.meet("following");
            let mut lines = Vec::new();
            points.follow("values", VALUES, &mut |sent| lines.push(format!("value {}\n", now_us() - sent)));
            points.meet("over");
            lines
        }
        Kind::Operations => {
            let (began, mut done) = (now_us(), 0_u64);
            let span = i64::try_from(SPAN.as_micros()).expect("short");
            while now_us() - began < span {
                points.signal("more");
                done += 1;
            }
            let line = format!("operations {done} {began} {}\n", now_us());
            points.meet(&format!("over-{members}"));
            vec![line]
        }
    }
}

/// The API of an agent, over one connection that stays.
#[derive(Debug)]
struct Api {
    stream: BufReader<TcpStream>,
    host: String,
    path: String,
    members: usize,
}

impl Api {
    fn open(members: usize) -> Self {
        let url = std::env::var("MESHPROOF_API").expect("a member has it");
        let (host, token) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
        let stream = TcpStream::connect(host).expect("its agent listens");
        stream.set_nodelay(true).expect("a socket");
        Self { stream: BufReader::new(stream), host: host.to_owned(), path: format!("/{token}"), members }
    }

    fn send(&mut self, method: &str, call: &str, body: &str) {
        let (path, host, length) = (&self.path, &self.host, body.len());
        let text = format!("{method} {path}/{call} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n{body}");
        self.stream.get_mut().write_all(text.as_bytes()).expect("its agent listens");
    }

    /// The header fields of the answer that matter: how long its body is.
    fn head(&mut self) -> usize {
        let mut length = 0;
        let mut line = String::new();
        for number in 0.. {
            line.clear();
            self.stream.read_line(&mut line).expect("an answer");
            assert!(number > 0 || line.starts_with("HTTP/1.1 200"), "{line}");
            match line.trim_end().to_ascii_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().expect("a length"),
                Some(_) => {}
                None if number == 0 => {}
                None => break,
            }
        }
        length
    }

    fn call(&mut self, method: &str, call: &str, body: &str) {
        self.send(method, call, body);
        let mut body = vec![0; self.head()];
        self.stream.read_exact(&mut body).expect("a whole answer");
    }
}

impl Points for Api {
    fn meet(&mut self, name: &str) {
        self.signal(name);
        self.call("GET", &format!("barrier/{name}?count={}", self.members), "");
    }

    fn signal(&mut self, name: &str) {
        self.call("POST", &format!("signal/{name}"), "");
    }

    fn publish(&mut self, topic: &str, value: i64) {
        self.call("POST", &format!("publish/{topic}"), &value.to_string());
    }

    fn follow(&mut self, topic: &str, count: usize, each: &mut dyn FnMut(i64)) {
        let mut other = Self::open(self.members);
        other.send("GET", &format!("subscribe/{topic}?count={count}"), "");
        other.head();
        let mut line = String::new();
        let mut left = count;
        while left > 0 {
            line.clear();
            assert!(other.stream.read_line(&mut line).expect("values") > 0, "{left} values did not come");
            if let Some(value) = line.trim_end().strip_prefix("data: ") {
                each(value.parse().expect("a time"));
                left -= 1;
            }
        }
    }
}

/// What all members printed.
#[derive(Debug, Default)]
pub struct Told(Vec<String>);

/// Barriers, in milliseconds.
#[derive(Debug)]
pub struct Barriers {
    pub last: Spread,
    pub each_p99: Spread,
}

impl Told {
    pub fn of(texts: impl Iterator<Item = String>) -> Self {
        Self(texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect())
    }

    fn numbers<'t>(&'t self, word: &'t str) -> impl Iterator<Item = Vec<i64>> + 't {
        let lines = self.0.iter().filter_map(move |line| line.strip_prefix(word)?.strip_prefix(' '));
        lines.map(|line| line.split(' ').map(|number| number.parse().expect("a number")).collect())
    }

    pub fn barriers(&self, members: usize) -> Barriers {
        let mut rounds: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
        for times in self.numbers("barrier") {
            rounds.entry(times[0]).or_default().push((times[1], times[2]));
        }
        assert_eq!(rounds.len(), ROUNDS);
        let (mut last, mut p99) = (Vec::new(), Vec::new());
        for times in rounds.values() {
            assert_eq!(times.len(), members, "each member told of each barrier");
            let came = times.iter().map(|(came, _)| *came).max().expect("members");
            let mut after: Vec<f64> = times.iter().map(|(_, went)| (went - came) as f64 / 1e3).collect();
            assert!(after.iter().all(|after| *after >= 0.0), "nobody goes before everybody has come");
            after.sort_by(f64::total_cmp);
            last.push(after[after.len() - 1]);
            p99.push(after[(after.len() - 1) * 99 / 100]);
        }
        Barriers { last: Spread::of(&last), each_p99: Spread::of(&p99) }
    }

    /// p50 and p99 in milliseconds.
    pub fn latencies(&self) -> (f64, f64) {
        let mut all: Vec<f64> = self.numbers("value").map(|times| times[0] as f64 / 1e3).collect();
        all.sort_by(f64::total_cmp);
        let at = |percent: usize| all[(all.len() - 1) * percent / 100];
        (at(50), at(99))
    }

    /// Of all members together, from the first to begin to the last to end.
    pub fn rate(&self) -> f64 {
        let all: Vec<Vec<i64>> = self.numbers("operations").collect();
        let done: i64 = all.iter().map(|numbers| numbers[0]).sum();
        let (began, ended) = (all.iter().map(|n| n[1]).min(), all.iter().map(|n| n[2]).max());
        done as f64 * 1e6 / (ended.expect("members") - began.expect("members")) as f64
    }
}
