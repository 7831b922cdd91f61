//! tarpc over a link and over TCP: the same service, the same codec, the same client and server.

use std::io;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use meshproof_mesh::{ByteStream, LinkUp};
use meshproof_proto::codec::Codec;
use meshproof_proto::limits;
use serde::{Serialize, de::DeserializeOwned};
use tarpc::server::{BaseChannel, Channel};
use tarpc::{ClientMessage, Response, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::measure::{ROUNDS, Spread, quantile_us, soon};
use crate::table::{Goal, Table};
use crate::ways::tcp_pair;
use crate::world::{World, leave, loopback, stream};

const AIMED: Duration = Duration::from_millis(400);

/// A call's argument and its answer.
const BYTES: usize = 32;

#[tarpc::service]
trait Echo {
    async fn echo(bytes: Vec<u8>) -> Vec<u8>;
}

#[derive(Clone)]
struct EchoServer;

impl Echo for EchoServer {
    async fn echo(self, _: tarpc::context::Context, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }
}

/// Rounds of one client with so many calls outstanding.
#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Rounds {
    async fn one(&mut self, client: &EchoClient, outstanding: usize) {
        let begin = Instant::now();
        let callers = (0..outstanding).map(|_| tokio::spawn(calls(client.clone(), begin + AIMED)));
        let callers: Vec<_> = callers.collect();
        let mut taken = Vec::new();
        for caller in callers {
            taken.extend(caller.await.expect("a caller does not panic"));
        }
        self.rates.push(taken.len() as f64 / begin.elapsed().as_secs_f64());
        self.p50.push(quantile_us(&mut taken, 50));
        self.p99.push(quantile_us(&mut taken, 99));
    }
}

async fn calls(client: EchoClient, until: Instant) -> Vec<Duration> {
    let mut taken = Vec::new();
    while Instant::now() < until {
        let begin = Instant::now();
        client.echo(tarpc::context::current(), vec![7; BYTES]).await.expect("answered");
        taken.push(begin.elapsed());
    }
    taken
}

pub async fn run() -> Table {
    let world = World::new().await;
    let [(a, a_up), (mut b, b_up)] = world.linked(loopback()).await;
    let link = over_link(a_up, b_up);
    let (near, far) = tcp_pair().await;
    let tcp = spawn(over_tcp(near), over_tcp(far));
    let mut table = Table::default();
    for (outstanding, must, aim) in [(1, 0.33, 0.4), (64, 0.5, 0.65)] {
        let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
        for warm_up in [&link, &tcp] {
            Rounds::default().one(warm_up, outstanding).await;
        }
        for _ in 0..ROUNDS {
            ours.one(&link, outstanding).await;
            theirs.one(&tcp, outstanding).await;
        }
        let ratio = Spread::of_ratios(&ours.rates, &theirs.rates);
        report(&mut table, (outstanding, "a link"), &ours, Some((ratio, Goal::at_least(ratio.median, must, aim))));
        report(&mut table, (outstanding, "TCP"), &theirs, None);
    }
    let (near, far) = stream(&a, &mut b).await;
    beside_bulk(&mut table, &link, (near, far)).await;
    leave(vec![a, b]).await;
    table
}

fn report(table: &mut Table, (outstanding, over): (usize, &str), rounds: &Rounds, goal: Option<(Spread, Goal)>) {
    let what = format!("{outstanding} outstanding, tarpc over {over}");
    match goal {
        Some((ratio, goal)) => {
            table.compared(format!("calls/s, {what}"), Spread::of(&rounds.rates), (ratio, "TCP"));
            table.goal(goal);
        }
        None => table.plain(format!("calls/s, {what}"), Spread::of(&rounds.rates)),
    }
    table.plain(format!("us, p50, {what}"), Spread::of(&rounds.p50));
    table.plain(format!("us, p99, {what}"), Spread::of(&rounds.p99));
}

/// One call at a time while a stream takes all it can get, against the same calls alone.
async fn beside_bulk(table: &mut Table, client: &EchoClient, (mut near, mut far): (ByteStream, ByteStream)) {
    let (mut idle, mut busy) = (Rounds::default(), Rounds::default());
    let (arrived, mut arriving) = watch::channel(0);
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(got @ 1..) = far.read(&mut buffer).await {
            arrived.send_modify(|sum| *sum += got);
        }
    });
    let mut sent = 0;
    for _ in 0..ROUNDS {
        idle.one(client, 1).await;
        let writing = tokio::spawn(async move {
            let (block, begin) = (vec![7; 64 * 1024], Instant::now());
            while begin.elapsed() < AIMED + Duration::from_millis(100) {
                near.write_all(&block).await.expect("it flows");
                sent += block.len();
            }
            (near, sent)
        });
        busy.one(client, 1).await;
        (near, sent) = writing.await.expect("the writer does not panic");
        // what is still on its way would not leave the next round alone
        soon("the rest", arriving.wait_for(|sum| *sum == sent)).await.expect("the reader lives");
    }
    drop(near);
    reading.await.expect("the reader does not panic");
    let (ratio, spread) = (Spread::of_ratios(&busy.p99, &idle.p99), Spread::of(&busy.p99));
    table.plain("us, p99 of calls, the link idle", Spread::of(&idle.p99));
    table.compared("us, p99 of calls, bulk saturating the link", spread, (ratio, "idle"));
    table.goal(Goal::slowdown(ratio.median, (spread.median, 10_000.0), 20.0, 5.0));
}

fn over_link(near: LinkUp, far: LinkUp) -> EchoClient {
    let (client, _) = near.rpc.split::<EchoRequest, EchoResponse, EchoRequest, EchoResponse>();
    let (_, server) = far.rpc.split::<EchoRequest, EchoResponse, EchoRequest, EchoResponse>();
    spawn(client, server)
}

fn spawn<C, S>(client: C, server: S) -> EchoClient
where
    C: Transport<ClientMessage<EchoRequest>, Response<EchoResponse>> + Send + 'static,
    S: Transport<Response<EchoResponse>, ClientMessage<EchoRequest>> + Send + 'static,
{
    let serving = BaseChannel::with_defaults(server).execute(EchoServer.serve());
    tokio::spawn(serving.for_each(|response| async {
        tokio::spawn(response);
    }));
    EchoClient::new(tarpc::client::Config::default(), client).spawn()
}

/// Our codec in frames with a length in front.
fn over_tcp<Out, In>(socket: TcpStream) -> impl Transport<Out, In, TransportError = io::Error> + Send + 'static
where
    Out: Serialize + Send + 'static,
    In: DeserializeOwned + Send + 'static,
{
    let framing = LengthDelimitedCodec::builder().max_frame_length(limits::RPC_FRAME_BYTES).new_codec();
    let decode = |frame: io::Result<bytes::BytesMut>| Codec::Bincode.decode(&frame?).map_err(io::Error::other);
    let encode =
        |item: Out| std::future::ready(Codec::Bincode.encode(&item).map_err(io::Error::other).map(bytes::Bytes::from));
    Framed::new(socket, framing).with(encode).map(decode)
}
