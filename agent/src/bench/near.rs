//! The near end: sends, waits for answers, and writes down what came of it.

use std::io;
use std::time::{Duration, Instant};

use meshproof_proto::bench::{BenchOrder, BenchReport, BenchStage, Flow, Pings};
use meshproof_proto::links::LinkPath;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{interval, timeout};

use super::frame::{Frame, Frames, unexpected};
use super::push::push;
use crate::limits;

type Report = watch::Sender<BenchReport>;

/// Measures. What is known so far is in the report all the time.
/// `path` is asked once the link has carried something.
pub(crate) async fn near(
    order: &BenchOrder,
    stream: impl AsyncRead + AsyncWrite,
    report: &Report,
    path: impl Fn() -> Option<LinkPath>,
) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut frames = Frames::new(reader);
    // the first answer waits for the bulk connection: it is a sign of life and no round trip
    within(limits::BENCH_FIRST, "no answer within", ping(0, &mut frames, &mut writer)).await?;
    report.send_modify(|report| (report.path, report.stage) = (path(), BenchStage::Pinging));
    let pings = pings(order.pings, &mut frames, &mut writer).await?;
    report.send_modify(|report| (report.pings, report.stage) = (pings, BenchStage::Sending));
    let lasts = Duration::from_millis(order.duration_ms);
    let sending = async { tokio::try_join!(push(&mut writer, lasts), arrivals(&mut frames, report)).map(|_| ()) };
    in_seconds(sending, report, |report| &mut report.sent).await?;
    report.send_modify(|report| report.stage = BenchStage::Receiving);
    let receiving = async {
        writer.write_all(&Frame::Send(order.duration_ms).bytes()).await?;
        receive(&mut frames, report).await
    };
    in_seconds(receiving, report, |report| &mut report.received).await?;
    // both ends say that it was all: a stream that is dropped before is reset
    writer.shutdown().await?;
    match frames.next_or_end().await? {
        None => Ok(()),
        Some(_) => Err(unexpected("something behind the last data")),
    }
}

async fn pings<R, W>(count: u32, frames: &mut Frames<R>, writer: &mut W) -> io::Result<Option<Pings>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut trips_us = Vec::new();
    for number in 1..=count {
        let trip = moving(ping(u64::from(number), frames, writer)).await?;
        trips_us.push(u64::try_from(trip.as_micros()).unwrap_or(u64::MAX));
    }
    Ok(Pings::of(trips_us))
}

async fn ping<R, W>(number: u64, frames: &mut Frames<R>, writer: &mut W) -> io::Result<Duration>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let began = Instant::now();
    writer.write_all(&Frame::Ping(number).bytes()).await?;
    match frames.next().await? {
        Frame::Pong(answered) if answered == number => Ok(began.elapsed()),
        other => Err(unexpected(&format!("{other:?} instead of an answer to ping {number}"))),
    }
}

/// Takes what the far end says of our data, until it has all of it.
async fn arrivals<R: AsyncRead + Unpin>(frames: &mut Frames<R>, report: &Report) -> io::Result<()> {
    let began = Instant::now();
    loop {
        match moving(frames.next()).await? {
            Frame::Arrived(total) => report.send_modify(|report| report.sent.arrived(total, began.elapsed())),
            Frame::End => return Ok(()),
            other => return Err(unexpected(&format!("{other:?} instead of what arrived"))),
        }
    }
}

async fn receive<R: AsyncRead + Unpin>(frames: &mut Frames<R>, report: &Report) -> io::Result<()> {
    let (began, mut total) = (Instant::now(), 0);
    loop {
        match moving(frames.next()).await? {
            Frame::Data(length) => {
                total += length as u64;
                report.send_modify(|report| report.received.arrived(total, began.elapsed()));
            }
            Frame::End => return Ok(()),
            other => return Err(unexpected(&format!("{other:?} instead of data"))),
        }
    }
}

/// What has to come to something soon, or the bench is over.
async fn moving<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    within(limits::BENCH_STALLED, "nothing arrived for", work).await
}

async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("{what} {limit:?}"));
    timeout(limit, work).await.map_err(late)?
}

/// Seconds in which nothing arrives are seconds as well.
async fn in_seconds(
    work: impl Future<Output = io::Result<()>>,
    report: &Report,
    flow: fn(&mut BenchReport) -> &mut Flow,
) -> io::Result<()> {
    let began = Instant::now();
    let passing = async {
        let mut ticks = interval(limits::BENCH_TELL_EVERY);
        loop {
            ticks.tick().await;
            report.send_modify(|report| flow(report).passed(began.elapsed()));
        }
    };
    tokio::select! {
        done = work => done,
        () = passing => Ok(()),
    }
}
