//! The honest side: a process with a link to a friend, a stream that is echoed over it without a pause, and a record of
//! everything that it says about its links.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use meshproof_mesh::{ByteStream, LinkUp, Mesh, MeshEvent};
use tarpc::server::{BaseChannel, Channel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{MutexGuard, mpsc, watch};
use tokio::task::JoinHandle;

use crate::common::{PATIENCE, Peer, World};
use crate::process;

/// What a case may add to the process: mostly a receive window of the smallest messages, each of which the stack holds in
/// some 200 bytes. A length field that was believed, or a queue without an end, takes more.
const MEMORY_BYTES: usize = 128 * 1024 * 1024;

/// The friend is answered within this whatever others do; two cores and a debug build under a flood are slow.
const STALL: Duration = Duration::from_secs(2);

/// Often enough to see a stall, and no load.
const QUESTION_EVERY: Duration = Duration::from_millis(5);

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
static NEWS: LazyLock<watch::Sender<()>> = LazyLock::new(|| watch::channel(()).0);
static PANICS: AtomicUsize = AtomicUsize::new(0);

#[tarpc::service]
pub trait Echo {
    async fn echo(bytes: Vec<u8>) -> Vec<u8>;
}

#[derive(Clone)]
struct EchoServer;

impl Echo for EchoServer {
    async fn echo(self, _: tarpc::context::Context, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }
}

pub struct Scene {
    pub world: World,
    pub honest: Mesh,
    friend: Mesh,
    beside: JoinHandle<(u64, Duration)>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    before: Before,
    _alone: MutexGuard<'static, ()>,
}

struct Before {
    resident: usize,
    sockets: usize,
    panics: usize,
}

/// Everything that the honest side said so far, logs and events. Tests of this process take turns.
fn say(line: String) {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    NEWS.send_replace(());
}

struct Log;

impl std::io::Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        say(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(|| Log);
        let log = log.with_max_level(tracing::Level::DEBUG).finish();
        tracing::subscriber::set_global_default(log).expect("the only one");
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            usual(info);
        }));
    });
}

impl Scene {
    pub async fn new() -> Self {
        static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let alone = ALONE.lock().await;
        listen();
        SAID.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let before = Before {
            resident: process::resident_bytes(),
            sockets: process::sockets(),
            panics: PANICS.load(Ordering::Relaxed),
        };
        let world = World::new().await;
        let (mut honest, mut friend) = (world.join("honest", 2), world.join("friend", 3));
        let peer = friend.joined("honest").await;
        friend.mesh.connect(peer).await;
        let (_, up) = tokio::join!(friend.up(), honest.up());
        let Peer { mesh, events } = honest;
        let mut tasks = vec![tokio::spawn(listen_to(events)), tokio::spawn(serve(up))];
        let stream = friend.mesh.open_stream(peer, b"echo".to_vec()).await.expect("linked");
        let (stop, stopped) = watch::channel(false);
        let beside = tokio::spawn(converse(stream, stopped));
        let Peer { mesh: friend, mut events } = friend;
        tasks.push(tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                note(&event);
            }
        }));
        Self { world, honest: mesh, friend, beside, stop, tasks, before, _alone: alone }
    }

    /// The first thing that the honest side said with all these parts in it.
    pub async fn said(&self, parts: &[&str]) -> String {
        let waiting = async {
            let (mut seen, mut news_came) = (0, NEWS.subscribe());
            loop {
                let news: Vec<String> = {
                    let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
                    said[seen..].to_vec()
                };
                seen += news.len();
                if let Some(line) = news.into_iter().find(|line| parts.iter().all(|part| line.contains(part))) {
                    return line;
                }
                news_came.changed().await.expect("it lives as long as the process");
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(line) => line,
            Err(_) => panic!("nothing was said of {parts:?}, but:\n{}", everything()),
        }
    }

    /// Ends the scene. The friend noticed nothing, memory is bounded, nobody panicked, and every socket is closed.
    pub async fn end(self, case: &str) {
        let resident = process::resident_bytes();
        let grown = resident.saturating_sub(self.before.resident);
        assert!(grown < MEMORY_BYTES, "{case}: {grown} bytes more are held");
        self.stop.send_replace(true);
        let (echoes, longest) =
            self.beside.await.unwrap_or_else(|error| panic!("{case}: the friend's stream: {error}"));
        assert!(
            echoes > 0 && longest < STALL,
            "{case}: the friend got {echoes} answers and waited {longest:?} for one"
        );
        assert!(!everything().contains("suspect: friend"), "{case}: the friend's link suffered:\n{}", everything());
        tokio::join!(self.honest.leave(), self.friend.leave());
        self.world.server.cancel();
        self.tasks.iter().for_each(JoinHandle::abort);
        let closed = async {
            while process::sockets() > self.before.sockets {
                tokio::task::yield_now().await;
            }
        };
        let closed = tokio::time::timeout(PATIENCE, closed).await;
        assert!(closed.is_ok(), "{case}: {} sockets before, {} left", self.before.sockets, process::sockets());
        assert_eq!(PANICS.load(Ordering::Relaxed), self.before.panics, "{case}: something panicked");
        println!("{case}: {echoes} echoes beside it, the slowest {longest:?}, {} KiB more", grown / 1024);
    }
}

