//! A disturbance of a stub's replies, and what it was measured to do.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::HeaderMap;
use meshproof_proto::order::FaultReport;
use meshproof_proto::seed::Seed;
use meshproof_proto::shaper::Shape;
use thiserror::Error;
use tokio::sync::watch;

use crate::limits;
use crate::punctual;
use crate::struck::Struck;

/// What replies pass through.
#[derive(Debug)]
pub(super) struct Disturbance {
    active: watch::Sender<Option<Arc<Active>>>,
    seed: Mutex<Seed>,
}

#[derive(Debug)]
struct Active {
    shape: Shape,
    /// Whose calls; none: all.
    struck: Option<Struck>,
    /// Services do not meet it any more; a probe that measures it still does.
    is_over: AtomicBool,
    measured: Mutex<Measured>,
}

/// What a disturbance did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Measured {
    replies: u64,
    added: Duration,
    held: u64,
    /// Calls of others than are meant.
    spared: u64,
}

/// A call that came, and the disturbance that singled it out.
#[derive(Debug, Default)]
pub(super) struct Singled(Option<Arc<Active>>);

/// What was seen around the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Calls that were our own.
    pub(super) probes: u64,
    pub(super) healed: bool,
}

/// A stub cannot do this to its replies.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("unsupported: {0} on a stub")]
pub struct Unsupported(&'static str);

impl Unsupported {
    /// A raw connection has none.
    pub(super) fn requests() -> Self {
        Self("what is done to single requests")
    }
}

impl Disturbance {
    pub(super) fn with(seed: Seed) -> Self {
        Self { active: watch::Sender::new(None), seed: Mutex::new(seed) }
    }

    pub(super) fn begin(&self, shape: Shape, struck: Option<Struck>) -> Result<(), Unsupported> {
        if shape.bandwidth_bits_per_s.is_some() {
            return Err(Unsupported("bandwidth"));
        }
        if shape.loss_percent > 0.0 && !shape.is_black_hole() {
            return Err(Unsupported("loss below 100%"));
        }
        if shape.is_for_datagrams() || shape.is_for_connections() {
            return Err(Unsupported("such a fault"));
        }
        self.active.send_if_modified(|active| {
            if active.as_ref().is_some_and(|active| active.shape == shape && !active.is_over()) {
                return false;
            }
            *active = Some(Arc::new(Active { shape, struck, is_over: false.into(), measured: Mutex::default() }));
            true
        });
        Ok(())
    }

    pub(super) fn shape(&self) -> Option<Shape> {
        self.active.borrow().as_ref().map(|active| active.shape.clone())
    }

    pub(super) fn measured(&self) -> Option<Measured> {
        self.active.borrow().as_ref().map(|active| *active.lock())
    }

    /// Lets everything of services through from now on. Probes meet it until [`Self::end`].
    pub(super) fn end_for_services(&self) {
        self.active.send_if_modified(|active| active.as_ref().is_some_and(|active| active.end_for_services()));
    }

    /// Lets everything through from now on.
    pub(super) fn end(&self) -> Option<Measured> {
        let active = self.active.send_replace(None)?;
        Some(*active.lock())
    }

    /// A call comes with these headers.
    pub(super) fn comes(&self, headers: &HeaderMap) -> Singled {
        let active = self.active.borrow();
        let Some(active) = active.as_ref() else { return Singled::default() };
        let Some(struck) = &active.struck else { return Singled::default() };
        let values = |name: &str| {
            let values =
                headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            values.collect()
        };
        if struck.is(values) {
            return Singled(Some(Arc::clone(active)));
        }
        active.lock().spared += 1;
        Singled::default()
    }

    /// The reply to a call comes through here; returns when it may go on.
    pub(super) async fn pass(&self, came: &Singled) {
        self.pass_while(came, |active| !active.is_over()).await;
    }

    /// As [`Self::pass`], for the reply to a probe.
    pub(super) async fn pass_probe(&self) {
        self.pass_while(&Singled::default(), |_| true).await;
    }

    async fn pass_while(&self, came: &Singled, meets: impl Fn(&Active) -> bool) {
        let mut changes = self.active.subscribe();
        loop {
            let active = changes.borrow_and_update().clone().filter(|active| meets(active));
            let Some(active) = active else { return };
            if active.struck.is_some() && !came.0.as_ref().is_some_and(|by| Arc::ptr_eq(by, &active)) {
                return;
            }
            if active.shape.is_black_hole() {
                active.lock().held += 1;
                // The sender is ours, so this ends only by a change.
                let _ = changes.changed().await;
                continue;
            }
            let delay = active.shape.delay(&mut self.seed.lock().unwrap_or_else(PoisonError::into_inner));
            let began = Instant::now();
            tokio::select! {
                () = punctual::wait(delay) => {
                    let mut measured = active.lock();
                    measured.replies += 1;
                    measured.added += began.elapsed();
                    return;
                }
                // Healed before its time: it goes on at once, and says nothing about the delay.
                _ = changes.changed() => {}
            }
        }
    }
}

impl Active {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Whether it was not before.
    fn end_for_services(&self) -> bool {
        !self.is_over.swap(true, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Measured> {
        // Sums that a panicking holder left stay sums.
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether such a shape disturbs nothing.
pub(super) fn is_nothing(shape: &Shape) -> bool {
    shape.latency_us == 0 && shape.jitter_us == 0 && !shape.is_black_hole()
}

/// The longest that a reply can take under such a shape.
pub(super) fn longest(shape: &Shape) -> Duration {
    Duration::from_micros(shape.latency_us.saturating_add(shape.jitter_us)).saturating_add(limits::STUB_PROBE)
}

/// How far the mean is from the latency that was asked for.
fn off(mean: Option<f64>, shape: &Shape) -> Option<f64> {
    let asked = shape.latency_us as f64 / 1e6;
    mean.filter(|_| shape.latency_us > 0).map(|mean| (mean - asked).abs() / asked * 100.0)
}

impl Measured {
    /// Replies that were disturbed.
    pub(super) fn calls(&self) -> u64 {
        self.replies + self.held
    }

    pub(super) fn report(&self, fault: &str, shape: &Shape, seen: Seen) -> FaultReport {
        let mean = (self.replies > 0).then(|| self.added.as_secs_f64() / self.replies as f64);
        FaultReport {
            fault: fault.to_owned(),
            asked: shape.to_string(),
            measured: self.shown(mean, seen.probes),
            deviation_percent: if shape.is_black_hole() { self.passed_percent() } else { off(mean, shape) },
            effective: self.calls() > 0 && !is_nothing(shape),
            healed: seen.healed,
        }
    }

    /// The share of replies that came through where none should, once one was to come.
    fn passed_percent(&self) -> Option<f64> {
        (self.calls() > 0).then(|| self.replies as f64 / self.calls() as f64 * 100.0)
    }

    fn shown(&self, mean: Option<f64>, probes: u64) -> String {
        let counted = |count: u64, what: (&str, &str)| match (count, probes) {
            (count, probes) if probes > 0 && count == probes => "1 probe".to_owned(),
            (1, _) => format!("1 {}", what.0),
            (count, _) => format!("{count} {}", what.1),
        };
        let mut text = String::new();
        if let Some(mean) = mean {
            let mean = Duration::from_micros((mean * 1e6).round() as u64);
            let _ = write!(text, "latency {mean:.1?} ({})", counted(self.replies, ("reply", "replies")));
        }
        if self.held > 0 {
            let separator = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{separator}held {}", counted(self.held, ("reply", "replies")));
        }
        if self.spared > 0 {
            let separator = if text.is_empty() { "nothing to" } else { ", not" };
            let _ = write!(text, "{separator} {} of others", counted(self.spared, ("reply", "replies")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow() -> Shape {
        Shape { latency_us: 800_000, ..Shape::default() }
    }
    const SEEN: Seen = Seen { probes: 0, healed: true };

    #[test]
    fn a_report_compares_the_mean_with_what_was_asked() {
        let measured = Measured { replies: 3, added: Duration::from_millis(2436), ..Measured::default() };
        let report = measured.report("slow", &slow(), SEEN);
        assert_eq!((report.asked.as_str(), report.measured.as_str()), ("latency 800ms", "latency 812.0ms (3 replies)"));
        assert!((report.deviation_percent.expect("a number") - 1.5).abs() < 1e-9);
        assert!(report.effective);
    }

    #[test]
    fn a_loss_is_held_against_the_replies_that_came_through() {
        let lost = Shape { loss_percent: 100.0, ..Shape::default() };
        let off = |held, replies| Measured { held, replies, ..Measured::default() }.report("lost", &lost, SEEN);
        assert_eq!((off(3, 0).deviation_percent, off(3, 0).measured.as_str()), (Some(0.0), "held 3 replies"));
        assert_eq!(off(3, 1).deviation_percent, Some(25.0));
        assert_eq!((off(0, 0).deviation_percent, off(0, 0).effective), (None, false), "nobody called");
    }

    #[test]
    fn what_disturbed_nothing_was_not_effective() {
        let measured = Measured { replies: 3, ..Measured::default() };
        assert!(!measured.report("nothing", &Shape::default(), SEEN).effective);
        let unseen = Measured::default().report("unseen", &slow(), SEEN);
        assert_eq!((unseen.effective, unseen.measured.as_str(), unseen.deviation_percent), (false, "", None));
    }

    #[test]
    fn what_a_stub_cannot_do_is_refused() {
        let stub = Disturbance::with(Seed::new(1));
        let partial = Shape { loss_percent: 50.0, ..Shape::default() };
        assert!(stub.begin(partial, None).is_err());
        assert!(stub.begin(Shape { bandwidth_bits_per_s: Some(1), ..Shape::default() }, None).is_err());
        assert_eq!(stub.shape(), None);
    }

    #[tokio::test]
    async fn a_renewed_lease_keeps_what_was_measured() {
        let stub = Disturbance::with(Seed::new(1));
        let shape = Shape { latency_us: 1, ..Shape::default() };
        stub.begin(shape.clone(), None).expect("supported");
        stub.pass(&Singled::default()).await;
        stub.begin(shape, None).expect("supported");
        assert_eq!(stub.end().expect("active").replies, 1);
        assert_eq!(stub.end(), None);
    }
}
