//! How many handshakes an off-path injector spoils: `cargo run --release -p meshproof-mesh --example injector -- 1000` (handshakes).
//!
//! With `forged` behind the number the injector writes the peer's own address and port into its datagrams, as nobody does who does not
//! know both ports. That takes root, and is not withstood: DTLS believes what is not encrypted yet.

#[path = "../tests/injector/forged.rs"]
mod forged;
#[path = "../tests/injector/scene.rs"]
mod scene;

use scene::{From, PACKETS_PER_SECOND, WITHIN, under_fire};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let handshakes = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1000);
    println!(
        "{PACKETS_PER_SECOND} packets/s at the sockets of handshakes, of which 99 % must be done in {WITHIN:?}; seed 1"
    );
    let forged = std::env::args().nth(2).as_deref() == Some("forged");
    let (from, what) =
        if forged { (From::Forger, "under the peer's address") } else { (From::Stranger, "from other addresses") };
    let seen = match under_fire(handshakes, from, 1).await {
        Ok(seen) => seen,
        Err(error) => return println!("skipped: {what}: {error}"),
    };
    let mut took: Vec<_> = seen.took.iter().map(|took| took.unwrap_or(WITHIN)).collect();
    took.sort();
    let median = took[took.len() / 2];
    println!("{what}: {} packets, {:.0}/s", seen.packets, seen.packets_per_second());
    println!("{} of {handshakes} in time ({:.2} %)", seen.in_time(), 100.0 * seen.in_time() as f64 / handshakes as f64);
    println!("median {median:.1?}, longest {:.1?}", seen.longest());
}
