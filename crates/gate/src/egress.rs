//! What left a session's sandboxes, and what was kept from leaving, as its log tells it.
//!
//! Counts are exact; lists are bounded, since a hostile program chooses their entries.

use std::collections::BTreeMap;

use cofferdam_domain::{
    Block, CallId, Event, EventBody, Finding, Severity, Timestamp, ToolCall,
    amount::counted,
    egress::{Access, AccessAsk, Fetched, Operation, Passed, Refusal, Refused},
};

use crate::view::bounded;

/// Destinations that are listed one by one.
const MAX_DESTINATIONS: usize = 100;
/// Kinds of refusals that are listed one by one.
const MAX_REFUSALS: usize = 100;
/// Packages that are kept for lists and findings.
const MAX_PACKAGES: usize = 2_000;
/// Findings about packages.
const MAX_FINDINGS: usize = 20;
/// Bytes of a command that are kept.
const MAX_COMMAND: usize = 300;
/// Days in which a version has hardly been looked at by anybody.
const YOUNG_DAYS: u64 = 14;
const DAY: u64 = 24 * 3600 * 1000;

/// What left, and what did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressFacts {
    /// What was let out, by rule and host.
    pub passed: Vec<Passage>,
    /// Requests and connections that were let out, in all.
    pub requests: u64,
    /// What was refused, the first ones.
    pub refused: Vec<RefusedFact>,
    /// How much was refused, in all.
    pub refusals: u64,
    /// Packages that came in, the first ones.
    pub packages: Vec<PackageFact>,
    /// How many packages came in.
    pub fetched: u64,
    /// What the agent asked for, and what was decided.
    pub accesses: Vec<(AccessAsk, Option<Access>)>,
    /// Why a sandbox was frozen, each time.
    pub frozen: Vec<String>,
}

/// What one rule let out to one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The rule.
    pub rule: String,
    /// The host.
    pub host: String,
    /// How often.
    pub count: u64,
    /// Whether the door saw what was sent.
    pub inspected: bool,
    /// The credential that was added.
    pub credential: Option<String>,
}

/// Something that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedFact {
    /// What: untrusted text.
    pub operation: String,
    /// Why, as a stable name.
    pub code: Refusal,
    /// How often.
    pub count: u64,
    /// The command that was running: untrusted text. `None` when none was, or it is not known.
    pub command: Option<String>,
}

/// A package that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFact {
    /// What the door saw of it.
    pub fetched: Fetched,
    /// How old the version was then, in days, where the registry says when it was published.
    pub age_days: Option<u64>,
}

