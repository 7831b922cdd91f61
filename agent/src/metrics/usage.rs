//! Samples of what processes use, and the numbers that come of them. Pure but for the clock of their arrival.

use std::collections::VecDeque;
use std::time::Instant;

use meshproof_proto::event::Usage;
use meshproof_proto::stat::{Stat, percentile};

use super::{NoNumber, Range};
use crate::limits;

/// One look at all processes of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Since they were started.
    pub cpu_ms: u64,
    pub memory_bytes: u64,
    pub descriptors: u64,
}

const CPU: &str = "cpu";
const MEMORY: &str = "memory";
const DESCRIPTORS: &str = "descriptors";

/// Whether this is sampled and not told by the service.
pub(super) fn is_sampled(metric: &str) -> bool {
    [CPU, MEMORY, DESCRIPTORS].contains(&metric)
}

/// Every sample since the processes were started.
#[derive(Debug, Default)]
pub(super) struct Usages {
    usage: Usage,
    last: Option<(Sample, Instant)>,
    /// Per cent of one core, from a sample to the next.
    cpu: Numbers,
    memory: Numbers,
    descriptors: Numbers,
}

/// A number as it changed.
#[derive(Debug, Default)]
struct Numbers {
    kept: VecDeque<f64>,
    least: Option<f64>,
    most: Option<f64>,
}

impl Usages {
    /// Other processes take the place of those before.
    pub fn begin_anew(&mut self) {
        *self = Self::default();
    }

    pub fn add(&mut self, sample: Sample) {
        self.add_at(sample, Instant::now());
    }

    fn add_at(&mut self, sample: Sample, now: Instant) {
        let usage = &mut self.usage;
        usage.samples += 1;
        // A child that ended and was not waited for takes its time with it.
        usage.cpu_ms = usage.cpu_ms.max(sample.cpu_ms);
        usage.memory_bytes = sample.memory_bytes;
        usage.memory_most_bytes = usage.memory_most_bytes.max(sample.memory_bytes);
        usage.descriptors = sample.descriptors;
        usage.descriptors_most = usage.descriptors_most.max(sample.descriptors);
        self.memory.add(sample.memory_bytes as f64);
        self.descriptors.add(sample.descriptors as f64);
        match self.last {
            // Too near for hundredths of a second to say anything.
            Some((_, at)) if now.saturating_duration_since(at) < limits::SAMPLE_EVERY / 4 => {}
            Some((last, at)) => {
                let passed_ms = now.saturating_duration_since(at).as_secs_f64() * 1e3;
                self.cpu.add(sample.cpu_ms.saturating_sub(last.cpu_ms) as f64 * 100.0 / passed_ms);
                self.last = Some((sample, now));
            }
            None => self.last = Some((sample, now)),
        }
    }

    /// What is known; none: nothing was sampled.
    pub fn usage(&self) -> Option<Usage> {
        (self.usage.samples > 0).then_some(self.usage)
    }

    pub fn number(&self, metric: &str, stat: Stat) -> Result<Range, NoNumber> {
        let numbers = match metric {
            CPU => &self.cpu,
            MEMORY => &self.memory,
            _ => &self.descriptors,
        };
        numbers.number(stat).map(Range::of).ok_or_else(|| NoNumber::Yet("no sample yet".to_owned()))
    }

    pub fn shown(&self) -> String {
        let rows = [(CPU, "%", &self.cpu), (MEMORY, " B", &self.memory), (DESCRIPTORS, "", &self.descriptors)];
        let row = |(name, unit, numbers): (&str, &str, &Numbers)| {
            let last = numbers.kept.iter().rev().take(limits::SERIES_SHOWN).rev();
            let last: Vec<String> = last.map(|number| format!("{number:.0}{unit}")).collect();
            format!("{name}: {}\n", if last.is_empty() { "no sample".to_owned() } else { last.join(" ") })
        };
        rows.map(row).concat()
    }
}

impl Numbers {
    fn add(&mut self, number: f64) {
        if self.kept.len() == limits::SAMPLES_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(number);
        self.least = Some(self.least.map_or(number, |least| least.min(number)));
        self.most = Some(self.most.map_or(number, |most| most.max(number)));
    }

    fn number(&self, stat: Stat) -> Option<f64> {
        match stat {
            Stat::Is => self.kept.back().copied(),
            Stat::Min => self.least,
            Stat::Max => self.most,
            Stat::Percentile(share) => percentile(self.kept.iter().copied(), share),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample(cpu_ms: u64, memory_bytes: u64) -> Sample {
        Sample { cpu_ms, memory_bytes, descriptors: 7 }
    }

    #[test]
    fn the_most_stays_and_the_last_is_what_it_is() {
        let (mut usages, began) = (Usages::default(), Instant::now());
        assert_eq!(
            (usages.usage(), usages.number(MEMORY, Stat::Is)),
            (None, Err(NoNumber::Yet("no sample yet".into())))
        );
        for (second, (cpu_ms, memory)) in (0..).zip([(100, 10), (600, 90), (700, 40)]) {
            usages.add_at(sample(cpu_ms, memory), began + Duration::from_secs(second));
        }
        let number = |metric, stat| usages.number(metric, stat).expect("sampled").most;
        assert_eq!(
            (number(MEMORY, Stat::Is), number(MEMORY, Stat::Max), number(MEMORY, Stat::Min)),
            (40.0, 90.0, 10.0)
        );
        assert_eq!((number(CPU, Stat::Max), number(CPU, Stat::Is)), (50.0, 10.0), "per cent of a core");
        assert_eq!(number(MEMORY, Stat::Percentile(0.5)), 40.0);
        let usage = usages.usage().expect("sampled");
        assert_eq!((usage.samples, usage.cpu_ms, usage.memory_most_bytes, usage.descriptors), (3, 700, 90, 7));
    }

    #[test]
    fn two_looks_close_to_each_other_say_nothing_of_the_processor() {
        let (mut usages, now) = (Usages::default(), Instant::now());
        usages.add_at(sample(0, 1), now);
        usages.add_at(sample(10, 1), now + Duration::from_millis(5));
        assert!(matches!(usages.number(CPU, Stat::Is), Err(NoNumber::Yet(_))));
    }
}
