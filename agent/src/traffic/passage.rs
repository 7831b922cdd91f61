//! How one connection passes one direction of a path.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::seed::Seed;
use meshproof_proto::shaper::{Fate, Shape, Shaper};
use tokio::sync::watch;

use super::gate::{Disturbance, Traveller, now, until};
use super::measured::Gone;
use crate::limits;

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
    /// When the first request came that it strikes, if it does not strike everything.
    singled: Option<Instant>,
}

/// What goes through a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    Bytes(usize),
    /// Of the stream.
    End,
}

/// Who single a request out that comes, and what becomes of it there.
#[derive(Debug, Default)]
pub(super) struct Singled {
    by: Vec<Arc<Disturbance>>,
    /// It is answered with this, and goes no further.
    pub(super) status: Option<u16>,
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
    /// What each stage added: waiting for the line, then latency; none where it leaves the chunk alone.
    added: Vec<Option<(Duration, Duration)>>,
    /// The version of the stages that counted it.
    counted: u64,
    /// Those that strike only some requests, of which it is one.
    by: Vec<Arc<Disturbance>>,
}

impl Ticket {
    pub(super) fn due(&self) -> Fate {
        self.due
    }

    pub(super) fn bytes(&self) -> usize {
        self.load.bytes()
    }

    fn is_struck_by(&self, disturbance: &Arc<Disturbance>) -> bool {
        !disturbance.is_limited() || self.by.iter().any(|by| Arc::ptr_eq(by, disturbance))
    }

    /// That of a piece of it: who counted the whole has counted the piece.
    pub(super) fn of_piece(&self, load: Load) -> Self {
        Self { load, due: Fate::Hold, added: Vec::new(), counted: self.counted, by: self.by.clone() }
    }
}

impl Passage {
    pub(super) fn of(mut active: watch::Receiver<Vec<Arc<Disturbance>>>, traveller: Traveller) -> Self {
        active.mark_changed();
        Self { active, stages: Vec::new(), version: 0, traveller }
    }

    /// A chunk came at `now`.
    pub(super) fn admit(&mut self, load: Load, now: Instant) -> Ticket {
        self.admit_singled((load, &Singled::default()), now)
    }

    /// A chunk of a request came at `now`.
    pub(super) fn admit_singled(&mut self, (load, singled): (Load, &Singled), now: Instant) -> Ticket {
        self.refresh();
        let mut ticket = Ticket { load, due: Fate::At(now), added: Vec::new(), counted: 0, by: singled.by.clone() };
        self.readmit(&mut ticket, now);
        ticket
    }

    /// The stages changed while the chunk waited: it waits for those of now.
    pub(super) fn readmit(&mut self, ticket: &mut Ticket, now: Instant) {
        let mut at = Fate::At(now);
        ticket.added.clear();
        for stage in &mut self.stages {
            if !ticket.is_struck_by(&stage.disturbance) {
                ticket.added.push(None);
                continue;
            }
            if stage.since > ticket.counted {
                stage.disturbance.tally.entered(self.traveller, ticket.bytes());
            }
            let Fate::At(came) = at else { continue };
            let left_line = stage.disturbance.leaves_line(ticket.bytes(), came);
            at = stage.delays.chunk(ticket.bytes(), left_line);
            if let Fate::At(due) = &mut at {
                ticket.added.push(Some((left_line - came, due.saturating_duration_since(left_line))));
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
        for (stage, added) in self.stages.iter().zip(&ticket.added) {
            let Some((line, latency)) = *added else { continue };
            let (tally, latency) = (&stage.disturbance.tally, latency + late);
            let waited = stage.disturbance.waited(ticket.bytes(), line);
            let gone = Gone { bytes: ticket.bytes(), line, latency, waited };
            tally.passed(self.traveller, gone, (stage.disturbance.seed, now));
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
        self.stages.iter().any(|stage| stage.disturbance.looks_at_requests())
    }

    /// A request with this head comes at `now`.
    pub(super) fn request(&mut self, head: &[u8], now: Instant) -> Singled {
        let mut singled = Singled::default();
        for stage in &mut self.stages {
            if !stage.disturbance.strikes(self.traveller, head) {
                continue;
            }
            if stage.disturbance.is_limited() {
                stage.singled.get_or_insert(now);
                singled.by.push(Arc::clone(&stage.disturbance));
            }
            singled.status = stage.disturbance.request(self.traveller);
            if singled.status.is_some() {
                break;
            }
        }
        singled
    }

    /// When the connection is to be reset; never, if it is not.
    pub(super) fn resets(&self) -> Fate {
        self.stages.iter().filter_map(Stage::resets).min().map_or(Fate::Hold, Fate::At)
    }

    /// Whether that time has come.
    pub(super) fn is_reset(&self) -> bool {
        matches!(self.resets(), Fate::At(at) if at <= now())
    }

    /// It was reset because of that.
    pub(super) fn was_reset(&self) -> io::Error {
        let due = now();
        let resetting = self.stages.iter().filter(|stage| stage.resets().is_some_and(|at| at <= due));
        for stage in resetting {
            let lived = due.saturating_duration_since(stage.struck_at().unwrap_or(due));
            stage.disturbance.tally.was_reset(self.traveller, lived);
        }
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
        Self { disturbance, delays, since, began: now(), last_piece: None, singled: None }
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
        Some(self.struck_at()? + Duration::from_micros(after))
    }

    /// Since when the fault strikes the connection.
    fn struck_at(&self) -> Option<Instant> {
        if self.disturbance.is_limited() { self.singled } else { Some(self.began) }
    }
}
