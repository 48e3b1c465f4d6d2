//! How long everything may take, and how long it is waited between two tries.

use std::time::Duration;

use cofferdam_domain::LetterId;

/// How long things may take. Others than the usual are for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// One try by a webhook, from the first to the last byte.
    pub request: Duration,
    /// How long a letter is taken for, again and again while it is told: whoever dies with one keeps it so long from others.
    pub lease: Duration,
    /// The wait after the first failure. Each further one is twice to five times as long.
    pub first: Duration,
    /// How long after its event a letter is given up.
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(15),
            lease: Duration::from_secs(15),
            first: Duration::from_secs(5),
            give_up: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// The waits, in units of the first: with five seconds 5 s, 30 s, 2 min, 5 min, 15 min, 30 min, 1 h, then every 2 hours.
const STEPS: [u32; 8] = [1, 6, 24, 60, 180, 360, 720, 1440];

impl Patience {
    /// How long to wait after so many tries, with up to a fifth more, so that what failed together does not come back together.
    #[must_use]
    pub fn wait(&self, id: LetterId, tries: u32) -> Duration {
        let step = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX).min(STEPS.len() - 1);
        let wait = self.first.saturating_mul(STEPS.get(step).copied().unwrap_or(1));
        let odd = u32::try_from((id.as_u128() ^ u128::from(tries)) % 200).unwrap_or_default();
        wait.saturating_add(wait.saturating_mul(odd) / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let patience = Patience::default();
        let id = LetterId::generate();
        let waits: Vec<Duration> = (1..20).map(|tries| patience.wait(id, tries)).collect();
        assert!(waits[0] >= patience.first && waits[0] < patience.first * 6 / 5);
        assert!(waits[..8].windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
        assert!(waits[19 - 1] <= Duration::from_secs(2 * 60 * 60 * 6 / 5));
        // Within a day it is tried some twenty times, not thousands.
        let mut total = Duration::ZERO;
        let tries = (1..).take_while(|tries| {
            total += patience.wait(id, *tries);
            total < patience.give_up
        });
        assert!((10..30).contains(&tries.count()));
    }
}
