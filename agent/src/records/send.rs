//! The sending side: makes records, checks what comes back.
//!
//! A stream whose records have keys goes on behind the last answer when it breaks, or another instance does with what this one has noted
//! of the answers. What was sent behind that answer is sent once more.

use std::io;
use std::time::{Duration, Instant};

use meshproof_mesh::NoLink;
use meshproof_proto::codec::CodecError;
use meshproof_proto::event::StepResult;
use meshproof_proto::mask::Masker;
use meshproof_proto::order::{Pace, StepOrder, StreamAction};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::answers::Answers;
use super::judge::{Judge, Whole};
use super::source::{Source, Stores};
use super::{frames, scope};
use crate::action::{CallError, ErrorKind};
use crate::evidence::told;
use crate::limits;
use crate::notes::Notes;
use crate::outbox::Entry;
use crate::wire::{Applied, Record};

/// Why a stream did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("record {index} cannot be made: {reason}")]
    Record { index: u64, reason: String },
    #[error("the stream to the other agent broke: {0}")]
    Stream(#[from] io::Error),
    #[error("there is no link to the agent of `{0}`")]
    Unlinked(String),
    #[error("only {answers} of {records} records were answered")]
    Short { answers: u64, records: u64 },
    #[error("record {expected} was to be answered next, {got} was")]
    Order { expected: u64, got: u64 },
}

/// What is sent.
struct Sending<'d> {
    order: &'d StepOrder,
    action: &'d StreamAction,
    source: Source<'d>,
    notes: &'d Notes,
    /// Room for records that are sent ahead of their answers, of a stream that may have to send them again.
    ahead: Option<Semaphore>,
}

