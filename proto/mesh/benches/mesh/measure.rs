//! Medians, spreads, ratios.

use std::time::Duration;

/// Rounds of every comparison.
pub const ROUNDS: usize = 5;

/// Longer than any step of the bench takes on a busy machine; what takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A figure over several repeats.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of at least one sample.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self { median: sorted[sorted.len() / 2], min: sorted[0], max: sorted[sorted.len() - 1] }
    }

    /// Of the ratios round by round.
    pub fn of_ratios(ours: &[f64], theirs: &[f64]) -> Self {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(our, their)| our / their).collect();
        Self::of(&ratios)
    }
}

/// The quantile of samples in microseconds; sorts them.
pub fn quantile_us(samples: &mut [Duration], percent: usize) -> f64 {
    samples.sort_unstable();
    samples[(samples.len() - 1) * percent / 100].as_secs_f64() * 1e6
}

/// Waits for something that must come. Counted in steps, so that a process that is stopped meanwhile has waited no longer.
pub async fn soon<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let mut coming = std::pin::pin!(coming);
    for _ in 0..PATIENCE.as_secs() {
        if let Ok(value) = tokio::time::timeout(Duration::from_secs(1), &mut coming).await {
            return value;
        }
    }
    panic!("{what}: nothing for {PATIENCE:?}")
}
