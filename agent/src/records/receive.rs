//! The receiving side: applies each record to the service and answers in order.

use std::io;

use meshproof_proto::mask::Masker;
use meshproof_proto::order::ReceiveOrder;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};

use super::frames::{self, invalid};
use super::scope;
use crate::action::{Again, Answer, CallError, Came, ErrorKind};
use crate::evidence::masked;
use crate::limits;
use crate::permits::{Permits, Terms};
use crate::wire::{Applied, Record};

/// Applies every record of the stream, whichever is its first; gives their number.
///
/// # Errors
///
/// The stream broke, or what came was no record.
pub(crate) async fn receive(
    order: &ReceiveOrder,
    permits: &Permits,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    masker: &Masker,
) -> io::Result<u64> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::with_capacity(2 * limits::RECORDS_WRITE_BYTES, reader);
    // what is applied says itself which step it belongs to
    let mut caller = Again::whole(&order.apply, Terms::alone(limits::APPLY_WITHIN, permits));
    let mut buffer = Vec::new();
    let (mut next, mut count) = (None, 0);
    while let Some(Record { index, json }) = frames::take(&mut reader).await? {
        if let Some(next) = next.filter(|next| *next != index) {
            return Err(invalid(format!("record {next} was next, {index} came")));
        }
        next = Some(index + 1);
        count += 1;
        let mut answer = apply(&mut caller, (index, order.key.as_deref()), &json).await;
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
async fn apply(caller: &mut Again<'_>, (index, key): (u64, Option<&str>), json: &str) -> Answer {
    match serde_json::from_str::<Value>(json) {
        Ok(record) => caller.call(&scope((record, index), key)).await,
        Err(error) => Answer::impossible(format!("record {index} is not JSON: {error}")),
    }
}
