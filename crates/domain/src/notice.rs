//! What is told of a session to people who do not look at it: derived from its events, one by one.

use serde::{Deserialize, Serialize};

use crate::{EventBody, Outcome, alarm::Consequence};

/// The longest text of others in a notice, in characters.
pub const LONGEST_TEXT: usize = 500;

/// The kinds of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A task that was asked for elsewhere was accepted.
    Accepted,
    /// A message that came in from a forge was taken up.
    Heard,
    /// Its sandbox was frozen, and it is held for a person.
    Frozen,
    /// A rule over its events was met that freezes nothing.
    Alarm,
    /// The agent asks something and waits for the answer.
    Question,
    /// The agent has a plan and waits for a decision.
    Plan,
    /// The agent asks for access to something.
    Access,
    /// A budget is used up; it waits.
    Budget,
    /// It is one of several attempts, is ready, and waits for a person to choose.
    Choice,
    /// It ended, with a pull request to review.
    PullRequest,
    /// It ended without a pull request: nothing to do, a review was written, or a limit was reached before there was one.
    Ended,
    /// The gate holds its change back for a person.
    Held,
    /// It failed.
    Failed,
    /// It was given up after worker upon worker had died with it.
    DeadLetter,
    /// It goes on after it had waited, or is over because a person wanted that: only for places that show how it stands.
    Moved,
    /// Nothing happened: somebody wants to see whether notices arrive.
    Test,
}

impl NoticeKind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Accepted,
        Self::Heard,
        Self::Frozen,
        Self::Alarm,
        Self::Question,
        Self::Plan,
        Self::Access,
        Self::Budget,
        Self::Choice,
        Self::PullRequest,
        Self::Ended,
        Self::Held,
        Self::Failed,
        Self::DeadLetter,
        Self::Moved,
        Self::Test,
    ];

    /// The variant's name as stored, for filters and people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Heard => "heard",
            Self::Frozen => "frozen",
            Self::Alarm => "alarm",
            Self::Question => "question",
            Self::Plan => "plan",
            Self::Access => "access",
            Self::Budget => "budget",
            Self::Choice => "choice",
            Self::PullRequest => "pull_request",
            Self::Ended => "ended",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::DeadLetter => "dead_letter",
            Self::Moved => "moved",
            Self::Test => "test",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What an event makes known to people outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What kind.
    pub kind: NoticeKind,
    /// What a model, a sandbox or a forge has to say about it, cut to [`LONGEST_TEXT`]. Never to be believed.
    pub text: Option<String>,
}

impl Notice {
    /// The notice of an event, if people are told of it.
    #[must_use]
    pub fn of(body: &EventBody) -> Option<Self> {
        let (kind, text) = said_by(body)?;
        Some(Self { kind, text: text.map(beginning) })
    }
}

/// As much of a text as a notice has, and where the rest is: nobody should take a part of what is asked for all of it.
fn beginning(text: &str) -> String {
    const REST: &str = " … (cut: the session has all of it)";
    if text.chars().nth(LONGEST_TEXT).is_none() {
        return text.to_owned();
    }
    let most = LONGEST_TEXT - REST.chars().count();
    text.chars().take(most).chain(REST.chars()).collect()
}

fn said_by(body: &EventBody) -> Option<(NoticeKind, Option<&str>)> {
    if let EventBody::TaskAccepted { task } = body {
        // Whoever asked here sees that it was.
        return task.origin.is_some().then_some((NoticeKind::Accepted, None));
    }
    if let EventBody::MessageReceived { about: Some(_), .. } = body {
        return Some((NoticeKind::Heard, None));
    }
    if let EventBody::SandboxFrozen { reason, .. } = body {
        return Some((NoticeKind::Frozen, Some(reason)));
    }
    if let EventBody::AlarmRaised { what, then: Consequence::Tell, .. } = body {
        return Some((NoticeKind::Alarm, Some(what)));
    }
    if let EventBody::QuestionAsked { question, .. } = body {
        return Some((NoticeKind::Question, Some(question)));
    }
    if let EventBody::PlanProposed { text, .. } = body {
        return Some((NoticeKind::Plan, Some(text)));
    }
    if let EventBody::AccessAsked(ask) = body {
        return Some((NoticeKind::Access, Some(&ask.reason)));
    }
    if let EventBody::BudgetExceeded { what } = body {
        return Some((NoticeKind::Budget, Some(what)));
    }
    if let EventBody::AttemptReady { .. } = body {
        return Some((NoticeKind::Choice, None));
    }
    if moves(body) {
        return Some((NoticeKind::Moved, None));
    }
    let EventBody::SessionEnded { outcome } = body else { return None };
    Some(match outcome {
        Outcome::Succeeded => (NoticeKind::PullRequest, None),
        Outcome::Stopped { limit } => (NoticeKind::Ended, Some(limit)),
        Outcome::Reviewed | Outcome::Answered | Outcome::NothingToDo => (NoticeKind::Ended, None),
        Outcome::Held { reason } => (NoticeKind::Held, Some(reason)),
        Outcome::Failed { reason } => (NoticeKind::Failed, Some(reason)),
        // Whoever cancelled it, or chose another attempt, knows.
        Outcome::Cancelled | Outcome::PassedOver { .. } => (NoticeKind::Moved, None),
    })
}

/// Whether a person has settled something that others may still see waiting.
fn moves(body: &EventBody) -> bool {
    matches!(
        body.in_part().1,
        EventBody::QuestionAnswered { .. }
            | EventBody::PlanDecided { .. }
            | EventBody::AccessDecided(_)
            | EventBody::ContinueAsked { .. }
            | EventBody::AttemptChosen { .. }
            | EventBody::SandboxReleased { .. }
            | EventBody::PullRequestClosed { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SandboxId;

    #[test]
    fn names_are_those_of_the_log() {
        for kind in NoticeKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(NoticeKind::named(kind.name()), Some(kind));
        }
    }

    #[test]
    fn what_people_wait_for_is_told_and_bounded() {
        let frozen =
            EventBody::SandboxFrozen { sandbox: SandboxId::from_u128(1), reason: "ß".repeat(9_000) };
        let notice = Notice::of(&frozen).unwrap();
        assert_eq!(notice.kind, NoticeKind::Frozen);
        let text = notice.text.unwrap();
        assert_eq!(text.chars().count(), LONGEST_TEXT);
        assert!(text.ends_with("ß … (cut: the session has all of it)"), "{text}");
        let whole =
            EventBody::SandboxFrozen { sandbox: SandboxId::from_u128(1), reason: "ß".repeat(LONGEST_TEXT) };
        assert_eq!(Notice::of(&whole).unwrap().text, Some("ß".repeat(LONGEST_TEXT)));
        let ended = |outcome| EventBody::SessionEnded { outcome };
        let kind = |outcome| Notice::of(&ended(outcome)).map(|notice| notice.kind);
        assert_eq!(kind(Outcome::Succeeded), Some(NoticeKind::PullRequest));
        assert_eq!(kind(Outcome::Stopped { limit: "x".into() }), Some(NoticeKind::Ended));
        assert_eq!(kind(Outcome::Cancelled), Some(NoticeKind::Moved));
        let ready = EventBody::AttemptReady { commit: "c".into() };
        assert_eq!(Notice::of(&ready).map(|notice| notice.kind), Some(NoticeKind::Choice));
        assert_eq!(Notice::of(&EventBody::NothingChanged), None);
    }
}
