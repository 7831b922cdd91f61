//! What is under test: it gives back what it gets, and serves whoever speaks HTTP.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::ExitCode;

/// The first argument of a process that is one.
pub const WORD: &str = "give-back";

/// Variables that begin so name a path, and have the address where it begins.
pub const ASKS: &str = "ASKS_";

/// Takes `tcp` or `udp`, and its port.
pub fn run(words: &[String]) -> ExitCode {
    let [transport, port] = words else { panic!("a transport and a port are expected, not {words:?}") };
    let port: u16 = port.parse().expect("a port");
    if transport == "tcp" {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
        write_addresses();
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    } else {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).expect("the port is free");
        write_addresses();
        let mut buffer = [0; 2048];
        loop {
            let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
            let _ = socket.send_to(&buffer[..count], from);
        }
    }
    ExitCode::FAILURE
}

/// Into a file each; then there is one that is named after the service.
fn write_addresses() {
    let folder = std::env::var("FOLDER").expect("the plan says where");
    let folder = Path::new(&folder);
    for (name, address) in std::env::vars() {
        let Some(path) = name.strip_prefix(ASKS) else { continue };
        std::fs::write(folder.join(path), address).expect("a new file");
    }
    let name = std::env::var("SELF").expect("the plan says who");
    std::fs::write(folder.join(name), "").expect("a new file");
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut first = [0; 4];
    stream.read_exact(&mut first)?;
    if &first == b"GET " {
        // the rest of its head, so that the connection is closed and not reset
        let mut head = [0; 4096];
        let mut found = first.to_vec();
        while !found.ends_with(b"\r\n\r\n") {
            match stream.read(&mut head)? {
                0 => break,
                more => found.extend_from_slice(&head[..more]),
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine")?;
        return stream.shutdown(Shutdown::Write);
    }
    stream.write_all(&first)?;
    io::copy(&mut stream.try_clone()?, &mut stream)?;
    stream.shutdown(Shutdown::Write)
}
