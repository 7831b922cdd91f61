//! Whether a series of samples grows: a least-squares line and what is known of its slope.

/// A slope and the half-width of its 95 % confidence interval, both per unit of the first coordinate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    pub value: f64,
    pub error: f64,
}

impl Slope {
    /// The line through the points; `None` with fewer than four, or all at one place.
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        let n = points.len() as f64;
        if points.len() < 4 {
            return None;
        }
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
        if spread == 0.0 {
            return None;
        }
        let value = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum::<f64>() / spread;
        let rest: Vec<f64> = points.iter().map(|(x, y)| y - y_mean - value * (x - x_mean)).collect();
        let squares: f64 = rest.iter().map(|r| r * r).sum();
        // Neighbours resemble each other: memory is asked for in steps. So many samples say what this many independent ones
        // would (first-order autocorrelation), and three at least, or nothing could be said.
        let alike =
            if squares > 0.0 { rest.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / squares } else { 0.0 };
        let effective = (n * (1.0 - alike.max(0.0)) / (1.0 + alike.max(0.0))).max(3.0);
        let deviation = (squares / (effective - 2.0) * (effective / n) / spread * (n / effective)).sqrt();
        Some(Self { value, error: students_t(effective - 2.0) * deviation })
    }

    /// It certainly grows by more than `tolerated`.
    pub fn grows_by_more_than(self, tolerated: f64) -> bool {
        self.value - self.error > tolerated
    }
}

/// The two-sided 95 % quantile of Student's t, a little too wide everywhere.
fn students_t(freedom: f64) -> f64 {
    1.96 + 2.6 / freedom + 8.2 / freedom.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(slope: f64, noise: impl Fn(usize) -> f64) -> Slope {
        let points: Vec<_> = (0..60).map(|i| (i as f64, 100.0 + slope * i as f64 + noise(i))).collect();
        Slope::of(&points).expect("enough points")
    }

    #[test]
    fn a_slope_is_found_through_noise_and_noise_is_no_slope() {
        let jitter = |i: usize| ((i * 7919) % 13) as f64 - 6.0;
        let (flat, rising) = (line(0.0, jitter), line(1.0, jitter));
        assert!(!flat.grows_by_more_than(0.0) && flat.value.abs() < flat.error, "{flat:?}");
        assert!(rising.grows_by_more_than(0.5) && (rising.value - 1.0).abs() < rising.error, "{rising:?}");
    }

    #[test]
    fn a_constant_has_no_slope_and_a_step_by_step_growth_has_one() {
        assert_eq!(line(0.0, |_| 0.0), Slope { value: 0.0, error: 0.0 });
        assert!(line(0.0, |i| (i / 2) as f64).grows_by_more_than(0.0));
    }

    #[test]
    fn one_step_is_not_taken_for_growth() {
        let step = line(0.0, |i| if i < 30 { 0.0 } else { 1.0 });
        assert!(!step.grows_by_more_than(0.0), "{step:?}");
    }

    #[test]
    fn too_few_points_say_nothing() {
        assert_eq!(Slope::of(&[(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]), None);
        assert_eq!(Slope::of(&[(1.0, 1.0); 5]), None);
    }
}
