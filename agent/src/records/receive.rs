//! The receiving side: applies each record to the service and answers in order.

use std::io;

use meshproof_proto::mask::Masker;
use meshproof_proto::order::{Action, TcpAction};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};

use super::frames::{self, invalid};
use crate::action::{Answer, CallError, Came, Connections, ErrorKind, TcpSession, perform};
use crate::evidence::masked;
use crate::limits;
use crate::permits::{Permits, Terms};
use crate::wire::{Applied, Record};

/// Applies every record of the stream; gives their number.
///
/// # Errors
///
/// The stream broke, or what came was no record.
pub async fn receive(
    apply: &Action,
    permits: &Permits,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    masker: &Masker,
) -> io::Result<u64> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::with_capacity(2 * limits::RECORDS_WRITE_BYTES, reader);
    let connections = Connections::default();
    // what is applied says itself which step it belongs to
    let terms =
        Terms { within: limits::APPLY_WITHIN, permits, connections: Some(&connections), live: None, parent: None };
    let mut applier = Applier::of(apply, terms);
    let mut buffer = Vec::new();
    let mut count = 0;
    while let Some(Record { index, json }) = frames::take(&mut reader).await? {
        if index != count {
            return Err(invalid(format!("record {count} was next, {index} came")));
        }
        count += 1;
        let mut answer = applier.apply(index, &json).await;
        answer.sent = masked(&answer.sent, masker, limits::APPLIED_TEXT_BYTES);
        put(&mut buffer, index, answer);
        // Answers leave together while more records are there to be applied.
        if buffer.len() >= limits::RECORDS_WRITE_BYTES || reader.buffer().is_empty() {
            writer.write_all(&buffer).await?;
            buffer.clear();
        }
    }
    writer.write_all(&buffer).await?;
    writer.shutdown().await?;
    Ok(count)
}

fn put(buffer: &mut Vec<u8>, index: u64, answer: Answer) {
    let took = answer.took;
    let applied = Applied { index, answer };
    if let Err(error) = frames::put(buffer, &applied) {
        let error = CallError::new(ErrorKind::TooLarge, format!("the answer cannot travel: {error}"));
        let answer = Answer { sent: applied.answer.sent, came: Came::Nothing, error: Some(error), took };
        frames::put(buffer, &Applied { index, answer }).expect("without its body an answer is small");
    }
}

/// How records reach the service, and what this agent permits.
struct Applier<'o> {
    how: How<'o>,
    terms: Terms<'o>,
}

enum How<'o> {
    /// One connection for all records, as long as it works.
    Tcp { action: &'o TcpAction, session: Option<Box<TcpSession>> },
    /// A call for each.
    Call(&'o Action),
}

impl<'o> Applier<'o> {
    fn of(apply: &'o Action, terms: Terms<'o>) -> Self {
        let how = match apply {
            Action::Tcp(action) => How::Tcp { action, session: None },
            Action::Http(_)
            | Action::Exec(_)
            | Action::Stream(_)
            | Action::ExpectLog { .. }
            | Action::ExpectStub { .. }
            | Action::ChangeStub { .. }
            | Action::WatchLog { .. }
            | Action::WatchStub { .. }
            | Action::Settle { .. }
            | Action::ExpectMetric { .. }
            | Action::WatchMetric { .. }
            | Action::ExpectLink { .. }
            | Action::CountLog { .. }
            | Action::Grpc(_)
            | Action::Ws(_) => How::Call(apply),
        };
        Self { how, terms }
    }

    async fn apply(&mut self, index: u64, json: &str) -> Answer {
        let record: Value = match serde_json::from_str(json) {
            Ok(record) => record,
            Err(error) => return Answer::impossible(format!("record {index} is not JSON: {error}")),
        };
        let scope = json!({ "record": record, "index": index });
        match &mut self.how {
            How::Call(action) => perform(action, &scope, self.terms).await,
            How::Tcp { action, session } => {
                let mut open = match session.take() {
                    Some(open) => open,
                    None => match TcpSession::open(&action.target, self.terms).await {
                        Ok(open) => Box::new(open),
                        Err(error) => return unsent(error),
                    },
                };
                let answer = open.exchange(&action.send, &scope, limits::APPLY_WITHIN).await;
                if answer.error.is_none() {
                    *session = Some(open);
                }
                answer
            }
        }
    }
}

fn unsent(error: CallError) -> Answer {
    Answer { error: Some(error), ..Answer::impossible("") }
}
