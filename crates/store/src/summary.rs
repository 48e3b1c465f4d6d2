//! The line that a session has in a list, folded from its events. No I/O.

use cofferdam_domain::{EventBody, SessionState, Verdict, event::NudgeReason};

/// The longest title, in characters.
const MAX_TITLE: usize = 200;

/// What a list shows of a session beside times and places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) state: SessionState,
    pub(crate) repository: String,
    pub(crate) title: String,
    pub(crate) outcome: Option<String>,
}

impl Default for Summary {
    fn default() -> Self {
        Self { state: SessionState::Queued, repository: String::new(), title: String::new(), outcome: None }
    }
}

/// What one event changes in a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// The task is known.
    Accepted { repository: String, title: String },
    /// Somebody has taken the session; one that was further along already stays there.
    Claimed,
    /// The gate sent the change back: the agent is at work again.
    SentBack,
    /// The agent has finished.
    Finished,
    /// The session is over, with this outcome in one word.
    Ended(&'static str),
}

impl Summary {
    /// Folds one more event in. Returns whether it changed anything.
    pub(crate) fn apply(&mut self, effect: &Effect) -> bool {
        match effect {
            Effect::None => return false,
            Effect::Accepted { repository, title } => {
                self.state = SessionState::Queued;
                self.repository.clone_from(repository);
                self.title.clone_from(title);
            }
            Effect::Claimed if self.state == SessionState::Queued => self.state = SessionState::Working,
            Effect::Claimed => return false,
            Effect::SentBack => self.state = SessionState::Working,
            Effect::Finished => self.state = SessionState::Delivering,
            Effect::Ended(word) => {
                self.state = SessionState::Ended;
                self.outcome = Some((*word).to_owned());
            }
        }
        true
    }
}

impl Effect {
    /// The effect of an event.
    pub(crate) fn of(body: &EventBody) -> Self {
        match body {
            EventBody::TaskAccepted { task } => {
                Self::Accepted { repository: task.repository.clone(), title: title(&task.prompt) }
            }
            EventBody::Claimed { .. } => Self::Claimed,
            EventBody::WorkFinished { .. } => Self::Finished,
            EventBody::Examined { verdict: Verdict::SendBack, .. }
            | EventBody::Nudged { reason: NudgeReason::GateFindings, .. } => Self::SentBack,
            EventBody::SessionEnded { outcome } => Self::Ended(outcome.name()),
            EventBody::PolicyFixed(_)
            | EventBody::StageStarted { .. }
            | EventBody::StageFailed { .. }
            | EventBody::RepositoryReady(_)
            | EventBody::SandboxReady { .. }
            | EventBody::ModelAsked { .. }
            | EventBody::ModelAnswered { .. }
            | EventBody::ModelFailed { .. }
            | EventBody::Nudged { .. }
            | EventBody::ToolStarted { .. }
            | EventBody::ToolFinished { .. }
            | EventBody::ToolLost { .. }
            | EventBody::EgressAllowed(_)
            | EventBody::EgressRefused(_)
            | EventBody::PackageFetched(_)
            | EventBody::AccessAsked(_)
            | EventBody::AccessDecided(_)
            | EventBody::SandboxFrozen { .. }
            | EventBody::SandboxReleased { .. }
            | EventBody::Compacted { .. }
            | EventBody::MessageReceived { .. }
            | EventBody::LimitReached { .. }
            | EventBody::CancelAsked { .. }
            | EventBody::ObjectsReceived(_)
            | EventBody::NothingChanged
            | EventBody::Examined { .. }
            | EventBody::EvidenceRun(_)
            | EventBody::EvidenceMissing { .. }
            | EventBody::Pushed { .. }
            | EventBody::PullRequestOpened(_)
            | EventBody::PullRequestClosed { .. } => Self::None,
        }
    }
}

/// The first line with something in it, cut to a bearable length.
fn title(prompt: &str) -> String {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(MAX_TITLE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_after(effects: &[Effect]) -> SessionState {
        let mut summary = Summary::default();
        for effect in effects {
            summary.apply(effect);
        }
        summary.state
    }

    #[test]
    fn a_claim_after_a_crash_does_not_take_a_session_back() {
        assert_eq!(state_after(&[Effect::Claimed]), SessionState::Working);
        assert_eq!(
            state_after(&[Effect::Claimed, Effect::Finished, Effect::Claimed]),
            SessionState::Delivering
        );
        assert_eq!(state_after(&[Effect::Ended("failed"), Effect::Claimed]), SessionState::Ended);
        assert_eq!(
            state_after(&[Effect::Claimed, Effect::Finished, Effect::SentBack]),
            SessionState::Working
        );
    }

    #[test]
    fn the_title_is_the_first_line_with_something_in_it() {
        assert_eq!(title("\n  Fix the parser \nIt fails."), "Fix the parser");
        assert_eq!(title(&"ß".repeat(500)).chars().count(), MAX_TITLE);
    }
}
