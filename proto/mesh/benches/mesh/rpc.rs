//! tarpc over a link and over TCP: the same service, the same codec, the same client and server, in a process of its own as
//! services are, each on a core of its own as services on two machines are. Where the scheduler chooses, it leaves both ends of a TCP
//! connection on one core at times: the rival's figure was 10,000 or 30,000 calls a second, as luck had it. Both are measured.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use meshproof_proto::codec::Codec;
use meshproof_proto::limits;
use serde::{Serialize, de::DeserializeOwned};
use tarpc::server::{BaseChannel, Channel};
use tarpc::{ClientMessage, Response, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::cores::Cores;
use crate::measure::{ROUNDS, Spread, quantile_us, soon};
use crate::table::{Goal, Table};
use crate::world::{Peer, World, leave, loopback};

/// The word that makes this program the far end.
pub const CHILD: &str = "rpc-child";

const AIMED: Duration = Duration::from_millis(400);

/// Microseconds that a small call between two processes of a machine may take.
const BUDGET_US: f64 = 1_000.0;

/// Processes that are measured one after the other: no figure is that of one pair.
const PAIRS: usize = 7;

const ROUNDS_A_PAIR: usize = 2;

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

/// Two processes that are linked and have a TCP connection.
struct Pair {
    near: Peer,
    link: EchoClient,
    tcp: EchoClient,
    _world: World,
    far: Child,
}

/// Where a pair's two processes run.
#[derive(Clone, Copy, PartialEq)]
enum Where {
    /// As services on two machines do.
    CoreEach,
    /// No call wakes another core.
    OneCore,
}

impl Pair {
    async fn new() -> Self {
        let world = World::new().await;
        let mut near = world.join("near", loopback());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let far = far_process(world.url(), listener.local_addr().expect("bound"));
        let (link, tcp) = tokio::join!(over_link(&mut near), async {
            let (socket, _) = soon("the far process calls", listener.accept()).await.expect("a connection");
            socket.set_nodelay(true).expect("a TCP socket");
            client(over_tcp(socket))
        });
        Self { near, link, tcp, _world: world, far }
    }

    fn move_to(&self, cores: &Cores, place: Where) {
        let far = self.far.id().expect("nobody waited for it");
        match place {
            Where::CoreEach => cores.apart(far),
            Where::OneCore => cores.together(far),
        }
    }

    /// Ours and theirs in turns.
    async fn compare(&self, outstanding: usize, (ours, theirs): (&mut Rounds, &mut Rounds)) {
        for warm_up in [&self.link, &self.tcp] {
            Rounds::default().one(warm_up, outstanding).await;
        }
        for _ in 0..ROUNDS_A_PAIR {
            ours.one(&self.link, outstanding).await;
            theirs.one(&self.tcp, outstanding).await;
        }
    }
}

pub async fn run() -> Table {
    let mut table = Table::default();
    if let Some(cores) = Cores::two() {
        for (outstanding, must, aim) in [(1, 0.33, 0.4), (64, 0.5, 0.65)] {
            for place in [Where::CoreEach, Where::OneCore] {
                let (ours, theirs) = pairs(outstanding, (&cores, place)).await;
                let ratio = Spread::of_ratios(&ours.rates, &theirs.rates);
                let goal = (place == Where::CoreEach).then(|| Goal::at_least(ratio.median, must, aim));
                report(&mut table, &what(outstanding, "a link", place), &ours, Some((ratio, goal)));
                report(&mut table, &what(outstanding, "TCP", place), &theirs, None);
            }
        }
    } else {
        println!("skipped: calls between processes, of which each has a core; there is one core");
    }
    let pair = Pair::new().await;
    beside_bulk(&mut table, &pair.link, &pair.near).await;
    leave(vec![pair.near]).await;
    table
}

fn what(outstanding: usize, over: &str, place: Where) -> String {
    let place = if place == Where::OneCore { ", both on one core" } else { "" };
    format!("{outstanding} outstanding, tarpc over {over}{place}")
}

/// What several pairs made of it, ours and theirs.
async fn pairs(outstanding: usize, (cores, place): (&Cores, Where)) -> (Rounds, Rounds) {
    let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
    for _ in 0..PAIRS {
        let pair = Pair::new().await;
        pair.move_to(cores, place);
        pair.compare(outstanding, (&mut ours, &mut theirs)).await;
        leave(vec![pair.near]).await;
    }
    (ours, theirs)
}

/// Runs [`child`]; killed when dropped.
fn far_process(url: &str, tcp: SocketAddr) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args([CHILD, url, &tcp.to_string()]).kill_on_drop(true);
    command.spawn().expect("this program can be run again")
}

