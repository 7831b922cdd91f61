//! One direction of a path, and how a connection passes it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use meshproof_proto::seed::Seed;
use meshproof_proto::shaper::{Fate, Shape, Shaper};
use tokio::sync::watch;

use super::Tally;

/// Where the disturbances of one direction stand.
#[derive(Debug)]
pub struct Gate {
    active: watch::Sender<Vec<Arc<Disturbance>>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { active: watch::Sender::new(Vec::new()) }
    }
}

impl Gate {
    pub(super) fn begin(&self, disturbance: Disturbance) {
        self.active.send_modify(|active| active.push(Arc::new(disturbance)));
    }

    pub(super) fn end(&self, fault: &str) {
        self.active.send_modify(|active| active.retain(|disturbance| disturbance.fault != fault));
    }

    pub(super) fn is_open(&self) -> bool {
        self.active.borrow().is_empty()
    }

    /// The way of one connection through this gate.
    pub fn passage(&self, traveller: Traveller) -> Passage {
        let mut active = self.active.subscribe();
        active.mark_changed();
        Passage { active, stages: Vec::new(), version: 0, traveller }
    }
}

/// Who passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traveller {
    /// A connection of the services, by number.
    Connection(u64),
    /// Our own, to measure.
    Probe,
}

/// What a fault does to one direction of a path.
#[derive(Debug)]
pub struct Disturbance {
    fault: String,
    shape: Shape,
    seed: u64,
    /// All connections share the bandwidth.
    line: Mutex<Shaper>,
    tally: Arc<Tally>,
}

impl Disturbance {
    pub fn new(fault: &str, shape: Shape, seed: u64, tally: Arc<Tally>) -> Self {
        let bandwidth = Shape { bandwidth_bits_per_s: shape.bandwidth_bits_per_s, ..Shape::default() };
        let line = Mutex::new(Shaper::new(bandwidth, Seed::new(seed)));
        Self { fault: fault.to_owned(), shape, seed, line, tally }
    }

    fn leaves_line(&self, bytes: usize, now: Instant) -> Instant {
        match self.line.lock().unwrap_or_else(PoisonError::into_inner).chunk(bytes, now) {
            Fate::At(leave) => leave,
            Fate::Hold => now,
        }
    }
}

/// One connection's way through a gate: keeps the order of its chunks.
#[derive(Debug)]
pub struct Passage {
    active: watch::Receiver<Vec<Arc<Disturbance>>>,
    stages: Vec<Stage>,
    /// Grows when the stages change.
    version: u64,
    traveller: Traveller,
}

/// A disturbance and what it keeps for this connection.
#[derive(Debug)]
struct Stage {
    disturbance: Arc<Disturbance>,
    delays: Shaper,
    since: u64,
}

/// A chunk on its way through.
#[derive(Debug)]
pub(super) struct Ticket {
    bytes: usize,
    due: Fate,
    /// What each stage added: waiting for the line, then latency.
    added: Vec<(Duration, Duration)>,
    /// The version of the stages that counted it.
    counted: u64,
}

impl Ticket {
    pub(super) fn due(&self) -> Fate {
        self.due
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Passage {
    /// A chunk came at `now`.
    pub(super) fn admit(&mut self, bytes: usize, now: Instant) -> Ticket {
        self.refresh();
        let mut ticket = Ticket { bytes, due: Fate::At(now), added: Vec::new(), counted: 0 };
        self.readmit(&mut ticket, now);
        ticket
    }

    /// The stages changed while the chunk waited: it waits for those of now.
    pub(super) fn readmit(&mut self, ticket: &mut Ticket, now: Instant) {
        let mut at = Fate::At(now);
        ticket.added.clear();
        for stage in &mut self.stages {
            if stage.since > ticket.counted {
                stage.disturbance.tally.entered(self.traveller, ticket.bytes);
            }
            let Fate::At(came) = at else { continue };
            let left_line = stage.disturbance.leaves_line(ticket.bytes, came);
            at = stage.delays.chunk(ticket.bytes, left_line);
            if let Fate::At(due) = at {
                ticket.added.push((left_line - came, due.saturating_duration_since(left_line)));
            }
        }
        ticket.due = at;
        ticket.counted = self.version;
    }

    /// The chunk goes on at `now`.
    pub(super) fn passed(&self, ticket: &Ticket, now: Instant) {
        let Fate::At(due) = ticket.due else { return };
        let late = now.saturating_duration_since(due);
        for (stage, (line, latency)) in self.stages.iter().zip(&ticket.added) {
            stage.disturbance.tally.passed(self.traveller, ticket.bytes, (*line, *latency + late));
        }
    }

    /// Takes over what began or ended; the number grows when something did.
    pub(super) fn refreshed(&mut self) -> u64 {
        self.refresh();
        self.version
    }

    /// Whether chunks pass untouched.
    pub(super) fn is_open(&mut self) -> bool {
        self.refresh();
        self.stages.is_empty()
    }

    /// Returns when a fault began or ended; then waiting chunks have to be admitted again.
    pub(super) async fn changed(&mut self) {
        if self.active.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.active.mark_changed();
        self.refresh();
    }

    /// Waits until `bytes` that come now would have passed.
    pub async fn pass(&mut self, bytes: usize) {
        let mut ticket = self.admit(bytes, now());
        loop {
            tokio::select! {
                biased;
                () = self.changed() => self.readmit(&mut ticket, now()),
                () = until(ticket.due) => break,
            }
        }
        self.passed(&ticket, now());
    }

    fn refresh(&mut self) {
        if !self.active.has_changed().unwrap_or(false) {
            return;
        }
        self.version += 1;
        let active = self.active.borrow_and_update();
        let mut before = std::mem::take(&mut self.stages);
        for disturbance in active.iter() {
            let same = before.iter().position(|stage| Arc::ptr_eq(&stage.disturbance, disturbance));
            self.stages.push(match same {
                Some(at) => before.swap_remove(at),
                None => Stage::new(disturbance, self.traveller, self.version),
            });
        }
    }
}

impl Stage {
    fn new(disturbance: &Arc<Disturbance>, traveller: Traveller, since: u64) -> Self {
        let salt = match traveller {
            Traveller::Connection(number) => number + 1,
            Traveller::Probe => 0,
        };
        let delays = Shape { bandwidth_bits_per_s: None, ..disturbance.shape.clone() };
        let seed = Seed::new(disturbance.seed ^ salt.rotate_left(32));
        Self { disturbance: Arc::clone(disturbance), delays: Shaper::new(delays, seed), since }
    }
}

/// The runtime's clock, so that tests can turn it.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits for the chunk's time; for ever, if it is held.
pub(super) async fn until(due: Fate) {
    match due {
        Fate::At(due) => tokio::time::sleep_until(due.into()).await,
        Fate::Hold => std::future::pending().await,
    }
}
