//! Waiting to a tenth of a millisecond.
//!
//! The runtime's timers end on the next whole millisecond, and it waits for events in whole ones too: up to two too late
//! together, which is much of a latency of five. A thread that waits for the kernel's finer timers wakes whoever asked here.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::until::until;

/// Ends when the time has come; never, if there is none.
pub(crate) async fn punctually(due: Option<tokio::time::Instant>) {
    let Some(due) = due else { return std::future::pending().await };
    let left = due.saturating_duration_since(tokio::time::Instant::now());
    let Some((at, clock)) = Instant::now().checked_add(left).zip(Clock::running()) else {
        return until(Some(due)).await;
    };
    let mut waiting = Waiting { clock, at, number: None };
    let (mut precise, mut plain) = (pin!(poll_fn(|context| waiting.poll(context))), pin!(until(Some(due))));
    tokio::select! {
        () = &mut precise => {}
        // where the runtime's time is not the machine's, as in tests that turn it
        () = &mut plain => {}
    }
}

/// Ends after so long.
pub(crate) async fn wait(duration: Duration) {
    punctually(tokio::time::Instant::now().checked_add(duration)).await;
}

/// Whoever waits, by when.
#[derive(Default)]
struct Clock {
    entries: Mutex<Entries>,
    /// There is one before the first that was known.
    earlier: Condvar,
}

#[derive(Default)]
struct Entries {
    numbers: u64,
    by_time: BTreeMap<(Instant, u64), Waker>,
}

impl Clock {
    /// That of this process, whose thread lives as long as it. `None` if no thread could be had.
    fn running() -> Option<&'static Self> {
        static CLOCK: Clock =
            Clock { entries: Mutex::new(Entries { numbers: 0, by_time: BTreeMap::new() }), earlier: Condvar::new() };
        static STARTED: OnceLock<bool> = OnceLock::new();
        let start = || std::thread::Builder::new().name("punctual".to_owned()).spawn(|| CLOCK.run()).is_ok();
        STARTED.get_or_init(start).then_some(&CLOCK)
    }

    fn run(&self) {
        let mut entries = self.lock();
        loop {
            let now = Instant::now();
            let mut woken = Vec::new();
            while let Some(first) = entries.by_time.first_entry().filter(|first| first.key().0 <= now) {
                woken.push(first.remove());
            }
            if !woken.is_empty() {
                drop(entries);
                woken.into_iter().for_each(Waker::wake);
                entries = self.lock();
                continue;
            }
            let next = entries.by_time.keys().next().map(|(at, _)| *at);
            entries = match next {
                Some(at) => {
                    let waited = self.earlier.wait_timeout(entries, at.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.earlier.wait(entries).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing is half done when a waker panics.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits, until it is dropped.
struct Waiting {
    clock: &'static Clock,
    at: Instant,
    number: Option<u64>,
}

impl Waiting {
    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let mut entries = self.clock.lock();
        let number = *self.number.get_or_insert_with(|| {
            entries.numbers += 1;
            entries.numbers
        });
        entries.by_time.insert((self.at, number), context.waker().clone());
        let is_first = entries.by_time.keys().next() == Some(&(self.at, number));
        drop(entries);
        if is_first {
            self.clock.earlier.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.clock.lock().by_time.remove(&(self.at, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn in_(duration: Duration) -> tokio::time::Instant {
        tokio::time::Instant::now() + duration
    }

    fn waits_for(at: Instant) -> bool {
        let clock = Clock::running().expect("a thread");
        let entries = clock.lock();
        entries.by_time.keys().any(|(due, _)| *due >= at)
    }

    #[tokio::test]
    async fn nobody_is_woken_too_early_whoever_else_waits() {
        let waits = [7_u64, 3, 9, 1, 5].map(|ms| async move {
            let (began, wait) = (Instant::now(), Duration::from_millis(ms));
            punctually(Some(in_(wait))).await;
            (began.elapsed(), wait)
        });
        for (waited, asked) in futures::future::join_all(waits).await {
            assert!(waited >= asked, "{waited:?} of {asked:?}");
        }
    }

    #[tokio::test]
    async fn whoever_gives_up_is_forgotten() {
        let hour = Duration::from_secs(3_600);
        let at = Instant::now() + hour;
        let mut waiting = Box::pin(punctually(Some(in_(hour))));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(waits_for(at));
        drop(waiting);
        assert!(!waits_for(at));
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_is_turned_counts_too() {
        punctually(Some(in_(Duration::from_secs(3_600)))).await;
    }
}
