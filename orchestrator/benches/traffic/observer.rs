//! What stands at both ends of what is measured, and knows nothing of a mesh: a service that echoes and counts, and a client that looks
//! at its clock.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The word that makes this program the service.
pub const FAR: &str = "far";

/// The word that makes it the client.
pub const LOOK: &str = "look";

/// Each connection says first what it is for; whatever is no sink is echoed.
const ECHO: u8 = b'e';
const SINK: u8 = b's';
/// An echo too: with this a request begins.
const REQUEST: u8 = b'G';

/// Longer than anything that is measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// After a datagram for which nothing came back for so long, nothing will.
const SILENCE: Duration = Duration::from_millis(700);

/// Echoes and counts, until the process is ended; datagrams at the port that `UDP` says.
pub fn far(port: &str) {
    let any = |port: &str| format!("0.0.0.0:{port}");
    if let Ok(port) = std::env::var("UDP") {
        let socket = UdpSocket::bind(any(&port)).expect("its port is free");
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((count, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..count], from);
            }
        });
    }
    let listener = TcpListener::bind(any(port)).expect("its port is free");
    for stream in listener.incoming().flatten() {
        thread::Builder::new().stack_size(128 * 1024).spawn(move || serve(stream)).expect("a thread");
    }
}

fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut what = [0];
    if stream.read_exact(&mut what).is_err() {
        return;
    }
    let mut buffer = vec![0; if what[0] == SINK { 256 * 1024 } else { 16 * 1024 }];
    let mut total = 0_u64;
    while let Ok(count) = stream.read(&mut buffer) {
        total += count as u64;
        if count == 0 {
            break;
        }
        if what[0] != SINK && stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
    if what[0] == SINK {
        let _ = stream.write_all(&total.to_le_bytes());
    }
}

/// What the client sees, as JSON.
pub fn look(what: &str, words: &[&str]) -> Value {
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).expect("a number");
    match what {
        "trips" => trips(words[0], number(1)),
        "bulk" => bulk(words[0], number(1)),
        "opens" => opens(words[0], number(1)),
        "datagrams" => datagrams(words[0], number(1)),
        "pieces" => pieces(words[0]),
        "ends" => ends(words[0]),
        "lives" => lives(words[0]),
        "refused" => json!({ "refused": of_some(|| TcpStream::connect(words[0]).is_err()) }),
        "silent" => json!({ "silent": of_some(|| is_silent(words[0])) }),
        "answers" => answers(words[0], number(1)),
        other => panic!("nobody can look at {other}"),
    }
}

fn connect(address: &str, what: u8) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(&[what]).expect("it takes bytes");
    stream
}

fn us(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

/// So many times there and back, 64 bytes each.
fn trips(address: &str, count: usize) -> Value {
    let mut stream = connect(address, ECHO);
    let mut buffer = [7; 64];
    let mut trip = || {
        let began = Instant::now();
        stream.write_all(&buffer).expect("it takes bytes");
        stream.read_exact(&mut buffer).expect("it echoes");
        us(began.elapsed())
    };
    for _ in 0..count.min(50) / 5 {
        trip();
    }
    let mut all: Vec<f64> = (0..count).map(|_| trip()).collect();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    all.sort_by(f64::total_cmp);
    json!({ "p50": all[count / 2], "p99": all[count * 99 / 100], "min": all[0], "max": all[count - 1], "mean": mean })
}

/// As many bytes as go there in so many seconds, counted by whoever took them.
fn bulk(address: &str, seconds: usize) -> Value {
    let mut stream = connect(address, SINK);
    let (block, began) = (vec![7; 64 * 1024], Instant::now());
    while began.elapsed() < Duration::from_secs(seconds as u64) {
        stream.write_all(&block).expect("it takes bytes");
    }
    stream.shutdown(Shutdown::Write).expect("it is open");
    let mut taken = [0; 8];
    stream.read_exact(&mut taken).expect("it says how many it took");
    let bytes = u64::from_le_bytes(taken) as f64;
    json!({ "mb_s": bytes / 1e6 / began.elapsed().as_secs_f64(), "kbit_s": bytes * 8.0 / 1e3 / began.elapsed().as_secs_f64() })
}

/// So many connections, each with a byte there and back, a few at a time.
fn opens(address: &str, count: usize) -> Value {
    const AT_ONCE: usize = 64;
    let (left, began) = (Arc::new(AtomicUsize::new(count)), Instant::now());
    let one = |address: &str| {
        let mut stream = connect(address, ECHO);
        stream.write_all(&[1]).expect("it takes bytes");
        stream.read_exact(&mut [0]).expect("it echoes");
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    one(address);
                }
            });
        }
    });
    json!({ "seconds": began.elapsed().as_secs_f64() })
}

