//! The steps of a run, one behind the other: each begins when it is ordered, or once the one before it has ended well.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;
use meshproof_proto::event::{Fact, Outcome, StepResult};
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::order::{StepKey, StepOrder, StepOver, Turn};
use meshproof_proto::rpc::Refusal;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ahead::{Ended, Follows, Held};
use super::run::{self, Run, Stage};
use super::steps::Life;
use super::{guard, streams};
use crate::limits;
use crate::logs::Mark;
use crate::outbox::Entry;
use crate::steps::{Beside, Watched, is_watch, watch_step};

impl Run {
    /// Starts a step, or keeps it for its turn; at most once for each key.
    pub(super) fn start(&mut self, mut order: StepOrder, turn: Turn) -> Result<(), Refusal> {
        let work = self.working()?;
        work.ahead.take(&order.key);
        let before = order.after.take();
        if work.steps.life(&order.key).is_some() {
            return self.begin(order);
        }
        if let Some(next) = turn.next {
            work.ahead.tell(order.key.clone(), next);
        }
        let Some(before) = before else { return self.begin(order) };
        let ended = match (&turn.before, work.steps.life(&before)) {
            (Some(elsewhere), _) => work.ahead.said(elsewhere, &before),
            (None, Some(Life::EndedWell)) => Some(Ended::Well),
            (None, Some(Life::EndedBadly)) => Some(Ended::Badly),
            // one that an instance before this one has begun may be ordered again, and that order may come after this one
            (None, Some(Life::Running(_) | Life::Begun) | None) => None,
        };
        match ended {
            Some(Ended::Well) => self.begin(order),
            Some(Ended::Badly) => {
                let follows = work.ahead.forget_behind(&order.key);
                self.follow(follows);
                Ok(())
            }
            None => match work.ahead.held() {
                None => work.ahead.hold(before, (order, turn.before)),
                Some(Held { by, number, how, .. }) => {
                    // told before the end of the step before it, so that nobody takes this one for begun
                    self.push(Fact::Steered { by, number, how, given_back: vec![order.key] });
                    Ok(())
                }
            },
        }
    }

    /// Its turn has come. While the disk takes nothing, it waits: what is done must be known to whoever comes after this instance.
    fn begin(&mut self, order: StepOrder) -> Result<(), Refusal> {
        let (key, again) = (order.key.clone(), order.clone());
        let begun = self.begin_now(order);
        if begun.is_ok() || self.stalled.len() >= limits::STEPS_STALLED {
            return begun;
        }
        let Err(why) = self.outbox.has_space() else { return begun };
        tracing::warn!(%key, why, "a step waits until the disk has space again");
        self.stalled.push_back(again);
        if self.stalled_at.is_none() {
            self.stalled_at = Some(Instant::now());
            self.push(Fact::Stalled { why });
        }
        Ok(())
    }

    /// The disk has space again.
    pub(super) fn begin_stalled(&mut self) {
        let Some(since) = self.stalled_at.take() else { return };
        self.push(Fact::GoesOn { after_ms: since.elapsed().as_secs_f64() * 1_000.0 });
        for order in std::mem::take(&mut self.stalled) {
            self.follow(Follows { begins: Some(order), ..Follows::default() });
        }
    }

    fn begin_now(&mut self, mut order: StepOrder) -> Result<(), Refusal> {
        let room = self.outbox.room().map_err(Refusal::Failed);
        let tell = self.tell.clone();
        let work = self.stage.working(&self.authority.run)?;
        work.beside.connections.of_test(&order.key.test);
        order.put_in_secrets(&work.secrets);
        let key = order.key.clone();
        let (beside, tunnels, past) = (&work.beside, &work.tunnels, work.sends.remove(&key));
        if is_watch(&order.action) {
            // It is started once it sees everything, and says so itself.
            let watch = Watch { order, beside: Arc::clone(beside), tell, from: work.marks.get(&key).cloned() };
            return work.steps.watch(&key, |stop| watch.run(stop)).map(drop);
        }
        let told = (&mut self.outbox, &mut self.held_until);
        let begun = work.steps.start(&key, || {
            room?;
            let beside = Arc::clone(beside);
            let doing = match streams::between((&order, past), tunnels, &beside)? {
                Some(between) => between,
                None => async move { crate::steps::run_step(&order, &beside).await }.boxed(),
            };
            // On disk before anything is done: whoever comes after this instance must not do it again.
            let outbox = &mut *told.0;
            run::push((outbox, told.1), Fact::StepStarted { key: key.clone() });
            outbox.written().map_err(Refusal::Failed)?;
            let safe = outbox.safe();
            Ok(if safe.is_so() { doing } else { safe.comes().then(|()| doing).boxed() })
        });
        begun.map(drop)
    }

