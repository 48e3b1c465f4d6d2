//! Rules over the event stream: a fold of its own, so that the same log raises the same alarms wherever it is folded.
//!
//! An event is held against every rule once. What a rule has counted is forgotten when it has raised its alarm, and all that any has counted
//! when a person releases the sandbox: nothing is held against a session twice. Times are those of the log.

use std::{collections::VecDeque, sync::Arc};

use cofferdam_domain::{
    AlarmRule, Alarms, Consequence, Cost, EventBody, SandboxId, Timestamp,
    amount::counted,
    egress::{Refusal, Refused},
    event::Fixed,
    money::Prices,
};

/// Milliseconds of the window in which spending is measured.
const MINUTE: u64 = 60_000;
/// Minutes in which a session must have spent something before anything is usual.
const USUAL_AFTER: u64 = 5;
/// Files that must be gone before it matters how many of all they are.
const FEWEST_FILES: u64 = 20;
/// The longest text about what met a rule, in characters.
const LONGEST_WHAT: usize = 200;

/// What is known of a session by the rules that it is held against.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watchman {
    rules: Option<Arc<Rules>>,
    /// The sandbox that was heard of last: the one to freeze.
    sandbox: Option<SandboxId>,
    /// What the door refused, as far as built-in rules count it.
    refusals: u64,
    escapes: u64,
    spending: Spending,
    /// What each rule of the policy's own has seen lately.
    windows: Vec<Window>,
    /// Alarms that are to be raised.
    due: Vec<Alarm>,
}

/// What does not change while it counts.
#[derive(Debug)]
struct Rules {
    alarms: Alarms,
    refusals: u64,
    prices: Option<Prices>,
    /// Whether the session's alarms were the agent's to raise from its beginning.
    strict: bool,
}

/// An alarm to be raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) rule: String,
    pub(crate) what: String,
    pub(crate) then: Consequence,
}

impl Alarm {
    fn freeze(rule: &str, what: impl Into<String>) -> Self {
        Self { rule: rule.to_owned(), what: what.into(), then: Consequence::Freeze }
    }

    pub(crate) fn body(&self) -> EventBody {
        let Self { rule, what, then } = self.clone();
        EventBody::AlarmRaised { rule, what: what.chars().take(LONGEST_WHAT).collect(), then }
    }
}

impl Watchman {
    /// Holds an event against the rules.
    pub(crate) fn apply(&mut self, at: Timestamp, body: &EventBody) {
        if let EventBody::PolicyFixed(fixed) = body {
            self.rules.get_or_insert_with(|| Arc::new(Rules::of(fixed)));
        } else if let EventBody::SandboxReady { sandbox, .. } = body {
            self.sandbox = Some(*sandbox);
        } else if let EventBody::AlarmRaised { rule, .. } = body {
            self.settle(rule);
        } else if is_looked_at(body) {
            *self = Self { rules: self.rules.take(), sandbox: self.sandbox, ..Self::default() };
        }
        let Some(rules) = self.rules.clone() else { return };
        if let EventBody::EgressRefused(refused) = body {
            self.refused(&rules, refused);
        } else if let EventBody::ModelAnswered { answer, .. } = body {
            self.spending.add(at, answer.cost_by(rules.prices.as_ref()), answer.usage.total());
            self.due.extend(self.spending.exceeds(&rules.alarms));
        } else if let EventBody::FilesDeleted { files, of, .. } = body {
            self.due.extend(too_many_deleted(&rules.alarms, *files, *of));
        }
        self.own_rules(&rules.alarms.rules, at, body);
    }

    /// The next alarm to be raised. One that freezes waits for a sandbox: before there is one, nothing untrusted runs.
    pub(crate) fn due(&self) -> Option<&Alarm> {
        self.due.iter().find(|alarm| alarm.then == Consequence::Tell || self.sandbox.is_some())
    }

    /// The sandbox to freeze.
    pub(crate) const fn sandbox(&self) -> Option<SandboxId> {
        self.sandbox
    }

