//! A fixed number of slots: what needs a thread takes one, and is refused when none is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The slots; clones share them.
#[derive(Clone, Debug)]
pub struct Slots {
    free: Arc<AtomicUsize>,
}

/// One taken slot; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    free: Arc<AtomicUsize>,
}

impl Slots {
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(AtomicUsize::new(count)) }
    }

    /// Takes a slot, or `None` when all are in use.
    pub fn take(&self) -> Option<Slot> {
        let less = |free: usize| free.checked_sub(1);
        self.free
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
            .ok()
            .map(|_| Slot { free: Arc::clone(&self.free) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.free.fetch_add(1, Ordering::AcqRel);
    }
}
