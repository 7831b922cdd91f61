//! A peer that takes calls and answers none.

use std::time::{Duration, Instant};

use futures::StreamExt;
use meshproof_mesh::MeshEvent;
use meshproof_proto::limits;
use tarpc::client::RpcError;
use tarpc::server::{BaseChannel, Channel};

use crate::common::{World, linked};
use crate::process;

/// A hundred thousand calls, each held at both ends, would be far more.
const HELD: usize = 32 * 1024 * 1024;

const CALLS: usize = 100_000;

#[tarpc::service]
trait Stuck {
    async fn stuck(bytes: Vec<u8>);
}

#[derive(Clone)]
struct Never;

impl Stuck for Never {
    async fn stuck(self, _: tarpc::context::Context, _bytes: Vec<u8>) {
        std::future::pending().await
    }
}

/// What is measured is the callers' and the callee's memory, and that the link stays as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_answers_no_call_lets_them_time_out_and_the_link_stays() {
    let _alone = crate::alone().await;
    let world = World::new().await;
    let (mut a, mut b, a_up, b_up) = linked(&world).await;
    let (_, server) = b_up.rpc.split::<StuckRequest, StuckResponse, StuckRequest, StuckResponse>();
    // The bound refuses calls and goes on reading. A service that stopped reading instead would not hear of cancelled calls,
    // and in the end the connection's heartbeats would wait behind its inbox.
    let calls = BaseChannel::with_defaults(server).max_concurrent_requests(limits::CALLS_IN_FLIGHT);
    let serving = tokio::spawn(calls.execute(Never.serve()).for_each_concurrent(None, |call| call));
    let (client, _) = a_up.rpc.split::<StuckRequest, StuckResponse, StuckRequest, StuckResponse>();
    let client = StuckClient::new(tarpc::client::Config::default(), client).spawn();
    let before = process::resident_bytes();
    let deadline = Instant::now() + Duration::from_secs(3);
    let calling = futures::stream::iter(0..CALLS)
        .take_until(tokio::time::sleep_until(deadline.into()))
        .for_each_concurrent(limits::CALLS_IN_FLIGHT, |_| async {
            let mut context = tarpc::context::current();
            context.deadline = Instant::now() + Duration::from_millis(200);
            let ended = client.stuck(context, vec![0; 1024]).await;
            assert!(matches!(ended, Err(RpcError::DeadlineExceeded | RpcError::Server(_))), "{ended:?}");
        });
    let quiet = async {
        loop {
            let event = tokio::select! { event = a.events.recv() => event, event = b.events.recv() => event };
            assert!(
                !matches!(event, Some(MeshEvent::LinkSuspect { .. } | MeshEvent::LinkLost { .. }) | None),
                "{event:?}"
            );
        }
    };
    tokio::select! { () = calling => {}, () = quiet => {} }
    let held = process::resident_bytes().saturating_sub(before);
    assert!(held < HELD, "{held} bytes are held for calls that nobody answers");
    serving.abort();
    tokio::join!(a.mesh.leave(), b.mesh.leave());
}
