//! What a million calls leave in memory.

use meshproof_proto::expr::Template;
use meshproof_proto::order::{Body, StubOrder, StubReply, StubRoute};

use crate::clients::Clients;
use crate::servers::play;

const MILLION: usize = 1_000_000;

/// Growth after the first calls that is no growth: pages that the allocator had not touched yet.
const FLAT_KIB: usize = 1024;

/// Calls a stub a million times, its journal full from the first thousand on, and prints the resident memory.
pub fn million() {
    let reply = StubReply::http(200, Body::Text(Template::text("it")));
    let (address, _) = play(StubOrder::http("stub", vec![StubRoute::http("it", (None, None), vec![reply])]));
    let request = b"GET /a/path?with=a&query HTTP/1.1\r\nHost: bench\r\n\r\n";
    let mut clients = Clients::connect(address, request);
    let mut seen = Vec::new();
    for calls in [10_000, MILLION / 2, MILLION] {
        clients.call(calls - seen.last().map_or(0, |(before, _)| *before));
        seen.push((calls, resident_kib()));
    }
    let (first, last) = (seen[0].1, seen[2].1);
    for (calls, kib) in &seen {
        println!("| KiB resident after {calls} calls of a stub, clients included | {kib} | | | | |");
    }
    let grown = last.saturating_sub(first);
    println!("| KiB grown between 10000 and a million calls | {grown} | | | {FLAT_KIB} | |");
    assert!(grown <= FLAT_KIB, "memory grew by {grown} KiB");
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