pub fn everything() -> String {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
}

fn note(event: &MeshEvent) {
    match event {
        MeshEvent::LinkSuspect { peer, reason } => say(format!("suspect: {} because {reason}", peer.name)),
        MeshEvent::LinkLost { peer, loss } => say(format!("lost: {} because {loss}", peer.name)),
        MeshEvent::PeerLeft(peer) => say(format!("left: {}", peer.name)),
        MeshEvent::Events { peer, .. } => say(format!("events: {}", peer.name)),
        MeshEvent::LinkUp(up) => say(format!("up: {}", up.peer.name)),
        MeshEvent::SignalingUp { .. }
        | MeshEvent::SignalingDown { .. }
        | MeshEvent::SignalingRefused { .. }
        | MeshEvent::PeerJoined(_)
        | MeshEvent::News(_)
        | MeshEvent::Epochs
        | MeshEvent::Offered { .. }
        | MeshEvent::Acknowledged { .. }
        | MeshEvent::Stream { .. } => {}
    }
}

/// Takes the events of the honest side as an agent would: at once. Streams are echoed, calls served.
async fn listen_to(mut events: mpsc::Receiver<MeshEvent>) {
    let mut held = Vec::new();
    while let Some(event) = events.recv().await {
        note(&event);
        match event {
            MeshEvent::Stream { stream, header, .. } if header == b"echo" => {
                tokio::spawn(echo(stream));
            }
            MeshEvent::Stream { stream, .. } => held.push(stream),
            MeshEvent::LinkUp(up) => {
                tokio::spawn(serve(up));
            }
            _ => {}
        }
    }
}

async fn echo(stream: ByteStream) {
    let (mut read, mut write) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut read, &mut write).await;
}

async fn serve(up: LinkUp) {
    let (client, server) = up.rpc.split::<EchoRequest, EchoResponse, EchoRequest, EchoResponse>();
    let _calls_nobody = client;
    let calls = BaseChannel::with_defaults(server).execute(EchoServer.serve());
    calls.for_each_concurrent(meshproof_proto::limits::CALLS_IN_FLIGHT, |call| call).await;
    say(format!("service ended: {}", up.peer.name));
}

/// Asks and is answered until stopped; gives how often, and the longest wait.
async fn converse(mut stream: ByteStream, stopped: watch::Receiver<bool>) -> (u64, Duration) {
    let (mut count, mut longest) = (0, Duration::ZERO);
    let mut pace = tokio::time::interval(QUESTION_EVERY);
    while !*stopped.borrow() {
        pace.tick().await;
        let asked = Instant::now();
        stream.write_u64(count).await.expect("the friend's stream goes on");
        assert_eq!(stream.read_u64().await.expect("the friend's stream goes on"), count);
        longest = longest.max(asked.elapsed());
        count += 1;
    }
    (count, longest)
}
