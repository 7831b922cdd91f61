//! Bytes to a service and back, with TLS or without.
//!
//! In TLS 1.3 a server judges the client's certificate after the client thinks that the handshake is done, so its refusal comes in
//! the place of the first answer: as an alert, or, when the alert is lost behind what we had already sent, as a mere reset. Both
//! are errors of TLS here: a connection that ends before its first answer, from a server that asked who we are, was refused.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    /// Whether the server asked for a certificate.
    asked: Arc<AtomicBool>,
    /// Whether anything was answered.
    heard: bool,
    /// Whether TLS is why it broke. HTTP/2 keeps only the words of an error, so who uses it asks here.
    of_tls: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What we showed, or that we showed nothing, was not good enough.
#[derive(Debug, thiserror::Error)]
#[error("the server asked for a certificate and closed the connection when it had our answer ({0})")]
struct Unwelcome(String);

/// Whether TLS is why a connection broke.
pub(super) fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>() || inner.is::<Unwelcome>())
}

impl Connection {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self { stream: Stream::Plain(stream), asked: Arc::default(), heard: false, of_tls: Arc::default() }
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, asked: Arc<AtomicBool>) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), asked, heard: false, of_tls: Arc::default() }
    }

    fn explained(&self, error: io::Error) -> io::Error {
        let ended = matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        );
        let error = if ended && self.refused() { io::Error::other(Unwelcome(error.to_string())) } else { error };
        if is_of_tls(&error) {
            self.of_tls.store(true, Ordering::Relaxed);
        }
        error
    }

    /// Becomes true when TLS breaks it.
    pub(super) fn broken_by_tls(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.of_tls)
    }

    /// The socket once more; none when there is no room for another descriptor.
    pub(super) fn socket(&self) -> Option<OwnedFd> {
        let socket = match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        socket.as_fd().try_clone_to_owned().ok()
    }

    fn refused(&self) -> bool {
        !self.heard && self.asked.load(Ordering::Relaxed)
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let room = buffer.remaining() > 0;
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        let Poll::Ready(read) = read else { return Poll::Pending };
        if let Err(error) = read {
            return Poll::Ready(Err(self.explained(error)));
        }
        if buffer.filled().len() > before {
            self.heard = true;
        } else if room && self.refused() {
            return Poll::Ready(Err(self.explained(io::ErrorKind::UnexpectedEof.into())));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        wrote.map_err(|error| self.explained(error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        flushed.map_err(|error| self.explained(error))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
