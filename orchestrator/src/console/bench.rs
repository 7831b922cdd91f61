//! A bench between two agents, as a console has it made and sees it go on.

use meshproof_proto::order::millis;
use std::time::Duration;

use meshproof_proto::bench::{BenchOrder, BenchReport, BenchStage, Flow};
use meshproof_proto::verdict::Exit;
use serde_json::{Value, json};
use tarpc::context;
use thiserror::Error;

use super::limits::BENCH_ASK_EVERY;
use super::peer::{Console, ConsoleError};
use crate::report::table::{bytes, milliseconds};

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Wish {
    pub from: String,
    pub to: String,
    pub pings: u32,
    /// Each way.
    pub lasts: Duration,
}

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum BenchError {
    #[error("no agent is named `{name}` in this mesh; {}", those(.agents))]
    NoAgent { name: String, agents: Vec<String> },
    #[error("agent {name} does not answer: {why}")]
    Missing { name: String, why: String },
    #[error("agent {agent}: {cause}")]
    Agent { agent: String, cause: ConsoleError },
    #[error("the bench between {from} and {to} failed: {reason}")]
    Failed { from: String, to: String, reason: String },
}

impl BenchError {
    /// What the command exits with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoAgent { .. } => Exit::Usage,
            Self::Missing { .. } | Self::Agent { .. } | Self::Failed { .. } => Exit::MeshFailed,
        }
    }
}

fn those(agents: &[String]) -> String {
    if agents.is_empty() { "no agent is there".to_owned() } else { format!("there are {}", agents.join(", ")) }
}

/// Has it made, and tells a line for each second.
///
/// # Errors
/// There is no such agent, it refuses or is silent, or the link broke.
pub async fn bench(
    console: &mut Console,
    wish: &Wish,
    mut tell: impl FnMut(String),
) -> Result<BenchReport, BenchError> {
    let agent = |name: &String| {
        let none = || match console.why_missing(name) {
            Some(why) => BenchError::Missing { name: name.clone(), why },
            None => BenchError::NoAgent { name: name.clone(), agents: console.names() },
        };
        console.agent(name).ok_or_else(none)
    };
    let ((_, client), (to, _)) = (agent(&wish.from)?, agent(&wish.to)?);
    let cannot = |cause| BenchError::Agent { agent: wish.from.clone(), cause };
    let duration_ms = millis(wish.lasts);
    let order = BenchOrder { to, pings: wish.pings, duration_ms };
    Box::pin(console.call(client.begin_bench(context::current(), order))).await.map_err(cannot)?;
    let mut told = Told::default();
    loop {
        let report = Box::pin(console.call(client.bench(context::current()))).await.map_err(cannot)?;
        told.news(wish, &report).into_iter().for_each(&mut tell);
        match report.stage {
            BenchStage::Done => return Ok(report),
            BenchStage::Failed { reason } => {
                return Err(BenchError::Failed { from: wish.from.clone(), to: wish.to.clone(), reason });
            }
            BenchStage::Linking | BenchStage::Pinging | BenchStage::Sending | BenchStage::Receiving => {
                console.attend(BENCH_ASK_EVERY).await;
            }
        }
    }
}

/// What was shown already.
#[derive(Debug, Default)]
struct Told {
    pings: usize,
    sent: usize,
    received: usize,
}

impl Told {
    fn news(&mut self, wish: &Wish, report: &BenchReport) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(pings) = report.pings.filter(|_| self.pings == 0) {
            self.pings = 1;
            let [min, p50, p99, max] = [pings.min_us, pings.p50_us, pings.p99_us, pings.max_us].map(milliseconds);
            let path = report.path.map_or("path unknown", |path| path.word());
            lines.push(format!("{} - {}, {path}", wish.from, wish.to));
            lines.push(format!("{} round trips: min {min}, p50 {p50}, p99 {p99}, max {max}", pings.count));
        }
        let is_over = |stage: &[BenchStage]| stage.contains(&report.stage);
        let (there, back) = ((&wish.from, &wish.to), (&wish.to, &wish.from));
        lines.extend(seconds(there, &report.sent, &mut self.sent));
        if is_over(&[BenchStage::Receiving, BenchStage::Done]) {
            lines.extend(whole(there, &report.sent, &mut self.sent));
        }
        lines.extend(seconds(back, &report.received, &mut self.received));
        if is_over(&[BenchStage::Done]) {
            lines.extend(whole(back, &report.received, &mut self.received));
        }
        lines
    }
}

