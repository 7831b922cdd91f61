//! The steps of a run: each is executed once, watched, and can be given up.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use futures::FutureExt as _;
use meshproof_proto::event::{Outcome, StepResult};
use meshproof_proto::order::StepKey;
use meshproof_proto::rpc::Refusal;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::limits;
use crate::outbox::Course;

/// Steps that run, and the keys of all that ever did.
#[derive(Debug, Default)]
pub(super) struct Steps {
    running: JoinSet<StepResult>,
    begun: HashMap<Id, (StepKey, Instant)>,
    started: BTreeMap<StepKey, Life>,
    /// Of those that end when they are told to, and say then what they saw.
    watches: BTreeMap<StepKey, CancellationToken>,
}

/// How far a step is.
#[derive(Clone, Debug)]
pub(super) enum Life {
    Running(AbortHandle),
    /// By an instance before this one, which did not tell its end.
    Begun,
    EndedWell,
    /// It failed, or was given up before its order came.
    EndedBadly,
}

/// Whether a step begins now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Started {
    Now,
    /// The order came before; the step is not run again.
    Before,
}

impl Steps {
    /// With what an instance before this one has left.
    pub(super) fn after(left: BTreeMap<StepKey, Course>) -> Self {
        let life = |course| match course {
            Course::Begun => Life::Begun,
            Course::EndedWell => Life::EndedWell,
            Course::EndedBadly => Life::EndedBadly,
        };
        Self { started: left.into_iter().map(|(key, course)| (key, life(course))).collect(), ..Self::default() }
    }

    /// A step that an instance before this one has begun may begin once more.
    pub(super) fn forget_begun(&mut self, key: &StepKey) {
        if matches!(self.started.get(key), Some(Life::Begun)) {
            self.started.remove(key);
        }
    }

    /// Starts a step unless it was started before.
    pub(super) fn start(
        &mut self,
        key: &StepKey,
        work: impl FnOnce() -> Result<futures::future::BoxFuture<'static, StepResult>, Refusal>,
    ) -> Result<Started, Refusal> {
        if self.started.contains_key(key) {
            return Ok(Started::Before);
        }
        if self.running.len() >= limits::STEPS_RUNNING || self.started.len() >= limits::STEPS_REMEMBERED {
            return Err(Refusal::Failed(format!(
                "{} steps run here and {} were started; no more are taken",
                self.running.len(),
                self.started.len()
            )));
        }
        let handle = self.running.spawn(work()?);
        self.begun.insert(handle.id(), (key.clone(), Instant::now()));
        self.started.insert(key.clone(), Life::Running(handle));
        Ok(Started::Now)
    }

    /// Starts a step that goes on until it is cancelled.
    pub(super) fn watch<Watch>(
        &mut self,
        key: &StepKey,
        work: impl FnOnce(CancellationToken) -> Watch,
    ) -> Result<Started, Refusal>
    where
        Watch: Future<Output = StepResult> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let started = self.start(key, || Ok(work(stop.clone()).boxed()))?;
        if started == Started::Now {
            self.watches.insert(key.clone(), stop);
        }
        Ok(started)
    }

    pub(super) fn life(&self, key: &StepKey) -> Option<&Life> {
        self.started.get(key)
    }

    /// Gives a step up; its end is told as that of any other. A watch has a last look. An order that comes after this is not taken.
    pub(super) fn cancel(&mut self, key: &StepKey) -> Result<(), Refusal> {
        if let Some(watch) = self.watches.get(key) {
            watch.cancel();
            return Ok(());
        }
        match self.started.get(key) {
            Some(Life::Running(running)) => running.abort(),
            Some(Life::Begun | Life::EndedWell | Life::EndedBadly) => {}
            None => {
                if self.started.len() < limits::STEPS_REMEMBERED {
                    self.started.insert(key.clone(), Life::EndedBadly);
                }
                return Err(Refusal::Unknown { what: "step".to_owned(), name: key.to_string() });
            }
        }
        Ok(())
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// The next step that ends; waits for ever while none runs.
    pub(super) async fn ended(&mut self) -> (StepKey, StepResult) {
        loop {
            let Some(ended) = self.running.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
            if let Some((key, began)) = self.begun.remove(&id) {
                let result = ended.map_or_else(|error| broken(&error, began), |(_, result)| result);
                let life = if result.outcome == Outcome::Ok { Life::EndedWell } else { Life::EndedBadly };
                self.started.insert(key.clone(), life);
                self.watches.remove(&key);
                return (key, result);
            }
        }
    }

    /// Gives up everything that runs.
    pub(super) async fn close(&mut self) -> Vec<(StepKey, StepResult)> {
        self.running.abort_all();
        let mut ended = Vec::new();
        while !self.running.is_empty() {
            ended.push(self.ended().await);
        }
        ended
    }
}

