//! What a run came to.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::fault::Fault;

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    /// How long it took.
    pub took: Duration,
    /// From the first task to the last check, so often.
    pub waves: u32,
    /// Tasks that were accepted, each of which became a session with a pull request.
    pub sessions: usize,
    /// Events in their logs.
    pub events: usize,
    /// Requests that had to be sent again.
    pub again: u64,
    /// What was done, how often.
    pub(crate) faults: BTreeMap<Fault, u32>,
    /// How often a session was taken up again.
    pub taken_over: usize,
    /// Tool calls of which nobody knows how they ended.
    pub lost_calls: usize,
}

impl Report {
    /// How many faults there were.
    #[must_use]
    pub fn faults(&self) -> u32 {
        self.faults.values().sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} s, {} waves, {} sessions with {} events, {} requests sent again, {} sessions taken up again, {} calls cut short, {} faults:",
            self.took.as_secs(),
            self.waves,
            self.sessions,
            self.events,
            self.again,
            self.taken_over,
            self.lost_calls,
            self.faults()
        )?;
        for (fault, times) in &self.faults {
            writeln!(f, "  {times:5} × {fault}")?;
        }
        Ok(())
    }
}
