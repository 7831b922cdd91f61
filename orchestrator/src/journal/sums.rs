//! Check sums of a journal's lines: the object's last key, `,"crc":"…"}`, over every byte before that comma.
//!
//! Journals of before have none, so the first line says whether there are any. A last line that does not fit is what a crash or a disk made of it
//! before it was acknowledged, and is left out; behind any other one nothing is believed.

use crate::record::Record;

const KEY: &[u8] = b",\"crc\":\"";

/// Hexadecimal, and what ends the object.
const DIGITS: usize = 8;
const SUFFIX: usize = KEY.len() + DIGITS + 2;

/// The record as a line, with its check sum, and without the line's end.
///
/// # Errors
/// It cannot be written as JSON.
pub fn line(record: &Record) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record)?;
    // the brace comes again, behind the sum
    line.pop();
    let sum = format!("{:08x}", crc32c::crc32c(&line));
    line.extend(KEY);
    line.extend(sum.as_bytes());
    line.extend(b"\"}");
    Ok(line)
}

/// The line without its check sum, if it has one.
pub(super) fn without(line: &[u8]) -> Option<&[u8]> {
    let (said, suffix) = line.split_at_checked(line.len().checked_sub(SUFFIX)?)?;
    (suffix.starts_with(KEY) && suffix.ends_with(b"\"}")).then_some(said)
}

/// What the lines so far had.
#[derive(Debug, Default)]
pub(super) enum Sums {
    #[default]
    NotKnown,
    None,
    Every,
}

impl Sums {
    /// Whether the line, without its end, is what was written.
    pub(super) fn fits(&mut self, line: &[u8]) -> bool {
        let said = without(line);
        if matches!(self, Self::NotKnown) {
            *self = if said.is_some() { Self::Every } else { Self::None };
        }
        match (&self, said) {
            (Self::Every, Some(said)) => {
                let digits = &line[said.len() + KEY.len()..][..DIGITS];
                format!("{:08x}", crc32c::crc32c(said)).as_bytes() == digits
            }
            (Self::None, None) => true,
            (Self::NotKnown | Self::None | Self::Every, _) => false,
        }
    }
}
