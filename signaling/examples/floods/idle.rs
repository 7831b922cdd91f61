//! How fast peers join, and what many that say nothing hold.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::peer::{Place, Socket};
use crate::server::Server;
use crate::table::{Bound, Row, Table};

/// Peers of one mesh: each hears of every other. They also share an address.
const PEERS_OF_A_MESH: usize = 100;

/// Joins on their way at once.
const AT_ONCE: usize = 32;

/// Pings, and what was on its way, have come by then.
const SETTLED: Duration = Duration::from_secs(3);

pub async fn measure(sockets: usize, table: &mut Table) {
    let server = Server::start();
    let before = server.resident_mib();
    let began = Instant::now();
    let (mut held, mut joining) = (JoinSet::new(), JoinSet::new());
    for number in 0..sockets {
        if joining.len() == AT_ONCE {
            held.spawn(joined(joining.join_next().await));
        }
        let place =
            Place { from: [127, 0, 1, (number / PEERS_OF_A_MESH) as u8], ..server.place(number / PEERS_OF_A_MESH) };
        joining.spawn(async move { Socket::join(&place, number).await });
    }
    while let Some(socket) = joining.join_next().await {
        held.spawn(joined(Some(socket)));
    }
    let a_second = sockets as f64 / began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLED).await;
    let (mib, cpu) = (server.resident_mib() - before, server.cpu_share(SETTLED).await);
    assert_eq!(held.len(), sockets, "all of them are there");
    table.add(
        Row::of("joins/s, in meshes of 100, of as many addresses", a_second)
            .bound(Bound::AtLeast { must: 200.0, aim: 500.0 }),
    );
    let bound = Bound::AtMost { must: 800.0, aim: 500.0 };
    let row = Row::of(format!("MiB of memory for {sockets} idle sockets"), mib);
    table.add(if sockets == 10_000 { row.bound(bound) } else { row });
    table.add(Row::of("% of a core for them, pings included", 100.0 * cpu));
}

/// Reads on, so that the server's news and pings are taken; for ever.
async fn joined(socket: Option<Result<Socket, tokio::task::JoinError>>) {
    let mut socket = socket.expect("one was on its way").expect("it joined");
    while socket.hear().await.is_some() {}
    panic!("the server closed an idle socket");
}
