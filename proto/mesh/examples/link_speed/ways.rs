//! The same connection direct and relayed by a signaling server, whose work is this process's too. There is no row for TURN:
//! where both ends are on one machine, ICE finds the direct path behind the server.

use meshproof_mesh::rtc::{Connection, RtcConfig, RtcError};
use meshproof_proto::links::LinkPath;

use crate::common::{Peer, Server, connected, halves};
use crate::{MAX_MESSAGE_BYTES, quantiles, round_trips, transfer};

/// Less than elsewhere here: a relayed connection is slower.
const BYTES: usize = 100_000_000;

/// Prints a row for each way.
pub async fn compare(config: &RtcConfig) -> Result<(), RtcError> {
    row(LinkPath::Direct, crate::open(config).await?).await;
    let server = Server::start().await;
    row(LinkPath::Relayed, connected(halves(&server.url, &Peer::new(10), &Peer::new(11))).await).await;
    Ok(())
}

async fn row(way: LinkPath, (mut left, mut right): (Connection, Connection)) {
    assert_eq!(left.path().await.map(|path| path.kind), Some(way));
    let trips = quantiles(&mut round_trips(&mut left, &mut right).await);
    let taken = transfer(&left, &mut right, (MAX_MESSAGE_BYTES, BYTES)).await;
    let way = format!("{way:?}").to_lowercase();
    println!("{way:8} {:>5.0} MB/s, round trip {trips}", BYTES as f64 / 1e6 / taken.as_secs_f64());
    tokio::join!(left.close(), right.close());
}
