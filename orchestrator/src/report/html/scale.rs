//! Where on the page a moment or a size is, and which of them get a label.

/// The whole run as the width of a drawing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    whole_ms: f64,
}

impl Scale {
    /// Of a run that took so long.
    pub(super) fn new(whole_ms: f64) -> Self {
        Self { whole_ms: whole_ms.max(1.0) }
    }

    /// Per cent from the left, within the drawing.
    pub(super) fn at(self, moment_ms: f64) -> f64 {
        (moment_ms / self.whole_ms * 100.0).clamp(0.0, 100.0)
    }

    /// From, and how wide, in per cent.
    pub(super) fn span(self, from_ms: f64, to_ms: f64) -> (f64, f64) {
        let (from, to) = (self.at(from_ms), self.at(to_ms));
        (from, (to - from).max(0.0))
    }

    /// Moments with a label, at even distances.
    pub(super) fn ticks(self) -> Vec<f64> {
        let step = even_step(self.whole_ms / 5.0);
        let ticks = (0..20).map(|number| f64::from(number) * step);
        ticks.take_while(|tick| *tick <= self.whole_ms).collect()
    }
}

/// The smallest even number of milliseconds, seconds or minutes that is not below this.
fn even_step(least_ms: f64) -> f64 {
    const EVEN: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];
    if least_ms <= 500.0 {
        let power = 10_f64.powf(least_ms.max(0.001).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|even| even * power).find(|step| *step >= least_ms);
        return step.unwrap_or(1_000.0).max(1.0);
    }
    let seconds = EVEN.into_iter().find(|even| even * 1_000.0 >= least_ms);
    seconds.map_or_else(|| (least_ms / 3_600_000.0).ceil() * 3_600_000.0, |seconds| seconds * 1_000.0)
}

/// Sizes between two others, at even ratios.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ratios {
    least: f64,
    most: f64,
}

impl Ratios {
    /// Whole powers of ten around these; both are above zero.
    pub(super) fn around(least: f64, most: f64) -> Self {
        let least = 10_f64.powf(least.max(0.001).log10().floor());
        let most = 10_f64.powf(most.max(least * 1.001).log10().ceil());
        Self { least, most: most.max(least * 10.0) }
    }

    /// Per cent from the top.
    pub(super) fn at(self, size: f64) -> f64 {
        let part = (size.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        ((1.0 - part) * 100.0).clamp(0.0, 100.0)
    }

    pub(super) fn ticks(self) -> Vec<f64> {
        let ticks = std::iter::successors(Some(self.least), |tick| Some(tick * 10.0));
        ticks.take_while(|tick| *tick <= self.most * 1.001).take(12).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_even_whatever_the_run_took() {
        for whole in [0.0, 3.0, 77.0, 950.0, 5_788.0, 61_000.0, 1_000_000.0, 9e7] {
            let ticks = Scale::new(whole).ticks();
            assert!((1..=7).contains(&ticks.len()), "{whole}: {ticks:?}");
        }
        assert_eq!(Scale::new(5_788.0).ticks(), [0.0, 2_000.0, 4_000.0]);
        assert_eq!(Ratios::around(0.3, 840.0).ticks().len(), 5);
    }
}
