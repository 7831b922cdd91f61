//! One direction of a path, and what disturbs it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use meshproof_proto::seed::Seed;
use meshproof_proto::shaper::{DatagramShaper, Fate, Onward, Shape, Shaper, turn};
use tokio::sync::watch;

use super::Tally;
use super::measured::Crossed;
use super::passage::Passage;
use crate::punctual::punctually;
use crate::struck::Struck;

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

    /// Ends a disturbance and begins another one in its place.
    pub(super) fn replace(&self, fault: &str, disturbance: Option<Disturbance>) {
        self.active.send_modify(|active| {
            active.retain(|disturbance| disturbance.fault != fault);
            active.extend(disturbance.map(Arc::new));
        });
    }

    pub(super) fn end(&self, fault: &str) {
        self.active.send_modify(|active| active.retain(|disturbance| disturbance.fault != fault));
    }

    /// Whether nothing is disturbed here now.
    pub fn is_open(&self) -> bool {
        self.active.borrow().is_empty()
    }

    /// Whether new connections are refused here now.
    pub fn refuses(&self) -> bool {
        refuse(&self.active.borrow())
    }

    /// Returns when new connections are refused.
    pub async fn begins_to_refuse(&self) {
        // The sender is ours, so the wait ends only by what is waited for.
        let _ = self.active.subscribe().wait_for(|active| refuse(active)).await;
    }

    /// Returns when new connections are not refused any more.
    pub async fn ends_to_refuse(&self) {
        // As above.
        let _ = self.active.subscribe().wait_for(|active| !refuse(active)).await;
    }

    /// Whether the ends of connections are delayed here now.
    pub(super) fn closes_slowly(&self) -> bool {
        self.active.borrow().iter().any(|disturbance| disturbance.shape.connections.slow_close_us > 0)
    }

    /// A new connection was refused because of what is active here.
    pub fn refused(&self, who: Traveller) {
        let active = self.active.borrow();
        let refusing = active.iter().filter(|disturbance| disturbance.shape.connections.refuse);
        refusing.for_each(|disturbance| disturbance.tally.refused(who));
    }

    /// A new connection was taken in spite of what is active here.
    pub fn let_in(&self, who: Traveller) {
        let active = self.active.borrow();
        let refusing = active.iter().filter(|disturbance| disturbance.shape.connections.refuse);
        refusing.for_each(|disturbance| disturbance.tally.let_in(who));
    }

    /// A datagram comes here: its copies, each with its time; none if it is lost.
    pub fn datagram(&self, who: Traveller, bytes: usize) -> Vec<Crossing> {
        let now = now();
        let mut copies = vec![Crossing { due: now, turned: Vec::new(), added: Vec::new(), who }];
        for disturbance in self.active.borrow().iter().filter(|disturbance| !disturbance.is_limited()) {
            copies = copies.into_iter().flat_map(|copy| disturbance.datagram(copy, bytes)).collect();
        }
        copies
    }

    /// The way of one connection through this gate.
    pub fn passage(&self, traveller: Traveller) -> Passage {
        Passage::of(self.active.subscribe(), traveller)
    }
}

fn refuse(active: &[Arc<Disturbance>]) -> bool {
    active.iter().any(|disturbance| disturbance.shape.connections.refuse)
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
    pub(super) shape: Shape,
    /// Whose requests; none: whatever passes.
    struck: Option<Arc<Struck>>,
    pub(super) seed: u64,
    /// All connections share the bandwidth.
    line: Mutex<Shaper>,
    datagrams: Mutex<DatagramShaper>,
    /// Luck of requests, and how many were answered.
    requests: Mutex<(Seed, u64)>,
    pub(super) tally: Arc<Tally>,
}

impl Disturbance {
    pub fn new(fault: &str, shape: Shape, seed: u64, tally: Arc<Tally>) -> Self {
        let bandwidth = Shape { bandwidth_bits_per_s: shape.bandwidth_bits_per_s, ..Shape::default() };
        let line = Mutex::new(Shaper::new(bandwidth, Seed::new(seed)));
        let datagrams = Mutex::new(DatagramShaper::new(shape.clone(), Seed::new(seed)));
        let requests = Mutex::new((Seed::new(seed), 0));
        Self { fault: fault.to_owned(), shape, struck: None, seed, line, datagrams, requests, tally }
    }

