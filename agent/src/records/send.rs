//! The sending side: makes records, checks what comes back.

use std::io;
use std::time::{Duration, Instant};

use meshproof_proto::codec::CodecError;
use meshproof_proto::event::StepResult;
use meshproof_proto::expr::ValueTemplate;
use meshproof_proto::mask::Masker;
use meshproof_proto::order::{DataSource, Pace, StepOrder, StreamAction};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

use super::frames;
use super::judge::{Judge, Whole};
use crate::action::{CallError, ErrorKind};
use crate::evidence::told;
use crate::limits;
use crate::wire::{Applied, Record};

/// Why a stream did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("record {index} cannot be made: {reason}")]
    Record { index: u64, reason: String },
    #[error("the stream to the other agent broke: {0}")]
    Stream(#[from] io::Error),
    #[error("only {answers} of {records} records were answered")]
    Short { answers: u64, records: u64 },
    #[error("record {expected} was to be answered next, {got} was")]
    Order { expected: u64, got: u64 },
}

/// Sends every record, takes every answer, and judges them. Ends within the order's time.
pub async fn send(
    order: &StepOrder,
    action: &StreamAction,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    masker: &Masker,
) -> StepResult {
    let began = Instant::now();
    let within = Duration::from_millis(order.within_ms);
    let mut judge = Judge::new(order, masker);
    let mut sent = 0;
    let error = match refused(order, action) {
        Some(error) => Some(error),
        None => {
            let source = Source::of(&action.data);
            match timeout(within, exchange((&source, action.pace), stream, (&mut sent, &mut judge))).await {
                Ok(ended) => ended.err().map(|broken| broken.call_error()),
                Err(_) => {
                    let message = format!("not every record was answered within {within:?}");
                    Some(CallError::new(ErrorKind::Timeout, message))
                }
            }
        }
    };
    told(judge.finish(&Whole { bytes: sent, duration: began.elapsed(), error }), masker)
}

fn refused(order: &StepOrder, action: &StreamAction) -> Option<CallError> {
    let count = Source::of(&action.data).count();
    if count > limits::RECORDS {
        let message = format!("unsupported: a stream of {count} records, at most {} are sent", limits::RECORDS);
        return Some(CallError::new(ErrorKind::Order, message));
    }
    let repeats = order.eventually_ms.is_some();
    repeats.then(|| CallError::new(ErrorKind::Order, "unsupported: `eventually` on a stream"))
}

async fn exchange(
    (source, pace): (&Source<'_>, Option<Pace>),
    stream: impl AsyncRead + AsyncWrite + Unpin,
    (sent, judge): (&mut u64, &mut Judge<'_>),
) -> Result<(), Broken> {
    let (reader, writer) = tokio::io::split(stream);
    tokio::try_join!(write((source, pace), writer, sent), read(source, reader, judge))?;
    Ok(())
}

async fn write(
    (source, pace): (&Source<'_>, Option<Pace>),
    mut writer: impl AsyncWrite + Unpin,
    sent: &mut u64,
) -> Result<(), Broken> {
    let began = tokio::time::Instant::now();
    let mut buffer = Vec::with_capacity(2 * limits::RECORDS_WRITE_BYTES);
    for index in 0..source.count() {
        let due = pace.map(|pace| began + pace.due(index));
        if let Some(due) = due.filter(|due| *due > tokio::time::Instant::now()) {
            writer.write_all(&buffer).await?;
            buffer.clear();
            tokio::time::sleep_until(due).await;
        }
        let json = source.record(index)?.to_string();
        *sent += json.len() as u64;
        frames::put(&mut buffer, &Record { index, json }).map_err(|error: CodecError| unmade(index, &error))?;
        if buffer.len() >= limits::RECORDS_WRITE_BYTES {
            writer.write_all(&buffer).await?;
            buffer.clear();
            // A stream takes a whole window at once; others want their turn before that.
            tokio::task::yield_now().await;
        }
    }
    writer.write_all(&buffer).await?;
    writer.shutdown().await?;
    Ok(())
}

async fn read(source: &Source<'_>, reader: impl AsyncRead + Unpin, judge: &mut Judge<'_>) -> Result<(), Broken> {
    let mut reader = BufReader::with_capacity(limits::RECORDS_WRITE_BYTES, reader);
    while let Some(Applied { index, answer }) = frames::take(&mut reader).await? {
        let expected = judge.answers();
        if index != expected || index >= source.count() {
            return Err(Broken::Order { expected, got: index });
        }
        let record = source.record(index)?;
        judge.answer(&answer, &json!({ "record": record, "index": index }));
        tokio::task::coop::consume_budget().await;
    }
    match judge.answers() {
        answers if answers == source.count() => Ok(()),
        answers => Err(Broken::Short { answers, records: source.count() }),
    }
}

/// Where records come from; each may be asked for more than once.
enum Source<'d> {
    Generated {
        count: u64,
        json: &'d ValueTemplate,
    },
    /// Lines that are not empty.
    Lines(Vec<&'d str>),
}

impl<'d> Source<'d> {
    fn of(data: &'d DataSource) -> Self {
        match data {
            DataSource::Generate { count, json } => Self::Generated { count: *count, json },
            DataSource::Lines(held) => Self::Lines(held.text.lines().filter(|line| !line.trim().is_empty()).collect()),
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Generated { count, .. } => *count,
            Self::Lines(lines) => lines.len() as u64,
        }
    }

    fn record(&self, index: u64) -> Result<Value, Broken> {
        match self {
            Self::Generated { json, .. } => {
                json.value(&json!({ "index": index })).map_err(|unset| unmade(index, &unset))
            }
            Self::Lines(lines) => {
                let line = usize::try_from(index).ok().and_then(|index| lines.get(index)).copied().unwrap_or_default();
                serde_json::from_str(line).map_err(|error| unmade(index, &format!("its line is no JSON: {error}")))
            }
        }
    }
}

fn unmade(index: u64, reason: &dyn std::fmt::Display) -> Broken {
    Broken::Record { index, reason: reason.to_string() }
}

impl Broken {
    fn call_error(&self) -> CallError {
        let kind = match self {
            Self::Record { .. } => ErrorKind::Order,
            Self::Stream(error) if error.kind() == io::ErrorKind::InvalidData => ErrorKind::Protocol,
            Self::Stream(_) | Self::Short { .. } => ErrorKind::Reset,
            Self::Order { .. } => ErrorKind::Protocol,
        };
        CallError::new(kind, self.to_string())
    }
}
