//! Metrics that the service tells: fetched, kept, and asked for by name and labels.

use std::collections::BTreeMap;

use meshproof_proto::expr::Template;
use meshproof_proto::matcher::{Actual, Matcher};
use meshproof_proto::order::{Action, Body, HttpAction, Scrape, Target};
use meshproof_proto::stat::Stat;
use serde_json::Value;

use super::text::{self, Line};
use super::{NoNumber, Question, Range};
use crate::action::{Came, perform_for};
use crate::limits;
use crate::permits::{Permits, Terms};

/// What the last fetch brought, and the bounds of all before.
#[derive(Debug, Default)]
pub(super) struct Told {
    series: BTreeMap<Family, Kept>,
    /// Why the last fetch brought nothing; before the first one, that there was none.
    problem: Option<String>,
    fetched: bool,
}

/// One series: a name and its labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Family {
    name: String,
    labels: BTreeMap<String, String>,
}

/// A series' number as it was.
#[derive(Clone, Copy, Debug)]
struct Kept {
    last: f64,
    least: f64,
    most: f64,
}

/// Fetches them once.
pub(super) async fn fetch(address: &str, scrape: &Scrape, permits: &Permits) -> Result<Vec<Line>, String> {
    let action = Action::Http(HttpAction {
        target: Target::plain("metrics", address),
        method: "GET".to_owned(),
        path: Template::text(&scrape.path),
        headers: vec![("Accept".to_owned(), Template::text("text/plain;version=0.0.4"))],
        body: Body::Empty,
    });
    let terms = Terms::alone(limits::SCRAPE_WITHIN, permits);
    let answer = Box::pin(perform_for(&action, &[], &Value::Null, terms)).await;
    if let Some(error) = answer.error {
        return Err(error.message);
    }
    let Came::Http(http) = answer.came else { return Err("no answer".to_owned()) };
    match http.status {
        Some(200) => text::parse(&String::from_utf8_lossy(&http.body)).map_err(|error| error.to_string()),
        other => Err(format!("GET {} was answered with status {}", scrape.path, other.unwrap_or_default())),
    }
}

impl Told {
    /// Takes a fetch. What is not told any more is gone, as in Prometheus.
    pub fn take(&mut self, fetched: Result<Vec<Line>, String>) {
        match fetched {
            Err(problem) => self.problem = Some(problem),
            Ok(lines) => {
                let mut before = std::mem::take(&mut self.series);
                for Line { name, labels, number } in lines {
                    let family = Family { name, labels };
                    let kept = before.remove(&family).map_or(Kept::of(number), |kept| kept.and(number));
                    self.series.insert(family, kept);
                }
                (self.problem, self.fetched) = (None, true);
            }
        }
    }

    pub fn number(&self, question: &Question<'_>) -> Result<Range, NoNumber> {
        if let Some(problem) = &self.problem {
            return Err(NoNumber::Yet(format!("no metrics: {problem}")));
        }
        if !self.fetched {
            return Err(NoNumber::Yet("no metrics were fetched yet".to_owned()));
        }
        let kept: Vec<&Kept> = self.series(question.metric, question.labels).map(|(_, kept)| kept).collect();
        let found = match question.stat {
            Stat::Is => kept.iter().map(|kept| kept.last).reduce(|sum, number| sum + number).map(Range::of),
            Stat::Min => kept.iter().map(|kept| kept.least).reduce(f64::min).map(Range::of),
            Stat::Max => kept.iter().map(|kept| kept.most).reduce(f64::max).map(Range::of),
            Stat::Percentile(share) => match self.bucket_of(question, share).or_else(|| self.quantile(question, share))
            {
                None if !kept.is_empty() => {
                    let metric = question.metric;
                    return Err(NoNumber::Ever(format!(
                        "`{metric}` is one number and no histogram or summary, so it has no percentiles"
                    )));
                }
                found => found,
            },
        };
        found.ok_or_else(|| NoNumber::Yet(format!("no series of `{}` with such labels", question.metric)))
    }