fn broken(error: &JoinError, began: Instant) -> StepResult {
    let outcome = if error.is_cancelled() {
        Outcome::Unknown { message: "the step was given up before it ended".to_owned() }
    } else {
        tracing::error!(%error, "a step ended badly");
        Outcome::Error { message: format!("a bug in the agent: {error}") }
    };
    let duration_ms = began.elapsed().as_secs_f64() * 1e3;
    StepResult { outcome, duration_ms, tries: 1, saved: BTreeMap::new(), evidence: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn key(step: &str) -> StepKey {
        StepKey { test: "t".to_owned(), step: step.to_owned(), attempt: 1 }
    }

    fn fine() -> StepResult {
        let outcome = Outcome::Ok;
        StepResult { outcome, duration_ms: 0.0, tries: 1, saved: BTreeMap::new(), evidence: Vec::new() }
    }

    #[tokio::test]
    async fn a_repeated_order_does_not_run_its_step_again() {
        let (mut steps, runs) = (Steps::default(), Arc::new(AtomicU32::new(0)));
        let work = || {
            let runs = Arc::clone(&runs);
            Ok(async move {
                runs.fetch_add(1, Ordering::Relaxed);
                fine()
            }
            .boxed())
        };
        assert_eq!(steps.start(&key("1"), work), Ok(Started::Now));
        assert_eq!(steps.start(&key("1"), work), Ok(Started::Before));
        assert_eq!(steps.ended().await, (key("1"), fine()));
        assert_eq!(steps.start(&key("1"), work), Ok(Started::Before));
        assert_eq!((runs.load(Ordering::Relaxed), steps.running()), (1, 0));
    }

    #[tokio::test]
    async fn a_step_that_is_given_up_ends_as_unknown_and_one_that_panics_as_an_error() {
        let mut steps = Steps::default();
        steps.start(&key("1"), || Ok(pending().boxed())).expect("taken");
        steps.cancel(&key("1")).expect("runs");
        let given_up = steps.ended().await.1;
        assert!(matches!(given_up.outcome, Outcome::Unknown { .. }) && given_up.duration_ms > 0.0, "{given_up:?}");
        steps.cancel(&key("1")).expect("did run");
        assert!(matches!(steps.cancel(&key("2")), Err(Refusal::Unknown { .. })));
        assert_eq!(steps.start(&key("2"), || Ok(pending().boxed())), Ok(Started::Before), "its order came too late");
        steps.start(&key("3"), || Ok(async { panic!("on purpose") }.boxed())).expect("taken");
        assert!(matches!(steps.ended().await.1.outcome, Outcome::Error { .. }));
    }

    #[tokio::test]
    async fn a_refused_start_is_not_remembered() {
        let mut steps = Steps::default();
        let refused = steps.start(&key("1"), || Err(Refusal::Failed("not now".to_owned())));
        assert!(refused.is_err());
        assert_eq!(steps.start(&key("1"), || Ok(pending().boxed())), Ok(Started::Now));
        assert_eq!(steps.close().await.len(), 1);
    }
}
