//! Rules over a session's events: when something happens that a person should look at, the session is frozen, or somebody is told.
//!
//! What a rule looks at is in the log, and nothing else: so whoever folds the same log comes to the same verdict. Some rules always stand (a
//! canary was touched, a request contained a secret); the others are here.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Cost, EventBody, ToolStatus};

/// The most rules of one's own.
pub const MOST_RULES: usize = 32;
/// The most events that a rule may wait for.
pub const MOST_EVENTS: u32 = 1_000;
/// The longest time within which they may happen, in seconds: a day.
pub const LONGEST_SECONDS: u32 = 24 * 60 * 60;
/// The longest name of a rule.
const LONGEST_NAME: usize = 64;

/// The rules that stand without being written: names that no other rule can have.
pub const BUILT_IN: [&str; 9] = [
    "canary",
    "secret",
    "reflected",
    "refusals",
    "escapes",
    "spending",
    "sudden_spending",
    "deleted_files",
    "deleted_percent",
];

/// Events that a rule can be about, by their names in the log: those that say what a model or a sandbox does.
pub const EVENTS: [&str; 20] = [
    "claimed",
    "stage_failed",
    "sandbox_ready",
    "model_asked",
    "model_answered",
    "model_failed",
    "nudged",
    "tool_started",
    "tool_finished",
    "tool_lost",
    "egress_allowed",
    "egress_refused",
    "package_fetched",
    "access_asked",
    "compacted",
    "limit_reached",
    "files_deleted",
    "terminal_opened",
    "examined",
    "evidence_run",
];

/// When a session raises an alarm. 0 is never.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", default, deny_unknown_fields)]
pub struct Alarms {
    /// Money that may be spent within a minute, in millionths of a dollar.
    pub cost_per_minute: Cost,
    /// Tokens that may be used within a minute.
    pub tokens_per_minute: u64,
    /// So many times as much money, or tokens, within a minute as in the session's usual one is too much. Before there are five minutes in which
    /// it spent something, nothing is usual.
    pub times_usual: u32,
    /// Refused requests that look like an attempt to get around the egress door: an address where the host may not be, names that differ,
    /// what is neither HTTP nor TLS, or is not in canonical form.
    pub escapes: u32,
    /// Files of the repository that may go from one checkpoint to the next.
    pub deleted_files: u64,
    /// The same in hundredths of all its files, from twenty on.
    pub deleted_percent: u8,
    /// Rules of one's own.
    pub rules: Vec<AlarmRule>,
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            cost_per_minute: Cost(0),
            tokens_per_minute: 0,
            times_usual: 0,
            escapes: 0,
            deleted_files: 0,
            deleted_percent: 50,
            rules: Vec::new(),
        }
    }
}

/// So many events of a kind within so many seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlarmRule {
    /// Names it in the log.
    pub name: String,
    /// The kind, by its name in the log: one of [`EVENTS`].
    pub event: String,
    /// Only those with this reason: the code of an `egress_refused`, the status of a `tool_finished`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// How many. What was refused several times and written down once counts as often as it was refused.
    pub count: u32,
    /// Within so many seconds.
    pub seconds: u32,
    /// What follows.
    pub then: Consequence,
}

/// What follows from an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consequence {
    /// The sandbox is frozen and the session held for a person.
    Freeze,
    /// People are told; the session goes on.
    Tell,
}

impl AlarmRule {
    /// Whether it is about this event.
    #[must_use]
    pub fn is_about(&self, body: &EventBody) -> bool {
        body.name() == self.event && self.of.as_deref().is_none_or(|of| reason(body) == Some(of))
    }
}

/// The reason that an event gives, as a stable name.
fn reason(body: &EventBody) -> Option<&'static str> {
    if let EventBody::EgressRefused(refused) = body {
        return Some(refused.code.as_str());
    }
    let EventBody::ToolFinished { outcome, .. } = body else { return None };
    Some(match outcome.status {
        ToolStatus::Ok => "ok",
        ToolStatus::Error => "error",
        ToolStatus::TimedOut => "timed_out",
        ToolStatus::Refused => "refused",
    })
}

/// The rules cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAlarm {
    /// More than everything cannot go.
    #[error("`deleted_percent` is between 0 (never) and 100")]
    Percent,
    /// Each event is held against each rule.
    #[error("there are at most {MOST_RULES} rules")]
    TooMany,
    /// A name.
    #[error("a rule has a name of 1 to {LONGEST_NAME} letters, digits, `-` and `_`, which no other rule has, and none of: {}", BUILT_IN.join(", "))]
    Name,
    /// An event.
    #[error("the rule {rule:?} is about an event that rules cannot be about: name one of {}", EVENTS.join(", "))]
    Event {
        /// Its name.
        rule: String,
    },
    /// A reason.
    #[error(
        "the rule {rule:?} has `of`: that is the code of an egress_refused, or \"ok\", \"error\", \"timed_out\" or \"refused\" of a tool_finished"
    )]
    Of {
        /// Its name.
        rule: String,
    },
    /// How many, in which time.
    #[error("the rule {rule:?} waits for 1 to {MOST_EVENTS} events within 1 to {LONGEST_SECONDS} seconds")]
    Bounds {
        /// Its name.
        rule: String,
    },
}

