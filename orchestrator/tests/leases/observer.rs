//! A client of one path, which knows nothing of faults: it asks again and again, and says how it was served.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::ground::{Asks, Kind};
use crate::network::Network;

/// An answer that takes longer is disturbed; faults that slow it down take twice as long and more.
const PROMPT: Duration = Duration::from_secs(1);

/// What is asked has so many bytes, and what comes back too.
const BYTES: usize = 8 * 1024;

/// An answer in more pieces was cut.
const PIECES: usize = 100;

/// So many datagrams are sent at once, of so many bytes each.
const DATAGRAMS: u8 = 10;
const DATAGRAM_BYTES: usize = 400;

/// After the last of them nothing more comes for so long.
const NOTHING_MORE: Duration = Duration::from_millis(50);

/// Where nobody listens that is known at once.
const BETWEEN: Duration = Duration::from_millis(100);

/// Answers that nobody has looked at yet.
const SEEN: usize = 1024;

/// How it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    Well,
    Disturbed,
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub began: Instant,
    pub served: Served,
}

/// Asks until it is dropped.
pub struct Observer {
    pub kind: Kind,
    seen: Receiver<Seen>,
    stop: Arc<AtomicBool>,
    asking: Option<JoinHandle<()>>,
}

impl Observer {
    /// From this network, or from where the test is.
    pub fn new(kind: Kind, address: SocketAddr, network: Option<&Network>) -> Self {
        let (stop, (told, seen)) = (Arc::new(AtomicBool::new(false)), sync_channel(SEEN));
        let asking = std::thread::spawn({
            let (stop, network) = (Arc::clone(&stop), network.cloned());
            move || {
                if let Some(network) = network {
                    network.enter();
                }
                ask_on((kind.asks, address), &stop, &told);
            }
        });
        Self { kind, seen, stop, asking: Some(asking) }
    }

    /// The next answer; `None` if there is none until then.
    pub fn next(&self, deadline: Instant) -> Option<Seen> {
        self.seen.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // it may wait for somebody to take what it has seen
        while self.seen.recv().is_ok() {}
        if let Some(asking) = self.asking.take() {
            let _ = asking.join();
        }
    }
}

fn ask_on((asks, address): (Asks, SocketAddr), stop: &AtomicBool, told: &SyncSender<Seen>) {
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let deadline = began + PROMPT;
        let well = match asks {
            Asks::Bytes => bytes(address, deadline),
            Asks::Http => http(address, deadline),
            Asks::Datagrams => datagrams(address, deadline),
        };
        let served = if well.unwrap_or(false) { Served::Well } else { Served::Disturbed };
        if told.send(Seen { began, served }).is_err() {
            return;
        }
        std::thread::park_timeout(BETWEEN);
    }
}

/// All of them come back, and are not cut to pieces.
fn bytes(address: SocketAddr, deadline: Instant) -> io::Result<bool> {
    let mut stream = connect(address, deadline)?;
    stream.write_all(&[b'x'; BYTES])?;
    stream.shutdown(Shutdown::Write)?;
    let (count, pieces) = read_all(&mut stream, deadline, |_| {})?;
    Ok(count == BYTES && pieces <= PIECES)
}

/// It is answered, and not with an error of the server.
fn http(address: SocketAddr, deadline: Instant) -> io::Result<bool> {
    let mut stream = connect(address, deadline)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    read_all(&mut stream, deadline, |bytes| answer.extend_from_slice(bytes))?;
    Ok(answer.starts_with(b"HTTP/1.1 ") && !answer.starts_with(b"HTTP/1.1 5"))
}

/// Each comes back once, in order.
fn datagrams(address: SocketAddr, deadline: Instant) -> io::Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(address)?;
    for number in 0..DATAGRAMS {
        socket.send(&[number; DATAGRAM_BYTES])?;
    }
    let (mut numbers, mut buffer) = (Vec::new(), [0; DATAGRAM_BYTES]);
    loop {
        let all_are_there = numbers.len() >= usize::from(DATAGRAMS);
        socket.set_read_timeout(Some(if all_are_there { NOTHING_MORE } else { left(deadline)? }))?;
        match socket.recv(&mut buffer) {
            Ok(_) => numbers.push(buffer[0]),
            Err(_) if all_are_there => return Ok(numbers.into_iter().eq(0..DATAGRAMS)),
            Err(error) => return Err(error),
        }
        if numbers.len() > usize::from(DATAGRAMS) {
            return Ok(false);
        }
    }
}

fn connect(address: SocketAddr, deadline: Instant) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
    stream.set_write_timeout(Some(PROMPT))?;
    Ok(stream)
}

/// How many bytes there were until its end, and in how many pieces.
fn read_all(stream: &mut TcpStream, deadline: Instant, mut each: impl FnMut(&[u8])) -> io::Result<(usize, usize)> {
    let (mut buffer, mut bytes, mut pieces) = ([0; BYTES], 0, 0);
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let more = stream.read(&mut buffer)?;
        if more == 0 {
            return Ok((bytes, pieces));
        }
        (bytes, pieces) = (bytes + more, pieces + 1);
        each(&buffer[..more]);
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
