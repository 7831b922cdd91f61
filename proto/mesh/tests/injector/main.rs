//! Off-path packets end no handshake. The longer figure: `cargo run --release -p meshproof-mesh --example injector -- 1000`.

#[allow(dead_code, reason = "the example uses more of it")]
mod forged;
#[allow(dead_code, reason = "the example uses more of it")]
mod scene;

use std::time::{SystemTime, UNIX_EPOCH};

use scene::{From, PACKETS_PER_SECOND, Seen, WITHIN, under_fire};

/// Few enough for every run of the tests: here none may fail, which is more than the 99 of 100 that are asked for.
const HANDSHAKES: usize = 40;

fn held(seen: &Seen) {
    let per_second = seen.packets_per_second();
    println!(
        "{} of {HANDSHAKES} in {WITHIN:?}, longest {:?}, {per_second:.0} packets/s",
        seen.in_time(),
        seen.longest()
    );
    // every handshake was under fire already when it began; a machine that is busy lets the shots of the last one be late
    assert!(per_second > f64::from(PACKETS_PER_SECOND) / 2.0, "{per_second} packets/s are no injector");
    assert_eq!(seen.in_time(), HANDSHAKES, "{:?}", seen.took);
}

fn seed() -> u64 {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").subsec_nanos().into();
    println!("seed {seed}");
    seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_sends_a_thousand_packets_a_second_ends_no_handshake() {
    held(&under_fire(HANDSHAKES, From::Stranger, seed()).await.expect("loopback has addresses"));
}
