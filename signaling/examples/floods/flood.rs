//! What is done to the server, as fast as a core does it: a process of its own, at an address of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::cores;
use crate::peer::{Entry, Place, Socket, connect};
use crate::server::many_descriptors;

/// Sockets that say what they can, each to another.
const TALKERS: usize = 8;

/// Peers that join at the same time: more than the server holds until their turn comes.
const COMERS: usize = 512;

/// Connections that a task holds before it drops them together.
const HELD: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Peers of another mesh that come and go.
    Joins,
    /// Those whose token is of another root.
    Strangers,
    /// Peers of another mesh that signal each other.
    Messages,
    /// Connections that say nothing, without an end, and sockets that do not register.
    Handshakes,
}

impl Flood {
    pub const ALL: [Self; 4] = [Self::Joins, Self::Strangers, Self::Messages, Self::Handshakes];

    pub fn words(self) -> &'static str {
        match self {
            Self::Joins => "joins",
            Self::Strangers => "strangers",
            Self::Messages => "messages",
            Self::Handshakes => "handshakes",
        }
    }
}

impl Flood {
    fn tasks(self) -> usize {
        match self {
            Self::Joins | Self::Strangers | Self::Handshakes => COMERS,
            Self::Messages => TALKERS,
        }
    }
}

/// The flooder as the others see it.
pub struct Flooder(Child);

impl Flooder {
    /// Returns once it floods.
    pub fn start(flood: Flood, place: &Place) -> Self {
        let this = std::env::current_exe().expect("its own path");
        let mut child = cores::usual(&this);
        let child = child.args(["flood", flood.words(), &place.url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(child.spawn().expect("it starts itself"))
    }

    /// Ends it; how often it tried.
    pub fn end(mut self) -> f64 {
        drop(self.0.stdin.take());
        let mut count = String::new();
        BufReader::new(self.0.stdout.take().expect("piped")).read_line(&mut count).expect("its count");
        let _ = self.0.wait();
        count.trim().parse().expect("a number")
    }
}

impl Drop for Flooder {
    fn drop(&mut self) {
        // it ends with its standard input
        drop(self.0.stdin.take());
    }
}

/// Floods until its standard input ends, then says how often it tried.
pub fn main(kind: &str, url: &str) {
    many_descriptors();
    cores::take_other();
    let flood = Flood::ALL.into_iter().find(|flood| flood.words() == kind).expect("a kind of flood");
    let place = Place { from: [127, 0, 0, 2], ..Place::new(url, 1) };
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut tasks = JoinSet::new();
            for task in 0..flood.tasks() {
                let (place, count) = (place.clone(), Arc::clone(&count));
                match flood {
                    Flood::Joins => tasks.spawn(joins(place, task, count)),
                    Flood::Strangers => tasks.spawn(joins(Place { root: 2, ..place }, task, count)),
                    Flood::Messages => tasks.spawn(messages(place, task, count)),
                    Flood::Handshakes if task == 0 => tasks.spawn(connections(place, count)),
                    Flood::Handshakes => tasks.spawn(handshakes(place, count)),
                };
            }
            while tasks.join_next().await.is_some() {}
        });
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let _ = writeln!(std::io::stdout(), "{}", counted.load(Ordering::Relaxed));
}

async fn joins(place: Place, task: usize, count: Arc<AtomicU64>) {
    let entry = Entry::new(&place);
    for number in 0.. {
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(mut socket) = Socket::register(&place, (&entry, task * 1_000_000 + number)).await {
            let _ = socket.hear().await;
            socket.cut();
        }
    }
}

async fn messages(place: Place, task: usize, count: Arc<AtomicU64>) {
    let (mut near, mut far) = (Socket::join(&place, 2 * task).await, Socket::join(&place, 2 * task + 1).await);
    let to = far.id();
    tokio::join!(
        async {
            loop {
                near.signal(to).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        },
        async { while far.hear().await.is_some() {} },
    );
}

async fn connections(place: Place, count: Arc<AtomicU64>) {
    let mut held: Vec<TcpStream> = Vec::new();
    loop {
        count.fetch_add(1, Ordering::Relaxed);
        held.extend(connect(&place).await);
        if held.len() >= HELD {
            held.drain(..).for_each(|stream| drop(stream.set_zero_linger()));
        }
    }
}

async fn handshakes(place: Place, count: Arc<AtomicU64>) {
    loop {
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(mut socket) = Socket::upgrade(&place, 0).await {
            // until the server has enough of it
            while socket.hear().await.is_some() {}
            socket.cut();
        }
    }
}
