//! Records that are lines of a file of the run: chunk by chunk, each as soon as it is here.

use std::collections::VecDeque;

use meshproof_proto::limits::RPC_FRAME_BYTES;
use serde_json::Value;

use crate::blobs::Kept;

/// How far a file was read.
pub(in crate::records) struct Reader<'d> {
    file: Option<&'d Kept>,
    /// The next one.
    chunk: u32,
    lines: VecDeque<String>,
    /// The beginning of the next line.
    rest: Vec<u8>,
}

impl<'d> Reader<'d> {
    /// At its beginning; none: there is no such file here.
    pub(super) fn new(file: Option<&'d Kept>) -> Self {
        Self { file, chunk: 0, lines: VecDeque::new(), rest: Vec::new() }
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.lines.is_empty()
    }

    pub(super) async fn next(&mut self) -> Result<Value, String> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return serde_json::from_str(&line).map_err(|error| format!("its line is no JSON: {error}"));
            }
            let file = self.file.ok_or("this agent was not told of the file")?;
            if self.chunk < file.chunks().await {
                let bytes =
                    file.chunk(self.chunk).await.map_err(|error| format!("the file cannot be read: {error}"))?;
                self.chunk += 1;
                self.rest.extend_from_slice(&bytes);
                self.take_lines()?;
            } else if self.rest.is_empty() {
                return Err("the file has no more lines".to_owned());
            } else {
                let last = std::mem::take(&mut self.rest);
                self.push(&last)?;
            }
        }
    }

    /// Those that are whole.
    fn take_lines(&mut self) -> Result<(), String> {
        if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.rest.split_off(end + 1);
            let lines = std::mem::replace(&mut self.rest, rest);
            lines.split(|byte| *byte == b'\n').try_for_each(|line| self.push(line))?;
        }
        if self.rest.len() > RPC_FRAME_BYTES {
            return Err(format!("a line of the file has more than {RPC_FRAME_BYTES} bytes"));
        }
        Ok(())
    }

    /// Unless it is empty.
    fn push(&mut self, line: &[u8]) -> Result<(), String> {
        let line = std::str::from_utf8(line).map_err(|_| "its line is no text in UTF-8")?;
        if !line.trim().is_empty() {
            self.lines.push_back(line.to_owned());
        }
        Ok(())
    }
}
