//! How long calls took: over time with the faults behind them, as a distribution, and by step.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::frame::note;
use super::scale::{Ratios, Scale};
use super::text;
use crate::record::Ending;
use crate::report::figures::duration;
use crate::report::limits::{COLUMNS, POINTS, TITLES};
use crate::report::story::{Step, Story, word};

/// Height of the chart, in pixels.
const HEIGHT: usize = 200;

pub(super) fn section(story: &Story) -> Option<String> {
    let calls: Vec<&Step> = story.steps.all.iter().filter(|step| is_timed(story, step)).collect();
    if calls.len() < 2 {
        return None;
    }
    let mut sorted: Vec<f32> = calls.iter().map(|step| step.duration_ms).collect();
    sorted.sort_by(f32::total_cmp);
    let mut body = chart(story, &calls, &sorted);
    body += &format!("<div class=\"columns\">\n{}{}</div>\n", histogram(&sorted), by_step(story, &calls));
    Some(body)
}

fn is_timed(story: &Story, step: &Step) -> bool {
    step.ending != Ending::Skipped && story.steps.kind(step).is_call()
}

/// Of sorted durations.
fn quantile(sorted: &[f32], percent: usize) -> f64 {
    sorted.get((sorted.len().saturating_sub(1) * percent).div_ceil(100)).copied().map_or(0.0, f64::from)
}

fn chart(story: &Story, calls: &[&Step], sorted: &[f32]) -> String {
    let whole_ms = story.last.max(1.0);
    let scale = Scale::new(whole_ms);
    let sizes = Ratios::around(quantile(sorted, 0).max(0.05), quantile(sorted, 100));
    let mut shapes = String::new();
    for fault in &story.faults {
        let to = fault.ended.as_ref().map_or(whole_ms, |(at, _)| *at);
        let (x, width) = scale.span(fault.began, to);
        let title = text::cut(&format!("{}: {}", fault.name, fault.asked), 200);
        let _ = write!(
            shapes,
            "<rect class=\"band fault\" x=\"{x:.3}%\" y=\"0\" width=\"{width:.3}%\" height=\"100%\"><title>{title}</title></rect>"
        );
    }
    for tick in sizes.ticks() {
        let y = sizes.at(tick);
        let _ = write!(shapes, "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{y:.2}%\" y2=\"{y:.2}%\"/>");
        if y > 4.0 {
            let _ = write!(shapes, "<text class=\"tick\" x=\"2\" y=\"{y:.2}%\" dy=\"-3\">{}</text>", duration(tick));
        }
    }
    let (drawn, words) =
        if calls.len() <= POINTS { points(story, calls, scale, sizes) } else { columns(calls, scale, sizes) };
    let axis: String = scale
        .ticks()
        .into_iter()
        .skip(1)
        .map(|tick| {
            format!(
                "<text class=\"tick\" x=\"{:.3}%\" y=\"14\" text-anchor=\"middle\">{}</text>",
                scale.at(tick).min(97.0),
                duration(tick)
            )
        })
        .collect();
    format!(
        "<figure><figcaption>{words}</figcaption><svg class=\"plot\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"durations over time\">{shapes}{drawn}</svg>\
         <svg height=\"18\" aria-hidden=\"true\">{axis}</svg></figure>\n"
    )
}

/// A point for each call.
fn points(story: &Story, calls: &[&Step], scale: Scale, sizes: Ratios) -> (String, String) {
    let mut drawn = String::new();
    for step in calls {
        let (x, y) = (scale.at(step.ended), sizes.at(f64::from(step.duration_ms)));
        let title = format!("{}: {}", story.steps.kind(step).title, duration(f64::from(step.duration_ms)));
        let class = word(step.ending);
        let _ = write!(
            drawn,
            "<circle class=\"{class}\" cx=\"{x:.3}%\" cy=\"{y:.2}%\" r=\"3\"><title>{}</title></circle>",
            text::cut(&title, 200)
        );
    }
    (
        drawn,
        format!("{} calls that agents made, each a point where it ended; the higher, the longer it took", calls.len()),
    )
}

/// Median to 99th percentile as a bar, the median as a line across it, the longest as a point.
fn columns(calls: &[&Step], scale: Scale, sizes: Ratios) -> (String, String) {
    let mut by_column: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
    for step in calls {
        let column = (scale.at(step.ended) / 100.0 * COLUMNS as f64) as usize;
        by_column.entry(column.min(COLUMNS - 1)).or_default().push(step.duration_ms);
    }
    let width = 100.0 / COLUMNS as f64;
    let mut drawn = String::new();
    for (column, mut durations) in by_column {
        durations.sort_by(f32::total_cmp);
        let [median, high, most] = [50, 99, 100].map(|percent| quantile(&durations, percent));
        let (x, top, middle) = (column as f64 * width, sizes.at(high), sizes.at(median));
        let title = format!(
            "{} calls: median {}, 99% below {}, longest {}",
            durations.len(),
            duration(median),
            duration(high),
            duration(most)
        );
        let _ = write!(
            drawn,
            "<g><title>{title}</title><rect class=\"spread\" x=\"{x:.3}%\" y=\"{top:.2}%\" width=\"{width:.3}%\" height=\"{:.2}%\"/>\
             <line class=\"median\" x1=\"{x:.3}%\" x2=\"{:.3}%\" y1=\"{middle:.2}%\" y2=\"{middle:.2}%\"/>\
             <circle class=\"most\" cx=\"{:.3}%\" cy=\"{:.2}%\" r=\"1.6\"/></g>",
            (middle - top).max(0.4),
            x + width,
            x + width / 2.0,
            sizes.at(most)
        );
    }
    let words = format!(
        "{} calls that agents made, in {COLUMNS} columns: median (line), up to the 99th percentile (bar), the longest (point)",
        calls.len()
    );
    (drawn, words)
}

