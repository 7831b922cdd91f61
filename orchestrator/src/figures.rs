//! Figures in the text format of Prometheus, and those of this process among them.

use std::time::Duration;

use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// All of them, with what this process uses.
pub(crate) fn text_with_process(mut registry: Registry) -> String {
    let memory = gauge(memory_bytes());
    registry.register_with_unit("process_resident_memory", "Memory of this process", Unit::Bytes, memory);
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = ConstCounter::new(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
    registry.register_with_unit("process_cpu", "Processor time of this process", Unit::Seconds, cpu);
    let mut text = String::new();
    // writing to a String cannot fail, and whatever else does leaves out figures and nothing more
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

pub(crate) fn gauge(value: u64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
}

pub(crate) fn seconds(time: Duration) -> Gauge<f64, std::sync::atomic::AtomicU64> {
    let gauge = Gauge::default();
    gauge.set(time.as_secs_f64());
    gauge
}

pub(crate) fn counter(value: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(value);
    counter
}

/// Resident.
fn memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or_default() * 1_024
}