/// Marks a direction whose last line was told.
const ALL_TOLD: usize = usize::MAX;

fn seconds((from, to): (&String, &String), flow: &Flow, told: &mut usize) -> Vec<String> {
    if *told == ALL_TOLD {
        return Vec::new();
    }
    let line = |(index, count): (usize, &u64)| {
        let so_far: u64 = flow.seconds.iter().take(index + 1).sum();
        format!("{from} -> {to}  {:>4} s  {:>10}  {:>12}/s", index + 1, bytes(so_far), bytes(*count))
    };
    let lines = flow.seconds.iter().enumerate().skip(*told).map(line).collect();
    *told = flow.seconds.len();
    lines
}

fn whole((from, to): (&String, &String), flow: &Flow, told: &mut usize) -> Option<String> {
    if std::mem::replace(told, ALL_TOLD) == ALL_TOLD {
        return None;
    }
    let pace = bytes(flow.bytes_per_s().unwrap_or_default() as u64);
    let took = flow.elapsed_us as f64 / 1e6;
    Some(format!("{from} -> {to}  {:>10} in {took:.2} s: {pace}/s", bytes(flow.bytes)))
}

/// One document.
#[must_use]
pub fn json(wish: &Wish, report: &BenchReport) -> Value {
    let flow = |(from, to): (&String, &String), flow: &Flow| {
        json!({
            "from": from, "to": to, "bytes": flow.bytes, "elapsed_us": flow.elapsed_us,
            "bytes_per_s": flow.bytes_per_s().map(f64::round), "seconds": flow.seconds,
        })
    };
    let (from, to) = (&wish.from, &wish.to);
    json!({
        "between": [from, to], "path": report.path, "round_trips": report.pings,
        "goodput": [flow((from, to), &report.sent), flow((to, from), &report.received)],
    })
}

#[cfg(test)]
mod tests {
    use meshproof_proto::bench::Pings;
    use meshproof_proto::links::LinkPath;

    use super::*;

    #[test]
    fn each_line_is_told_once_and_each_way_ends_with_its_whole() {
        let wish = Wish { from: "shop".to_owned(), to: "ledger".to_owned(), pings: 2, lasts: Duration::from_secs(1) };
        let mut told = Told::default();
        let mut report = BenchReport::new();
        assert!(told.news(&wish, &report).is_empty());
        (report.stage, report.path) = (BenchStage::Sending, Some(LinkPath::Direct));
        report.pings = Pings::of(vec![90, 120]);
        report.sent.arrived(50_000_000, Duration::from_millis(900));
        report.sent.passed(Duration::from_millis(1_010));
        let lines = told.news(&wish, &report);
        assert_eq!(
            lines,
            [
                "shop - ledger, direct",
                "2 round trips: min 0.09 ms, p50 0.12 ms, p99 0.12 ms, max 0.12 ms",
                "shop -> ledger     1 s    50.00 MB      50.00 MB/s",
            ]
        );
        assert!(told.news(&wish, &report).is_empty());
        report.sent.arrived(60_000_000, Duration::from_millis(1_200));
        report.received.arrived(10_000, Duration::from_secs(1));
        report.stage = BenchStage::Done;
        let lines = told.news(&wish, &report);
        assert_eq!(
            lines,
            [
                "shop -> ledger    60.00 MB in 1.20 s: 50.00 MB/s",
                "ledger -> shop     1 s         0 B           0 B/s",
                "ledger -> shop    10.00 kB in 1.00 s: 10.00 kB/s",
            ]
        );
        assert!(told.news(&wish, &report).is_empty());
    }
}
