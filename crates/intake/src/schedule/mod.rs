//! Sessions that begin at set times.
//!
//! Every server sleeps until a schedule's next time ([`Timekeeper`]) and then has an arrival kept under the name of the schedule and that time:
//! whichever server is first, there is one. What becomes of it is decided when it is dealt with (`due`), under an id of the session that
//! follows from name and time, so that a second try begins nothing new. Nothing else is stored: the times follow from the configuration,
//! what has been from what arrived, and which session was the last from what the schedule's name is bound to.

mod calendar;
mod clock;
mod due;
mod settings;
mod timekeeper;

use cofferdam_domain::{Digest, Timestamp};

pub use self::{
    calendar::{Calendar, InvalidCalendar},
    clock::{Clock, SystemClock},
    due::ScheduleWay,
    settings::{InvalidSchedule, Missed, Overlap, ScheduleSettings},
    timekeeper::Timekeeper,
};
use crate::{job::Job, playbook::ByPlaybook};

/// How late a run may be and still count as on time: a server needs a moment to start or to find its database.
const ON_TIME: u64 = 60 * 1000;

/// A schedule whose settings make sense.
#[derive(Debug, Clone)]
pub struct Schedule {
    name: String,
    source: String,
    calendar: Calendar,
    prompt: String,
    /// What says it instead.
    playbook: Option<ByPlaybook>,
    job: Job,
    missed: Missed,
    overlap: Overlap,
}

impl Schedule {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it is due.
    #[must_use]
    pub const fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// What becomes of a run for which it is due while the one before is not over.
    #[must_use]
    pub const fn overlap(&self) -> Overlap {
        self.overlap
    }

    /// The playbook that says what to do, if one does.
    #[must_use]
    pub fn playbook(&self) -> Option<&str> {
        self.playbook.as_ref().map(ByPlaybook::name)
    }

    /// What becomes of runs that were missed.
    #[must_use]
    pub const fn missed(&self) -> Missed {
        self.missed
    }

    /// The time for which it is to run at `now`, when all up to `after` was seen to. Of several that were missed it is the latest.
    fn owed(&self, after: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let due = self.calendar.latest(now).filter(|due| *due > after)?;
        match self.missed {
            Missed::Once => Some(due),
            Missed::Skip => (now.millis_since(due) <= ON_TIME).then_some(due),
        }
    }

    /// What its arrivals are called that say since when it is kept: another one when its times change.
    fn since_id(&self) -> String {
        format!("since-{}", Digest::of(self.calendar.to_string().as_bytes()).short())
    }
}

/// What a run is called: the time for which it is due.
fn due_id(due: Timestamp) -> String {
    due.utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        calendar::at(text)
    }

    #[test]
    fn of_runs_that_were_missed_the_latest_is_made_up_for_or_none() {
        let kept = |missed: &str| {
            settings::tests::schedule(&format!("cron = \"0 * * * *\"\nmissed = \"{missed}\"\n")).unwrap()
        };
        let (after, due) = (at("2026-11-22T06:30:00Z"), at("2026-11-22T09:00:00Z"));
        for (now, skip, once) in [
            ("2026-11-22T06:59:59Z", None, None),
            ("2026-11-22T07:00:00Z", Some(at("2026-11-22T07:00:00Z")), Some(at("2026-11-22T07:00:00Z"))),
            ("2026-11-22T09:00:00Z", Some(due), Some(due)),
            ("2026-11-22T09:01:00Z", Some(due), Some(due)),
            ("2026-11-22T09:02:00Z", None, Some(due)),
        ] {
            assert_eq!(kept("skip").owed(after, at(now)), skip, "{now}");
            assert_eq!(kept("once").owed(after, at(now)), once, "{now}");
        }
        assert_eq!(kept("once").owed(due, at("2026-11-22T09:59:59Z")), None, "it was seen to");
        assert_eq!(kept("once").owed(due, at("2026-11-21T09:00:00Z")), None, "the clock was set back");
    }

    #[test]
    fn what_says_since_when_it_is_kept_changes_with_its_times() {
        let id = |text: &str| settings::tests::schedule(text).unwrap().since_id();
        let one = id("cron = \"0 6 * * *\"\n");
        assert_eq!(one, id("cron = \"0 6 * * *\"\nmissed = \"once\"\n"));
        assert_ne!(one, id("cron = \"0 7 * * *\"\n"));
        assert_ne!(one, id("cron = \"0 6 * * *\"\ntime_zone = \"Europe/Berlin\"\n"));
    }
}
