//! What was counted under a fault, held against what was asked for.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use meshproof_proto::limits::REORDER_HOLDS;
use meshproof_proto::shaper::{HttpShape, Onward, Shape};

use crate::limits;

/// What came and what went on while the fault was active.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub connections: BTreeSet<u64>,
    pub chunks: u64,
    pub bytes: u64,
    pub chunks_passed: u64,
    pub bytes_passed: u64,
    pub largest: u64,
    pub latencies: Duration,
    pub line_longest: Duration,
    pub ends: u64,
    pub ends_later: Duration,
    pub refused: u64,
    /// Connections that were taken though they were to be refused.
    pub let_in: u64,
    pub reset: BTreeSet<u64>,
    /// How long these were open under the fault, all together.
    pub lived: Duration,
    pub requests: u64,
    pub answered: u64,
    /// Requests that a fault struck that does not strike all, and those that it let through.
    pub singled: u64,
    pub spared: u64,
    pub datagrams: Datagrams,
}

/// A chunk that went on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    pub bytes: usize,
    /// What the line and the latency took.
    pub line: Duration,
    pub latency: Duration,
    /// Whether the line was taken when it came.
    pub waited: bool,
}

/// A copy of a datagram that went on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossed {
    pub number: u64,
    pub bytes: usize,
    pub later: Duration,
    pub waited: bool,
    /// So that others overtake it.
    pub held_back: bool,
}

/// How fast a line is while something waits for it: from when one goes on until the next one does that waited for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    last: Option<Instant>,
    bytes: u64,
    time: Duration,
}

impl Line {
    /// Something went on; so many bytes, if it had to wait for the line.
    pub(super) fn passed(&mut self, waited: Option<usize>, at: Instant) {
        if let Some((last, bytes)) = self.last.zip(waited) {
            self.bytes += bytes as u64;
            self.time += at.saturating_duration_since(last);
        }
        self.last = Some(at);
    }

    /// Several, each as fast as was asked for.
    pub(super) fn of<'l>(lines: impl Iterator<Item = &'l Self>) -> Self {
        lines.fold(Self::default(), |all, line| Self {
            last: None,
            bytes: all.bytes + line.bytes,
            time: all.time + line.time,
        })
    }

    /// Hardly anything has waited: that it is narrow was not felt, and clocks tick in milliseconds.
    fn bits_per_s(self) -> Option<f64> {
        (self.time >= limits::LINE_SHOWS).then(|| self.bytes as f64 * 8.0 / self.time.as_secs_f64())
    }
}

/// The datagrams among it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Datagrams {
    came: u64,
    lost: u64,
    doubled: u64,
    corrupted: u64,
    passed: u64,
    latencies: Duration,
    /// The newest that passed, and how many passed after one that came later.
    newest: u64,
    overtaken: u64,
    /// Those that went on as late as a datagram does that is kept back.
    kept_back: u64,
}

impl Datagrams {
    pub(super) fn came(&mut self, copies: &[Onward]) -> u64 {
        self.came += 1;
        self.lost += u64::from(copies.is_empty());
        self.doubled += u64::from(copies.len() > 1);
        self.corrupted += u64::from(copies.iter().any(|copy| copy.turned.is_some()));
        self.came
    }

    pub(super) fn passed(&mut self, Crossed { number, later, held_back, .. }: Crossed) {
        self.passed += 1;
        self.latencies += later;
        self.overtaken += u64::from(number < self.newest);
        self.newest = self.newest.max(number);
        self.kept_back += u64::from(held_back && later >= REORDER_HOLDS);
    }
}

/// One effect, for people, and how far it is from what was asked for, where both are numbers.
type Told = (String, Option<f64>);

