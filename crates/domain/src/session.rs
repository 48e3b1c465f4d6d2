//! The life of a session.

use serde::{Deserialize, Serialize};

/// Where a session stands. Derived from its log, never stored as a truth of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Accepted; nobody works on it yet.
    Queued,
    /// A worker has claimed it and the agent is at work.
    Working,
    /// It waits for a person; see [`WaitingFor`]. No worker has it, or the one that has it is about to let go.
    Waiting,
    /// The agent has finished; gate, evidence and publication are under way.
    Delivering,
    /// It ended; see its [`Outcome`].
    Ended,
}

impl SessionState {
    /// All that there are, in the order in which a session goes through them.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Working, Self::Waiting, Self::Delivering, Self::Ended];

    /// The variant's name as stored, for filters and people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Working => "working",
            Self::Waiting => "waiting",
            Self::Delivering => "delivering",
            Self::Ended => "ended",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingFor {
    /// For somebody to continue it, after a pause.
    Pause,
    /// For the answer to a question.
    Answer,
    /// For a decision about a plan.
    Plan,
    /// For money: for somebody to continue it, or the next day.
    Budget,
    /// For somebody to choose among several attempts.
    Choice,
}

impl WaitingFor {
    /// The variant's name as stored, for filters and people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Answer => "answer",
            Self::Plan => "plan",
            Self::Budget => "budget",
            Self::Choice => "choice",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Pause, Self::Answer, Self::Plan, Self::Budget, Self::Choice]
            .into_iter()
            .find(|waiting| waiting.name() == name)
    }
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// There is a pull request to review.
    Succeeded,
    /// A pull request of somebody else's was reviewed: what there is to say of it is in the log.
    Reviewed,
    /// Work that another session had delegated is done: what came of it is in the log of that one.
    Answered,
    /// The agent found nothing to change.
    NothingToDo,
    /// It could not be done.
    Failed {
        /// Why, and what to do about it.
        reason: String,
    },
    /// A limit was reached before the work was done. Partial work, if any, is in a draft pull request.
    Stopped {
        /// Which one, in words.
        limit: String,
    },
    /// The gate holds the change back for a person.
    Held {
        /// Why, in one line.
        reason: String,
    },
    /// Another attempt at the same task was chosen.
    PassedOver {
        /// Which.
        chosen: crate::SessionId,
    },
    /// Somebody cancelled it.
    Cancelled,
}

impl Outcome {
    /// The variant's name as stored, for filters and people.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Reviewed => "reviewed",
            Self::Answered => "answered",
            Self::NothingToDo => "nothing_to_do",
            Self::Failed { .. } => "failed",
            Self::Stopped { .. } => "stopped",
            Self::Held { .. } => "held",
            Self::PassedOver { .. } => "passed_over",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_log() {
        for outcome in [
            Outcome::Succeeded,
            Outcome::Reviewed,
            Outcome::Answered,
            Outcome::NothingToDo,
            Outcome::Failed { reason: String::new() },
            Outcome::Stopped { limit: String::new() },
            Outcome::Held { reason: String::new() },
            Outcome::PassedOver { chosen: crate::SessionId::from_u128(1) },
            Outcome::Cancelled,
        ] {
            assert_eq!(serde_json::to_value(&outcome).unwrap()["outcome"], outcome.name());
        }
        for state in ["queued", "working", "waiting", "delivering", "ended"] {
            assert_eq!(serde_json::to_value(SessionState::named(state).unwrap()).unwrap(), state);
        }
        assert_eq!(SessionState::named("paused"), None);
        for waiting in ["pause", "answer", "plan", "budget", "choice"] {
            assert_eq!(serde_json::to_value(WaitingFor::named(waiting).unwrap()).unwrap(), waiting);
        }
    }
}