    /// The same, for these requests alone.
    pub fn only(self, struck: Option<Arc<Struck>>) -> Self {
        Self { struck, ..self }
    }

    /// Whether it leaves everything alone but single requests.
    pub(super) fn is_limited(&self) -> bool {
        self.struck.is_some()
    }

    /// Whether it looks at requests.
    pub(super) fn looks_at_requests(&self) -> bool {
        self.is_limited() || self.shape.http.is_some()
    }

    /// A request comes: whether it is struck.
    pub(super) fn strikes(&self, who: Traveller, head: &[u8]) -> bool {
        let Some(struck) = &self.struck else { return true };
        let is_struck = struck.is_head(head);
        match is_struck {
            true => self.tally.singled_out(who),
            false => self.tally.spared(who),
        }
        is_struck
    }

    /// A request is struck: the status that it is answered with, or it goes on.
    pub(super) fn request(&self, who: Traveller) -> Option<u16> {
        let http = self.shape.http.as_ref()?;
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let (luck, answered) = &mut *requests;
        let is_answered = match (http.first, http.percent) {
            (Some(first), _) => *answered < first,
            (None, Some(percent)) => luck.unit() * 100.0 < percent,
            (None, None) => true,
        };
        *answered += u64::from(is_answered);
        self.tally.request(who);
        is_answered.then(|| {
            self.tally.answered(who);
            http.status
        })
    }

    fn datagram(self: &Arc<Self>, copy: Crossing, bytes: usize) -> Vec<Crossing> {
        let copies = self.datagrams.lock().unwrap_or_else(PoisonError::into_inner).datagram(bytes, copy.due);
        let number = self.tally.datagram(copy.who, &copies);
        let on = |Onward { due, turned: bit, held_back, waits }: Onward| {
            let (mut added, mut turned) = (copy.added.clone(), copy.turned.clone());
            let later = due.saturating_duration_since(copy.due);
            let waited = waits > Duration::ZERO;
            added.push((Arc::clone(self), Crossed { number, bytes, later, waited, held_back }));
            turned.extend(bit);
            Crossing { due, turned, added, who: copy.who }
        };
        copies.into_iter().map(on).collect()
    }

    /// Whether a chunk that took so long to leave the line found it taken.
    pub(super) fn waited(&self, bytes: usize, line: Duration) -> bool {
        let bits = self.shape.bandwidth_bits_per_s.unwrap_or(u64::MAX).max(1);
        line > Duration::from_secs_f64(bytes as f64 * 8.0 / bits as f64) + Duration::from_micros(1)
    }

    pub(super) fn leaves_line(&self, bytes: usize, now: Instant) -> Instant {
        match self.line.lock().unwrap_or_else(PoisonError::into_inner).chunk(bytes, now) {
            Fate::At(leave) => leave,
            Fate::Hold => now,
        }
    }
}

/// One copy of a datagram on its way through a gate.
#[derive(Debug)]
pub struct Crossing {
    due: Instant,
    /// Bits of it that are turned.
    turned: Vec<u64>,
    /// What each disturbance made of it.
    added: Vec<(Arc<Disturbance>, Crossed)>,
    who: Traveller,
}

impl Crossing {
    /// Whether it need not wait.
    pub fn is_due(&self) -> bool {
        self.due <= now()
    }

    /// When it may go on.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// The datagram as it goes on.
    pub fn of(&self, datagram: &[u8]) -> Vec<u8> {
        let mut bytes = datagram.to_vec();
        self.turned.iter().for_each(|bit| turn(&mut bytes, *bit));
        bytes
    }

    /// It goes on.
    pub fn passed(&self) {
        let now = now();
        let late = now.saturating_duration_since(self.due);
        for (disturbance, crossed) in &self.added {
            let crossed = Crossed { later: crossed.later + late, ..*crossed };
            disturbance.tally.datagram_passed(self.who, crossed, (disturbance.seed, now));
        }
    }
}

/// The runtime's clock, so that tests can turn it.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits for the chunk's time; for ever, if it is held.
pub(super) async fn until(due: Fate) {
    let due = match due {
        Fate::At(due) => Some(due.into()),
        Fate::Hold => None,
    };
    punctually(due).await;
}
