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
    endpoint: String,
}

/// What came of it.
#[derive(Debug, Default)]
struct Report {
    told: u64,
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
        let To { waiting, telling, left_out, endpoint, .. } = self.to?;
        drop(waiting);
        let of_none = |why: String| Report { why: Some(why), ..Report::default() };
        let mut report = match timeout(FLUSH_WITHIN, telling).await {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => of_none(error.to_string()),
            Err(_) => of_none(format!("it has not taken the last of them within {FLUSH_WITHIN:?}")),
        };
        report.failed += left_out;
        report.said(&endpoint).map(|said| sanitise::line(&said))
    }
}

impl Report {
    /// What there is to say, of what did not go well.
    fn said(&self, endpoint: &str) -> Option<String> {
        let Self { told, failed, why } = self;
        if *failed == 0 && why.is_none() {
            return None;
        }
        let why = why.as_deref().unwrap_or("more came than it takes");
        let what = match (told, failed) {
            (0, _) => "has nothing of this run's trace".to_owned(),
            (_, 0) => "may not have all of this run's trace".to_owned(),
            (_, failed) => format!("has not all of this run's trace, {failed} spans are missing"),
        };
        Some(format!("the collector at {endpoint} {what}: {why}; the verdict is what it would be without it"))
    }
}

impl To {
    fn tell(collector: Collector) -> Self {
        let (waiting, spans) = mpsc::channel(WAITING);
        let endpoint = collector.endpoint().to_owned();
        Self { spans: Spans::default(), waiting, telling: tokio::spawn(tell(collector, spans)), left_out: 0, endpoint }
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
            if count == 0 {
                continue;
            }
            match collector.tell(teller, told).await {
                Ok(()) => report.told += count,
                Err(why) => {
                    report.failed += count;
                    report.why.get_or_insert(why);
                }
            }
        }
        batch.clear();
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collector_has_not_is_told_with_where_it_is_and_why() {
        let said = |told, failed, why: Option<&str>| {
            Report { told, failed, why: why.map(str::to_owned) }.said("http://otel:4318/v1/traces")
        };
        assert_eq!(said(7, 0, None), None);
        let away = said(0, 7, Some("Connection refused (os error 111)")).expect("something");
        assert_eq!(
            away,
            "the collector at http://otel:4318/v1/traces has nothing of this run's trace: Connection refused (os error 111); \
             the verdict is what it would be without it"
        );
        assert!(said(5, 2, None).is_some_and(|said| said.contains("2 spans are missing: more came than it takes")));
        assert!(said(5, 0, Some("late")).is_some_and(|said| said.contains("may not have all")));
    }
}
