//! A service and its customer, who know nothing of a mesh: one TCP connection, on which both say a numbered pattern at the
//! pace of a busy service and check what they hear.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::wire::{self, Command, Counted, Event, Talked};

/// 400 kB/s each way: enough to be in the middle of something whenever a path is cut, little beside the scenarios' own work.
const PIECE_BYTES: usize = 8 * 1024;
const PACE: Duration = Duration::from_millis(20);

/// Which side's words.
#[derive(Clone, Copy)]
enum Voice {
    Service,
    Customer,
}

/// What the one who speaks and the one who listens share with whoever asks.
#[derive(Clone)]
struct Counts {
    /// It is enough.
    finish: watch::Sender<bool>,
    /// Bytes that were said, a piece that was begun included.
    said: watch::Sender<u64>,
    heard: watch::Sender<u64>,
}

impl Counts {
    fn new() -> Self {
        Self { finish: watch::Sender::new(false), said: watch::Sender::new(0), heard: watch::Sender::new(0) }
    }

    /// Answers the scenario until it asks for the end, or is gone.
    async fn answer(self) {
        let mut commands = wire::commands();
        while let Some(command) = commands.recv().await {
            match command {
                Command::Count => {
                    let (said, heard) = (*self.said.borrow(), *self.heard.borrow());
                    wire::say(Event::Counted(Counted { said, heard }));
                }
                Command::HearBeyond { bytes } => drop(tokio::spawn(hear_beyond(self.heard.subscribe(), bytes))),
                Command::Finish => break,
                other => eprintln!("who talks is not told to {other:?}"),
            }
        }
        self.finish.send_replace(true);
    }
}

async fn hear_beyond(mut heard: watch::Receiver<u64>, bytes: u64) {
    if heard.wait_for(|heard| *heard > bytes).await.is_ok() {
        wire::say(Event::HeardBeyond { bytes });
    }
}

pub async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    wire::say(Event::Listening { port: listener.local_addr()?.port() });
    let (customer, _) = listener.accept().await?;
    // it speaks as long as it is listened to
    talk(customer, (Voice::Service, Voice::Customer)).await
}

pub async fn visit(port: u16) -> io::Result<()> {
    let service = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    talk(service, (Voice::Customer, Voice::Service)).await
}

async fn talk(socket: TcpStream, (mine, theirs): (Voice, Voice)) -> io::Result<()> {
    let ((from, to), counts) = (socket.into_split(), Counts::new());
    tokio::spawn(counts.clone().answer());
    let speaking = tokio::spawn(speak(to, mine, counts.clone()));
    let (received, heard) = listen(from, theirs, &counts.heard).await;
    counts.finish.send_replace(true);
    let (sent, said) = speaking.await.expect("it does not panic");
    let fault = heard.and(said).err();
    wire::say(Event::Talked(Talked { sent, received, fault }));
    Ok(())
}

async fn speak(mut to: OwnedWriteHalf, voice: Voice, counts: Counts) -> (u64, Result<(), String>) {
    let mut pace = tokio::time::interval(PACE);
    let (mut sent, mut piece) = (0, vec![0; PIECE_BYTES]);
    loop {
        if *counts.finish.borrow() {
            return (sent, to.shutdown().await.map_err(|error| format!("closing: {error}")));
        }
        pace.tick().await;
        fill(&mut piece, voice, sent);
        counts.said.send_replace(sent + piece.len() as u64);
        if let Err(error) = to.write_all(&piece).await {
            return (sent, Err(format!("writing after {sent} bytes: {error}")));
        }
        sent += piece.len() as u64;
    }
}

async fn listen(mut from: OwnedReadHalf, voice: Voice, heard: &watch::Sender<u64>) -> (u64, Result<(), String>) {
    let (mut received, mut buffer, mut expected) = (0, vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    loop {
        let got = match from.read(&mut buffer).await {
            Ok(0) => return (received, Ok(())),
            Ok(got) => got,
            Err(error) => return (received, Err(format!("reading after {received} bytes: {error}"))),
        };
        if received == 0 {
            wire::say(Event::Heard);
        }
        fill(&mut expected[..got], voice, received);
        if let Some(at) = (0..got).find(|at| buffer[*at] != expected[*at]) {
            return (received, Err(format!("byte {} is wrong", received + at as u64)));
        }
        received += got as u64;
        heard.send_replace(received);
    }
}

/// The pattern from an offset on: numbers of eight bytes, so a piece that is missing, doubled or misplaced shows.
fn fill(piece: &mut [u8], voice: Voice, offset: u64) {
    let salt: u64 = match voice {
        Voice::Service => 0x5e5e_5e5e_5e5e_5e5e,
        Voice::Customer => 0xc7c7_c7c7_c7c7_c7c7,
    };
    for (at, byte) in (offset..).zip(piece) {
        let number = (at / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt;
        *byte = number.to_be_bytes()[usize::try_from(at % 8).expect("below eight")];
    }
}
