//! Timers for the stack's driver, which makes a new one each time that it turns, and drops it unfinished.
//!
//! To arm a timer of the runtime takes a lock that all its threads share, and may wake the thread that sleeps on them; several
//! times for each message, that is a good part of what a call costs. So timers that were dropped are kept as they are
//! armed, and the next one takes such a timer over: as a rule it ends later, and then nothing is armed before the old
//! time comes. A driver that is gone may be woken once more; that does no harm.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Timers of the runtime that nobody waits for now.
#[derive(Debug, Default, Clone)]
pub(super) struct Timers(Arc<Mutex<Vec<Pin<Box<Sleep>>>>>);

/// A driver waits for one timer at a time, and gathering for a few more; what is beyond that is not kept.
const KEPT: usize = 4;

impl Timers {
    pub(super) fn sleep(&self, duration: Duration) -> Timer {
        Timer { timers: self.clone(), ends: Instant::now() + duration, armed: None }
    }

    fn take(&self) -> Option<Pin<Box<Sleep>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, armed: Pin<Box<Sleep>>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(armed);
        }
    }
}

/// Completes when its time has come.
#[derive(Debug)]
pub(super) struct Timer {
    timers: Timers,
    ends: Instant,
    armed: Option<Pin<Box<Sleep>>>,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { timers, ends, armed } = &mut *self;
        let sleep = armed.get_or_insert_with(|| {
            let kept = timers.take().filter(|kept| !kept.is_elapsed());
            kept.unwrap_or_else(|| Box::pin(tokio::time::sleep_until(*ends)))
        });
        if sleep.deadline() > *ends {
            sleep.as_mut().reset(*ends);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= *ends {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(*ends);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(armed) = self.armed.take().filter(|armed| !armed.is_elapsed()) {
            self.timers.keep(armed);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The clock of the test stands still but for what is waited for.
    #[tokio::test(start_paused = true)]
    async fn a_timer_ends_at_its_own_time_whatever_it_took_over() {
        let (timers, began) = (Timers::default(), Instant::now());
        for (dropped, ends) in [(5, 9), (9, 5), (5, 5)] {
            let mut unfinished = timers.sleep(dropped * SECOND);
            assert_eq!((&mut unfinished).now_or_never(), None);
            drop(unfinished);
            let before = Instant::now();
            timers.sleep(ends * SECOND).await;
            assert_eq!(before.elapsed(), ends * SECOND, "{ends} s after one of {dropped} s");
        }
        assert_eq!(began.elapsed(), 19 * SECOND);
        timers.sleep(Duration::ZERO).await;
    }

    #[tokio::test(start_paused = true)]
    async fn timers_that_run_at_once_do_not_share_one() {
        let timers = Timers::default();
        let began = Instant::now();
        let ended = |seconds: u32| timers.sleep(seconds * SECOND).map(move |()| began.elapsed());
        let all = futures::future::join_all((1..=9).rev().map(ended)).await;
        assert_eq!(all, (1..=9).rev().map(|seconds| seconds * SECOND).collect::<Vec<_>>());
        assert!(timers.0.lock().unwrap_or_else(PoisonError::into_inner).len() <= KEPT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_timer_leaves_the_armed_one_alone() {
        let timers = Timers::default();
        drop({
            let mut first = timers.sleep(SECOND);
            assert_eq!((&mut first).now_or_never(), None);
            first
        });
        let mut second = timers.sleep(3 * SECOND);
        assert_eq!((&mut second).now_or_never(), None);
        let armed = second.armed.as_ref().map(|sleep| sleep.deadline());
        assert_eq!(armed, Some(second.ends - 2 * SECOND), "still armed for the first one's time");
    }
}
