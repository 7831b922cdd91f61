//! Records that are lines of a log.

use std::collections::VecDeque;

use serde_json::Value;
use tokio::sync::watch;

use crate::logs::{LogStore, Mark};

/// How far a log was read.
pub(in crate::records) struct Reader<'d> {
    logs: &'d LogStore,
    log: &'d str,
    mark: Mark,
    lines: VecDeque<Value>,
    changes: watch::Receiver<u64>,
}

impl<'d> Reader<'d> {
    /// At its beginning.
    pub(super) fn new(logs: &'d LogStore, log: &'d str) -> Self {
        Self { logs, log, mark: Mark::default(), lines: VecDeque::new(), changes: logs.changes() }
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.lines.is_empty()
    }

    pub(super) async fn next(&mut self) -> Result<Value, String> {
        loop {
            if let Some(record) = self.lines.pop_front() {
                return Ok(record);
            }
            // what comes from here on is seen, whatever was seen before
            self.changes.mark_unchanged();
            let since = self.logs.lines_since(self.log, &self.mark);
            let since = since.ok_or_else(|| format!("there is no log `{}` here", self.log))?;
            if since.lost > 0 {
                return Err(format!("{} lines of the log are not kept any more", since.lost));
            }
            self.mark = since.next;
            self.lines
                .extend(since.lines.iter().filter(|line| !line.text.trim().is_empty()).map(|line| value(&line.text)));
            if self.lines.is_empty() && !since.more && self.changes.changed().await.is_err() {
                return Err("the log is not read any more".to_owned());
            }
        }
    }
}

/// A line that is JSON is what it says, any other is a text.
fn value(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| Value::from(line))
}
