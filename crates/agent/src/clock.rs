//! How long the agent has worked, by the times that events carry.
//!
//! The clock runs from a claim to the end of the work. It stands while nobody holds the session, so that a
//! session that is resumed a day after a crash has not lost its budget overnight, and while the work is being
//! delivered.

use cofferdam_domain::Timestamp;

/// Working time.
#[derive(Debug, Clone)]
pub(crate) struct WorkClock {
    /// The latest time seen. Never goes back.
    now: Timestamp,
    /// The latest time seen before that.
    last: Timestamp,
    /// When the clock was started, while it runs.
    since: Option<Timestamp>,
    /// Milliseconds from earlier runs.
    before: u64,
}

impl WorkClock {
    pub(crate) const fn new() -> Self {
        Self { now: Timestamp(0), last: Timestamp(0), since: None, before: 0 }
    }

    /// It is `at` now.
    pub(crate) fn tick(&mut self, at: Timestamp) {
        self.last = self.now;
        self.now = self.now.max(at);
    }

    /// The latest time seen.
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn start(&mut self) {
        if self.since.is_none() {
            self.since = Some(self.now);
        }
    }

    /// Starts anew at a claim: nobody worked between the last event and now.
    pub(crate) fn restart(&mut self) {
        let ran = self.since.map_or(0, |since| self.last.millis_since(since));
        self.before = self.before.saturating_add(ran);
        self.since = Some(self.now);
    }

    pub(crate) fn stop(&mut self) {
        self.before = self.worked();
        self.since = None;
    }

    /// Milliseconds worked so far.
    pub(crate) fn worked(&self) -> u64 {
        self.before.saturating_add(self.since.map_or(0, |since| self.now.millis_since(since)))
    }

    /// When `limit` milliseconds will have been worked, if the clock runs.
    pub(crate) fn deadline(&self, limit: u64) -> Option<Timestamp> {
        let since = self.since?;
        Some(Timestamp(since.0.saturating_add(limit.saturating_sub(self.before))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_a_worker_does_not_count() {
        let mut clock = WorkClock::new();
        clock.tick(Timestamp(1_000));
        clock.start();
        clock.tick(Timestamp(1_400));
        assert_eq!((clock.worked(), clock.deadline(1_000)), (400, Some(Timestamp(2_000))));
        clock.tick(Timestamp(90_000));
        clock.restart();
        clock.tick(Timestamp(90_100));
        assert_eq!((clock.worked(), clock.deadline(1_000)), (500, Some(Timestamp(90_600))));
        clock.stop();
        clock.tick(Timestamp(95_000));
        assert_eq!((clock.worked(), clock.deadline(1_000)), (500, None));
    }

    #[test]
    fn a_clock_that_goes_back_is_not_followed() {
        let mut clock = WorkClock::new();
        clock.tick(Timestamp(500));
        clock.start();
        clock.tick(Timestamp(100));
        assert_eq!(clock.worked(), 0);
    }
}
