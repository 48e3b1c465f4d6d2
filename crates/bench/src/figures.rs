//! Samples, what is told of them, and tables.

use std::time::Duration;

/// Times of one thing, in the order in which they were taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    micros: Vec<f64>,
}

impl Samples {
    /// Adds one.
    pub(crate) fn push(&mut self, time: Duration) {
        self.push_micros(time.as_secs_f64() * 1e6);
    }

    /// Adds one, in microseconds.
    pub(crate) fn push_micros(&mut self, micros: f64) {
        self.micros.push(micros);
    }

    /// Adds all of another.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.micros.extend_from_slice(&other.micros);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.micros.len()
    }

    /// The middle one, in microseconds; not a number if there is none.
    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// The least, in microseconds.
    pub(crate) fn min(&self) -> f64 {
        self.at(0.0)
    }

    /// The 95th percentile, in microseconds.
    pub(crate) fn p95(&self) -> f64 {
        self.at(0.95)
    }

    /// The 99th percentile, in microseconds.
    pub(crate) fn p99(&self) -> f64 {
        self.at(0.99)
    }

    /// The first or last fifth of the samples.
    pub(crate) fn fifth(&self, last: bool) -> Self {
        let size = self.micros.len().div_ceil(5);
        let from = if last { self.micros.len() - size } else { 0 };
        Self { micros: self.micros.iter().skip(from).take(size).copied().collect() }
    }

    fn at(&self, part: f64) -> f64 {
        let mut sorted = self.micros.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index into the samples"
        )]
        let index = (sorted.len() as f64 * part) as usize;
        sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(micros: I) -> Self {
        Self { micros: micros.into_iter().collect() }
    }
}

/// Prints the head of a table of [`row`]s. Ratios are of medians to that of the row called `floor`.
pub(crate) fn head(title: &str, floor: &str) {
    say("");
    say(&format!("{title:<52} {:>6} {:>10} {:>10} {:>10} {:>9}", "n", "median", "min", "p95", "ratio"));
    say(&format!("{:<52} {:>6} {:>10} {:>10} {:>10} {:>9}", "", "", "µs", "µs", "µs", format!("to {floor}")));
}

/// Prints one row: a thing's times beside those of the floor.
pub(crate) fn row(name: &str, samples: &Samples, floor: &Samples) {
    say(&format!(
        "{name:<52} {:>6} {:>10.1} {:>10.1} {:>10.1} {:>9.2}",
        samples.len(),
        samples.median(),
        samples.min(),
        samples.p95(),
        samples.median() / floor.median(),
    ));
}

/// The same with the 99th percentile in place of the 95th, and said so: where the slowest are what people notice.
pub(crate) fn row_p99(name: &str, samples: &Samples, floor: &Samples) {
    say(&format!(
        "{name:<52} {:>6} {:>10.1} {:>10.1} {:>10} {:>9.2}",
        samples.len(),
        samples.median(),
        samples.min(),
        format!("p99 {:.0}", samples.p99()),
        samples.median() / floor.median(),
    ));
}

/// Prints a line.
#[expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_of_the_sorted_samples_and_fifths_of_the_order() {
        let samples: Samples = (1..=10).rev().map(f64::from).collect();
        assert_eq!((samples.min(), samples.median(), samples.p95()), (1.0, 6.0, 10.0));
        assert_eq!(samples.fifth(false).micros, [10.0, 9.0]);
        assert_eq!(samples.fifth(true).micros, [2.0, 1.0]);
        assert!(Samples::default().median().is_nan());
        assert_eq!(Samples::default().fifth(true).len(), 0);
    }
}
