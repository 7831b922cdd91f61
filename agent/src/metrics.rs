//! What a service uses and what it tells of itself in numbers.
//!
//! Its processes are sampled from /proc once the orchestrator has said which they are: processor time, memory and descriptors of
//! every process in their groups, together. Its own metrics are fetched from where the plan says, in Prometheus' text format. One
//! task owns both; who asks for a number has it look first, so that a number is never older than the question.

mod processes;
#[cfg(test)]
mod tests;
mod text;
mod told;
mod usage;

pub use meshproof_proto::stat::Stat;
pub(crate) use processes::{own, own_since_start};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshproof_proto::event::{Fact, Usage};
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{Scrape, ServicePlace};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::limits;
use crate::permits::Permits;
use processes::Processes;
use told::Told;
use usage::Usages;

/// The numbers of the service beside this agent.
#[derive(Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
    /// Looks by itself now and again. Dropped, it ends.
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// Where metrics are told: `host:port` and how.
    source: Option<(String, Scrape)>,
    /// What may be dialled for it: the port is the plan's, and a name may lead anywhere.
    permits: Arc<Permits>,
    held: Mutex<Held>,
    /// Grows with every look.
    looks: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Held {
    processes: Processes,
    usages: Usages,
    told: Told,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    pub metric: &'q str,
    pub labels: &'q [(String, Matcher)],
    pub stat: Stat,
}

/// Numbers that cannot be had yet, or ever.
#[derive(Debug, PartialEq, Eq)]
pub enum NoNumber {
    /// Why there is none so far.
    Yet(String),
    /// There never will be.
    Ever(String),
}

/// A number, or the two between which it lies: of a histogram nobody knows more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub least: f64,
    pub most: f64,
}

impl Range {
    /// Exactly this.
    #[must_use]
    pub fn of(number: f64) -> Self {
        Self { least: number, most: number }
    }
}

impl Metrics {
    /// Begins to look. Samples become facts, now and again.
    #[must_use]
    pub fn open(service: &ServicePlace, facts: mpsc::Sender<Fact>, permits: Arc<Permits>) -> Self {
        let source = service.scrape.as_ref().and_then(|scrape| {
            let address = service.ports.get(&scrape.port)?;
            Some((address.clone(), scrape.clone()))
        });
        let shared = Arc::new(Shared { source, permits, held: Mutex::default(), looks: watch::Sender::new(0) });
        let task = tokio::spawn(look_on(Arc::clone(&shared), facts));
        Self { shared, _task: AbortOnDropHandle::new(task) }
    }

    /// These lead the groups of the service's processes from now on.
    pub fn observe(&self, leaders: Vec<i32>) {
        let mut held = self.shared.held();
        held.processes = Processes::led_by(leaders);
        held.usages.begin_anew();
    }

    /// Looks now.
    pub async fn refresh(&self, metric: &str) {
        if usage::is_sampled(metric) {
            self.shared.held().sample(Search::Now);
            self.shared.looked();
        } else {
            self.shared.scrape().await;
        }
    }

    /// What is known of a number, as it was at the last look.
    pub fn number(&self, question: &Question<'_>) -> Result<Range, NoNumber> {
        let held = self.shared.held();
        if usage::is_sampled(question.metric) {
            return held.usages.number(question.metric, question.stat);
        }
        if self.shared.source.is_none() {
            return Err(NoNumber::Ever(format!("the service has no `metrics`, so no `{}`", question.metric)));
        }
        held.told.number(question)
    }

    /// Wakes whoever wants to see every number as it comes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.looks.subscribe()
    }

    /// The series of a metric, for people.
    #[must_use]
    pub fn shown(&self, metric: &str) -> String {
        let held = self.shared.held();
        if usage::is_sampled(metric) { held.usages.shown() } else { held.told.shown(metric) }
    }

    /// The last sample; none: nothing was ever sampled.
    #[must_use]
    pub fn close(self) -> Option<Usage> {
        let mut held = self.shared.held();
        held.sample(Search::Now);
        held.usages.usage()
    }
}

/// Whether the members of groups are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    Now,
    No,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn scrape(&self) {
        let Some((address, scrape)) = &self.source else { return };
        let fetched = told::fetch(address, scrape, &self.permits).await;
        self.held().told.take(fetched);
        self.looked();
    }

    fn looked(&self) {
        self.looks.send_modify(|looks| *looks += 1);
    }
}

impl Held {
    fn sample(&mut self, search: Search) {
        if search == Search::Now {
            self.processes.search();
        }
        if let Some(sample) = self.processes.sample() {
            self.usages.add(sample);
        }
    }
}

/// Samples and scrapes at their own paces, for ever.
async fn look_on(shared: Arc<Shared>, facts: mpsc::Sender<Fact>) {
    let scrape_every = shared.source.as_ref().map(|(_, scrape)| std::time::Duration::from_millis(scrape.every_ms));
    let mut sample_at = Instant::now() + limits::SAMPLE_EVERY;
    let mut scrape_at = scrape_every.map(|every| Instant::now() + every);
    let mut samples = 0_u64;
    loop {
        let due = scrape_at.unwrap_or(sample_at).min(sample_at);
        sleep_until(due).await;
        if due == sample_at {
            sample_at = Instant::now() + limits::SAMPLE_EVERY;
            samples += 1;
            let search = if samples.is_multiple_of(limits::SAMPLES_PER_SEARCH) { Search::Now } else { Search::No };
            let usage = {
                let mut held = shared.held();
                held.sample(search);
                held.usages.usage()
            };
            shared.looked();
            // One that has no room is not worth waiting for: the next one comes soon.
            if let Some(usage) = usage.filter(|_| samples.is_multiple_of(limits::SAMPLES_PER_EVENT)) {
                let _ = facts.try_send(Fact::Sampled(usage));
            }
        } else {
            shared.scrape().await;
            scrape_at = scrape_every.map(|every| Instant::now() + every);
        }
    }
}
