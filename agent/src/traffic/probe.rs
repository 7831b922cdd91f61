//! Our own bytes on a path: they show what a fault does while the services are silent, and that it is over.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::gate::now;
use super::{Gate, Path, Traveller};

const PROBE: &[u8; 8] = b"probe  \n";

/// Sends a few bytes through the path's gates to whoever echoes at the other end of `stream`; the time until they are back.
pub async fn ping(path: &Path, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<Duration> {
    let start = now();
    through(&path.outgoing).await?;
    there_and_back(&mut stream).await?;
    through(&path.incoming).await?;
    Ok(now() - start)
}

/// As a connection would pass: its opening, its bytes, its end.
async fn through(gate: &Gate) -> io::Result<()> {
    let mut passage = gate.passage(Traveller::Probe);
    passage.pass(PROBE.len()).await?;
    if gate.closes_slowly() { passage.pass_end().await } else { Ok(()) }
}

/// As [`ping`], past the gates.
pub async fn ping_undisturbed(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<Duration> {
    let start = now();
    there_and_back(&mut stream).await?;
    Ok(now() - start)
}

async fn there_and_back(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(PROBE).await?;
    stream.shutdown().await?;
    let mut back = Vec::new();
    stream.take(PROBE.len() as u64 + 1).read_to_end(&mut back).await?;
    if back == PROBE {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the probe came back changed"))
}

/// The other end: sends a probe back. It reads up to the end: a stream that is dropped before its end was read is reset, and
/// the reset overtakes the answer.
pub async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut bytes = Vec::new();
    (&mut stream).take(PROBE.len() as u64 + 1).read_to_end(&mut bytes).await?;
    stream.write_all(&bytes).await?;
    stream.shutdown().await
}