impl EgressFacts {
    /// What a log tells.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let mut facts = Self::default();
        let mut commands = Commands::default();
        for event in events {
            commands.note(&event.body);
            facts.note(event.at, &event.body, &commands);
        }
        facts
    }

    /// Whether there is anything to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn note(&mut self, at: Timestamp, body: &EventBody, commands: &Commands) {
        if let EventBody::EgressAllowed(passed) = body {
            self.passed(passed);
        } else if let EventBody::EgressRefused(refused) = body {
            self.refused(refused, commands);
        } else if let EventBody::PackageFetched(fetched) = body {
            self.fetched(at, fetched);
        } else if let EventBody::AccessAsked(ask) = body {
            self.accesses.push((AccessAsk::clone(ask), None));
        } else if let EventBody::AccessDecided(access) = body {
            let asked = self.accesses.iter_mut().find(|(ask, decided)| {
                ask.call == access.call && ask.digest() == access.rule && decided.is_none()
            });
            if let Some((_, decided)) = asked {
                *decided = Some(access.clone());
            }
        } else if let EventBody::SandboxFrozen { reason, .. } = body
            && self.frozen.len() < MAX_REFUSALS
        {
            self.frozen.push(reason.clone());
        }
    }

    fn passed(&mut self, passed: &Passed) {
        self.requests += 1;
        let (host, inspected) = match &passed.operation {
            Operation::Http { host, .. } => (host, true),
            Operation::Connection { host, .. } => (host, false),
            Operation::Name { name } => (name, false),
        };
        let same = self.passed.iter_mut().find(|passage| {
            passage.rule == passed.rule && passage.host == *host && passage.inspected == inspected
        });
        if let Some(passage) = same {
            passage.count += 1;
            if passage.credential.is_none() {
                passage.credential.clone_from(&passed.credential);
            }
        } else if self.passed.len() < MAX_DESTINATIONS {
            self.passed.push(Passage {
                rule: passed.rule.clone(),
                host: host.clone(),
                count: 1,
                inspected,
                credential: passed.credential.clone(),
            });
        }
    }

    fn refused(&mut self, refused: &Refused, commands: &Commands) {
        let count = u64::from(refused.count);
        self.refusals += count;
        let operation = bounded(refused.operation.to_string(), MAX_COMMAND);
        let command = refused.calls.first().and_then(|call| commands.of(*call));
        let same = self.refused.iter_mut().find(|known| {
            known.operation == operation && known.code == refused.code && known.command == command
        });
        if let Some(known) = same {
            known.count += count;
        } else if self.refused.len() < MAX_REFUSALS {
            self.refused.push(RefusedFact { operation, code: refused.code, count, command });
        }
    }

    fn fetched(&mut self, at: Timestamp, fetched: &Fetched) {
        self.fetched += 1;
        let known = |package: &PackageFact| {
            package.fetched.digest == fetched.digest && package.fetched.name == fetched.name
        };
        if self.packages.len() < MAX_PACKAGES && !self.packages.iter().any(known) {
            let age_days = fetched.published.map(|published| at.millis_since(published) / DAY);
            self.packages.push(PackageFact { fetched: fetched.clone(), age_days });
        }
    }

    /// What a reviewer should know of it before anything else.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let finding = |severity, path: String, why: String| Finding {
            rule: "egress".to_owned(),
            severity,
            path,
            line: None,
            why: bounded(why, 1000),
        };
        let mut findings = Vec::new();
        let reflected: u64 = self
            .refused
            .iter()
            .filter(|refused| refused.code == Refusal::Reflected)
            .map(|refused| refused.count)
            .sum();
        if reflected > 0 {
            let why = format!(
                "{} contained a credential and did not reach the sandbox",
                counted(reflected, "answer")
            );
            findings.push(finding(Severity::Warning, String::new(), why));
        }
        let young = |package: &&PackageFact| package.age_days.is_some_and(|days| days < YOUNG_DAYS);
        let young: Vec<&PackageFact> = self.packages.iter().filter(young).collect();
        for package in young.iter().take(MAX_FINDINGS) {
            let age = counted(package.age_days.unwrap_or_default(), "day");
            let why =
                format!("the version was {age} old when it was fetched: hardly anybody has looked at it yet");
            findings.push(finding(Severity::Warning, package.to_string(), why));
        }
        if young.len() > MAX_FINDINGS {
            let why =
                format!("and {} more as young", counted((young.len() - MAX_FINDINGS) as u64, "package"));
            findings.push(finding(Severity::Warning, String::new(), why));
        }
        for passage in self.passed.iter().filter(|passage| !passage.inspected) {
            let why = format!(
                "{} to {} by rule {}: nobody saw what was sent",
                counted(passage.count, "connection"),
                passage.host,
                passage.rule
            );
            findings.push(finding(Severity::Note, String::new(), why));
        }
        findings
    }
}

impl std::fmt::Display for PackageFact {
    /// `npm:left-pad 1.3.0`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fetched { registry, name, version, .. } = &self.fetched;
        write!(f, "{registry}:{name} {version}")
    }
}

/// What each call was, in the words of the model.
#[derive(Debug, Default)]
struct Commands(BTreeMap<CallId, String>);

impl Commands {
    fn note(&mut self, body: &EventBody) {
        let EventBody::ModelAnswered { step, answer, .. } = body else { return };
        let calls = answer.blocks.iter().filter_map(|block| match block {
            Block::ToolCall(call) => Some(call),
            Block::Text { .. } | Block::Reasoning(_) | Block::ToolResult(_) | Block::Image(_) => None,
        });
        for (index, call) in (0..u16::MAX).zip(calls) {
            self.0.insert(CallId { step: *step, index }, command(call));
        }
    }

    fn of(&self, call: CallId) -> Option<String> {
        self.0.get(&call).cloned()
    }
}

