//! The `[[schedule]]` tables of the configuration.

use std::collections::BTreeMap;

use cofferdam_domain::{Digest, Timestamp};
use serde::Deserialize;

use super::{Calendar, InvalidCalendar, Schedule};
use crate::{
    job::{Job, NO_NAME, is_name},
    playbook::Said,
    table::organisation,
};

/// One `[[schedule]]` table: what begins when.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// Names it. What was run under a name counts for it, also after its times were changed.
    pub name: String,
    /// When: a cron pattern.
    pub cron: String,
    /// By which clock: the IANA name of a time zone.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// On which repository: an absolute path or a URL.
    pub repository: String,
    /// The ref to start from; the repository's default branch if none is named.
    pub base: Option<String>,
    /// The repositories that it is about beside that one, each an absolute path or a URL, with `#` and the ref to start from if need be.
    #[serde(default)]
    pub also: Vec<String>,
    /// What to do.
    pub prompt: Option<String>,
    /// Or the playbook of the organisation's that says it.
    pub playbook: Option<String>,
    /// Which version of that; the latest if none is named.
    pub digest: Option<Digest>,
    /// What goes into its places, by the names of its parameters.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// The model, by its name in the configuration.
    pub model: Option<String>,
    /// A policy of the organisation's.
    pub policy: Option<String>,
    /// For which organisation.
    #[serde(default = "organisation")]
    pub organisation: String,
    /// In which project of it; in its first if none is named.
    pub project: Option<String>,
    /// What becomes of runs that were missed.
    #[serde(default)]
    pub missed: Missed,
    /// What becomes of a run for which it is due while the one before is not over.
    #[serde(default)]
    pub overlap: Overlap,
}

/// What becomes of runs that were due while no server was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// The latest of them is made up for.
    Once,
}

/// What becomes of a run for which it is due while the session before has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It waits until the one before has ended, a week at most.
    Queue,
    /// The one before is cancelled.
    Cancel,
}

impl Missed {
    /// As it is written in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
        }
    }
}

impl Overlap {
    /// As it is written in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Cancel => "cancel",
        }
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A `[[schedule]]` table cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// Its name.
    #[error("[[schedule]]: {NO_NAME}, and each table another one: {0:?}")]
    Name(String),
    /// When it is due.
    #[error("[[schedule]] {name:?}: {source}")]
    Calendar {
        /// Its name.
        name: String,
        /// What is wrong.
        source: InvalidCalendar,
    },
    /// Something else of it.
    #[error("[[schedule]] {name:?}: {problem}")]
    Job {
        /// Its name.
        name: String,
        /// What is wrong, in words.
        problem: String,
    },
}

impl ScheduleSettings {
    /// The schedules of all tables.
    ///
    /// # Errors
    /// For the first table that cannot be; says what is wrong with it.
    pub fn schedules(tables: &[Self], now: Timestamp) -> Result<Vec<Schedule>, InvalidSchedule> {
        let mut schedules: Vec<Schedule> = Vec::new();
        for table in tables {
            if !is_name(&table.name) || schedules.iter().any(|known| known.name == table.name) {
                return Err(InvalidSchedule::Name(table.name.clone()));
            }
            schedules.push(table.schedule(now)?);
        }
        Ok(schedules)
    }

    fn schedule(&self, now: Timestamp) -> Result<Schedule, InvalidSchedule> {
        let name = || self.name.clone();
        let at = (&*self.repository, self.base.as_deref(), &*self.also);
        let job = Job::on(at, (self.model.as_deref(), self.policy.as_deref()));
        let wrong = |problem| InvalidSchedule::Job { name: name(), problem };
        let says_nothing = |prompt: &str| prompt.trim().is_empty();
        if self.prompt.as_deref().is_some_and(says_nothing) {
            return Err(wrong("`prompt` says nothing".to_owned()));
        }
        job.check().map_err(wrong)?;
        let Self { prompt, playbook, digest, values, .. } = self;
        let said = Said { prompt: prompt.as_deref(), playbook: playbook.as_deref(), digest: *digest, values };
        let playbook = said.by().map_err(wrong)?;
        let calendar = Calendar::new(&self.cron, &self.time_zone, now)
            .map_err(|source| InvalidSchedule::Calendar { name: name(), source })?;
        Ok(Schedule {
            name: name(),
            source: format!("schedule/{}", self.name),
            calendar,
            prompt: prompt.clone().unwrap_or_default(),
            playbook,
            job,
            missed: self.missed,
            overlap: self.overlap,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        schedule: Vec<ScheduleSettings>,
    }

    /// The schedule of a table with this beside the usual; what is said twice is said by the first.
    pub(in super::super) fn schedule(text: &str) -> Result<Schedule, String> {
        schedules(&table(text)).map(|schedules| schedules[0].clone())
    }

    fn schedules(text: &str) -> Result<Vec<Schedule>, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        ScheduleSettings::schedules(&file.schedule, Timestamp(1_767_225_600_000))
            .map_err(|error| error.to_string())
    }

    fn table(text: &str) -> String {
        let mut table = format!("[[schedule]]\n{text}");
        for (key, value) in
            [("name", "nightly"), ("cron", "0 3 * * *"), ("repository", "/srv/a"), ("prompt", "x")]
        {
            let other = key == "prompt" && text.contains("playbook = ") && !text.contains("both");
            if !other && !text.lines().any(|line| line.starts_with(&format!("{key} "))) {
                table += &format!("{key} = \"{value}\"\n");
            }
        }
        table
    }

    #[test]
    fn what_is_not_said_is_the_usual() {
        let schedule = schedule("").unwrap();
        assert_eq!((schedule.name(), schedule.source.as_str()), ("nightly", "schedule/nightly"));
        assert_eq!((schedule.missed(), schedule.overlap()), (Missed::Skip, Overlap::Skip));
        assert_eq!(schedule.calendar().to_string(), "0 3 * * * UTC");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            ("cron = \"0 3 * *\"\n", "minute, hour, day of the month"),
            ("cron = \"0 0 31 2 *\"\n", "never due"),
            ("time_zone = \"Berlin\"\n", "Europe/Berlin"),
            ("name = \"a b\"\n", "letters"),
            ("repository = \"a\"\n", "repository"),
            ("base = \"a..b\"\n", "`base`"),
            ("prompt = \" \"\n", "`prompt`"),
            ("policy = \"\"\n", "policy"),
            ("missed = \"twice\"\n", "twice"),
            ("overlap = \"replace\"\n", "replace"),
            ("every = \"day\"\n", "every"),
            ("playbook = \"both\"\n", "leave one of them out"),
            ("playbook = \"../x\"\n", "no name of a playbook"),
            ("playbook = \"a\"\ndigest = \"1\"\n", "digest"),
            ("values = { a = \"b\" }\n", "none is named"),
        ] {
            let error = schedule(text).map(drop).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        let error = schedules(&table("").repeat(2)).map(drop).unwrap_err();
        assert!(error.contains("each table another one"), "{error}");
    }
}
