//! Sockets and pauses, as both services need them.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::facts::say;
use crate::limits;
use crate::slots::Slots;

/// Listens on loopback. On Unix std sets `SO_REUSEADDR`, so a port with connections in `TIME_WAIT` can be taken.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on 127.0.0.1:{port}: {error}")))?;
    say(format_args!("listening address={}", listener.local_addr()?));
    Ok(listener)
}

/// Gives each connection a thread and a number, from 1; those above the limit are closed. Returns when the listener breaks.
pub fn serve_each<F>(listener: &TcpListener, serve: F) -> io::Error
where
    F: Fn(TcpStream, u64) -> io::Result<()> + Clone + Send + 'static,
{
    let slots = Slots::new(limits::CONNECTIONS);
    for number in 1.. {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // The client left before it was served.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return error,
        };
        let Some(slot) = slots.take() else {
            say(format_args!("connection refused open={}", limits::CONNECTIONS));
            continue;
        };
        let serve = serve.clone();
        thread::spawn(move || {
            // A connection that breaks is the client's affair; what was done on it has been logged.
            let _ = stream.set_nodelay(true).and_then(|()| serve(stream, number));
            drop(slot);
        });
    }
    io::Error::other("more connections than numbers")
}

/// Connects to `host:port`, with `answer` as the time that each read and write on the connection may take.
pub fn connect(address: &str, answer: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{address} has no address"));
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, limits::CONNECT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(answer))?;
                stream.set_write_timeout(Some(answer))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Lets `duration` pass: a back-off has no event to wait for.
pub fn pause(duration: Duration) {
    let (_open, nothing) = mpsc::channel::<()>();
    let _ = nothing.recv_timeout(duration);
}
