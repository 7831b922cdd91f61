//! A TCP connection and a byte stream, joined.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::traffic::{Carries, Path, Stopped, Traveller, answer, carry};

/// At which end of the relay the connection was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Local,
    Remote,
}

/// Carries bytes both ways through the path's gates until both directions ended, each on its own.
///
/// # Errors
///
/// Either side broke: the connection is reset, and the caller resets the stream.
pub async fn relay(
    mut local: TcpStream,
    remote: &mut (impl AsyncRead + AsyncWrite + Unpin),
    path: &Path,
    (number, client): (Traveller, Client),
) -> io::Result<()> {
    let (goes, comes) = match client {
        Client::Local => (Carries::Requests, Carries::Answers),
        Client::Remote => (Carries::Answers, Carries::Requests),
    };
    let ended = {
        let (mut remote_reader, mut remote_writer) = tokio::io::split(&mut *remote);
        let (mut local_reader, mut local_writer) = local.split();
        let outgoing = carry(&mut local_reader, &mut remote_writer, (path.outgoing.passage(number), goes));
        let incoming = carry(&mut remote_reader, &mut local_writer, (path.incoming.passage(number), comes));
        tokio::try_join!(outgoing, incoming)
    };
    match (ended, client) {
        (Ok(((), ())), _) => Ok(()),
        (Err(Stopped::Answered(status)), Client::Local) => {
            answer(status, &mut local, remote).await;
            Ok(())
        }
        (Err(Stopped::Answered(status)), Client::Remote) => {
            answer(status, remote, &mut local).await;
            Ok(())
        }
        (Err(Stopped::Broken(error)), _) => {
            // Closing then sends a reset instead of an end that nobody meant.
            let _ = local.set_zero_linger();
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
    use tokio::net::TcpListener;

    use super::*;

    const ONE: (Traveller, Client) = (Traveller::Connection(0), Client::Local);

    /// A client's socket, the agent's end of it, and a stream in two ends.
    async fn joined() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("listens");
        (client, listener.accept().await.expect("connected").0)
    }

    /// A stream that the peer reset.
    struct Refused;

    impl AsyncRead for Refused {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::Error::other("refused")))
        }
    }

    #[tokio::test]
    async fn each_side_ends_on_its_own() {
        let (mut client, local) = joined().await;
        let (mut remote, mut service) = tokio::io::duplex(64);
        let path = Path::default();
        let relaying = relay(local, &mut remote, &path, ONE);
        let talk = async {
            client.write_all(b"question").await.expect("open");
            client.shutdown().await.expect("open");
            let mut asked = String::new();
            service.read_to_string(&mut asked).await.expect("open");
            assert_eq!(asked, "question");
            service.write_all(b"a late answer that is longer than the pipe holds at once").await.expect("open");
            service.shutdown().await.expect("open");
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("open");
            assert_eq!(answer, "a late answer that is longer than the pipe holds at once");
        };
        let (relayed, ()) = tokio::join!(relaying, talk);
        relayed.expect("nothing broke");
    }

    #[tokio::test]
    async fn a_broken_stream_resets_the_connection() {
        let (mut client, local) = joined().await;
        let mut remote = tokio::io::join(Refused, tokio::io::sink());
        let error = relay(local, &mut remote, &Path::default(), ONE).await.expect_err("broken");
        assert_eq!(error.to_string(), "refused");
        let error = client.read_u8().await.expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_reset_of_the_connection_breaks_the_stream() {
        let (client, local) = joined().await;
        let (mut remote, _service) = tokio::io::duplex(64);
        client.set_zero_linger().expect("a socket");
        drop(client);
        let error = relay(local, &mut remote, &Path::default(), ONE).await.expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
