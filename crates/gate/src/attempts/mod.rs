//! Several attempts at one task, side by side: what the platform knows of each, in which order they are ranked, and which word is to be said next
//! in whose log once one of them is chosen.
//!
//! Everything is folded from the attempts' logs. No word of an agent counts here.

mod fold;
mod ranking;
#[cfg(test)]
mod tests;
mod verdict;
mod words;

use cofferdam_domain::{Attempt, Outcome, Seq, SessionId, change::DiffStat};

use crate::EvidenceSummary;

pub use self::ranking::{chosen_by_rule, ranked};
pub use self::verdict::{Choice, Unchoosable, Word};

/// Who chooses, where the rule does.
pub const RULE: &str = "rule: best";

/// What the platform knows of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFacts {
    /// Which session it is.
    pub session: SessionId,
    /// Which attempt.
    pub attempt: Attempt,
    /// How it stands.
    pub standing: Standing,
    /// Whether it has a change that was ready to be delivered, whatever was decided since.
    pub offers: bool,
    /// What has been decided about it.
    pub decided: Option<Decided>,
    /// Whether it was chosen with the head that it had ready then. Only so it is delivered; one to which somebody had written meanwhile goes on, and is to be
    /// chosen once more.
    pub taken: bool,
    /// What its tests show before and after, with several repositories the worst of what they show.
    pub tests: EvidenceSummary,
    /// Findings of the gate that hold it back.
    pub blocking: u64,
    /// Findings that a reviewer must look at first.
    pub warnings: u64,
    /// Other findings.
    pub notes: u64,
    /// How much it changes.
    pub stat: DiffStat,
    /// Whether a limit ended the work, or the agent gave up.
    pub cut_short: bool,
    /// Steps so far.
    pub steps: u32,
    /// Tokens, in and out.
    pub tokens: u64,
    /// Millionths of a dollar.
    pub cost: u64,
    /// From the task to what was ready, or to the end, or to the last event.
    pub millis: u64,
    /// The model, as provider and name.
    pub model: Option<String>,
    /// The last event of its log.
    pub last: Seq,
}

/// How an attempt stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is worked on, or waits for its turn or for a person.
    AtWork,
    /// It waits to be chosen, with this head.
    Ready(String),
    /// It has ended.
    Ended(Outcome),
}

/// What was decided about an attempt, as its log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Who decided, as text for people.
    pub by: String,
    /// The attempt that was chosen.
    pub chosen: SessionId,
    /// What that one had ready.
    pub commit: String,
}

impl AttemptFacts {
    /// Whether nothing more comes of it by itself: it waits to be chosen, or has ended.
    #[must_use]
    pub const fn is_through(&self) -> bool {
        matches!(self.standing, Standing::Ready(_) | Standing::Ended(_))
    }

    /// The head that waits to be chosen.
    #[must_use]
    pub fn ready(&self) -> Option<&str> {
        if let Standing::Ready(commit) = &self.standing { Some(commit) } else { None }
    }

    /// Whether it is the one that was chosen.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        self.decided.as_ref().is_some_and(|decided| decided.chosen == self.session)
    }

    /// The head that it has ready and that can be chosen: nothing was, or it was itself, with a head that it did not have any more.
    #[must_use]
    pub fn choosable(&self) -> Option<&str> {
        self.ready().filter(|_| self.decided.is_none() || self.is_chosen() && !self.taken)
    }

    /// How it stands, in a few words for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        match (&self.standing, &self.decided) {
            (Standing::Ended(outcome), _) => outcome.name().replace('_', " "),
            (_, Some(_)) if self.is_chosen() && self.choosable().is_some() => {
                "chosen, and ready anew".to_owned()
            }
            (_, Some(_)) if self.is_chosen() => "chosen".to_owned(),
            (_, Some(_)) => "passed over".to_owned(),
            (Standing::Ready(_), None) => "ready".to_owned(),
            (Standing::AtWork, None) => "at work".to_owned(),
        }
    }
}

/// All attempts at one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Those that there are, by number. One that was deleted is not among them.
    attempts: Vec<AttemptFacts>,
    /// Some were not made yet.
    unmade: bool,
}

impl Group {
    /// The group of these attempts; `unmade` says that others are still to be made.
    #[must_use]
    pub fn new(mut attempts: Vec<AttemptFacts>, unmade: bool) -> Self {
        attempts.sort_by_key(|facts| facts.attempt.number);
        Self { attempts, unmade }
    }

    /// Those that there are, by number.
    #[must_use]
    pub fn attempts(&self) -> &[AttemptFacts] {
        &self.attempts
    }

    /// The attempt that a session is.
    #[must_use]
    pub fn of(&self, session: SessionId) -> Option<&AttemptFacts> {
        self.attempts.iter().find(|facts| facts.session == session)
    }

    /// Puts newer facts in the place of those that were known of an attempt.
    pub fn renew(&mut self, facts: AttemptFacts) {
        if let Some(known) = self.attempts.iter_mut().find(|known| known.session == facts.session) {
            *known = facts;
        }
    }

    /// Takes an attempt out that was deleted.
    pub fn remove(&mut self, session: SessionId) {
        self.attempts.retain(|facts| facts.session != session);
    }

    /// Whether all are through, so that they can be compared.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.unmade && self.attempts.iter().all(AttemptFacts::is_through)
    }

    /// What was decided. It stands in the log of the first attempt that there is, and from there in those of all.
    #[must_use]
    pub fn decided(&self) -> Option<&Decided> {
        self.attempts.iter().find_map(|facts| facts.decided.as_ref())
    }
}
