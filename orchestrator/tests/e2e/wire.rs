//! What the mesh put on the wire, and what the journal says about it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use serde_json::Value;

use crate::observed::{Moment, SAMPLE};
use crate::sockets::{Kind, Socket};

/// Content types of DTLS 1.2 records (RFC 6347, section 4.1, and RFC 5246: change_cipher_spec 20, alert, handshake,
/// application_data; heartbeat 24, tls12_cid 25), and the version on the wire.
const DTLS_TYPES: std::ops::RangeInclusive<u8> = 20..=25;
const DTLS_1_2: [u8; 2] = [0xfe, 0xfd];

fn ports(sockets: &[Socket]) -> BTreeSet<u16> {
    let udp = sockets.iter().filter(|socket| socket.kind == Kind::Udp);
    udp.map(|socket| socket.local.port()).collect()
}

fn total(bytes: &Value) -> u64 {
    bytes.as_object().map_or(0, |peers| peers.values().filter_map(Value::as_u64).sum())
}

#[test]
fn the_orchestrators_links_carry_under_one_percent_of_the_stream() {
    // Each is counted from the run's begin, so the last one is the whole.
    let last = |name: &str| {
        let of = SAMPLE.journal.facts("link-bytes").filter(|fact| fact.from == name);
        of.last().unwrap_or_else(|| panic!("{name} did not say what its links carried")).fact
    };
    let stream = last("shop")["sent"]["ledger"].as_u64().expect("shop has a link to ledger");
    assert!(stream > 9_000_000, "10,000 records of about 1 KiB are some ten megabytes, not {stream} bytes");
    let own = last("orchestrator");
    let control = total(&own["sent"]) + total(&own["received"]);
    assert!(control > 0, "the orchestrator's links carried something");
    assert!(control * 100 < stream, "{control} bytes of control for {stream} bytes of stream");
}

#[test]
fn an_agent_to_agent_link_is_two_events_offered_and_acknowledged() {
    let offered: Vec<_> = SAMPLE.journal.facts("link-offered").map(|fact| (fact.from, &fact.fact["to"])).collect();
    let acknowledged: Vec<_> =
        SAMPLE.journal.facts("link-acknowledged").map(|fact| (&fact.fact["from"], fact.from)).collect();
    let [(by, to)] = offered[..] else { panic!("one link, one offer: {offered:?}") };
    let [(from, at)] = acknowledged[..] else { panic!("one link, one acknowledgement: {acknowledged:?}") };
    assert_eq!(BTreeSet::from([by, at]), BTreeSet::from(["shop", "ledger"]));
    assert_eq!((from.as_str(), Some(at)), (Some(by), to.as_str()), "the two tell of the same link");
}

#[test]
fn events_are_numbered_without_gaps_by_each_instance() {
    let numbers = SAMPLE.journal.numbers();
    assert_eq!(numbers.len(), 2, "two agents, one instance each");
    for (instance, numbers) in numbers {
        let expected: Vec<u64> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "the events of {instance}");
    }
    let lines: Vec<_> = SAMPLE.journal.records().iter().map(|record| record["n"].as_u64()).collect();
    let expected: Vec<_> = (1..).take(lines.len()).map(Some).collect();
    assert_eq!(lines, expected, "the journal's own lines");
}

#[test]
fn agents_speak_dtls_over_udp() {
    let wire = match &SAMPLE.wire {
        Ok(wire) => wire,
        Err(error) => {
            // Past the test harness, which keeps what passing tests print to itself.
            let _ = writeln!(
                std::io::stderr(),
                "skipped: agents_speak_dtls_over_udp: packets cannot be seen here: {error}"
            );
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI has to see packets: {error}");
            return;
        }
    };
    let mut records = BTreeMap::from([("shop to ledger", 0), ("ledger to shop", 0)]);
    for Moment { shop, ledger } in &SAMPLE.moments {
        let (shop, ledger) = (ports(shop), ports(ledger));
        assert!(!shop.is_empty() && !ledger.is_empty(), "agents have UDP sockets");
        for ((from, to), beginnings) in wire {
            let way = match () {
                () if shop.contains(from) && ledger.contains(to) => "shop to ledger",
                () if ledger.contains(from) && shop.contains(to) => "ledger to shop",
                () => continue,
            };
            for (beginning, count) in beginnings {
                let is_dtls = DTLS_TYPES.contains(&beginning[0]) && beginning[1..] == DTLS_1_2;
                // STUN begins with two zero bits (RFC 8489); a hello's record may still carry the version of DTLS 1.0.
                let is_stun = beginning[0] < 4;
                let is_first_hello = beginning[..] == [22, 0xfe, 0xff];
                assert!(is_dtls || is_stun || is_first_hello, "{way}: {beginning:02x?} is neither DTLS nor STUN");
                if is_dtls {
                    *records.get_mut(way).expect("both ways are there") += count;
                }
            }
        }
    }
    assert!(records.values().all(|count| *count > 0), "DTLS records: {records:?}");
}

#[test]
fn no_tcp_connection_leads_from_agent_to_agent() {
    for Moment { shop, ledger } in &SAMPLE.moments {
        let ends: BTreeSet<_> =
            ledger.iter().filter(|socket| socket.kind == Kind::Tcp).map(|socket| socket.local).collect();
        let mut connections = shop.iter().filter(|socket| socket.is_established());
        assert!(!connections.any(|connection| ends.contains(&connection.remote)), "{shop:#?} {ledger:#?}");
    }
}