impl Seen {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks == 0 && self.datagrams.came == 0 && self.refused + self.let_in == 0 && self.spared == 0
    }

    /// Whether there is something to report on.
    pub(super) fn is_measured(&self, shape: &Shape) -> bool {
        match shape {
            // No probe is one of the requests that are meant.
            _ if shape.only.is_some() => true,
            _ if shape.is_black_hole() => !self.is_empty(),
            _ if shape.is_for_datagrams() => self.datagrams.came > 0,
            _ if shape.is_for_connections() => self.effective(shape),
            _ => self.chunks_passed > 0 || self.datagrams.passed > 0,
        }
    }

    /// Whether anything of what was asked for struck.
    pub(super) fn effective(&self, shape: &Shape) -> bool {
        let (connections, datagrams) = (&shape.connections, &self.datagrams);
        let delays = shape.latency_us > 0 || shape.jitter_us > 0 || shape.bandwidth_bits_per_s.is_some();
        let came = self.chunks > 0 || datagrams.came > 0;
        [
            shape.is_black_hole() && (self.chunks > self.chunks_passed || datagrams.lost > 0),
            !shape.is_black_hole() && shape.loss_percent > 0.0 && datagrams.lost > 0,
            shape.datagrams.duplicate_percent > 0.0 && datagrams.doubled > 0,
            shape.datagrams.reorder_percent > 0.0 && datagrams.overtaken > 0,
            shape.datagrams.corrupt_percent > 0.0 && datagrams.corrupted > 0,
            connections.refuse && self.refused > 0,
            connections.reset_after_us.is_some() && !self.reset.is_empty(),
            connections.slice_bytes.is_some() && self.largest > 0,
            connections.slow_close_us > 0 && self.ends > 0,
            shape.http.is_some() && self.answered > 0,
            !shape.is_black_hole() && delays && came,
        ]
        .contains(&true)
    }

    /// For people, and how far the worst of it is from what was asked for.
    pub(super) fn measured(&self, shape: &Shape, line: Line) -> (String, Option<f64>) {
        if self.is_empty() {
            return (String::new(), None);
        }
        if shape.is_black_hole() && self.chunks > 0 {
            return self.held(shape);
        }
        let mut parts = self.stream_parts(shape, line);
        parts.extend(self.datagram_parts(shape));
        parts.extend(self.connection_parts(shape));
        let deviation = parts.iter().filter_map(|(_, deviation)| *deviation).reduce(f64::max);
        let texts: Vec<String> = parts.into_iter().map(|(text, _)| text).collect();
        let nothing = match texts.is_empty() {
            true if shape.only.is_some() && self.singled == 0 => "no request is struck",
            true => "nothing passed before the end",
            false => "",
        };
        let mut of = vec![self.travellers(shape)];
        if self.chunks > 0 && shape.only.is_none() {
            of.push(format!("{} chunks", self.chunks_passed));
        }
        if self.datagrams.came > 0 {
            of.push(format!("{} datagrams", self.datagrams.came));
        }
        (format!("{nothing}{} ({})", texts.join(", "), of.join(", ")), deviation)
    }

    fn held(&self, shape: &Shape) -> (String, Option<f64>) {
        let (came, passed) = (self.chunks + self.datagrams.came, self.chunks_passed + self.datagrams.passed);
        let loss = 100.0 * came.saturating_sub(passed) as f64 / came as f64;
        let bytes = match self.bytes - self.bytes_passed {
            // Held while they opened or closed; their services' bytes are not even read before they are open.
            0 => " held".to_owned(),
            held => format!(", {held} B held"),
        };
        (
            format!("loss {loss:.0}% ({}{bytes}, {} B passed)", self.travellers(shape), self.bytes_passed),
            Some(100.0 - loss),
        )
    }

    fn stream_parts(&self, shape: &Shape, line: Line) -> Vec<Told> {
        let mut parts = Vec::new();
        let passed = self.chunks_passed + self.datagrams.passed;
        if passed > 0 && (shape.latency_us > 0 || shape.jitter_us > 0) {
            let mean = (self.latencies + self.datagrams.latencies).as_secs_f64() / passed as f64;
            let asked = Duration::from_micros(shape.latency_us).as_secs_f64();
            parts.push((format!("latency {:.0}ms", mean * 1_000.0), off(mean, asked)));
        }
        if let Some(asked) = shape.bandwidth_bits_per_s {
            let told = match line.bits_per_s() {
                Some(bits) => (format!("bandwidth {:.0} kbit/s", bits / 1_000.0), off(bits, asked as f64)),
                None => ("hardly anything waited for the line".to_owned(), None),
            };
            parts.push(told);
            parts.push((format!("{} B passed, waiting up to {:.0?}", self.bytes_passed, self.line_longest), None));
        }
        parts
    }

    fn datagram_parts(&self, shape: &Shape) -> Vec<Told> {
        let Datagrams { came, lost, doubled, overtaken, kept_back, corrupted, .. } = self.datagrams;
        let share = |count: u64| 100.0 * count as f64 / came.max(1) as f64;
        let told = |word: &str, asked: f64, count: u64| {
            (asked > 0.0 && came > 0).then(|| (format!("{word} {:.1}%", share(count)), off(share(count), asked)))
        };
        let reordered = told("reorder", shape.datagrams.reorder_percent, kept_back);
        let reordered = reordered.map(|(text, off)| (format!("{text}, {overtaken} overtaken"), off));
        let parts = [
            told("loss", shape.loss_percent, lost),
            told("duplicate", shape.datagrams.duplicate_percent, doubled),
            reordered,
            told("corrupt", shape.datagrams.corrupt_percent, corrupted),
        ];
        parts.into_iter().flatten().collect()
    }

    fn connection_parts(&self, shape: &Shape) -> Vec<Told> {
        let connections = &shape.connections;
        let mut parts = Vec::new();
        if connections.refuse {
            let all = self.refused + self.let_in;
            parts.push((format!("refused {} of {all}", self.refused), missed(self.refused, all)));
        }
        parts.extend(connections.reset_after_us.map(|after| self.reset(after, shape)));
        if let Some(bytes) = connections.slice_bytes.filter(|_| self.largest > 0) {
            let over = 100.0 * self.largest.saturating_sub(bytes) as f64 / bytes.max(1) as f64;
            parts.push((format!("pieces of at most {} B", self.largest), Some(over)));
        }
        if connections.slow_close_us > 0 && self.ends > 0 {
            let mean = self.ends_later.as_secs_f64() / self.ends as f64;
            let asked = Duration::from_micros(connections.slow_close_us + shape.latency_us).as_secs_f64();
            parts.push((format!("{} closed {:.0}ms later", self.ends, mean * 1_000.0), off(mean, asked)));
        }
        parts.extend(shape.http.as_ref().filter(|_| self.requests > 0).map(|http| self.answered(http)));
        parts
    }

    /// After a time it is that which counts; at once, whether all were.
    fn reset(&self, after_us: u64, shape: &Shape) -> Told {
        let count = self.reset.len() as u64;
        if after_us > 0 && count > 0 {
            let mean = self.lived.as_secs_f64() / count as f64;
            let asked = Duration::from_micros(after_us).as_secs_f64();
            return (format!("reset {count} after {:.0}ms", mean * 1_000.0), off(mean, asked));
        }
        let struck = if shape.only.is_some() { self.singled } else { self.connections.len() as u64 };
        let all = struck.max(count);
        (format!("reset {count} of {all}"), (after_us == 0).then(|| missed(count, all)).flatten())
    }

    fn answered(&self, http: &HttpShape) -> Told {
        let requests = self.requests as f64;
        let asked = match (http.first, http.percent) {
            (Some(first), _) => (first as f64).min(requests),
            (None, Some(percent)) => requests * percent / 100.0,
            (None, None) => requests,
        };
        let text = format!("status {} for {} of {} requests", http.status, self.answered, self.requests);
        (text, off(self.answered as f64, asked))
    }

    fn travellers(&self, shape: &Shape) -> String {
        let connections = match self.connections.len() {
            0 => "probes only".to_owned(),
            1 => "1 connection".to_owned(),
            many => format!("{many} connections"),
        };
        match shape.only {
            Some(_) => format!("{connections}, {} of {} requests", self.singled, self.singled + self.spared),
            None => connections,
        }
    }
}

/// Those that were not struck, in per cent of all that were to be.
fn missed(struck: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| 100.0 * (all - struck) as f64 / all as f64)
}

/// In per cent of what was asked for.
fn off(measured: f64, asked: f64) -> Option<f64> {
    (asked > 0.0).then(|| 100.0 * (measured - asked).abs() / asked)
}
