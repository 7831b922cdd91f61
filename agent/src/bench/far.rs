//! The far end: answers, counts, sends.

use std::io;
use std::time::{Duration, Instant};

use meshproof_proto::limits::BENCH_LONGEST;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::frame::{Frame, Frames, unexpected};
use super::push::push;
use crate::limits;

/// Serves one bench to its end, which comes at the latest when the longest one would have ended.
pub(crate) async fn far(stream: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the bench does not end");
    timeout(BENCH_LONGEST * 2 + limits::BENCH_SLACK, serve(stream)).await.map_err(late)?
}

async fn serve(stream: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut frames = Frames::new(reader);
    let mut arrived = Arrived::default();
    while let Some(frame) = frames.next_or_end().await? {
        match frame {
            Frame::Ping(number) => writer.write_all(&Frame::Pong(number).bytes()).await?,
            Frame::Data(length) => {
                if let Some(total) = arrived.more(length) {
                    writer.write_all(&Frame::Arrived(total).bytes()).await?;
                }
            }
            Frame::End => {
                writer.write_all(&Frame::Arrived(arrived.total).bytes()).await?;
                writer.write_all(&Frame::End.bytes()).await?;
            }
            Frame::Send(milliseconds) => {
                let lasts = Duration::from_millis(milliseconds).min(BENCH_LONGEST);
                push(&mut writer, lasts).await?;
            }
            Frame::Pong(_) | Frame::Arrived(_) => return Err(unexpected("an answer that nobody asked for")),
        }
    }
    writer.shutdown().await
}

/// Counts, and says when it is time to tell.
#[derive(Default)]
struct Arrived {
    total: u64,
    told: Option<Instant>,
}

impl Arrived {
    fn more(&mut self, bytes: usize) -> Option<u64> {
        self.total += bytes as u64;
        let due = self.told.is_none_or(|told| told.elapsed() >= limits::BENCH_TELL_EVERY);
        if due {
            self.told = Some(Instant::now());
        }
        due.then_some(self.total)
    }
}
