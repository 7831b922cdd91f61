//! TCP connections through byte streams, and an echo in a stream of its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use meshproof_mesh::{ByteStream, Mesh};
use meshproof_proto::id::PeerId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::wire::{self, Event, Way};

const ECHO: &[u8] = b"echo";

/// Leads whoever connects to a port of this side to `port` beside the peer.
pub async fn lead(mesh: Mesh, peer: PeerId, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    wire::say(Event::Listening { port: listener.local_addr()?.port() });
    loop {
        let (near, _) = listener.accept().await?;
        let far = mesh.open_stream(peer, port.to_be_bytes().to_vec()).await.map_err(io::Error::other)?;
        tokio::spawn(join(near, far));
    }
}

/// Does what the header of a peer's stream asks for.
pub async fn accept(header: Vec<u8>, stream: ByteStream) -> io::Result<()> {
    if header == ECHO {
        let (mut from, mut to) = tokio::io::split(stream);
        tokio::io::copy(&mut from, &mut to).await?;
        return to.shutdown().await;
    }
    let port = <[u8; 2]>::try_from(header).map_err(|header| io::Error::other(format!("a header of {header:?}")))?;
    let service = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::from_be_bytes(port)));
    join(TcpStream::connect(service).await?, stream).await
}

async fn join(mut near: TcpStream, mut far: ByteStream) -> io::Result<()> {
    near.set_nodelay(true)?;
    // the service sees its connection break; the reason is for whoever reads the process's last words
    let joined = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    joined.map(drop).inspect_err(|error| {
        eprintln!("a tunnel broke: {error}");
        // as an agent's tunnel does: a reset instead of an end that nobody meant
        let _ = near.set_zero_linger();
    })
}

/// Sends a number through a new stream and waits until it is back.
pub async fn echo(mesh: Mesh, peer: PeerId, id: u64) {
    let echoed = async {
        let mut stream = mesh.open_stream(peer, ECHO.to_vec()).await.map_err(io::Error::other)?;
        stream.write_all(&id.to_be_bytes()).await?;
        let back = stream.read_u64().await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await?;
        Ok::<_, io::Error>(back)
    };
    wire::say(match echoed.await {
        Ok(back) if back == id => Event::Echoed { id, by: Way::Stream },
        Ok(other) => Event::EchoFailed { id, reason: format!("{other} came back") },
        Err(error) => Event::EchoFailed { id, reason: error.to_string() },
    });
}
