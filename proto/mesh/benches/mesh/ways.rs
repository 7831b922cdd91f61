//! Ways to move bytes from one end to the other, all measured by the same hand.

mod messages;
mod sockets;
mod stock;

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::measure::soon;

pub use messages::tuned;
pub use sockets::{quic, tcp, tls};
pub use stock::stock;

/// So many writes of that many bytes each.
#[derive(Clone, Copy, Debug)]
struct Load {
    writes: usize,
    size: usize,
}

/// One way. Each end is a task, so that both run at once; they end with it.
pub struct Way {
    writer: mpsc::Sender<Load>,
    reader: mpsc::Sender<Load>,
    done: mpsc::Receiver<()>,
    /// Bytes of one transfer at most.
    most: usize,
}

/// What the two tasks of a way are told and tell.
struct Ends {
    writes: mpsc::Receiver<Load>,
    reads: mpsc::Receiver<Load>,
    done: mpsc::Sender<()>,
}

impl Load {
    fn bytes(self) -> usize {
        self.writes * self.size
    }
}

impl Way {
    fn new() -> (Self, Ends) {
        let ((writer, writes), (reader, reads)) = (mpsc::channel(1), mpsc::channel(1));
        let (done, finished) = mpsc::channel(1);
        (Self { writer, reader, done: finished, most: usize::MAX }, Ends { writes, reads, done })
    }

    /// Byte streams, whatever carries them.
    pub fn of_streams<W, R>(mut to: W, mut from: R) -> Self
    where
        W: AsyncWrite + Send + Unpin + 'static,
        R: AsyncRead + Send + Unpin + 'static,
    {
        let (way, Ends { mut writes, mut reads, done }) = Self::new();
        tokio::spawn(async move {
            while let Some(load) = writes.recv().await {
                let block = vec![7; load.size];
                for _ in 0..load.writes {
                    to.write_all(&block).await.expect("it flows");
                }
                to.flush().await.expect("it flows");
            }
        });
        tokio::spawn(async move {
            let mut buffer = vec![0; 256 * 1024];
            while let Some(load) = reads.recv().await {
                let mut left = load.bytes();
                while left > 0 {
                    let got = from.read(&mut buffer).await.expect("it flows");
                    assert!(got > 0, "the stream ended early");
                    left -= got;
                }
                let _ = done.send(()).await;
            }
        });
        way
    }

    /// From the first write to the last read; `None` when the way broke.
    async fn carry(&mut self, load: Load) -> Option<Duration> {
        let begin = Instant::now();
        self.reader.send(load).await.ok()?;
        self.writer.send(load).await.ok()?;
        soon("a transfer", self.done.recv()).await?;
        Some(begin.elapsed())
    }

    /// MB/s over `volume` bytes in writes of `size` bytes.
    pub async fn goodput(&mut self, size: usize, volume: usize) -> f64 {
        self.try_goodput(size, volume).await.expect("both ends of the way live")
    }

    /// The same; `None` when the way broke.
    pub async fn try_goodput(&mut self, size: usize, volume: usize) -> Option<f64> {
        let load = Load { writes: volume.div_ceil(size), size };
        let taken = self.carry(load).await?;
        Some(load.bytes() as f64 / 1e6 / taken.as_secs_f64())
    }

    /// The volume that takes about `aimed` on a way whose speed builds up slowly: the try takes as long. `None` when it broke.
    pub async fn volume_of(&mut self, size: usize, aimed: Duration) -> Option<usize> {
        let (begin, mut moved) = (Instant::now(), 0.0);
        while begin.elapsed() < aimed {
            const STEP: usize = 500_000;
            self.try_goodput(size, STEP).await?;
            moved += STEP as f64;
        }
        Some((moved / begin.elapsed().as_secs_f64() * aimed.as_secs_f64()) as usize)
    }

    /// The volume that takes about `aimed`, found by a try that also warms the way up.
    pub async fn volume(&mut self, size: usize, aimed: Duration) -> usize {
        const TRY: usize = 2_000_000;
        let mut speed = self.goodput(size, TRY).await;
        if speed > 50.0 {
            speed = self.goodput(size, TRY * 8).await;
        }
        ((speed * 1e6 * aimed.as_secs_f64()) as usize).min(self.most)
    }
}
