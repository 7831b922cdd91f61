//! The numbers of a round, and the plan that adds each of them once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use meshproof_proto::seed::Seed;

use crate::service;

/// Each has an agent; one of three may be missing, and the others still decide.
pub const SERVICES: [&str; 3] = ["one", "two", "three"];

/// Records of a stream at most; of few numbers, a part of those.
const LONGEST: u64 = 100;

/// The tests of a plan, one step each.
pub struct Workload {
    tests: BTreeMap<String, Test>,
    plan: String,
}

/// What one test adds, and who takes part.
pub struct Test {
    pub numbers: Range<u64>,
    pub agents: Vec<&'static str>,
}

/// What a plan refers to, and how long each number takes.
pub struct Ground<'a> {
    /// The program that is the service.
    pub program: &'a str,
    /// Where the services write.
    pub folder: &'a str,
    /// How long a step takes; a record takes a small part of that.
    pub pause_ms: u64,
}

impl Workload {
    pub fn new(numbers: u64, seed: &mut Seed, ground: &Ground<'_>) -> Self {
        let mut workload = Self { tests: BTreeMap::new(), plan: head(ground) };
        let longest = (numbers / 30).clamp(5, LONGEST);
        let mut next = 0;
        while next < numbers {
            let count = if seed.below(12) == 0 { 2 + seed.below(longest - 1) } else { 1 };
            workload.add(next..(next + count).min(numbers), seed);
            next += count;
        }
        workload
    }

    fn add(&mut self, numbers: Range<u64>, seed: &mut Seed) {
        let id = format!("n{:06}", numbers.start);
        let first = numbers.start;
        let at = seed.below(COUNT);
        let to = if numbers.end - first > 1 { at + 1 + seed.below(COUNT - 1) } else { seed.below(COUNT) };
        let (at, to) = (service(at), service(to));
        let step = if numbers.end - first > 1 {
            let count = numbers.end - first;
            format!(
                "at: {at}, to: {to}, stream: {{ data: {{ generate: {{ count: {count}, json: {{ n: \"${{{{ index }}}}\" }} }} }}, \
                 apply: {{ tcp: {{ send: \"ADD {first} ${{{{ record.n }}}}\\n\" }} }} }}, expect: {{ records: {count}, each: {{ line: /^OK/ }} }}"
            )
        } else {
            format!("at: {at}, to: {to}, tcp: {{ send: \"ADD {first}\\n\" }}, expect: {{ line: OK {first} }}")
        };
        writeln!(self.plan, "  - {{ id: {id}, steps: [{{ {step}, within: 60s }}], timeout: 5m }}").expect("a string");
        self.tests.insert(id, Test { numbers, agents: vec![at, to] });
    }

    pub fn tests(&self) -> &BTreeMap<String, Test> {
        &self.tests
    }

    pub fn plan(&self) -> &str {
        &self.plan
    }
}

const COUNT: u64 = SERVICES.len() as u64;

fn service(number: u64) -> &'static str {
    SERVICES[usize::try_from(number % COUNT).expect("few")]
}

fn head(Ground { program, folder, pause_ms }: &Ground<'_>) -> String {
    let mut plan = "meshproof: 1\nplan: chaos\nservices:\n".to_owned();
    for service in SERVICES {
        writeln!(
            plan,
            "  {service}:\n    exec: {{ argv: [{program}, {word}, \"${{{{ self.tcp.port }}}}\", {folder}/{service}, \"{pause_ms}\"] }}\n    \
             ports: {{ tcp: dynamic }}\n    ready: {{ tcp: {{ send: \"PING\\n\" }}, expect: {{ line: OK }} }}",
            word = service::WORD,
        )
        .expect("a string");
    }
    plan + "tests:\n"
}