/// Bounds of 1, 2 and 5 times each power of ten.
fn histogram(sorted: &[f32]) -> String {
    let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
    for duration in sorted {
        *counts.entry(bucket(f64::from(*duration))).or_default() += 1;
    }
    let (first, last) =
        (counts.keys().next().copied().unwrap_or_default(), counts.keys().last().copied().unwrap_or_default());
    let most = counts.values().copied().max().unwrap_or(1);
    let mut table = String::from(
        "<div><h3>Distribution</h3><table class=\"histogram\"><thead><tr><th>up to</th><th>calls</th><th></th></tr></thead><tbody>",
    );
    for bucket in first..=last {
        let count = counts.get(&bucket).copied().unwrap_or_default();
        let width = count as f64 / most as f64 * 100.0;
        let _ = write!(
            table,
            "<tr><th scope=\"row\">{}</th><td>{count}</td><td><span style=\"width:{width:.1}%\"></span></td></tr>",
            duration(bound(bucket))
        );
    }
    let [p50, p90, p99] = [50, 90, 99].map(|percent| duration(quantile(sorted, percent)));
    let most = duration(quantile(sorted, 100));
    let _ = writeln!(
        table,
        "</tbody></table><p class=\"quantiles\"><span><b>p50</b> {p50}</span> <span><b>p90</b> {p90}</span> <span><b>p99</b> {p99}</span> <span><b>max</b> {most}</span></p></div>"
    );
    table
}

/// The upper bound of a bucket, in milliseconds: bucket 0 is up to 1, 1 up to 2, 2 up to 5, 3 up to 10.
fn bound(bucket: i32) -> f64 {
    [1.0, 2.0, 5.0][usize::try_from(bucket.rem_euclid(3)).unwrap_or_default()] * 10_f64.powi(bucket.div_euclid(3))
}

fn bucket(duration_ms: f64) -> i32 {
    (-9..30).find(|bucket| duration_ms <= bound(*bucket)).unwrap_or(30)
}

/// Without what tells the times of a repeated step apart: `GET /healthz to shop [i=28]`.
fn plain_title(title: &str) -> &str {
    match title.rsplit_once(" [") {
        Some((plain, times)) if times.ends_with(']') && times.contains('=') => plain,
        _ => title,
    }
}

fn by_step(story: &Story, calls: &[&Step]) -> String {
    let mut by_title: BTreeMap<(&str, &str), Vec<f32>> = BTreeMap::new();
    for step in calls {
        let kind = story.steps.kind(step);
        by_title.entry((plain_title(&kind.title), kind.who())).or_default().push(step.duration_ms);
    }
    let mut rows: Vec<((&str, &str), Vec<f32>)> = by_title.into_iter().collect();
    rows.iter_mut().for_each(|(_, durations)| durations.sort_by(f32::total_cmp));
    rows.sort_by(|(_, a), (_, b)| quantile(b, 99).total_cmp(&quantile(a, 99)));
    let mut table = String::from(
        "<div><h3>By step, slowest first</h3><div class=\"scroll\"><table><thead><tr><th>step</th><th class=\"n\">calls</th>\
         <th class=\"n\">p50</th><th class=\"n\">p99</th><th class=\"n\">max</th></tr></thead><tbody>",
    );
    for ((title, who), durations) in rows.iter().take(TITLES) {
        let [p50, p99, most] = [50, 99, 100].map(|percent| duration(quantile(durations, percent)));
        let _ = write!(
            table,
            "<tr><td>{} <span class=\"faint\">{}</span></td><td class=\"n\">{}</td><td class=\"n\">{p50}</td><td class=\"n\">{p99}</td><td class=\"n\">{most}</td></tr>",
            text::cut(title, 80),
            text::line(who),
            durations.len()
        );
    }
    table.push_str("</tbody></table></div>");
    if rows.len() > TITLES {
        table += &note(&format!("{} faster ones are not shown.", rows.len() - TITLES));
    }
    table.push_str("</div>\n");
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_into_the_bucket_below_whose_bound_it_is() {
        assert_eq!(
            [0.9, 1.0, 1.1, 4.0, 5.1, 10.0, 600.0].map(|ms| bound(bucket(ms))),
            [1.0, 1.0, 2.0, 5.0, 10.0, 10.0, 1000.0]
        );
        assert!((bound(bucket(0.04)) - 0.05).abs() < 1e-9);
    }

    #[test]
    fn quantiles_are_samples() {
        let sorted: Vec<f32> = (1..=100_u8).map(f32::from).collect();
        assert_eq!([0, 50, 99, 100].map(|percent| quantile(&sorted, percent)), [1.0, 51.0, 100.0, 100.0]);
        assert_eq!(quantile(&[], 50), 0.0);
    }
}