/// So many datagrams at a pace that nobody's queue feels, and what came back of them.
fn datagrams(address: &str, count: usize) -> Value {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect(address).expect("an address");
    socket.set_read_timeout(Some(SILENCE)).expect("a socket");
    let listening = socket.try_clone().expect("a socket");
    let heard = thread::spawn(move || {
        let (mut seen, mut twice, mut late, mut newest, mut wrong) = (vec![false; count], 0, 0, 0, 0);
        let (mut buffer, mut trips, mut silent) = ([0; 64], Vec::new(), 0);
        let zero = Instant::now();
        while silent < 2 {
            let Ok(_) = listening.recv(&mut buffer) else {
                silent += 1;
                continue;
            };
            silent = 0;
            // all that a datagram says stands there twice
            if buffer[..16] != buffer[16..32] {
                wrong += 1;
                continue;
            }
            let number = u64::from_le_bytes(buffer[..8].try_into().expect("eight")) as usize;
            let sent = u64::from_le_bytes(buffer[8..16].try_into().expect("eight"));
            trips.push((zero.elapsed(), sent));
            twice += usize::from(std::mem::replace(&mut seen[number], true));
            late += usize::from(number < newest);
            newest = newest.max(number);
        }
        (zero, seen.iter().filter(|seen| **seen).count(), twice, (late, wrong), trips)
    });
    let began = Instant::now();
    let mut sent_at = Vec::with_capacity(count);
    for number in 0..count as u64 {
        let at = began.elapsed();
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes[8..16].copy_from_slice(&(at.as_nanos() as u64).to_le_bytes());
        bytes.copy_within(..16, 16);
        sent_at.push(at);
        let _ = socket.send(&bytes);
        // two thousand a second
        while began.elapsed() < Duration::from_micros((number + 1) * 500) {
            std::hint::spin_loop();
        }
    }
    let (zero, came, twice, (late, wrong), trips) = heard.join().expect("it listened");
    let offset = began.saturating_duration_since(zero);
    let mut took: Vec<f64> =
        trips.iter().map(|(at, sent)| us(at.saturating_sub(offset)) - *sent as f64 / 1e3).collect();
    took.sort_by(f64::total_cmp);
    let share = |part: usize| part as f64 * 100.0 / count as f64;
    let p50 = took.get(took.len() / 2).copied().unwrap_or_default();
    json!({ "lost": share(count - came), "twice": share(twice), "late": share(late), "wrong": share(wrong), "p50": p50 })
}

/// How large the pieces are in which a large text comes back.
fn pieces(address: &str) -> Value {
    let mut stream = connect(address, ECHO);
    let mut writer = stream.try_clone().expect("a socket");
    let writing = thread::spawn(move || {
        let _ = writer.write_all(&[7; 8 * 1024]);
        let _ = writer.shutdown(Shutdown::Write);
    });
    let (mut sizes, mut buffer) = (Vec::new(), [0; 8 * 1024]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        sizes.push(count);
    }
    writing.join().expect("it wrote");
    sizes.sort_unstable();
    json!({ "p50": sizes[sizes.len() / 2], "max": sizes.last() })
}

/// How long it takes from our end of a connection to the other side's.
fn ends(address: &str) -> Value {
    let took = |_| {
        let mut stream = connect(address, ECHO);
        stream.write_all(&[1]).expect("it takes bytes");
        stream.read_exact(&mut [0]).expect("it echoes");
        let began = Instant::now();
        stream.shutdown(Shutdown::Write).expect("it is open");
        let _ = stream.read(&mut [0]);
        us(began.elapsed())
    };
    let mut all: Vec<f64> = (0..11).map(took).collect();
    all.sort_by(f64::total_cmp);
    json!({ "p50": all[5] })
}

/// How long a connection lives that does nothing, as far as somebody waits for its end.
fn lives(address: &str) -> Value {
    let lived = |_| {
        let mut stream = connect(address, ECHO);
        stream.set_read_timeout(Some(SILENCE)).expect("a socket");
        let began = Instant::now();
        let reset = stream.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
        (us(began.elapsed()), reset)
    };
    let mut all: Vec<(f64, bool)> = (0..11).map(lived).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let reset = all.iter().filter(|(_, reset)| *reset).count();
    json!({ "p50": all[5].0, "reset": reset as f64 * 100.0 / all.len() as f64 })
}

/// In per cent of a few times.
fn of_some(holds: impl Fn() -> bool) -> f64 {
    const TIMES: usize = 10;
    (0..TIMES).filter(|_| holds()).count() as f64 * 100.0 / TIMES as f64
}

/// Whether nothing comes back in a while, but the connection stands.
fn is_silent(address: &str) -> bool {
    let mut stream = connect(address, ECHO);
    stream.set_read_timeout(Some(SILENCE / 4)).expect("a socket");
    let _ = stream.write_all(&[1]);
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Requests, which an echo answers with themselves, and how many somebody on the way has answered.
fn answers(address: &str, count: usize) -> Value {
    let faulty = |_: &usize| {
        let mut stream = connect(address, REQUEST);
        stream.write_all(b"ET / HTTP/1.1\r\nHost: far\r\n\r\n").expect("it takes bytes");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("it is answered");
        answer == *b"HTTP/1.1 503"
    };
    let faulty = (0..count).filter(faulty).count();
    json!({ "count": faulty, "faulty": faulty as f64 * 100.0 / count as f64 })
}
