//! The book: which orders were posted, and which of them the audit file already holds.
//!
//! A post is answered from memory. A writer gathers posts for [`limits::AUDIT_DELAY`] and writes them together, so a slow disk
//! delays the audit and not the answers. An order is settled from the moment its line is in the file.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::{facts, limits, net};

/// All orders, shared by the connections and the writer.
#[derive(Debug, Default)]
pub struct Book {
    pages: Mutex<Pages>,
    posted: Condvar,
}

#[derive(Debug, Default)]
struct Pages {
    states: HashMap<String, State>,
    /// Posted and not yet in the audit file, in order, with their times.
    waiting: Vec<(u128, String)>,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Settled,
}

/// The book holds as many orders as it may.
#[derive(Debug)]
pub struct Full;

impl Book {
    /// Takes the order once; again is fine and changes nothing.
    pub fn post(&self, id: &str) -> Result<(), Full> {
        let mut pages = self.lock();
        if pages.states.contains_key(id) {
            return Ok(());
        }
        if pages.states.len() >= limits::ORDERS {
            return Err(Full);
        }
        pages.states.insert(id.to_owned(), State::Pending);
        pages.waiting.push((facts::unix_ms(), id.to_owned()));
        self.posted.notify_one();
        Ok(())
    }

    /// `None` for an order nobody posted.
    pub fn state(&self, id: &str) -> Option<State> {
        self.lock().states.get(id).copied()
    }

    /// Writes what was posted to `audit`, batch after batch; returns when that fails.
    pub fn write_audit(&self, mut audit: impl Write) -> io::Error {
        loop {
            drop(
                self.posted
                    .wait_while(self.lock(), |pages| pages.waiting.is_empty())
                    .unwrap_or_else(PoisonError::into_inner),
            );
            net::pause(limits::AUDIT_DELAY);
            if let Err(error) = self.write_batch(&mut audit) {
                return error;
            }
        }
    }

    /// The lock is held while the file is written: who has read a line there must not hear `pending` from here.
    fn write_batch(&self, audit: &mut impl Write) -> io::Result<()> {
        let mut pages = self.lock();
        let batch = std::mem::take(&mut pages.waiting);
        let lines: String = batch.iter().map(|(ms, id)| format!("{ms} posted {id}\n")).collect();
        audit.write_all(lines.as_bytes())?;
        for (_, id) in batch {
            pages.states.insert(id, State::Settled);
        }
        Ok(())
    }

    /// A thread that died while it held the lock left whole pages behind, short of a line in the file at worst.
    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
