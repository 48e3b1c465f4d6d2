//! How long something took, in few numbers.

use std::time::Duration;

/// Upper bounds in milliseconds: from a write to disk to a long model call.
pub(crate) const BOUNDS: [u64; 14] =
    [1, 2, 5, 10, 20, 50, 100, 250, 500, 1_000, 2_500, 10_000, 60_000, 600_000];

/// Counts of durations up to each bound, as Prometheus has them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Histogram {
    /// So many took at most as long as the bound in the same place.
    pub(crate) counts: [u64; BOUNDS.len()],
    pub(crate) count: u64,
    pub(crate) sum: Duration,
}

impl Histogram {
    pub(crate) fn add(&mut self, took: Duration) {
        for (bound, count) in BOUNDS.iter().zip(&mut self.counts) {
            *count += u64::from(took <= Duration::from_millis(*bound));
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(took);
    }
}
