//! A program written with Testground's SDK for Rust: asks the network for a latency, and measures the way to every other instance and back.
//! Instances of js/ do the same, and all of them meet.

use std::borrow::Cow;
use std::error::Error;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use testground::client::Client;
use testground::network_conf::{
    DEFAULT_DATA_NETWORK, FilterAction, LinkShape, NetworkConfiguration, RoutingPolicyType,
};
use testground::{Timestamp, WriteQuery};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt as _;

const PORT: u16 = 7000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::new_and_init().await?;
    let went = match client.run_parameters().test_case.as_str() {
        "ping" => ping(&client).await,
        other => Err(format!("there is no test case {other}").into()),
    };
    match went {
        Ok(()) => client.record_success().await?,
        Err(error) => client.record_failure(error.to_string()).await?,
    }
    Ok(())
}

async fn ping(client: &Client) -> Result<(), Box<dyn Error>> {
    let run = client.run_parameters();
    let all = run.test_instance_count;
    let me = client.global_seq();
    let address = run.data_network_ip()?.ok_or("there is no data network")?;
    let listener = TcpListener::bind((address, PORT)).await?;
    tokio::spawn(echo(listener));

    client.publish("addresses", Cow::Owned(json!({ "address": address }))).await?;
    let mut addresses = client.subscribe("addresses", all as usize).await.take(all as usize);
    let mut others = Vec::new();
    while let Some(other) = addresses.next().await {
        let other: IpAddr = other?["address"].as_str().ok_or("an address is a text")?.parse()?;
        others.extend((other != address).then_some(other));
    }

    let latency_ms: u64 = run.test_instance_params["latency_ms"].parse()?;
    client.configure_network(slowed(latency_ms)).await?;

    for other in others {
        let mut stream = TcpStream::connect((other, PORT)).await?;
        stream.set_nodelay(true)?;
        let began = Instant::now();
        stream.write_all(b"ping").await?;
        stream.read_exact(&mut [0; 4]).await?;
        let took = began.elapsed();
        client.record_message(format!("instance {me}: {other} answered after {took:?}"));
        let asked = Duration::from_millis(2 * latency_ms);
        if took < asked || took > asked + Duration::from_millis(100) {
            return Err(format!("{other} answered after {took:?}, where twice {latency_ms} ms were asked for").into());
        }
        let metric = WriteQuery::new(now(), "ping").add_field("ms", took.as_secs_f64() * 1e3);
        client.record_metric(metric).await?;
    }
    client.signal_and_wait("done", all).await?;
    Ok(())
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::Milliseconds(now.as_millis())
}

async fn echo(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut from, mut to) = split(stream);
            copy(&mut from, &mut to).await
        });
    }
}

fn slowed(latency_ms: u64) -> NetworkConfiguration {
    NetworkConfiguration {
        network: DEFAULT_DATA_NETWORK.to_owned(),
        ipv4: None,
        ipv6: None,
        enable: true,
        default: LinkShape {
            latency: latency_ms * 1_000_000,
            jitter: 0,
            bandwidth: 0,
            filter: FilterAction::Accept,
            loss: 0.0,
            corrupt: 0.0,
            corrupt_corr: 0.0,
            reorder: 0.0,
            reorder_corr: 0.0,
            duplicate: 0.0,
            duplicate_corr: 0.0,
        },
        rules: None,
        callback_state: "slowed".to_owned(),
        callback_target: None,
        routing_policy: RoutingPolicyType::DenyAll,
    }
}
