//! What programs measure: `expect: { metric: nodes.time_to_hear, p99: "< 5s" }` looks at all that the members of a group have told.
//!
//! Numbers are kept in their order, for each member and for its group, so that a look costs nothing however often a step looks again.

use std::collections::BTreeMap;

use meshproof_proto::matcher::Actual;
use meshproof_proto::stat::{self, Stat};

use super::limits::MEASURED;
use crate::plan::model::Check;

/// In the test that goes on.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// By whom, a member or a group, and by the metric's name.
    series: BTreeMap<(String, String), Series>,
    kept: usize,
    /// How many more there were than are kept.
    left_out: u64,
}

#[derive(Debug, Default)]
struct Series {
    /// The least first.
    sorted: Vec<f64>,
    last: f64,
}

impl Measured {
    /// A program tells a number; `of` are the names that it counts for.
    pub(super) fn take<'n>(&mut self, of: impl IntoIterator<Item = &'n str>, (metric, value): (&str, f64)) {
        if self.kept >= MEASURED {
            self.left_out += 1;
            return;
        }
        self.kept += 1;
        for name in of {
            let series = self.series.entry((name.to_owned(), metric.to_owned())).or_default();
            let at = series.sorted.partition_point(|other| other.total_cmp(&value).is_lt());
            series.sorted.insert(at, value);
            series.last = value;
        }
    }

    /// What a check of such a step sees; nothing, where nobody has told any.
    pub(super) fn seen(&self, (of, metric): (&str, &str), check: &Check) -> Option<Actual> {
        let series = self.series.get(&(of.to_owned(), metric.to_owned()))?;
        if self.left_out > 0 {
            return Some(Actual::Text(format!("{} numbers more than the {MEASURED} that are kept", self.left_out)));
        }
        let number = match Stat::of(&check.field)? {
            Stat::Is => Some(series.last),
            Stat::Min => series.sorted.first().copied(),
            Stat::Max => series.sorted.last().copied(),
            Stat::Percentile(share) => stat::of_sorted(&series.sorted, share),
        };
        number.map(|number| stat::actual(&check.matcher, number))
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::matcher::{Comparison, Matcher, Quantity};
    use serde_json::Value;

    use super::*;
    use crate::plan::Span;

    fn check(field: &str, at_most_ms: u64) -> Check {
        let at_most = Quantity::DurationNs(at_most_ms * 1_000_000);
        Check {
            field: field.to_owned(),
            matcher: Matcher::Compare(Comparison::LessOrEqual, at_most),
            span: Span::default(),
            paths: Vec::new(),
        }
    }

    #[test]
    fn a_group_is_seen_as_a_whole_and_each_member_alone() {
        let mut measured = Measured::default();
        for number in [0.3, 0.1, 0.2] {
            measured.take(["nodes-1", "nodes"], ("heard", number));
        }
        measured.take(["nodes-2", "nodes"], ("heard", 0.9));
        let holds = |of: &str, check: &Check| {
            let seen = measured.seen((of, "heard"), check);
            seen.map(|seen| check.matcher.check(&seen, &Value::Null).is_ok())
        };
        for (of, field, at_most_ms) in [
            ("nodes-1", "max", 300),
            ("nodes-1", "is", 200),
            ("nodes-1", "min", 100),
            ("nodes", "p50", 200),
            ("nodes", "p99", 900),
        ] {
            assert_eq!(holds(of, &check(field, at_most_ms)), Some(true), "{of} {field}");
            assert_eq!(holds(of, &check(field, at_most_ms - 1)), Some(false), "{of} {field}");
        }
        assert_eq!(holds("nodes-3", &check("max", 1)), None, "nobody has told any");
    }

    #[test]
    fn so_many_are_kept_and_more_hold_nothing() {
        let mut measured = Measured::default();
        (0..=MEASURED).for_each(|_| measured.take(["nodes"], ("heard", 0.1)));
        let Some(Actual::Text(why)) = measured.seen(("nodes", "heard"), &check("max", 500)) else { panic!("a reason") };
        assert_eq!(why, format!("1 numbers more than the {MEASURED} that are kept"));
    }
}
