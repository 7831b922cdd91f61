//! One direction of a path, and how a connection passes it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use meshproof_proto::seed::Seed;
use meshproof_proto::shaper::{DatagramShaper, Fate, Onward, Shape, Shaper, turn};
use tokio::sync::watch;

use super::Tally;
use crate::limits;
use crate::punctual::punctually;

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

    /// A datagram comes here: its copies, each with its time; none if it is lost.
    pub fn datagram(&self, who: Traveller, bytes: usize) -> Vec<Crossing> {
        let now = now();
        let mut copies = vec![Crossing { due: now, turned: Vec::new(), added: Vec::new(), who }];
        for disturbance in self.active.borrow().iter() {
            copies = copies.into_iter().flat_map(|copy| disturbance.datagram(copy, bytes)).collect();
        }
        copies
    }

    /// The way of one connection through this gate.
    pub fn passage(&self, traveller: Traveller) -> Passage {
        let mut active = self.active.subscribe();
        active.mark_changed();
        Passage { active, stages: Vec::new(), version: 0, traveller }
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
    shape: Shape,
    seed: u64,
    /// All connections share the bandwidth.
    line: Mutex<Shaper>,
    datagrams: Mutex<DatagramShaper>,
    /// Luck of requests, and how many were answered.
    requests: Mutex<(Seed, u64)>,
    tally: Arc<Tally>,
}

impl Disturbance {
    pub fn new(fault: &str, shape: Shape, seed: u64, tally: Arc<Tally>) -> Self {
        let bandwidth = Shape { bandwidth_bits_per_s: shape.bandwidth_bits_per_s, ..Shape::default() };
        let line = Mutex::new(Shaper::new(bandwidth, Seed::new(seed)));
        let datagrams = Mutex::new(DatagramShaper::new(shape.clone(), Seed::new(seed)));
        let requests = Mutex::new((Seed::new(seed), 0));
        Self { fault: fault.to_owned(), shape, seed, line, datagrams, requests, tally }
    }

    /// A request comes: the status that it is answered with, or it goes on.
    fn request(&self, who: Traveller) -> Option<u16> {
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
        let on = |Onward { due, turned: bit }: Onward| {
            let (mut added, mut turned) = (copy.added.clone(), copy.turned.clone());
            added.push((Arc::clone(self), number, due.saturating_duration_since(copy.due)));
            turned.extend(bit);
            Crossing { due, turned, added, who: copy.who }
        };
        copies.into_iter().map(on).collect()
    }

    fn leaves_line(&self, bytes: usize, now: Instant) -> Instant {
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
    /// What each disturbance made of it: its number there, and the time that was added.
    added: Vec<(Arc<Disturbance>, u64, Duration)>,
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
        let late = now().saturating_duration_since(self.due);
        for (disturbance, number, added) in &self.added {
            disturbance.tally.datagram_passed(self.who, *number, *added + late);
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
    /// When the connection came under it.
    began: Instant,
    /// When its last piece went on, if it cuts to pieces.
    last_piece: Option<Instant>,
}

/// What goes through a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    Bytes(usize),
    /// Of the stream.
    End,
}

impl Load {
    fn bytes(self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::End => 0,
        }
    }
}

/// A chunk on its way through.
#[derive(Debug)]
pub(super) struct Ticket {
    load: Load,
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
        self.load.bytes()
    }
}

impl Ticket {
    /// That of a piece of it: who counted the whole has counted the piece.
    pub(super) fn of_piece(&self, load: Load) -> Self {
        Self { load, due: Fate::Hold, added: Vec::new(), counted: self.counted }
    }
}

impl Passage {
    /// A chunk came at `now`.
    pub(super) fn admit(&mut self, load: Load, now: Instant) -> Ticket {
        self.refresh();
        let mut ticket = Ticket { load, due: Fate::At(now), added: Vec::new(), counted: 0 };
        self.readmit(&mut ticket, now);
        ticket
    }

