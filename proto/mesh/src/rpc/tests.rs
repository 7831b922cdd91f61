//! tarpc over transports that take nothing more: it waits, and the processor does not.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{join_all, pending};
use meshproof_proto::codec::Codec;
use rustix::time::{ClockId, clock_gettime};
use tarpc::client::Config;
use tarpc::server::{BaseChannel, Channel};
use tarpc::{ClientMessage, Request};

use super::*;

/// Long enough for a task that spins to show, which uses all of it.
const WATCHED: Duration = Duration::from_millis(500);

/// What waking up for the calls and their deadlines may take of it.
const BUSY: Duration = Duration::from_millis(100);

/// A wait that is longer than this has no end.
const PATIENCE: Duration = Duration::from_secs(10);

const CALLS: u64 = 32;

#[tarpc::service]
trait Double {
    async fn double(n: u64) -> u64;
}

#[derive(Clone)]
struct Doubler;

impl Double for Doubler {
    async fn double(self, _: tarpc::context::Context, n: u64) -> u64 {
        n * 2
    }
}

type Client = RpcTransport<ClientMessage<DoubleRequest>, Response<DoubleResponse>>;
type Server = RpcTransport<Response<DoubleResponse>, ClientMessage<DoubleRequest>>;

#[test]
fn a_client_whose_connection_takes_nothing_waits_without_spinning_and_fails_when_it_ends() {
    in_time(client_over_a_connection_that_takes_nothing());
}

#[test]
fn a_server_whose_replies_are_not_taken_waits_without_spinning_and_ends_with_its_connection() {
    in_time(server_whose_replies_are_not_taken());
}

/// Plays a scenario on a thread of its own: a task that spins without a pause would keep the test's clock from running.
fn in_time(scenario: impl Future<Output = ()> + Send + 'static) {
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(scenario);
        let _ = done.send(());
    });
    match ended.recv_timeout(PATIENCE * 3) {
        Ok(()) => {}
        Err(RecvTimeoutError::Timeout) => panic!("it spins"),
        Err(RecvTimeoutError::Disconnected) => panic!("the scenario failed, as it said above"),
    }
}

async fn client_over_a_connection_that_takes_nothing() {
    let (frames, frames_out) = mpsc::channel(1);
    let (port, inbox) = RpcPort::new(Codec::Bincode, frames);
    let (client, server): (Client, Server) = port.split();
    let client = DoubleClient::new(Config::default(), client).spawn();
    let calls = (0..CALLS).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { client.double(tarpc::context::current(), n).await })
    });
    let calls: Vec<_> = calls.collect();
    let busy = busy_while_waiting().await;
    assert!(busy < BUSY, "{busy:?} of {WATCHED:?} with {CALLS} calls that cannot be sent");
    // the connection is gone
    drop((frames_out, inbox, server));
    let ended = tokio::time::timeout(PATIENCE, join_all(calls)).await.expect("every call ends");
    assert!(ended.into_iter().all(|call| call.expect("it does not panic").is_err()), "none can have been answered");
    let busy = busy_while_waiting().await;
    assert!(busy < BUSY, "{busy:?} of {WATCHED:?} after the transport's error");
}

async fn server_whose_replies_are_not_taken() {
    let (frames, frames_out) = mpsc::channel(1);
    let (port, inbox) = RpcPort::new(Codec::Bincode, frames);
    let (client, server): (Client, Server) = port.split();
    let serving = BaseChannel::with_defaults(server).execute(Doubler.serve());
    let serving = tokio::spawn(serving.for_each_concurrent(None, |call| call));
    for id in 0..CALLS {
        let (context, message) = (tarpc::context::current(), DoubleRequest::Double { n: id });
        let call = ClientMessage::Request(Request { context, id, message });
        inbox.doors.calls.send(Codec::Bincode.encode(&call).expect("small")).await.expect("there is room");
    }
    let busy = busy_while_waiting().await;
    assert!(busy < BUSY, "{busy:?} of {WATCHED:?} with {CALLS} replies that cannot be sent");
    drop((frames_out, inbox, client));
    tokio::time::timeout(PATIENCE, serving).await.expect("the service ends").expect("it does not panic");
    let busy = busy_while_waiting().await;
    assert!(busy < BUSY, "{busy:?} of {WATCHED:?} after the transport's error");
}

/// What this thread, on which everything runs, computes while there is nothing to do.
async fn busy_while_waiting() -> Duration {
    let before = computed();
    let waited = tokio::time::timeout(WATCHED, pending::<()>()).await;
    assert!(waited.is_err(), "nothing comes");
    computed() - before
}

fn computed() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("it counts up from nothing")
}