/// The far end: serves calls over a link and over TCP, and reads streams to their end.
pub async fn child(url: &str, tcp: &str) {
    let mut far = World::at(url).join("far", loopback());
    let socket = TcpStream::connect(tcp).await.expect("the near process listens");
    socket.set_nodelay(true).expect("a TCP socket");
    serve(over_tcp(socket));
    let (_, server) = far.up().await.rpc.split::<EchoRequest, EchoResponse, EchoRequest, EchoResponse>();
    serve(server);
    while let Some(mut stream) = far.streams.recv().await {
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.expect("the stream is whole");
        stream.shutdown().await.expect("the stream is whole");
    }
}

/// With a ratio, and where it has one with its goal: then the time of one call has one too.
fn report(table: &mut Table, what: &str, rounds: &Rounds, ratio: Option<(Spread, Option<Goal>)>) {
    let goal = ratio.as_ref().is_some_and(|(_, goal)| goal.is_some());
    match ratio {
        Some((ratio, goal)) => {
            table.compared(format!("calls/s, {what}"), Spread::of(&rounds.rates), (ratio, "TCP"));
            if let Some(goal) = goal {
                table.goal(goal);
            }
        }
        None => table.plain(format!("calls/s, {what}"), Spread::of(&rounds.rates)),
    }
    let p50 = Spread::of(&rounds.p50);
    table.plain(format!("us, p50, {what}"), p50);
    if goal && what.starts_with("1 ") {
        table.goal(Goal::at_most(p50.median, BUDGET_US, BUDGET_US / 2.0));
    }
    table.plain(format!("us, p99, {what}"), Spread::of(&rounds.p99));
}

/// One call at a time while a stream takes all it can get, against the same calls alone.
async fn beside_bulk(table: &mut Table, client: &EchoClient, near: &Peer) {
    let (mut idle, mut busy) = (Rounds::default(), Rounds::default());
    let far = near.mesh.links()[0].peer;
    for _ in 0..ROUNDS {
        idle.one(client, 1).await;
        let mut stream = near.mesh.open_stream(far, b"bulk".to_vec()).await.expect("linked");
        let writing = tokio::spawn(async move {
            let (block, begin) = (vec![7; 64 * 1024], Instant::now());
            while begin.elapsed() < AIMED + Duration::from_millis(100) {
                stream.write_all(&block).await.expect("it flows");
            }
            stream.shutdown().await.expect("it flows");
            stream
        });
        busy.one(client, 1).await;
        let mut stream = writing.await.expect("the writer does not panic");
        // what is still on its way would not leave the next round alone
        soon("the end", stream.read_to_end(&mut Vec::new())).await.expect("all of it arrived");
    }
    let (ratio, spread) = (Spread::of_ratios(&busy.p99, &idle.p99), Spread::of(&busy.p99));
    table.plain("us, p99 of calls, the link idle", Spread::of(&idle.p99));
    table.compared("us, p99 of calls, bulk saturating the link", spread, (ratio, "idle"));
    table.goal(Goal::slowdown(ratio.median, (spread.median, 10_000.0), 20.0, 5.0));
}

async fn over_link(near: &mut Peer) -> EchoClient {
    near.knows(1).await;
    let [far] = &near.mesh.roster()[..] else { panic!("one other peer is there") };
    near.mesh.connect(far.peer).await;
    let (link, _) = near.up().await.rpc.split::<EchoRequest, EchoResponse, EchoRequest, EchoResponse>();
    client(link)
}

fn client<C>(transport: C) -> EchoClient
where
    C: Transport<ClientMessage<EchoRequest>, Response<EchoResponse>> + Send + 'static,
{
    EchoClient::new(tarpc::client::Config::default(), transport).spawn()
}

fn serve<S>(transport: S)
where
    S: Transport<Response<EchoResponse>, ClientMessage<EchoRequest>> + Send + 'static,
{
    let serving = BaseChannel::with_defaults(transport).execute(EchoServer.serve());
    tokio::spawn(serving.for_each(|response| async {
        tokio::spawn(response);
    }));
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