    /// Whether all alarms of the log were raised by this fold; in older ones some were by workers.
    pub(crate) fn is_strict(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.strict)
    }

    fn refused(&mut self, rules: &Rules, refused: &Refused) {
        self.sandbox = Some(refused.sandbox);
        let count = u64::from(refused.count);
        match refused.code {
            Refusal::Canary => self.raise(Alarm::freeze("canary", "a canary was touched")),
            Refusal::Secret => self.raise(Alarm::freeze("secret", "a request contained a secret")),
            Refusal::Reflected if rules.refusals > 0 => {
                self.raise(Alarm::freeze("reflected", "an answer contained a credential"));
            }
            Refusal::Address | Refusal::Malformed | Refusal::Mismatch | Refusal::Protocol => {
                self.escapes = self.escapes.saturating_add(count);
            }
            Refusal::Host
            | Refusal::Method
            | Refusal::Path
            | Refusal::Query
            | Refusal::Body
            | Refusal::Unreachable
            | Refusal::Upgrade
            | Refusal::Encoding
            | Refusal::Name
            | Refusal::Credential
            | Refusal::Reflected
            | Refusal::Registry
            | Refusal::Package
            | Refusal::CoolDown
            | Refusal::Index
            | Refusal::Digest
            | Refusal::Mixed
            | Refusal::Limit
            | Refusal::Closed => {}
        }
        self.refusals = self.refusals.saturating_add(count);
        if rules.refusals > 0 && self.refusals >= rules.refusals {
            let what = format!("{} refused by the egress door", counted(self.refusals, "request"));
            self.raise(Alarm::freeze("refusals", what));
        }
        let escapes = u64::from(rules.alarms.escapes);
        if escapes > 0 && self.escapes >= escapes {
            let what =
                format!("{} that tried to get around the egress door", counted(self.escapes, "request"));
            self.raise(Alarm::freeze("escapes", what));
        }
    }

    fn own_rules(&mut self, rules: &[AlarmRule], at: Timestamp, body: &EventBody) {
        self.windows.resize_with(rules.len(), Window::default);
        for (rule, window) in rules.iter().zip(&mut self.windows) {
            if !rule.is_about(body) {
                continue;
            }
            let seen = window.add(at, weight(body), u64::from(rule.seconds) * 1000, rule.count);
            if seen >= rule.count {
                let within = counted(rule.seconds.into(), "second");
                let what = format!("{seen} times {} within {within}", rule.event);
                self.due.retain(|alarm| alarm.rule != rule.name);
                self.due.push(Alarm { rule: rule.name.clone(), what, then: rule.then });
            }
        }
    }

    /// Each rule once, with the latest of what met it.
    fn raise(&mut self, alarm: Alarm) {
        self.due.retain(|due| due.rule != alarm.rule);
        self.due.push(alarm);
    }

    /// A rule has raised its alarm: what it has counted is dealt with.
    fn settle(&mut self, rule: &str) {
        self.due.retain(|alarm| alarm.rule != rule);
        match rule {
            "refusals" => self.refusals = 0,
            "escapes" => self.escapes = 0,
            "spending" | "sudden_spending" => self.spending.forget_minute(),
            _ => {
                let rules = self.rules.as_ref().map(|rules| rules.alarms.rules.as_slice());
                let place = rules.unwrap_or_default().iter().position(|own| own.name == rule);
                if let Some(window) = place.and_then(|place| self.windows.get_mut(place)) {
                    *window = Window::default();
                }
            }
        }
    }
}

impl Rules {
    fn of(fixed: &Fixed) -> Self {
        let policy = &fixed.policy;
        let before = Alarms { deleted_percent: 0, ..Alarms::default() };
        Self {
            alarms: policy.alarms.clone().unwrap_or(before),
            refusals: policy.egress.limits.refusals_before_freeze.into(),
            prices: fixed.model.prices,
            strict: policy.alarms.is_some(),
        }
    }
}

/// Whether a person looks at the session, or has: nothing of what was before is held against it again.
const fn is_looked_at(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::SandboxFrozen { .. }
            | EventBody::SandboxReleased { .. }
            | EventBody::RolledBack { .. }
            | EventBody::Forked { .. }
    )
}

/// As how many an event counts.
fn weight(body: &EventBody) -> u32 {
    if let EventBody::EgressRefused(refused) = body { refused.count } else { 1 }
}

