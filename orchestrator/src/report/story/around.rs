//! What everybody told around a failure.

use std::collections::VecDeque;

use super::log::Told;
use super::{Failure, Moment};
use crate::record::Record;
use crate::report::limits::{AROUND_AFTER, AROUND_AFTER_MS, AROUND_BEFORE, AROUND_BEFORE_MS};

/// The records just before, and the failures that what comes next still belongs to.
#[derive(Debug, Default)]
pub(super) struct Around {
    before: VecDeque<(Moment, Record)>,
    /// Index into the story's failures, and how many lines it still takes.
    open: Vec<(usize, usize)>,
}

impl Around {
    /// A failure at this moment begins with what was told before it.
    pub(super) fn begin(&mut self, failures: &mut Vec<Failure>, mut failure: Failure) {
        let since = failure.at - AROUND_BEFORE_MS;
        let told: Vec<Told> = self
            .before
            .iter()
            .filter(|(at, _)| *at >= since)
            .filter_map(|(at, record)| Told::of(*at, &record.entry))
            .collect();
        let left_out = told.len().saturating_sub(AROUND_BEFORE);
        failure.around_untold = left_out as u64;
        failure.around = told.into_iter().skip(left_out).collect();
        self.open.push((failures.len(), AROUND_AFTER));
        failures.push(failure);
    }

    /// Whatever was told may be told around a failure.
    pub(super) fn take(&mut self, failures: &mut [Failure], at: Moment, record: Record) {
        if !self.open.is_empty() {
            let told = Told::of(at, &record.entry);
            self.open.retain_mut(|(index, room)| {
                let Some(failure) = failures.get_mut(*index).filter(|failure| at <= failure.at + AROUND_AFTER_MS)
                else {
                    return false;
                };
                match (&told, *room) {
                    (Some(_), 0) => failure.around_untold += 1,
                    (Some(told), _) => {
                        failure.around.push(told.clone());
                        *room -= 1;
                    }
                    (None, _) => {}
                }
                true
            });
        }
        // Twice as many, because not every record has a line.
        if self.before.len() >= AROUND_BEFORE * 2 {
            self.before.pop_front();
        }
        self.before.push_back((at, record));
    }
}
