//! Makes one agent's share of a load, on a thread of its own.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use meshproof_proto::event::Outcome;
use meshproof_proto::mask::Masker;
use meshproof_proto::order::{LoadAction, LoadModel};
use meshproof_proto::trace::Traceparent;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::tally::{Broken, Tally};
use crate::action::{Again, Answer, reason};
use crate::evidence::{evidence, shown};
use crate::permits::{Permits, Terms};
use crate::punctual::punctually;
use crate::{checks, limits};

/// What the calls are made under.
#[derive(Clone, Debug)]
pub(crate) struct Under {
    pub permits: Arc<Permits>,
    pub masker: Arc<Masker>,
    /// Where it stands in a trace.
    pub parent: Option<Traceparent>,
}

/// Makes them all. Dropping this ends it.
///
/// # Errors
/// There is no thread for it.
pub(super) async fn make(load: LoadAction, under: Under) -> io::Result<Tally> {
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    let (done, made) = oneshot::channel();
    std::thread::Builder::new().name("load".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let made = |runtime: Runtime| runtime.block_on(stop.run_until_cancelled(generate(&load, &under)));
        let tally = runtime.map(|runtime| made(runtime).unwrap_or_default());
        // Whoever waited may have gone.
        let _ = done.send(tally);
    })?;
    made.await.unwrap_or_else(|_| Err(io::Error::other("the thread that made the load panicked")))
}

async fn generate(load: &LoadAction, under: &Under) -> Tally {
    let maker = Maker { load, under, began: Instant::now(), tally: RefCell::default(), begun: Cell::new(0) };
    match load.model {
        LoadModel::Open { in_flight } => maker.open(in_flight as usize).await,
        LoadModel::Closed => maker.closed().await,
    }
    let mut tally = maker.tally.take();
    tally.elapsed = maker.began.elapsed().max(load.duration());
    tally
}

/// What all callers of one share have in common.
struct Maker<'l> {
    load: &'l LoadAction,
    under: &'l Under,
    began: Instant,
    tally: RefCell<Tally>,
    /// Calls that were begun.
    begun: Cell<u64>,
}

impl<'l> Maker<'l> {
    /// A call whenever one is due.
    async fn open(&self, in_flight: usize) {
        let idle = RefCell::new(Vec::new());
        let mut under_way = FuturesUnordered::new();
        let end = self.load.duration();
        while let Some(due) = self.load.due(self.load.share.number_of(self.begun.get())) {
            let has_room = under_way.len() < in_flight;
            let over = self.began.elapsed().saturating_sub(end);
            if self.is_impossible() || over > limits::LOAD_LATE || (over > Duration::ZERO && !has_room) {
                self.tally.borrow_mut().unsent = self.load.own_calls() - self.begun.get();
                break;
            }
            tokio::select! {
                biased;
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                () = self.until(due), if has_room => under_way.push(self.once(&idle, self.number(), due)),
                () = self.until(end), if !has_room => {}
            }
        }
        while under_way.next().await.is_some() {}
    }

    /// One call, by a caller that has nothing to do.
    async fn once(&self, idle: &RefCell<Vec<Again<'l>>>, number: u64, due: Duration) {
        let waiting = idle.borrow_mut().pop();
        let mut caller = waiting.unwrap_or_else(|| self.caller());
        self.call(&mut caller, number, due).await;
        idle.borrow_mut().push(caller);
    }

    /// As many users as there are to be, each of whom calls as soon as the call before has ended.
    async fn closed(&self) {
        let share = self.load.share;
        let own = (0..).map(|nth| share.number_of(nth)).take_while(|user| *user < self.load.users());
        let users: FuturesUnordered<_> = own.map(|user| self.user(user)).collect();
        users.for_each(|()| std::future::ready(())).await;
    }

    async fn user(&self, user: u64) {
        let mut after = Duration::ZERO;
        while let Some((from, to)) = self.load.there(user, after) {
            self.until(from).await;
            let mut caller = self.caller();
            while self.began.elapsed() < to && !self.is_impossible() {
                let began = self.began.elapsed();
                let number = self.number();
                self.call(&mut caller, number, began).await;
            }
            after = to;
        }
    }

    fn caller(&self) -> Again<'l> {
        let Under { permits, parent, .. } = self.under;
        let within = Duration::from_millis(self.load.within_ms);
        let terms = Terms { parent: *parent, ..Terms::alone(within, permits) };
        Again::of(&self.load.call, &self.load.each, terms)
    }

    /// That of the next call, among all.
    fn number(&self) -> u64 {
        let nth = self.begun.get();
        self.begun.set(nth + 1);
        self.load.share.number_of(nth)
    }

    /// Makes one call, which took its time from `due` on.
    async fn call(&self, caller: &mut Again<'l>, number: u64, due: Duration) {
        let answer = caller.call(&json!({ "index": number })).await;
        self.record(number, &answer, self.began.elapsed().saturating_sub(due));
    }

    async fn until(&self, time: Duration) {
        let left = time.saturating_sub(self.began.elapsed());
        if left > limits::LOAD_EARLY {
            punctually(tokio::time::Instant::now().checked_add(left)).await;
        }
    }

    fn is_impossible(&self) -> bool {
        self.tally.borrow().impossible.is_some()
    }

    fn record(&self, number: u64, answer: &Answer, took: Duration) {
        let mut tally = self.tally.borrow_mut();
        tally.calls += 1;
        let Some(why) = self.why_failed(&mut tally, number, answer) else { return tally.took.add(took) };
        tally.failed += 1;
        tally.failed_so(why, 1);
        if tally.shown.len() < limits::LOAD_FAILURES_SHOWN {
            let items = answer.evidence().into_iter();
            let texts: Vec<_> = items.map(|item| format!("{}: {}", item.title, item.text)).collect();
            tally.shown.push(shown(evidence(format!("call {number}"), texts.join("\n")), &self.under.masker));
        }
    }

    /// In few words, if it did not come to what was expected.
    fn why_failed(&self, tally: &mut Tally, number: u64, answer: &Answer) -> Option<String> {
        let each = &self.load.each;
        if let Some(unasked) = checks::unasked_failure(each, answer) {
            if let Outcome::Error { message } = unasked {
                tally.impossible.get_or_insert(message);
            }
            return Some(reason(answer).into_owned());
        }
        if each.is_empty() {
            return None;
        }
        let failures = checks::failures(each, answer, &json!({ "index": number }));
        let field = &each.get(failures.first()?.check as usize)?.field;
        for failure in failures {
            tally.broke(failure.check, Broken { first: failure.mismatch, call: number, count: 1 });
        }
        Some(format!("`{field}` is not as expected"))
    }
}