fn too_many_deleted(alarms: &Alarms, files: u64, of: u64) -> Option<Alarm> {
    let what = || format!("{files} of {} were deleted", counted(of, "file"));
    if alarms.deleted_files > 0 && files > alarms.deleted_files {
        return Some(Alarm::freeze("deleted_files", what()));
    }
    let part = u128::from(files) * 100 > u128::from(alarms.deleted_percent) * u128::from(of);
    (alarms.deleted_percent > 0 && files >= FEWEST_FILES && part)
        .then(|| Alarm::freeze("deleted_percent", what()))
}

/// What happened lately: the latest events, no more than a rule waits for.
#[derive(Debug, Clone, Default)]
struct Window(VecDeque<(Timestamp, u32)>);

impl Window {
    /// Adds an event; how many there are now within `millis`, more than `most` not being told apart.
    fn add(&mut self, at: Timestamp, weight: u32, millis: u64, most: u32) -> u32 {
        self.0.retain(|(then, _)| at.millis_since(*then) < millis);
        self.0.push_back((at, weight));
        if self.0.len() > most as usize {
            self.0.pop_front();
        }
        self.0.iter().fold(0, |sum, (_, weight)| sum.saturating_add(*weight))
    }
}

/// What was spent: within the last minute, answer by answer, and before that.
#[derive(Debug, Clone, Default)]
struct Spending {
    minute: VecDeque<Answered>,
    cost: u64,
    tokens: u64,
    /// Minutes before, in which something was spent, the last of them, and how much in all.
    minutes: u64,
    last: Option<u64>,
    cost_before: u64,
    tokens_before: u64,
}

#[derive(Debug, Clone, Copy)]
struct Answered {
    at: Timestamp,
    cost: u64,
    tokens: u64,
}

impl Spending {
    fn add(&mut self, at: Timestamp, cost: Cost, tokens: u64) {
        while let Some(first) =
            self.minute.front().copied().filter(|first| at.millis_since(first.at) >= MINUTE)
        {
            self.minute.pop_front();
            self.cost = self.cost.saturating_sub(first.cost);
            self.tokens = self.tokens.saturating_sub(first.tokens);
            self.cost_before = self.cost_before.saturating_add(first.cost);
            self.tokens_before = self.tokens_before.saturating_add(first.tokens);
            let minute = Some(first.at.0 / MINUTE);
            self.minutes += u64::from(self.last != minute);
            self.last = minute;
        }
        // Answers of the same moment are one: what is kept does not grow with how many there are.
        match self.minute.back_mut().filter(|last| last.at.0 / 1000 == at.0 / 1000) {
            Some(last) => {
                last.cost = last.cost.saturating_add(cost.0);
                last.tokens = last.tokens.saturating_add(tokens);
            }
            None => self.minute.push_back(Answered { at, cost: cost.0, tokens }),
        }
        self.cost = self.cost.saturating_add(cost.0);
        self.tokens = self.tokens.saturating_add(tokens);
    }

    fn exceeds(&self, alarms: &Alarms) -> Option<Alarm> {
        let above = |limit: u64, spent: u64| limit > 0 && spent > limit;
        if above(alarms.cost_per_minute.0, self.cost) {
            return Some(Alarm::freeze("spending", format!("{} spent within a minute", Cost(self.cost))));
        }
        if above(alarms.tokens_per_minute, self.tokens) {
            return Some(Alarm::freeze("spending", format!("{} tokens used within a minute", self.tokens)));
        }
        let times = u128::from(alarms.times_usual);
        if times == 0 || self.minutes < USUAL_AFTER {
            return None;
        }
        let sudden = |now: u64, before: u64| {
            before > 0 && u128::from(now) * u128::from(self.minutes) > times * u128::from(before)
        };
        let what = if sudden(self.cost, self.cost_before) {
            let usual = Cost(self.cost_before / self.minutes);
            format!("{} spent within a minute, {usual} is usual", Cost(self.cost))
        } else if sudden(self.tokens, self.tokens_before) {
            let usual = self.tokens_before / self.minutes;
            format!("{} tokens used within a minute, {usual} is usual", self.tokens)
        } else {
            return None;
        };
        Some(Alarm::freeze("sudden_spending", what))
    }

    /// What was spent within the last minute is dealt with.
    fn forget_minute(&mut self) {
        self.minute.clear();
        (self.cost, self.tokens) = (0, 0);
    }
}

#[cfg(test)]
mod tests;
