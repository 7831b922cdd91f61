//! Spans on their way to the collector, beside the run.

use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::collector::Collector;
use super::limits::{BATCH, FLUSH_WITHIN, TELL_EVERY, WAITING};
use super::spans::{Spans, Teller};
use crate::record::Entry;
use crate::report::sanitise;

type Told = (Teller, SpanData);

/// Tells a collector of a run, or nobody.
#[derive(Debug, Default)]
pub struct Traces {
    to: Option<To>,
}

#[derive(Debug)]
struct To {
    spans: Spans,
    waiting: mpsc::Sender<Told>,
    telling: JoinHandle<Report>,
    left_out: u64,
}

/// What came of it.
#[derive(Debug, Default)]
struct Report {
    failed: u64,
    why: Option<String>,
}

impl Traces {
    /// As the environment says; what it says wrongly is said, and then nobody is told.
    pub fn as_named() -> (Self, Option<String>) {
        let variables = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        match Collector::named(&variables) {
            Ok(Some(collector)) => (Self { to: Some(To::tell(collector)) }, None),
            Ok(None) => (Self::default(), None),
            Err(error) => (Self::default(), Some(format!("no traces are told: {error}"))),
        }
    }

    /// The next record.
    pub fn take(&mut self, entry: &Entry) {
        if let Some(to) = &mut self.to
            && let Some(told) = to.spans.take(entry)
            && to.waiting.try_send(told).is_err()
        {
            to.left_out += 1;
        }
    }

    /// There are no more; gives what could not be told.
    pub async fn finish(self) -> Option<String> {
        let To { waiting, telling, left_out, .. } = self.to?;
        drop(waiting);
        let Report { failed, why } = match timeout(FLUSH_WITHIN, telling).await {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => Report { failed: 0, why: Some(error.to_string()) },
            Err(_) => Report { failed: 0, why: Some(format!("the collector takes more than {FLUSH_WITHIN:?}")) },
        };
        let untold = failed + left_out;
        if untold == 0 && why.is_none() {
            return None;
        }
        let why = why.unwrap_or_else(|| "more came than the collector takes".to_owned());
        let count = if untold == 0 { "not all spans were".to_owned() } else { format!("{untold} spans were not") };
        Some(format!("{count} told to the collector of traces: {}", sanitise::line(&why)))
    }
}

impl To {
    fn tell(collector: Collector) -> Self {
        let (waiting, spans) = mpsc::channel(WAITING);
        Self { spans: Spans::default(), waiting, telling: tokio::spawn(tell(collector, spans)), left_out: 0 }
    }
}

/// Until there are no more.
async fn tell(collector: Collector, mut spans: mpsc::Receiver<Told>) -> Report {
    let mut report = Report::default();
    let mut batch: Vec<Told> = Vec::new();
    while spans.recv_many(&mut batch, BATCH).await > 0 {
        // others come soon, and one message carries them all
        let more = async { while batch.len() < BATCH && spans.recv_many(&mut batch, BATCH).await > 0 {} };
        let _ = timeout(TELL_EVERY, more).await;
        for teller in [Teller::Orchestrator, Teller::Agent] {
            let told: Vec<SpanData> = batch.extract_if(.., |(by, _)| *by == teller).map(|(_, span)| span).collect();
            let count = told.len() as u64;
            if count > 0
                && let Err(error) = collector.tell(teller, told).await
            {
                report.failed += count;
                report.why.get_or_insert_with(|| error.to_string());
            }
        }
        batch.clear();
    }
    report
}