    /// The stages changed while the chunk waited: it waits for those of now.
    pub(super) fn readmit(&mut self, ticket: &mut Ticket, now: Instant) {
        let mut at = Fate::At(now);
        ticket.added.clear();
        for stage in &mut self.stages {
            if stage.since > ticket.counted {
                stage.disturbance.tally.entered(self.traveller, ticket.bytes());
            }
            let Fate::At(came) = at else { continue };
            let left_line = stage.disturbance.leaves_line(ticket.bytes(), came);
            at = stage.delays.chunk(ticket.bytes(), left_line);
            if let Fate::At(due) = &mut at {
                ticket.added.push((left_line - came, due.saturating_duration_since(left_line)));
                *due = stage.last_words(ticket.load, *due);
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
            let (tally, latency) = (&stage.disturbance.tally, *latency + late);
            tally.passed(self.traveller, ticket.bytes(), (*line, latency));
            let slow_close_us = stage.disturbance.shape.connections.slow_close_us;
            if ticket.load == Load::End && slow_close_us > 0 {
                tally.closed(self.traveller, latency + Duration::from_micros(slow_close_us));
            }
        }
    }

    /// The size that chunks are cut to.
    pub(super) fn piece(&mut self) -> usize {
        self.refresh();
        let pieces = self.stages.iter().filter_map(|stage| stage.disturbance.shape.connections.slice_bytes);
        pieces.min().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX).max(1)
    }

    /// Whether requests may be answered here.
    pub(super) fn looks_at_requests(&mut self) -> bool {
        self.refresh();
        self.stages.iter().any(|stage| stage.disturbance.shape.http.is_some())
    }

    /// A request comes: the status that it is answered with, or it goes on.
    pub(super) fn request(&self) -> Option<u16> {
        self.stages.iter().find_map(|stage| stage.disturbance.request(self.traveller))
    }

    /// When the connection is to be reset; never, if it is not.
    pub(super) fn resets(&self) -> Fate {
        self.stages.iter().filter_map(Stage::resets).min().map_or(Fate::Hold, Fate::At)
    }

    /// It was reset because of that.
    pub(super) fn was_reset(&self) -> io::Error {
        let due = now();
        let resetting = self.stages.iter().filter(|stage| stage.resets().is_some_and(|at| at <= due));
        resetting.for_each(|stage| stage.disturbance.tally.was_reset(self.traveller));
        io::Error::new(io::ErrorKind::ConnectionReset, "a fault of the run reset it")
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
    ///
    /// # Errors
    ///
    /// The connection is to be reset before.
    pub async fn pass(&mut self, bytes: usize) -> io::Result<()> {
        let mut left = bytes;
        loop {
            let piece = self.piece().min(left);
            self.pass_load(Load::Bytes(piece)).await?;
            left -= piece;
            if left == 0 {
                return Ok(());
            }
        }
    }

    /// Waits until an end that comes now would have passed.
    ///
    /// # Errors
    ///
    /// The connection is to be reset before.
    pub async fn pass_end(&mut self) -> io::Result<()> {
        self.pass_load(Load::End).await
    }

    async fn pass_load(&mut self, load: Load) -> io::Result<()> {
        let mut ticket = self.admit(load, now());
        loop {
            let resets = self.resets();
            tokio::select! {
                biased;
                () = self.changed() => self.readmit(&mut ticket, now()),
                () = until(resets) => return Err(self.was_reset()),
                () = until(ticket.due) => break,
            }
        }
        self.passed(&ticket, now());
        Ok(())
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
        drop(active);
        // what waits is admitted again, and is no piece behind itself
        let now = now();
        for stage in &mut self.stages {
            stage.last_piece = stage.last_piece.map(|last| last.min(now));
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
        let (disturbance, delays) = (Arc::clone(disturbance), Shaper::new(delays, seed));
        Self { disturbance, delays, since, began: now(), last_piece: None }
    }

    /// Pieces keep a distance, or whoever reads takes them for one; and the end may come later.
    fn last_words(&mut self, load: Load, due: Instant) -> Instant {
        let connections = &self.disturbance.shape.connections;
        match load {
            Load::End => due + Duration::from_micros(connections.slow_close_us),
            Load::Bytes(_) if connections.slice_bytes.is_some() => {
                let due = self.last_piece.map_or(due, |last| due.max(last + limits::BETWEEN_PIECES));
                self.last_piece = Some(due);
                due
            }
            Load::Bytes(_) => due,
        }
    }

    fn resets(&self) -> Option<Instant> {
        let after = self.disturbance.shape.connections.reset_after_us?;
        Some(self.began + Duration::from_micros(after))
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
