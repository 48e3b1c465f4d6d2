//! The times at which something is due: a cron pattern in a time zone.
//!
//! Where the clocks go forward, a pattern that names a time which does not exist that day is due right after; one that is due every so often
//! leaves it out. Where they go back, a time that comes twice is due the first time; what is due every so often is due both times. That is
//! what Vixie cron does (crontab(5)), and `croner` with it.

use std::fmt;

use cofferdam_domain::Timestamp;
use croner::Cron;
use jiff::{Zoned, tz::TimeZone};

/// The longest pattern.
const LONGEST: usize = 200;

/// When something is due.
#[derive(Clone)]
pub struct Calendar {
    pattern: String,
    cron: Cron,
    zone: TimeZone,
}

/// Text that says no times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCalendar {
    /// The pattern is none.
    #[error(
        "`cron` is minute, hour, day of the month, month and day of the week (seconds may stand before them), such as \"30 6 * * MON-FRI\": {0}"
    )]
    Pattern(String),
    /// The pattern has no time.
    #[error("`cron` is never due: there is no such day")]
    Never,
    /// The zone is unknown here.
    #[error(
        "`time_zone` is a name such as \"Europe/Berlin\" that this machine's time zone database has (Debian: tzdata): {0:?} is none"
    )]
    Zone(String),
}

impl Calendar {
    /// Reads a pattern and the name of a time zone (IANA).
    ///
    /// # Errors
    /// When either says nothing, or the pattern is never due after `now`.
    pub fn new(pattern: &str, zone: &str, now: Timestamp) -> Result<Self, InvalidCalendar> {
        if pattern.len() > LONGEST {
            return Err(InvalidCalendar::Pattern(format!("it has more than {LONGEST} characters")));
        }
        let cron: Cron = pattern
            .parse()
            .map_err(|error: croner::errors::CronError| InvalidCalendar::Pattern(error.to_string()))?;
        let zone = match zone {
            // Known without a database.
            "UTC" => TimeZone::UTC,
            zone => TimeZone::get(zone).map_err(|_| InvalidCalendar::Zone(zone.to_owned()))?,
        };
        let calendar = Self { pattern: pattern.to_owned(), cron, zone };
        if calendar.next(now).is_none() {
            return Err(InvalidCalendar::Never);
        }
        Ok(calendar)
    }

    /// The first time after this one.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.cron.find_next_occurrence(&self.zoned(after)?, false).ok().as_ref().and_then(timestamp)
    }

    /// The last time up to this one.
    #[must_use]
    pub fn latest(&self, until: Timestamp) -> Option<Timestamp> {
        self.cron.find_previous_occurrence(&self.zoned(until)?, true).ok().as_ref().and_then(timestamp)
    }

    /// A time as a clock in the zone shows it, for people.
    #[must_use]
    pub fn shown(&self, at: Timestamp) -> String {
        self.zoned(at).map(|at| at.strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string()).unwrap_or_default()
    }

    fn zoned(&self, at: Timestamp) -> Option<Zoned> {
        let at = jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
        Some(at.to_zoned(self.zone.clone()))
    }
}

fn timestamp(at: &Zoned) -> Option<Timestamp> {
    u64::try_from(at.timestamp().as_millisecond()).ok().map(Timestamp)
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pattern, self.zone.iana_name().unwrap_or("UTC"))
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A time as text.
#[cfg(test)]
pub(super) fn at(text: &str) -> Timestamp {
    Timestamp(u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_millisecond()).unwrap())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calendar(pattern: &str, zone: &str) -> Calendar {
        Calendar::new(pattern, zone, at("2026-01-01T00:00:00Z")).unwrap()
    }

    /// The times after `from`, as they are in UTC.
    fn times(pattern: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let calendar = calendar(pattern, zone);
        let mut last = at(from);
        let mut next = || {
            last = calendar.next(last).unwrap();
            assert_eq!(calendar.latest(last), Some(last), "{pattern}");
            assert_eq!(calendar.latest(Timestamp(last.0 + 400)), Some(last), "{pattern}");
            last.utc()
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn the_time_is_that_of_the_zone() {
        let pattern = "30 6 * * MON-FRI";
        assert_eq!(times(pattern, "UTC", "2026-11-20T06:30:00Z", 1), ["2026-11-23T06:30:00Z"]);
        assert_eq!(
            times(pattern, "Europe/Berlin", "2026-10-22T12:00:00Z", 2),
            ["2026-10-23T04:30:00Z", "2026-10-26T05:30:00Z"]
        );
        assert_eq!(
            times("*/20 * * * * *", "UTC", "2026-01-01T00:00:01Z", 3),
            ["2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z", "2026-01-01T00:01:00Z"]
        );
        let shown = calendar(pattern, "Europe/Berlin").shown(at("2026-11-23T05:30:00Z"));
        assert_eq!(shown, "Mon 2026-11-23 06:30:00 CET");
    }

    #[test]
    fn a_time_that_does_not_exist_is_right_after() {
        // In Berlin 02:00 is followed by 03:00 on 2026-03-29 (01:00 UTC).
        let from = "2026-03-28T12:00:00Z";
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", from, 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            times("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 2),
            ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"],
            "what is due every hour leaves out the hour that is not there"
        );
    }

    #[test]
    fn a_time_that_comes_twice_is_the_first() {
        // In Berlin 03:00 is followed by 02:00 on 2026-10-25 (01:00 UTC).
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        assert_eq!(
            times("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3),
            ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"],
            "what is due every hour is due in both"
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let now = at("2026-01-01T00:00:00Z");
        let refused = |pattern: &str, zone: &str| Calendar::new(pattern, zone, now).unwrap_err();
        for pattern in ["", "* * *", "60 * * * *", "* * * * MOO", "a b c d e", &"*".repeat(999)] {
            assert!(matches!(refused(pattern, "UTC"), InvalidCalendar::Pattern(_)), "{pattern}");
        }
        assert_eq!(refused("0 0 30 2 *", "UTC"), InvalidCalendar::Never);
        for zone in ["Middle/Earth", "", "../../etc/passwd"] {
            assert!(matches!(refused("0 0 * * *", zone), InvalidCalendar::Zone(_)), "{zone}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_due_between_one_time_and_the_next(
            minute in 0..60u64, step in 1..24u64, from in 1_700_000_000_000..1_900_000_000_000u64,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
        ) {
            let calendar = calendar(&format!("{minute} */{step} * * *"), zone);
            let from = Timestamp(from);
            let next = calendar.next(from).unwrap();
            prop_assert!(next > from);
            prop_assert_eq!(calendar.latest(next), Some(next));
            let before = calendar.latest(Timestamp(next.0 - 1)).unwrap();
            prop_assert!(before <= from, "{} {} {}", before.utc(), from.utc(), next.utc());
        }
    }
}
