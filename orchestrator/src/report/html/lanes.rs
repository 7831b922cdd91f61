//! Bars on a line of time. Bars that overlap get tracks of their own, bars too narrow to be told apart become one that says how
//! many it stands for.

use std::fmt::Write as _;

use super::scale::Scale;
use super::text;
use crate::report::figures::duration;
use crate::report::story::Moment;

/// Something that lasted.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) from: Moment,
    pub(super) to: Moment,
    /// How it ended, worse is larger.
    pub(super) rank: u8,
    pub(super) class: &'static str,
    pub(super) title: String,
    /// How many it stands for.
    pub(super) count: u64,
}

/// Tracks of one lane; what overlaps even more shares the last.
const TRACKS: usize = 4;

/// Height of a track, in pixels, and the gap to the next.
const TRACK: usize = 16;
const GAP: usize = 3;

/// Bars in tracks, and how many tracks there are.
pub(super) struct Lane {
    tracks: Vec<Vec<Bar>>,
}

impl Lane {
    /// Of bars in any order, of which so many cells of the width can be told apart.
    pub(super) fn new(mut bars: Vec<Bar>, whole_ms: f64, cells: usize) -> Self {
        bars.sort_by(|a, b| a.from.total_cmp(&b.from));
        let mut tracks: Vec<Vec<Bar>> = Vec::new();
        for bar in folded(bars, whole_ms / cells.max(1) as f64) {
            let free = tracks.iter().position(|track| track.last().is_none_or(|last| last.to <= bar.from));
            match free {
                Some(free) => tracks[free].push(bar),
                None if tracks.len() < TRACKS => tracks.push(vec![bar]),
                None => tracks[TRACKS - 1].push(bar),
            }
        }
        Self { tracks }
    }

    pub(super) fn height(&self) -> usize {
        self.tracks.len().max(1) * (TRACK + GAP) + GAP
    }

    /// The bars as shapes; with labels where they may say what they are.
    pub(super) fn shapes(&self, scale: Scale, label: Label) -> String {
        let mut shapes = String::new();
        for (number, track) in self.tracks.iter().enumerate() {
            let top = GAP + number * (TRACK + GAP);
            for bar in track {
                let (x, width) = scale.span(bar.from, bar.to);
                let many = if bar.count > 1 { format!("{} of them, the worst: ", bar.count) } else { String::new() };
                let title = format!("{many}{}, {}", text::cut(&bar.title, 200), duration(bar.to - bar.from));
                let _ = write!(
                    shapes,
                    "<rect class=\"bar {}\" x=\"{x:.3}%\" y=\"{top}\" width=\"{width:.3}%\" height=\"{TRACK}\" rx=\"2\"><title>{title}</title></rect>",
                    bar.class
                );
                if label == Label::Title && width > 1.0 {
                    let _ = write!(
                        shapes,
                        "<svg x=\"{x:.3}%\" y=\"{top}\" width=\"{width:.3}%\" height=\"{TRACK}\"><text x=\"5\" y=\"12\">{}</text></svg>",
                        text::cut(&bar.title, 80)
                    );
                }
            }
        }
        shapes
    }
}

/// Whether bars bear their titles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Title,
    None,
}

/// Bars that lie in the same cell become one, which says what the worst of them is.
fn folded(bars: Vec<Bar>, cell_ms: f64) -> Vec<Bar> {
    let mut folded: Vec<Bar> = Vec::new();
    for bar in bars {
        let is_narrow = |bar: &Bar| bar.to - bar.from < cell_ms;
        match folded.last_mut() {
            Some(last) if is_narrow(&bar) && is_narrow(last) && bar.from - last.from < cell_ms => {
                last.to = last.to.max(bar.to);
                last.count += bar.count;
                if bar.rank > last.rank {
                    (last.rank, last.class, last.title) = (bar.rank, bar.class, bar.title);
                }
            }
            _ => folded.push(bar),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(from: f64, to: f64, rank: u8) -> Bar {
        Bar { from, to, rank, class: "pass", title: format!("{from}"), count: 1 }
    }

    #[test]
    fn what_cannot_be_told_apart_is_one_bar_that_says_how_many_and_what_was_worst() {
        let bars = (0..1_000).map(|at| bar(f64::from(at), f64::from(at) + 0.5, u8::from(at == 7))).collect();
        let lane = Lane::new(bars, 1_000.0, 100);
        let all: Vec<&Bar> = lane.tracks.iter().flatten().collect();
        assert!(all.len() <= 101, "{}", all.len());
        assert_eq!(all.iter().map(|bar| bar.count).sum::<u64>(), 1_000);
        assert_eq!(all[0].title, "7");
    }

    #[test]
    fn what_overlaps_lies_in_tracks_of_its_own() {
        let lane = Lane::new(vec![bar(0.0, 500.0, 0), bar(100.0, 300.0, 0), bar(300.0, 900.0, 0)], 1_000.0, 100);
        assert_eq!(lane.tracks.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
    }
}
