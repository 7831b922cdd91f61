//! What is asked of a fault.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Only;
use crate::seed::Seed;

/// A disturbance. Zero, `false` and `None` mean undisturbed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Added one way.
    pub latency_us: u64,
    /// Uniform around the latency, plus or minus this.
    pub jitter_us: u64,
    pub bandwidth_bits_per_s: Option<u64>,
    /// Per cent; of streams only 0 and 100 are possible.
    pub loss_percent: f64,
    pub datagrams: DatagramShape,
    pub connections: ConnectionShape,
    /// What befalls requests inside of connections.
    pub http: Option<HttpShape>,
    /// None: whatever passes is struck.
    pub only: Option<Only>,
}

/// What befalls single datagrams, in per cent of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DatagramShape {
    /// They come twice.
    pub duplicate_percent: f64,
    /// They are kept back, so that what was sent after them comes before them.
    pub reorder_percent: f64,
    /// One bit of them is turned.
    pub corrupt_percent: f64,
}

/// What befalls whole connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionShape {
    /// New ones are not taken.
    pub refuse: bool,
    /// Each is reset when it has been open under the fault for so long.
    pub reset_after_us: Option<u64>,
    /// They get their bytes in pieces of at most so many.
    pub slice_bytes: Option<u64>,
    /// Their ends come so much later.
    pub slow_close_us: u64,
}

/// Requests that are answered on the way and never reach the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpShape {
    /// The status of the answer.
    pub status: u16,
    /// Only so many requests, the first ones.
    pub first: Option<u64>,
    /// Only this share of requests, in per cent.
    pub percent: Option<f64>,
}

impl Shape {
    /// Whether nothing passes.
    pub fn is_black_hole(&self) -> bool {
        self.loss_percent >= 100.0
    }

    /// Whether it does something that only datagrams can suffer.
    pub fn is_for_datagrams(&self) -> bool {
        let partial = self.loss_percent > 0.0 && !self.is_black_hole();
        partial || self.datagrams != DatagramShape::default()
    }

    /// Whether it does something that only connections can suffer.
    pub fn is_for_connections(&self) -> bool {
        self.connections != ConnectionShape::default() || self.http.is_some()
    }

    /// One delay drawn from latency and jitter.
    pub fn delay(&self, seed: &mut Seed) -> Duration {
        let span = seed.below(2 * self.jitter_us + 1);
        Duration::from_micros((self.latency_us + span).saturating_sub(self.jitter_us))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |micros| Duration::from_micros(micros);
        let ConnectionShape { refuse, reset_after_us, slice_bytes, slow_close_us } = &self.connections;
        let some = |percent: f64| (percent > 0.0).then_some(percent);
        let parts = [
            (self.latency_us > 0).then(|| format!("latency {:?}", micros(self.latency_us))),
            (self.jitter_us > 0).then(|| format!("jitter {:?}", micros(self.jitter_us))),
            self.bandwidth_bits_per_s.map(|bits| format!("bandwidth {} kbit/s", bits / 1000)),
            some(self.loss_percent).map(|percent| format!("loss {percent}%")),
            some(self.datagrams.duplicate_percent).map(|percent| format!("duplicate {percent}%")),
            some(self.datagrams.reorder_percent).map(|percent| format!("reorder {percent}%")),
            some(self.datagrams.corrupt_percent).map(|percent| format!("corrupt {percent}%")),
            refuse.then(|| "refuse".to_owned()),
            reset_after_us.map(|after| match after {
                0 => "reset".to_owned(),
                after => format!("reset after {:?}", micros(after)),
            }),
            slice_bytes.map(|bytes| format!("slice {bytes} B")),
            (*slow_close_us > 0).then(|| format!("slow-close {:?}", micros(*slow_close_us))),
            self.http.as_ref().map(HttpShape::to_string),
            self.only.as_ref().map(Only::to_string),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") })
    }
}

impl fmt::Display for HttpShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        if let Some(first) = self.first {
            write!(f, " for the first {first}")?;
        }
        if let Some(percent) = self.percent {
            write!(f, " for {percent}%")?;
        }
        Ok(())
    }
}
