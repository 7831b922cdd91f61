//! The receiving side: applies each record to the service and answers in order.

use std::io;

use meshproof_proto::mask::Masker;
use meshproof_proto::order::Action;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};

use super::frames::{self, invalid};
use crate::action::{Again, Answer, CallError, Came, ErrorKind};
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
    action: &Action,
    permits: &Permits,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    masker: &Masker,
) -> io::Result<u64> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::with_capacity(2 * limits::RECORDS_WRITE_BYTES, reader);
    // what is applied says itself which step it belongs to
    let mut caller = Again::whole(action, Terms::alone(limits::APPLY_WITHIN, permits));
    let mut buffer = Vec::new();
    let mut count = 0;
    while let Some(Record { index, json }) = frames::take(&mut reader).await? {
        if index != count {
            return Err(invalid(format!("record {count} was next, {index} came")));
        }
        count += 1;
        let mut answer = apply(&mut caller, index, &json).await;
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

/// The answer of the service to a record.
async fn apply(caller: &mut Again<'_>, index: u64, json: &str) -> Answer {
    match serde_json::from_str::<Value>(json) {
        Ok(record) => caller.call(&json!({ "record": record, "index": index })).await,
        Err(error) => Answer::impossible(format!("record {index} is not JSON: {error}")),
    }
}