impl<'de> Deserialize<'de> for Alarms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let alarms = Self::deserialize(deserializer)?;
        alarms.check().map_err(D::Error::custom)?;
        Ok(alarms)
    }
}

impl Serialize for Alarms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl Alarms {
    fn check(&self) -> Result<(), InvalidAlarm> {
        if self.deleted_percent > 100 {
            return Err(InvalidAlarm::Percent);
        }
        if self.rules.len() > MOST_RULES {
            return Err(InvalidAlarm::TooMany);
        }
        for (place, rule) in self.rules.iter().enumerate() {
            check(rule)?;
            if self.rules[..place].iter().any(|other| other.name == rule.name) {
                return Err(InvalidAlarm::Name);
            }
        }
        Ok(())
    }
}

fn check(rule: &AlarmRule) -> Result<(), InvalidAlarm> {
    let AlarmRule { name, event, of, count, seconds, then: _ } = rule;
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    if name.is_empty()
        || name.len() > LONGEST_NAME
        || !name.chars().all(fits)
        || BUILT_IN.contains(&name.as_str())
    {
        return Err(InvalidAlarm::Name);
    }
    if !EVENTS.contains(&event.as_str()) {
        return Err(InvalidAlarm::Event { rule: name.clone() });
    }
    if of.as_deref().is_some_and(|of| !is_reason(event, of)) {
        return Err(InvalidAlarm::Of { rule: name.clone() });
    }
    if !(1..=MOST_EVENTS).contains(count) || !(1..=LONGEST_SECONDS).contains(seconds) {
        return Err(InvalidAlarm::Bounds { rule: name.clone() });
    }
    Ok(())
}

/// Whether events of this kind can give this reason.
fn is_reason(event: &str, of: &str) -> bool {
    let is_code = || serde_json::from_value::<crate::egress::Refusal>(of.into()).is_ok();
    match event {
        "egress_refused" => is_code(),
        "tool_finished" => ["ok", "error", "timed_out", "refused"].contains(&of),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Alarms, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn rule(fields: &str) -> Result<Alarms, String> {
        read(&format!(r#"{{"rules":[{{{fields}}}]}}"#))
    }

    #[test]
    fn what_is_written_is_read_again() {
        let alarms = rule(
            r#""name":"many-errors","event":"tool_finished","of":"error","count":20,"seconds":60,"then":"tell""#,
        )
        .unwrap();
        assert_eq!(read(&serde_json::to_string(&alarms).unwrap()).unwrap(), alarms);
        assert_eq!(read("{}").unwrap(), Alarms::default());
        assert_eq!(read(r#"{"deleted_percent":0}"#).unwrap().deleted_percent, 0);
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        let good = r#""event":"egress_refused","count":3,"seconds":60,"then":"freeze""#;
        assert!(rule(&format!(r#""name":"a",{good}"#)).is_ok());
        for (fields, wanted) in [
            (format!(r#""name":"",{good}"#), "name"),
            (format!(r#""name":"canary",{good}"#), "name"),
            (format!(r#""name":"a b",{good}"#), "name"),
            (format!(r#""name":"a","of":"nothing",{good}"#), "of"),
            (r#""name":"a","event":"session_ended","count":1,"seconds":1,"then":"tell""#.into(), "event"),
            (r#""name":"a","event":"nudged","of":"ok","count":1,"seconds":1,"then":"tell""#.into(), "of"),
            (r#""name":"a","event":"nudged","count":0,"seconds":1,"then":"tell""#.into(), "events"),
            (r#""name":"a","event":"nudged","count":1001,"seconds":1,"then":"tell""#.into(), "events"),
            (r#""name":"a","event":"nudged","count":1,"seconds":86401,"then":"tell""#.into(), "seconds"),
            (r#""name":"a","event":"nudged","count":1,"seconds":1,"then":"shout""#.into(), "shout"),
            (r#""name":"a","event":"nudged","count":1,"seconds":1,"then":"tell","x":1"#.into(), "x"),
        ] {
            let error = rule(&fields).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        let twice = format!(r#"{{"rules":[{{"name":"a",{good}}},{{"name":"a",{good}}}]}}"#);
        assert!(read(&twice).unwrap_err().contains("no other rule"));
        let many: Vec<String> = (0..33).map(|number| format!(r#"{{"name":"r{number}",{good}}}"#)).collect();
        assert!(read(&format!(r#"{{"rules":[{}]}}"#, many.join(","))).unwrap_err().contains("at most"));
        assert!(read(r#"{"deleted_percent":101}"#).unwrap_err().contains("100"));
    }

    #[test]
    fn every_event_that_rules_can_be_about_is_one() {
        for name in EVENTS {
            let error = serde_json::from_value::<EventBody>(serde_json::json!({ "event": name })).err();
            let known = error.is_none_or(|error| !error.to_string().contains("unknown variant"));
            assert!(known, "{name}");
        }
    }
}
