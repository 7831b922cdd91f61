//! How fast one connection is on this machine: `cargo run --release -p meshproof-mesh --example link_speed`.
//!
//! Both ends live in this process, on loopback, so they share its cores. Settings of the engine are argued with these
//! figures and no others. At the end, the ways that a connection can take are compared.

#[path = "../../tests/relay/common.rs"]
#[allow(dead_code, reason = "the relay's tests use more of it")]
mod common;
mod ways;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use meshproof_mesh::rtc::{ChannelSpec, Connection, MAX_MESSAGE_BYTES, Reliability, RtcConfig, RtcError, RtcEvent};

const CHANNELS: &[ChannelSpec] = &[
    ChannelSpec { id: 0, label: "bulk", reliability: Reliability::ReliableOrdered },
    ChannelSpec { id: 1, label: "datagram", reliability: Reliability::UnorderedNoRetransmit },
];

const SETUPS: usize = 21;
const ROUND_TRIPS: usize = 5_000;
const BYTES: usize = 400_000_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), RtcError> {
    let argument = std::env::args().nth(1);
    let config = RtcConfig {
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        receive_window: argument.and_then(|window| window.parse().ok()),
        ..RtcConfig::default()
    };
    let (mut setups, mut closings) = (Vec::new(), Vec::new());
    for _ in 0..SETUPS {
        let begin = Instant::now();
        let (left, right) = open(&config).await?;
        setups.push(begin.elapsed());
        let begin = Instant::now();
        tokio::join!(left.close(), right.close());
        closings.push(begin.elapsed());
    }
    println!("set-up, offer to both open: {}", quantiles(&mut setups));
    println!("close, both sides:          {}", quantiles(&mut closings));

    let (mut left, mut right) = open(&config).await?;
    println!("round trip of 64 bytes:     {}", quantiles(&mut round_trips(&mut left, &mut right).await));
    for size in [16 * 1024, 32 * 1024, MAX_MESSAGE_BYTES] {
        for _ in 0..3 {
            let taken = transfer(&left, &mut right, (size, BYTES)).await;
            println!("{:2} KiB messages:            {:.0} MB/s", size / 1024, BYTES as f64 / 1e6 / taken.as_secs_f64());
        }
    }
    tokio::join!(left.close(), right.close());
    println!();
    ways::compare(&config).await
}

async fn open(config: &RtcConfig) -> Result<(Connection, Connection), RtcError> {
    let (mut left, offer) = Connection::offer(config, CHANNELS).await?;
    let (mut right, answer) = Connection::answer(config, CHANNELS, &offer).await?;
    left.accept_answer(&answer).await?;
    let events = tokio::join!(left.next_event(), right.next_event());
    assert_eq!(events, (Some(RtcEvent::Open), Some(RtcEvent::Open)));
    Ok((left, right))
}

async fn round_trips(left: &mut Connection, right: &mut Connection) -> Vec<Duration> {
    let (to_right, to_left) = (left.sender(), right.sender());
    let mut taken = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let begin = Instant::now();
        let sent = to_right.send(0, Bytes::from_static(&[7; 64])).await;
        right.next_event().await;
        let returned = to_left.send(0, Bytes::from_static(&[7; 64])).await;
        left.next_event().await;
        assert_eq!((sent, returned), (Ok(()), Ok(())));
        taken.push(begin.elapsed());
    }
    taken
}

async fn transfer(left: &Connection, right: &mut Connection, (size, bytes): (usize, usize)) -> Duration {
    let sender = left.sender();
    let begin = Instant::now();
    let sending = tokio::spawn(async move {
        for _ in 0..bytes.div_ceil(size) {
            sender.send(0, Bytes::from(vec![1; size])).await.expect("nobody closed the connection");
        }
    });
    let mut received = 0;
    while received < bytes {
        match right.next_event().await {
            Some(RtcEvent::Message(message)) => received += message.bytes.len(),
            other => panic!("expected a message, got {other:?}"),
        }
    }
    sending.await.expect("the sender sent everything that arrived");
    begin.elapsed()
}

fn quantiles(samples: &mut [Duration]) -> String {
    samples.sort_unstable();
    let last = samples.len() - 1;
    format!("median {:?}, p99 {:?}, worst {:?}", samples[last / 2], samples[last * 99 / 100], samples[last])
}