    /// The step behind it begins at once. Ends are told a few at a time then: nobody waits for them.
    pub(super) fn step_ended(&mut self, key: StepKey, result: StepResult) {
        let (ended, well) = (key.clone(), result.outcome == Outcome::Ok);
        let held = self.held_until;
        self.push(Fact::StepEnded { key, result });
        let Stage::Working(work) = &mut self.stage else { return };
        let follows = work.ahead.over(&ended, if well { Ended::Well } else { Ended::Badly });
        let goes_round = follows.goes_round;
        let within = match self.follow(follows) {
            Course::GoesOn => limits::ENDS_TOLD,
            Course::Waits if goes_round => limits::TURNS_TOLD,
            Course::Waits => return,
        };
        self.held_until = Some(held.unwrap_or_else(|| Instant::now() + within));
    }

    /// An agent says that the step before one of here is over.
    pub(super) fn heard_over(&mut self, from: PeerId, over: &StepOver) -> Result<(), Refusal> {
        guard::admit_beside(&self.authority, &over.authority)?;
        let who = || Refusal::Unknown { what: "service in this run".to_owned(), name: from.to_string() };
        let from = self.name(from).ok_or_else(who)?;
        let ended = if over.well { Ended::Well } else { Ended::Badly };
        let follows = self.working()?.ahead.heard(&from, &over.key, ended);
        self.follow(follows);
        Ok(())
    }

    /// The agents that are to hear of steps of here that are over, where that is safe.
    pub(super) fn untold(&mut self) -> Vec<(PeerId, StepOver)> {
        let (length, safe) = self.outbox.ends();
        if let Stage::Working(work) = &mut self.stage {
            let untold = std::mem::take(&mut work.ahead.untold).into_iter();
            self.mirroring
                .overs
                .extend(untold.filter_map(|(name, over)| Some((length, *self.roster.get(&name)?, over))));
        }
        let mut told = Vec::new();
        while let Some((_, peer, over)) = self.mirroring.overs.pop_front_if(|(written, ..)| *written <= safe) {
            told.push((peer, over));
        }
        told
    }

    /// Begins what has its turn now, and has those told who wait elsewhere.
    fn follow(&mut self, Follows { begins, told, .. }: Follows) -> Course {
        if let Stage::Working(work) = &mut self.stage {
            let over = |(to, key, ended): (Name, StepKey, Ended)| {
                (to, StepOver { authority: self.authority.clone(), key, well: ended == Ended::Well })
            };
            work.ahead.untold.extend(told.into_iter().map(over));
        }
        let Some(next) = begins else { return Course::Waits };
        let key = next.key.clone();
        match self.begin(next) {
            Ok(()) => Course::GoesOn,
            Err(refusal) => {
                let result = never_begun(Outcome::Error { message: refusal.to_string() });
                self.push(Fact::StepEnded { key, result });
                Course::Waits
            }
        }
    }

    /// An instance before this one has begun the step, and it may be begun once more.
    pub(super) fn forget_begun(&mut self, key: &StepKey) -> Result<(), Refusal> {
        self.working()?.steps.forget_begun(key);
        Ok(())
    }

    pub(super) fn cancel(&mut self, key: &StepKey) -> Result<(), Refusal> {
        let stalled = self.stalled.iter().position(|order| order.key == *key);
        let stalled = stalled.and_then(|at| self.stalled.remove(at));
        let work = self.stage.working(&self.authority.run)?;
        let Some(order) = stalled.or_else(|| work.ahead.take(key)) else { return work.steps.cancel(key) };
        let follows = work.ahead.forget_behind(&order.key);
        // That it never began is known now, also should its order come once more.
        let _ = work.steps.cancel(key);
        let message = "the step was given up before its turn came".to_owned();
        self.push(Fact::StepEnded { key: order.key, result: never_begun(Outcome::Unknown { message }) });
        self.follow(follows);
        Ok(())
    }
}

/// Whether a step of here has begun behind another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    GoesOn,
    Waits,
}

fn never_begun(outcome: Outcome) -> StepResult {
    StepResult { outcome, duration_ms: 0.0, tries: 0, saved: BTreeMap::new(), evidence: Vec::new() }
}

/// A watch that tells when it has begun.
struct Watch {
    order: StepOrder,
    beside: Arc<Beside>,
    tell: mpsc::Sender<Fact>,
    /// Where an instance before this one began to look.
    from: Option<Mark>,
}

impl Watch {
    async fn run(self, stop: CancellationToken) -> StepResult {
        let Self { order, beside, tell, from } = self;
        let (begun, has_begun) = oneshot::channel();
        let key = order.key.clone();
        let told = async {
            let Ok(mark) = has_begun.await else { return };
            if let Some(mark) = mark {
                beside.notes.write(Entry::Watching { key: key.clone(), mark }).await;
            }
            // Nobody listens only when the run is over.
            let _ = tell.send(Fact::StepStarted { key }).await;
        };
        tokio::join!(watch_step(&order, &beside, Watched { begun, stop, from }), told).0
    }
}