/// Sends every record behind those that are answered already, takes every answer, and judges them. Ends within the order's time. Logs and
/// files are those that are here.
pub(crate) async fn send<S, F>(
    (order, action): (&StepOrder, &StreamAction),
    (answered, mut open): (Answers, impl FnMut() -> F + Send),
    (stores, notes): (Stores<'_>, &Notes),
    masker: &Masker,
) -> StepResult
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    F: Future<Output = Result<S, NoLink>> + Send,
{
    let began = Instant::now();
    let within = Duration::from_millis(order.within_ms);
    let mut judge = Judge::new(order, masker, answered);
    let source = Source::of(&action.data, stores);
    let mut sending = Sending { order, action, source, notes, ahead: None };
    let mut broke = None;
    let error = match refused(order, &sending.source) {
        Some(error) => Some(error),
        None => match timeout(within, sending.go_on(&mut open, (&mut judge, &mut broke))).await {
            Ok(ended) => ended.err().map(|broken| broken.call_error()),
            Err(_) => {
                let why: Vec<String> = sending.source.lacks().into_iter().chain(broke).collect();
                let why = why.into_iter().map(|why| format!("; {why}")).collect::<String>();
                let message = format!("not every record was answered within {within:?}{why}");
                Some(CallError::new(ErrorKind::Timeout, message))
            }
        },
    };
    told(judge.finish(&Whole { duration: began.elapsed(), error }), masker)
}

fn refused(order: &StepOrder, source: &Source<'_>) -> Option<CallError> {
    let count = source.count();
    if count > limits::RECORDS {
        let message = format!("unsupported: a stream of {count} records, at most {} are sent", limits::RECORDS);
        return Some(CallError::new(ErrorKind::Order, message));
    }
    let repeats = order.eventually_ms.is_some();
    repeats.then(|| CallError::new(ErrorKind::Order, "unsupported: `eventually` on a stream"))
}

impl Sending<'_> {
    /// Until all are answered, over as many streams as that takes.
    async fn go_on<S, F>(
        &mut self,
        open: &mut (impl FnMut() -> F + Send),
        (judge, broke): (&mut Judge<'_>, &mut Option<String>),
    ) -> Result<(), Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
        F: Future<Output = Result<S, NoLink>> + Send,
    {
        let mut wait = limits::POLL_FIRST;
        loop {
            let before = judge.answers();
            let came = match open().await {
                Ok(stream) => self.exchange(stream, judge).await,
                Err(NoLink) => Err(Broken::Unlinked(self.action.to.to_string())),
            };
            let broken = match came {
                Ok(()) => return Ok(()),
                Err(broken) if self.action.key.is_some() && broken.may_heal() => broken,
                Err(broken) => return Err(broken),
            };
            tracing::info!(step = %self.order.key, answers = judge.answers(), %broken, "a record stream goes on");
            *broke = Some(broken.to_string());
            if judge.answers() > before {
                wait = limits::POLL_FIRST;
            }
            sleep(wait).await;
            wait = (wait * 2).min(limits::POLL_LONGEST);
            judge.resumes();
        }
    }

    async fn exchange(
        &mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        judge: &mut Judge<'_>,
    ) -> Result<(), Broken> {
        let (reader, writer) = tokio::io::split(stream);
        let (first, mut bytes) = (judge.answers(), 0);
        self.source.begin_again();
        self.ahead = self.action.key.as_ref().map(|_| Semaphore::new(limits::RECORDS_AHEAD));
        let this = &*self;
        let done = tokio::try_join!(this.write(writer, (first, &mut bytes)), this.read(reader, judge));
        judge.sends(bytes);
        done.map(drop)
    }

    async fn write(&self, mut writer: impl AsyncWrite + Unpin, (first, sent): (u64, &mut usize)) -> Result<(), Broken> {
        let began = tokio::time::Instant::now();
        let mut buffer = Vec::with_capacity(2 * limits::RECORDS_WRITE_BYTES);
        let mut reader = self.source.reader();
        for index in 0..first {
            self.source.skip(reader.as_mut()).await.map_err(|reason| Broken::Record { index, reason })?;
        }
        for index in first..self.source.count() {
            let due = self.action.pace.map(|pace: Pace| began + pace.due(index - first));
            if let Some(due) = due.filter(|due| *due > tokio::time::Instant::now()) {
                writer.write_all(&buffer).await?;
                buffer.clear();
                tokio::time::sleep_until(due).await;
            }
            let waits = reader.as_ref().is_some_and(|reader| !reader.is_ready()) || !self.has_room();
            if waits && !buffer.is_empty() {
                writer.write_all(&buffer).await?;
                buffer.clear();
            }
            self.takes_room().await;
            let record = self.source.next(index, reader.as_mut()).await;
            let json = record.map_err(|reason| Broken::Record { index, reason })?.to_string();
            *sent += json.len();
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

    fn has_room(&self) -> bool {
        self.ahead.as_ref().is_none_or(|ahead| ahead.available_permits() > 0)
    }

    async fn takes_room(&self) {
        let Some(ahead) = &self.ahead else { return };
        // nobody closes it
        if let Ok(place) = ahead.acquire().await {
            place.forget();
        }
    }

    async fn read(&self, reader: impl AsyncRead + Unpin, judge: &mut Judge<'_>) -> Result<(), Broken> {
        let mut reader = BufReader::with_capacity(limits::RECORDS_WRITE_BYTES, reader);
        let mut noted = tokio::time::Instant::now();
        while let Some(Applied { index, answer }) = frames::take(&mut reader).await? {
            let expected = judge.answers();
            if index != expected || index >= self.source.count() {
                return Err(Broken::Order { expected, got: index });
            }
            let record = self.source.answered(index).map_err(|reason| Broken::Record { index, reason })?;
            self.ahead.iter().for_each(|ahead| ahead.add_permits(1));
            judge.answer(&answer, &scope((record, index), self.action.key.as_deref()));
            if self.action.key.is_some()
                && (judge.unnoted() >= limits::ANSWERS_NOTED || noted.elapsed() >= limits::ANSWERS_NOTED_EVERY)
            {
                let answered = Box::new(judge.note());
                self.notes.write(Entry::RecordsAnswered { key: self.order.key.clone(), answered }).await;
                noted = tokio::time::Instant::now();
            }
            tokio::task::coop::consume_budget().await;
        }
        match judge.answers() {
            answers if answers == self.source.count() => Ok(()),
            answers => Err(Broken::Short { answers, records: self.source.count() }),
        }
    }
}

fn unmade(index: u64, reason: &dyn std::fmt::Display) -> Broken {
    Broken::Record { index, reason: reason.to_string() }
}

impl Broken {
    /// Whether another stream may come further.
    fn may_heal(&self) -> bool {
        match self {
            Self::Stream(error) => error.kind() != io::ErrorKind::InvalidData,
            Self::Unlinked(_) | Self::Short { .. } => true,
            Self::Record { .. } | Self::Order { .. } => false,
        }
    }

    fn call_error(&self) -> CallError {
        let kind = match self {
            Self::Record { .. } => ErrorKind::Order,
            Self::Stream(error) if error.kind() == io::ErrorKind::InvalidData => ErrorKind::Protocol,
            Self::Stream(_) | Self::Unlinked(_) | Self::Short { .. } => ErrorKind::Reset,
            Self::Order { .. } => ErrorKind::Protocol,
        };
        CallError::new(kind, self.to_string())
    }
}
