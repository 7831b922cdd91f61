//! The table that is printed.

use std::fmt;

use crate::measure::Spread;

/// Rows in the order of the sections.
#[derive(Debug, Default)]
pub struct Table(Vec<Row>);

/// One figure.
#[derive(Debug)]
struct Row {
    what: String,
    figure: String,
    spread: String,
    ratio: String,
    must: String,
    aim: String,
    verdict: &'static str,
}

/// What a figure should be.
#[derive(Debug)]
pub struct Goal {
    must: String,
    aim: String,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Reached,
    AimMissed,
    Missed,
}

impl Goal {
    /// A goal whose words and outcome the section knows.
    fn new((must, met): (String, bool), (aim, reached): (String, bool)) -> Self {
        let verdict = match (met, reached) {
            (_, true) => Verdict::Reached,
            (true, false) => Verdict::AimMissed,
            (false, false) => Verdict::Missed,
        };
        Self { must, aim, verdict }
    }

    /// A ratio that should be high.
    pub fn at_least(ratio: f64, must: f64, aim: f64) -> Self {
        Self::new((format!("{must}x"), ratio >= must), (format!("{aim}x"), ratio >= aim))
    }

    /// A figure that should be high.
    pub fn figure_at_least(figure: f64, must: f64, aim: f64) -> Self {
        Self::new((format!("{must}"), figure >= must), (format!("{aim}"), figure >= aim))
    }

    /// A ratio that should be low.
    pub fn ratio_at_most(ratio: f64, must: f64, aim: f64) -> Self {
        Self::new((format!("{must}x"), ratio <= must), (format!("{aim}x"), ratio <= aim))
    }

    /// A figure that should be low.
    pub fn at_most(figure: f64, must: f64, aim: f64) -> Self {
        Self::new((format!("{must}"), figure <= must), (format!("{aim}"), figure <= aim))
    }

    /// A figure that should be the one that was asked for, give or take so much.
    #[allow(dead_code, reason = "of the bench of traffic")]
    pub fn near(figure: f64, asked: f64, within: f64) -> Self {
        let met = (figure - asked).abs() <= within;
        Self::new((format!("±{within}"), met), (format!("±{within}"), met))
    }

    /// A slow-down that should be low, or the figure itself should be.
    pub fn slowdown(ratio: f64, (figure, enough): (f64, f64), must: f64, aim: f64) -> Self {
        let met = ratio <= must || figure <= enough;
        Self::new((format!("{must}x or {enough}"), met), (format!("{aim}x"), ratio <= aim))
    }
}

impl Table {
    /// A figure for itself.
    pub fn plain(&mut self, what: impl Into<String>, spread: Spread) {
        self.0.push(Row::new(what.into(), spread));
    }

    /// A figure that has a goal.
    pub fn judged(&mut self, what: impl Into<String>, spread: Spread, goal: Goal) {
        self.0.push(Row::new(what.into(), spread).with(goal));
    }

    /// A figure beside its rival's.
    pub fn compared(&mut self, what: impl Into<String>, spread: Spread, (ratio, rival): (Spread, &str)) {
        let row = Row::new(what.into(), spread);
        self.0.push(Row { ratio: format!("{:.2}x {rival}", ratio.median), ..row });
    }

    /// Gives the last row a goal.
    pub fn goal(&mut self, goal: Goal) {
        if let Some(row) = self.0.pop() {
            self.0.push(row.with(goal));
        }
    }

    pub fn misses(&self) -> bool {
        self.0.iter().any(|row| row.verdict == MISSED)
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl Row {
    fn new(what: String, spread: Spread) -> Self {
        Self {
            what,
            figure: digits(spread.median),
            spread: format!("{}..{}", digits(spread.min), digits(spread.max)),
            ratio: String::new(),
            must: String::new(),
            aim: String::new(),
            verdict: "",
        }
    }

    fn with(self, goal: Goal) -> Self {
        let verdict = match goal.verdict {
            Verdict::Reached => "ok",
            Verdict::AimMissed => "aim missed",
            Verdict::Missed => MISSED,
        };
        Self { must: goal.must, aim: goal.aim, verdict, ..self }
    }

    fn cells(&self) -> [&str; 7] {
        [&self.what, &self.figure, &self.spread, &self.ratio, &self.must, &self.aim, self.verdict]
    }
}

/// Three digits or so; more would be noise.
fn digits(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

/// What a row says whose figure blocks.
const MISSED: &str = "missed";

const HEAD: [&str; 7] = ["what", "median", "min..max", "ratio", "must", "aim", ""];

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<[&str; 7]> = std::iter::once(HEAD).chain(self.0.iter().map(Row::cells)).collect();
        let width = |column: usize| all.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        for (number, cells) in all.iter().enumerate() {
            for (cell, width) in cells.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                widths.iter().try_for_each(|width| write!(f, "| {} ", "-".repeat((*width).max(3))))?;
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}