    /// The bounds of the bucket in which this share of a histogram is reached, of all series together.
    fn bucket_of(&self, question: &Question<'_>, share: f64) -> Option<Range> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (family, kept) in self.series(&format!("{}_bucket", question.metric), question.labels) {
            let bound: f64 = family.labels.get("le")?.parse().ok()?;
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, count)) => *count += kept.last,
                None => buckets.push((bound, kept.last)),
            }
        }
        buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        let all = buckets.last().map(|(_, count)| *count).filter(|all| *all > 0.0)?;
        let at = buckets.iter().position(|(_, count)| *count >= share * all)?;
        let least = if at == 0 { 0.0 } else { buckets[at - 1].0 };
        // Below the first bound there may be anything; times and sizes have no less than nothing.
        Some(Range { least: least.min(buckets[at].0), most: buckets[at].0 })
    }

    /// What a summary says of this share, from its least to its greatest series.
    fn quantile(&self, question: &Question<'_>, share: f64) -> Option<Range> {
        let is_share = |family: &Family| {
            let told = family.labels.get("quantile").and_then(|text| text.parse::<f64>().ok());
            told.is_some_and(|told| (told - share).abs() < 1e-9)
        };
        let found = self.series(question.metric, question.labels).filter(|(family, _)| is_share(family));
        let numbers = found.map(|(_, kept)| kept.last).filter(|number| !number.is_nan());
        let range = |range: Option<Range>, number: f64| match range {
            Some(Range { least, most }) => Some(Range { least: least.min(number), most: most.max(number) }),
            None => Some(Range::of(number)),
        };
        numbers.fold(None, range)
    }

    fn series(&self, name: &str, labels: &[(String, Matcher)]) -> impl Iterator<Item = (&Family, &Kept)> {
        self.series.iter().filter(move |(family, _)| family.name == name && family.has(labels))
    }

    /// For people.
    pub fn shown(&self, metric: &str) -> String {
        if let Some(problem) = &self.problem {
            return problem.clone();
        }
        let of_it = self.series.iter().filter(|(family, _)| family.name.starts_with(metric));
        let lines: Vec<String> =
            of_it.take(limits::SERIES_SHOWN).map(|(family, kept)| format!("{family} {}", kept.last)).collect();
        if lines.is_empty() { format!("none of {} series begins so", self.series.len()) } else { lines.join("\n") }
    }
}

impl Family {
    fn has(&self, labels: &[(String, Matcher)]) -> bool {
        labels.iter().all(|(name, matcher)| {
            let actual = self.labels.get(name).map_or(Actual::Missing, |value| Actual::Text(value.clone()));
            matcher.check(&actual, &Value::Null).is_ok()
        })
    }
}

/// `http_requests_total{code="200"}`
impl std::fmt::Display for Family {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.name)?;
        if self.labels.is_empty() {
            return Ok(());
        }
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(out, "{{{}}}", labels.join(","))
    }
}

impl Kept {
    fn of(number: f64) -> Self {
        Self { last: number, least: number, most: number }
    }

    fn and(self, number: f64) -> Self {
        Self { last: number, least: self.least.min(number), most: self.most.max(number) }
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::expr::ValueTemplate;

    use super::*;

    fn told(texts: &[&str]) -> Told {
        let mut told = Told::default();
        texts.iter().for_each(|text| told.take(text::parse(text).map_err(|error| error.to_string())));
        told
    }

    fn number(told: &Told, metric: &str, stat: Stat) -> Result<Range, NoNumber> {
        told.number(&Question { metric, labels: &[], stat })
    }

    #[test]
    fn of_several_series_the_sum_is_what_it_is_and_labels_choose_among_them() {
        let told = told(&["r{code=\"200\"} 3\nr{code=\"500\"} 9\n", "r{code=\"200\"} 4\nr{code=\"500\"} 1\n"]);
        assert_eq!(number(&told, "r", Stat::Is), Ok(Range::of(5.0)));
        assert_eq!(number(&told, "r", Stat::Max), Ok(Range::of(9.0)));
        let labels = [("code".to_owned(), Matcher::Equals(ValueTemplate::fixed(&Value::from("200"))))];
        let chosen = told.number(&Question { metric: "r", labels: &labels, stat: Stat::Is });
        assert_eq!(chosen, Ok(Range::of(4.0)));
        assert!(matches!(number(&told, "none", Stat::Is), Err(NoNumber::Yet(_))));
        assert!(matches!(number(&told, "r", Stat::Percentile(0.5)), Err(NoNumber::Ever(_))), "a counter has none");
    }

    #[test]
    fn a_percentile_of_a_histogram_lies_between_the_bounds_of_its_bucket() {
        let buckets = "d_bucket{le=\"0.1\"} 50\nd_bucket{le=\"0.5\"} 98\nd_bucket{le=\"+Inf\"} 100\nd_count 100\n";
        let told = told(&[buckets]);
        assert_eq!(number(&told, "d", Stat::Percentile(0.5)), Ok(Range { least: 0.0, most: 0.1 }));
        assert_eq!(number(&told, "d", Stat::Percentile(0.95)), Ok(Range { least: 0.1, most: 0.5 }));
        let last = number(&told, "d", Stat::Percentile(0.99)).expect("a bucket");
        assert_eq!((last.least, last.most), (0.5, f64::INFINITY));
    }

    #[test]
    fn a_percentile_of_a_summary_is_what_it_says() {
        let told = told(&["s{quantile=\"0.5\"} 2\ns{quantile=\"0.99\"} 7\ns_count 9\n"]);
        assert_eq!(number(&told, "s", Stat::Percentile(0.99)), Ok(Range::of(7.0)));
        assert!(matches!(number(&told, "s", Stat::Percentile(0.95)), Err(NoNumber::Ever(_))));
    }

    #[test]
    fn a_fetch_that_failed_is_no_number_and_says_why() {
        let mut told = told(&["up 1\n"]);
        told.take(Err("nobody listens".to_owned()));
        assert_eq!(number(&told, "up", Stat::Is), Err(NoNumber::Yet("no metrics: nobody listens".to_owned())));
        told.take(Ok(Vec::new()));
        assert!(matches!(number(&told, "up", Stat::Is), Err(NoNumber::Yet(_))), "it is not told any more");
    }
}
