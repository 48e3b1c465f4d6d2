//! What model calls use and what they cost.

use std::{fmt, iter::Sum, ops::AddAssign};

use serde::{Deserialize, Serialize};

/// Tokens of one or several model calls, as the provider counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Prompt tokens that were neither read from nor written to the provider's cache.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cache_read: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: u64,
    /// Answer tokens, reasoning included.
    pub output: u64,
    /// The part of `output` that was reasoning, where the provider says so.
    pub reasoning: u64,
}

impl Usage {
    /// All prompt tokens, however they were billed: the size of the context that was sent.
    #[must_use]
    pub const fn prompt(&self) -> u64 {
        self.input + self.cache_read + self.cache_write
    }

    /// Prompt and answer together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.prompt() + self.output
    }

    /// What has been used since it was `earlier`.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            input: self.input.saturating_sub(earlier.input),
            cache_read: self.cache_read.saturating_sub(earlier.cache_read),
            cache_write: self.cache_write.saturating_sub(earlier.cache_write),
            output: self.output.saturating_sub(earlier.output),
            reasoning: self.reasoning.saturating_sub(earlier.reasoning),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.cache_read += other.cache_read;
        self.cache_write += other.cache_write;
        self.output += other.output;
        self.reasoning += other.reasoning;
    }
}

/// Money in millionths of a US dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cost(pub u64);

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), |mut sum, cost| {
            sum += cost;
            sum
        })
    }
}

impl fmt::Display for Cost {
    /// Dollars with four decimals, as in `$0.0123`: sessions often cost less than a cent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:04}", self.0 / 1_000_000, self.0 % 1_000_000 / 100)
    }
}

/// What a model charges, in millionths of a US dollar for a million tokens (so: dollars for a million tokens
/// times 10⁶).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// For prompt tokens outside the cache.
    pub input: u64,
    /// For prompt tokens read from the cache.
    pub cache_read: u64,
    /// For prompt tokens written to the cache.
    pub cache_write: u64,
    /// For answer tokens.
    pub output: u64,
}

impl Prices {
    /// What `usage` costs, rounded up: a budget must never be passed by rounding.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Cost {
        let sum = [
            (self.input, usage.input),
            (self.cache_read, usage.cache_read),
            (self.cache_write, usage.cache_write),
            (self.output, usage.output),
        ]
        .iter()
        .map(|(price, tokens)| u128::from(*price) * u128::from(*tokens))
        .sum::<u128>();
        Cost(u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_dollars_a_million() {
        let prices = Prices { input: 3_000_000, output: 15_000_000, ..Prices::default() };
        let cost = prices.cost(&Usage { input: 1_000, output: 100, ..Usage::default() });
        assert_eq!(cost, Cost(4_500));
        assert_eq!(cost.to_string(), "$0.0045");
        assert_eq!(prices.cost(&Usage { input: 1, ..Usage::default() }), Cost(3));
    }
}
