//! What a program prints, told while it runs.
//!
//! Whole lines are gathered for a moment and told together, without secrets and up to a bound: whoever waits for a long program sees it
//! work. Of what comes after the bound the last is told, when the pipe ends: there stands why a program failed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use meshproof_proto::event::{Fact, Pipe};
use meshproof_proto::limits::EVENT_TEXT_BYTES;
use meshproof_proto::mask::{MaskStream, Masker};
use meshproof_proto::order::StepKey;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::limits;

/// The ear of one step's programs, however often they are tried.
#[derive(Debug)]
pub struct Live<'s> {
    key: &'s StepKey,
    facts: &'s mpsc::Sender<Fact>,
    masker: &'s Masker,
    /// Bytes that may still be told.
    left: AtomicUsize,
    /// It was said that no more is.
    ended: AtomicBool,
    /// How many pipes may still tell how they ended.
    tails: AtomicUsize,
}

impl<'s> Live<'s> {
    pub fn of(key: &'s StepKey, facts: &'s mpsc::Sender<Fact>, masker: &'s Masker) -> Self {
        let (left, tails) = (AtomicUsize::new(limits::PRINTED_BYTES), AtomicUsize::new(limits::PRINTED_TAILS));
        Self { key, facts, masker, left, ended: AtomicBool::new(false), tails }
    }

    /// For one pipe of one program.
    pub(super) fn pipe(&self, pipe: Pipe) -> LivePipe<'_> {
        LivePipe {
            live: self,
            pipe,
            masked: self.masker.stream(),
            gathered: Vec::new(),
            due: None,
            tail: Vec::new(),
            untold: 0,
        }
    }

    fn may_tell_tail(&self) -> bool {
        self.tails.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// As much of the text as is still told, with a mark when that is not all of it; and the rest.
    fn allowed(&self, mut text: String) -> (Option<String>, String) {
        let before =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(text.len())));
        let left = before.unwrap_or_default();
        if text.len() <= left {
            return (Some(text), String::new());
        }
        let rest = text.split_off(text.floor_char_boundary(left));
        let is_first = !self.ended.swap(true, Ordering::Relaxed);
        (is_first.then(|| format!("{text}… (no more is told while the step runs)\n")), rest)
    }
}

/// What one pipe carries.
#[derive(Debug)]
pub(super) struct LivePipe<'l> {
    live: &'l Live<'l>,
    pipe: Pipe,
    masked: MaskStream<'l>,
    /// Without secrets, and not told yet.
    gathered: Vec<u8>,
    due: Option<Instant>,
    /// The last of what was not told, and how much that was.
    tail: Vec<u8>,
    untold: usize,
}

impl LivePipe<'_> {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let masked = self.masked.push(bytes);
        if self.live.ended.load(Ordering::Relaxed) {
            let before = std::mem::take(&mut self.gathered);
            self.keep(&before);
            return self.keep(&masked);
        }
        self.gathered.extend(masked);
        self.due.get_or_insert_with(|| Instant::now() + limits::PRINTED_GATHERED);
    }

    /// Ends when it is time to [`Self::tell`]; never while there is nothing to tell.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Tells the lines that are whole.
    pub(super) async fn tell(&mut self) {
        self.due = None;
        let more = self.masked.flush();
        self.gathered.extend(more);
        let whole = match self.gathered.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if self.gathered.len() >= EVENT_TEXT_BYTES => self.gathered.len(),
            None => 0,
        };
        let lines: Vec<u8> = self.gathered.drain(..whole).collect();
        self.say(&lines).await;
    }

    /// The pipe is at its end: tells the rest.
    pub(super) async fn end(mut self) {
        let rest = std::mem::replace(&mut self.masked, self.live.masker.stream()).finish();
        self.gathered.extend(rest);
        let all = std::mem::take(&mut self.gathered);
        self.say(&all).await;
        if self.untold > 0 && self.live.may_tell_tail() {
            let left_out = self.untold - self.tail.len();
            let text = format!("… ({left_out} bytes were not told)\n{}", String::from_utf8_lossy(&self.tail));
            self.tell_text(text).await;
        }
    }

    /// Keeps the last of what is not told.
    fn keep(&mut self, bytes: &[u8]) {
        self.untold += bytes.len();
        self.tail.extend_from_slice(bytes);
        self.tail.drain(..self.tail.len().saturating_sub(limits::PRINTED_TAIL_BYTES));
    }

    async fn tell_text(&self, text: String) {
        // Nobody listens any more when the run is over.
        let _ = self.live.facts.send(Fact::Printed { key: self.live.key.clone(), pipe: self.pipe, text }).await;
    }

    async fn say(&mut self, bytes: &[u8]) {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        while !text.is_empty() {
            let rest = text.split_off(text.floor_char_boundary(EVENT_TEXT_BYTES));
            let (told, untold) = self.live.allowed(text);
            if let Some(told) = told {
                self.tell_text(told).await;
            }
            self.keep(untold.as_bytes());
            text = rest;
        }
    }
}