/// A call's command line, or its tool where it has none.
fn command(call: &ToolCall) -> String {
    let arguments: Option<serde_json::Value> = serde_json::from_str(&call.arguments).ok();
    let line = arguments.as_ref().and_then(|arguments| arguments.get("command")?.as_str());
    bounded(line.unwrap_or(&call.name).to_owned(), MAX_COMMAND)
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{Answer, Digest, EventId, SandboxId, Seq, SessionId, StopReason, Usage};

    use super::*;

    const CALL: CallId = CallId { step: 1, index: 0 };

    fn log(bodies: Vec<EventBody>) -> Vec<Event> {
        let event = |(place, body)| Event {
            seq: Seq(place),
            id: EventId::from_u128(1),
            session: SessionId::from_u128(1),
            at: Timestamp(100 * DAY),
            body,
            previous: Digest::ZERO,
            hash: Digest::ZERO,
        };
        (1..).zip(bodies).map(event).collect()
    }

    fn asked(arguments: &str) -> EventBody {
        let call = ToolCall {
            provider_id: "1".into(),
            name: "shell".into(),
            arguments: arguments.into(),
            opaque: None,
        };
        let answer = Answer {
            blocks: vec![Block::text("so"), Block::ToolCall(call)],
            stop: StopReason::ToolUse,
            usage: Usage::default(),
            model: "m".into(),
            cost: None,
        };
        EventBody::ModelAnswered { step: 1, answer, millis: 1 }
    }

    fn refused(port: u16, code: Refusal) -> EventBody {
        EventBody::EgressRefused(Box::new(Refused {
            sandbox: SandboxId::from_u128(1),
            operation: Operation::Connection { host: "192.0.2.1".into(), port },
            code,
            reason: "no".into(),
            ask: None,
            count: 3,
            calls: vec![CALL],
        }))
    }

    fn passed(operation: Operation) -> EventBody {
        EventBody::EgressAllowed(Passed {
            sandbox: SandboxId::from_u128(1),
            operation,
            rule: "mirror".into(),
            credential: None,
            calls: vec![],
        })
    }

    fn fetched(version: &str, published: Option<u64>) -> EventBody {
        EventBody::PackageFetched(Fetched {
            registry: "npm".into(),
            host: "mirror.example".parse().unwrap(),
            name: "left-pad".into(),
            version: version.into(),
            digest: Digest::of(version.as_bytes()),
            size: 1,
            published: published.map(Timestamp),
            cached: false,
            compared: true,
        })
    }

    #[test]
    fn refusals_have_the_command_that_caused_them() {
        let command = r#"{"command":"curl http://192.0.2.1"}"#;
        let facts = EgressFacts::of(&log(vec![
            asked(command),
            refused(80, Refusal::Host),
            refused(80, Refusal::Host),
        ]));
        assert_eq!(facts.refusals, 6);
        assert_eq!(facts.refused.len(), 1);
        assert_eq!(facts.refused[0].command.as_deref(), Some("curl http://192.0.2.1"));
        assert_eq!(facts.refused[0].operation, "connection to 192.0.2.1 port 80");
    }

    #[test]
    fn a_hostile_program_cannot_make_the_lists_longer() {
        let many = (1..=1_000).map(|port| refused(port, Refusal::Host)).collect();
        let facts = EgressFacts::of(&log(many));
        assert_eq!((facts.refusals, facts.refused.len()), (3_000, MAX_REFUSALS));
    }

    #[test]
    fn what_nobody_saw_and_what_is_young_is_told() {
        let facts = EgressFacts::of(&log(vec![
            passed(Operation::Connection { host: "a.example".into(), port: 443 }),
            passed(Operation::Connection { host: "a.example".into(), port: 443 }),
            fetched("1.0.0", Some(98 * DAY)),
            fetched("1.0.0", Some(98 * DAY)),
            fetched("0.9.0", Some(2 * DAY)),
            fetched("0.8.0", None),
            refused(443, Refusal::Reflected),
        ]));
        assert_eq!((facts.requests, facts.fetched, facts.packages.len()), (2, 4, 3));
        let findings = facts.findings();
        let shown: Vec<_> = findings.iter().map(|found| (found.severity, found.path.as_str())).collect();
        assert_eq!(
            shown,
            [(Severity::Warning, ""), (Severity::Warning, "npm:left-pad 1.0.0"), (Severity::Note, "")]
        );
        assert!(
            findings[2].why.starts_with("2 connections to a.example by rule mirror"),
            "{:?}",
            findings[2]
        );
    }
}
