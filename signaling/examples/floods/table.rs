//! What was measured, as a table.

use std::fmt::Write as _;

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtLeast { must: f64, aim: f64 },
    AtMost { must: f64, aim: f64 },
}

impl Bound {
    fn must(self) -> f64 {
        match self {
            Self::AtLeast { must, .. } | Self::AtMost { must, .. } => must,
        }
    }

    fn aim(self) -> f64 {
        match self {
            Self::AtLeast { aim, .. } | Self::AtMost { aim, .. } => aim,
        }
    }

    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::AtLeast { .. } => value >= limit,
            Self::AtMost { .. } => value <= limit,
        }
    }

    fn verdict(self, value: f64) -> &'static str {
        if self.holds(value, self.aim()) {
            "ok"
        } else if self.holds(value, self.must()) {
            "aim missed"
        } else {
            "missed"
        }
    }
}

/// The median of some rounds, with the least and the most.
#[derive(Debug)]
pub struct Row {
    what: String,
    sorted: Vec<f64>,
    bound: Option<Bound>,
}

impl Row {
    pub fn of(what: impl Into<String>, value: f64) -> Self {
        Self::of_rounds(what, vec![value])
    }

    pub fn of_rounds(what: impl Into<String>, mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self { what: what.into(), sorted: rounds, bound: None }
    }

    pub fn bound(self, bound: Bound) -> Self {
        Self { bound: Some(bound), ..self }
    }

    fn median(&self) -> f64 {
        self.sorted[self.sorted.len() / 2]
    }

    fn verdict(&self) -> &'static str {
        self.bound.map_or("", |bound| bound.verdict(self.median()))
    }

    fn cells(&self) -> [String; 6] {
        let (least, most) = (self.sorted[0], self.sorted[self.sorted.len() - 1]);
        let spread = if self.sorted.len() > 1 { format!("{least:.0}..{most:.0}") } else { String::new() };
        let limit = |of: fn(Bound) -> f64| self.bound.map_or(String::new(), |bound| format!("{:.0}", of(bound)));
        let median = format!("{:.0}", self.median());
        [self.what.clone(), median, spread, limit(Bound::must), limit(Bound::aim), self.verdict().to_owned()]
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Table(Vec<Row>);

impl Table {
    pub fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    /// Whether a must is.
    pub fn missed(&self) -> bool {
        self.0.iter().any(|row| row.verdict() == "missed")
    }

    pub fn markdown(&self) -> String {
        let head = ["what", "median", "min..max", "must", "aim", ""].map(str::to_owned);
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(self.0.iter().map(Row::cells)).collect();
        let wide = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(wide);
        let mut text = String::new();
        for (at, row) in rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(widths) {
                let _ = write!(text, "| {cell:<width$} ");
            }
            text.push_str("|\n");
            if at == 0 {
                widths.iter().for_each(|width| text.push_str(&format!("| {} ", "-".repeat(*width))));
                text.push_str("|\n");
            }
        }
        text
    }
}
